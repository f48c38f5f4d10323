"""Retargeting: a chip that holds one design is reprogrammed to another, with the calibration it already has."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax import rng
from atis_jax.circuits.chip import nominal_environment
from atis_jax.data.pipeline import eval_batches
from atis_jax.export.bundle import Bundle, Calibration
from atis_jax.export.retarget import carry_calibration, changes_csv, references_csv, reprogramming
from atis_jax.export.store import write_bundle, write_folder
from atis_jax.models.passes import ScorerInputs
from atis_jax.numerics import layer_of
from atis_jax.report import write_report
from atis_jax.scoring.atis.calibration.chips import calibrate_chip
from atis_jax.scoring.atis.calibration.currents import check_programmed_once
from atis_jax.scoring.atis.calibration.trim import Trim, trimmed
from atis_jax.training import evaluate
from experiments import measure
from experiments.chips import perfect_inputs
from experiments.export.bundle import bundle_from
from experiments.export.contents import RETARGET
from experiments.export.read_back import decisions, layer_tokens, reference_tokens
from experiments.export.settings import RetargetSettings
from experiments.files import write_arrays_atomically
from experiments.inputs import check_inputs
from experiments.rundir import RunFolder
from experiments.trained_run import TrainedRun, load_trained

ARMS = ("as programmed", "carried", "calibrated anew")
TOKEN_EXAMPLES = 256
"""Examples that known tokens are drawn from."""


def run(settings: RetargetSettings, folder: RunFolder) -> dict[str, Any]:
    """Run the experiment; writes the list of changes, the two bundles of the first chip, summary.json and the report.

    Raises:
        UserError: a folder is no finished co-design run, or the two designs are not for the same chip.
    """
    started = time.time()
    old, new = load_trained(settings.old), load_trained(settings.new)
    bundles = [bundle_from(run.settings, run.trained, run.folder, {}) for run in (old, new)]
    changes = reprogramming(*bundles)
    if "currents" in settings.calibration.methods:
        for run in (old, new):
            check_programmed_once(run.settings.scorer)
    folder.begin()
    check_inputs(folder, {"old": old.as_input(), "new": new.as_input()})
    chips = _chips(settings, new)
    trims = [_trims(settings, run, chips) for run in (old, new)]
    batches = list(eval_batches(new.settings.data, new.test))
    tokens = reference_tokens(new, bundles[1], settings.tokens, TOKEN_EXAMPLES, settings.seed)
    accuracy: dict[str, list[float]] = {arm: [] for arm in ARMS}
    equal: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for number in range(settings.chips):
        before = _with_calibration(bundles[0], settings, number, layer_of(trims[0], number))
        after = _with_calibration(bundles[1], settings, number, None, carry_calibration(before, bundles[1]))
        if number == 0:
            write_bundle(before, folder.path / "old")
            write_bundle(after, folder.path / "new")
        found = after.calibration
        assert found is not None
        old_trim = Trim(jnp.asarray(found.threshold_v), jnp.asarray(found.log_current))
        none = jax.tree.map(jnp.zeros_like, old_trim)
        for arm, trim in zip(ARMS, (none, old_trim, layer_of(trims[1], number)), strict=True):
            chip, design = layer_of(chips, number), _programmed(new, trim)
            accuracy[arm].append(_accuracy(settings, new, batches, design, chip, number))
            same = decisions(design, bundles[1], bundles[1].hardware, tokens.inputs, chip=chip) == tokens.keep
            equal[arm].append(float(same[list(bundles[1].scored)].mean()))
        told = ", ".join(f"{arm} {100 * accuracy[arm][-1]:.1f} % ({100 * equal[arm][-1]:.1f})" for arm in ARMS)
        print(f"chip {number + 1}, accuracy (decisions as on the perfect chip): {told}", flush=True)
    files = {"changes.csv": changes_csv(changes).encode(), "references.csv": references_csv(changes).encode()}
    write_folder(folder.path / "list", files)
    write_arrays_atomically(
        folder.path / "artifacts.npz",
        {
            "retarget_accuracy": np.array([accuracy[arm] for arm in ARMS]),
            "retarget_equal": np.array([equal[arm] for arm in ARMS]),
        },
    )
    ideal = evaluate.count(
        new.trained.evaluator.masked(),
        new.trained.evaluator.task,
        batches,
        perfect_inputs(new.trained, new.settings.model.depth),
        None,
    )
    summary = {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "dataset": measure.dataset_summary(new.settings, new.test),
        "retarget": {
            "old": settings.old,
            "new": settings.new,
            "cells": len(changes.cells),
            "written": changes.written,
            "erased_arrays": changes.erased_arrays,
            "swapped": sum(cell.swap for cell in changes.cells),
            "resistors": len(changes.resistors),
            "references": len(changes.references),
            "time_s": changes.time_s,
            "energy_j": changes.energy_j,
            "perfect": ideal.accuracy,
            "arms": [
                {
                    "arm": arm,
                    "mean": float(np.mean(accuracy[arm])),
                    "std": float(np.std(accuracy[arm])),
                    "worst": float(np.min(accuracy[arm])),
                    "decisions_equal": float(np.mean(equal[arm])),
                }
                for arm in ARMS
            ],
            "chips": settings.chips,
        },
        "timing": {"seconds": time.time() - started},
    }
    folder.write_summary(summary)
    write_report(folder.path, RETARGET)
    return summary


def _chips(settings: RetargetSettings, run: TrainedRun) -> Any:
    """The same chips for both designs, leaves (chips, L, ...)."""
    key = rng.key_of(jax.random.key(settings.seed), "chip")
    return evaluate.chips_for(key, run.trained.evaluator.method, run.settings.model.depth, settings.chips)


def _trims(settings: RetargetSettings, run: TrainedRun, chips: Any) -> Trim:
    """Trims of every chip with this run's design, leaves (chips, L, ...)."""
    evaluator, calibration = run.trained.evaluator, settings.calibration
    key = rng.key_of(jax.random.key(settings.seed), "data")
    tokens = layer_tokens(run, run.train, TOKEN_EXAMPLES, calibration.tokens, key)
    design, query = run.trained.state.design, run.trained.state.scorer_state.query
    environment = nominal_environment(evaluator.hardware)
    keys = jax.random.split(rng.key_of(jax.random.key(settings.seed), "read_noise"), settings.chips)

    @jax.jit
    def one(chip, key):
        return calibrate_chip(
            design, chip, environment, tokens, evaluator.spec, evaluator.hardware, calibration, key, query
        ).trim

    return jax.lax.map(lambda pair: one(*pair), (chips, keys))


