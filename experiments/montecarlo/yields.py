"""Yield: what share of fabricated chips stays within a limit of the perfect chip, over temperature and calibration."""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.chip import Environment
from atis_jax.report import write_report
from atis_jax.scoring.calibration import CalibrationSpec, CalibrationTokens, Trim, calibrate_chip, with_trim_dac
from atis_jax.training.calibration_tokens import record_tokens
from atis_jax.training.montecarlo import draw_chip
from experiments import measure
from experiments.montecarlo import arms, failing
from experiments.montecarlo.engine import Arm, perfect_chip
from experiments.montecarlo.yields_settings import YieldSettings
from experiments.montecarlo.yields_summary import summarise
from experiments.rundir import RunFolder
from experiments.trained_run import TrainedRun

CALIBRATED_AT_ONCE = 32
"""Cells whose benches are simulated together."""
RECORDED_IMAGES = 64
"""Training images whose tokens calibration plays."""


def run(settings: YieldSettings, folder: RunFolder) -> dict[str, Any]:
    """Run or go on with the experiment; returns what it wrote to ``summary.json``."""
    started = time.time()
    arms.one_device_a_core()
    runs = arms.load_runs(settings.checkpoints)
    key = arms.fabrication_key(settings.seed)
    made = [yield_arm(settings, run, name, key) for run in runs for name in settings.calibrations]
    evaluated = arms.evaluate(made, settings.montecarlo, folder, key, runs[0])
    summary, arrays = summarise(settings, evaluated, made)
    found = failing.explain(settings, evaluated, made[0], key)
    summary |= {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "dataset": measure.described(runs[0].settings, runs[0].test) | {"examples": settings.montecarlo.examples},
        "failing": found.summary,
        "montecarlo": evaluated.account.summary(settings.montecarlo),
        "timing": {"seconds": time.time() - started},
    }
    np.savez_compressed(folder.path / "artifacts.npz", **arrays, **found.arrays)  # type: ignore[arg-type]
    folder.write_summary(summary)
    write_report(folder.path)
    return summary


def yield_arm(settings: YieldSettings, run: TrainedRun, name: str, key: jax.Array) -> Arm:
    """Every chip at every temperature, calibrated as ``name`` says."""
    rows = arms.chip_rows(settings.montecarlo)
    labels = {"run": run.folder.name, "calibration": name}
    method = settings.method(name)
    if method is None:
        return arms.make_arm(run, labels, rows)
    hardware = with_trim_dac(run.trained.evaluator.hardware, method)
    arm = arms.make_arm(run, labels, rows, hardware)
    return arms.make_arm(run, labels, rows, hardware, trim=calibrate(arm, method, recorded(run, method), key))


def recorded(run: TrainedRun, method: CalibrationSpec) -> CalibrationTokens:
    """The known tokens of every layer, from training images on the perfect chip."""
    evaluator, state = run.trained.evaluator, run.trained.state
    images = jnp.asarray(run.train.images[:RECORDED_IMAGES], jnp.float32) / 255.0
    return record_tokens(
        evaluator.model,
        state.params,
        evaluator.scorer,
        perfect_chip(evaluator, state),
        images,
        method.tokens,
        run.root,
        first_layer=evaluator.first_layer,
    )


def calibrate(arm: Arm, method: CalibrationSpec, tokens: CalibrationTokens, key: jax.Array) -> Trim:
    """What each cell's chip is trimmed to, measured on its own bench; leaves (cells, L, ...)."""
    evaluator, state = arm.evaluator, arm.state
    depth = evaluator.model.spec.depth

    def one(number, temperature_k):
        chip = draw_chip(key, number, evaluator.hardware, depth, evaluator.spec.geometry)
        environment = Environment(temperature_k, jnp.asarray(evaluator.hardware.supply_v, temperature_k.dtype))
        noise = jax.random.fold_in(jax.random.fold_in(key, 3), number)
        return calibrate_chip(
            state.design, chip, environment, tokens, evaluator.spec, evaluator.hardware, method, noise
        ).trim

    cells = jnp.asarray(arm.cells.chip), jnp.asarray(arm.cells.temperature_k)
    found = jax.jit(lambda cells: jax.lax.map(lambda cell: one(*cell), cells, batch_size=CALIBRATED_AT_ONCE))(cells)
    return jax.tree.map(np.asarray, found)