def _with_calibration(
    bundle: Bundle, settings: RetargetSettings, number: int, trim: Trim | None, found: Calibration | None = None
) -> Bundle:
    if trim is not None:
        found = Calibration(
            chip=f"sampled chip {number}, seed {settings.seed}",
            methods=settings.calibration.methods,
            temperature_c=settings.calibration.temperature_c,
            threshold_v=np.asarray(trim.threshold_v),
            log_current=np.asarray(trim.log_current),
        )
    return dataclasses.replace(bundle, calibration=found)


def _programmed(run: TrainedRun, trim: Trim) -> Any:
    """The run's design as a chip is programmed from it, leaves (L, ...)."""
    evaluator = run.trained.evaluator
    return jax.vmap(lambda d, t: trimmed(d, t, evaluator.spec, evaluator.hardware))(run.trained.state.design, trim)


def _accuracy(settings: RetargetSettings, run: TrainedRun, batches: list, design: Any, chip: Any, number: int) -> float:
    """Of a design on one chip with read noise."""
    evaluator = run.trained.evaluator
    inputs = ScorerInputs(design, chip, nominal_environment(evaluator.hardware), run.trained.state.scorer_state)
    key = jax.random.fold_in(rng.key_of(jax.random.key(settings.seed), "evaluation"), number)
    return evaluate.count(evaluator.masked(), evaluator.task, batches, inputs, key).accuracy
