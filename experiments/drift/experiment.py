"""Drift: a trained design on a sequence of images while the temperature ramps or the images change.

Each change is met with fixed and adaptive thresholds, without and with hysteresis, and with a prototype that follows
the queries; the first layer's loop is then looked at token by token.
"""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from atis_jax.report import write_report
from atis_jax.scoring.atis.analog import Analog
from atis_jax.validation import UserError, choose
from experiments import measure
from experiments.drift.arms import MODE_OF, RAMP, Arm, Sequence, make_sequence, run_arms, sample_chips, unpruned_correct
from experiments.drift.contents import DRIFT
from experiments.drift.loop import dead_bands, record, step_response
from experiments.drift.query import query_response
from experiments.drift.response import limit_cycle, settling
from experiments.drift.settings import DriftSettings
from experiments.files import write_arrays_atomically, write_text_atomically
from experiments.inputs import check_inputs
from experiments.rundir import RunFolder
from experiments.trained_run import TrainedRun, load_trained


def run(settings: DriftSettings, folder: RunFolder) -> dict[str, Any]:
    """Run the experiment; writes cells.csv, artifacts.npz, summary.json and the report.

    Raises:
        UserError: ``settings.checkpoint`` is no finished co-design run, its scorer is not analog or looks at pixels, or
            the sequence is shorter than the windows it is to be cut into.
    """
    started = time.time()
    trained = load_trained(settings.checkpoint)
    if not isinstance(trained.trained.evaluator.method, Analog):
        raise UserError(
            f"config.checkpoint = {settings.checkpoint!r} has a {trained.trained.evaluator.spec.kind} scorer: what "
            "temperature does to an array of OTAs is asked here; give a run with scorer.kind = 'analog'"
        )
    if trained.trained.evaluator.spec.source == "pixels":
        raise UserError(
            f"config.checkpoint = {settings.checkpoint!r} scores pixels on the sensor, where no prototype follows the "
            "queries as some of this experiment's arms do; give a run with scorer.source = 'tokens'"
        )
    root = jax.random.key(settings.seed)
    if settings.images is not None and settings.images > len(trained.test):
        raise UserError(
            f"config.images = {settings.images} is above the {len(trained.test)} test images of "
            f"{settings.checkpoint!r}; lower it, or give null for all of them"
        )
    sequence = make_sequence(settings, trained, root)
    if len(sequence.labels) < settings.windows:
        raise UserError(
            f"config.windows = {settings.windows} is above the {len(sequence.labels)} test images of "
            f"{settings.checkpoint!r}; lower it"
        )
    folder.begin()
    check_inputs(folder, {"checkpoint": trained.as_input()})
    wanted = np.asarray(trained.settings.pruning.kept_per_layer(trained.settings.model.depth))
    unpruned = unpruned_correct(trained, sequence)
    arms = []
    for arm in run_arms(settings, trained, sequence, root):
        print(
            f"{arm.name}: accuracy {100 * arm.correct[:, sequence.before].mean():.1f} % before, "
            f"{100 * arm.correct[:, sequence.after].mean():.1f} % after",
            flush=True,
        )
        arms.append(arm)
    chips = sample_chips(settings, trained, root)
    recording = record(settings, trained, sequence.images[settings.shifts[0]], chips, root)
    response, response_curves = step_response(settings, trained, sequence, recording)
    still = record(settings, trained, sequence.images["steady"], chips, root)
    bands, band_curves = dead_bands(settings, trained, still)
    query, query_curves = query_response(settings, sequence, arms)

    arrays = windows(settings, trained, sequence, arms, unpruned) | response_curves | band_curves | query_curves
    write_arrays_atomically(folder.path / "artifacts.npz", arrays)
    tokens = trained.model.length
    write_cells(folder.path / "cells.csv", settings, sequence, arms, arrays, tokens)
    summary: dict[str, Any] = {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "dataset": measure.dataset_summary(trained.settings, trained.test) | {"examples": len(sequence.labels)},
        "drift": {
            "chips": settings.chips,
            "tokens_per_image": tokens,
            "hold_tokens": settings.hold_tokens,
            "change_image": sequence.change,
            "arrived_image": sequence.arrived,
            "before_images": sequence.change - sequence.change // 3,
            "after_images": len(sequence.labels) - sequence.arrived,
            "kept_target": wanted.tolist(),
            "unpruned": {
                name: {"before": right[sequence.before].mean(), "after": right[sequence.after].mean()}
                for name, right in unpruned.items()
            },
            "arms": [arm_row(arm, sequence, wanted, tokens, -(-settings.hold_tokens // tokens)) for arm in arms],
            "step_response": {"shift": settings.shifts[0], "rates": response},
            "hysteresis": bands,
            "query": query,
        },
        "timing": {"seconds": time.time() - started},
    }
    folder.write_summary(summary)
    write_report(folder.path, DRIFT)
    return summary


def arm_row(arm: Arm, sequence: Sequence, wanted: np.ndarray, tokens: int, hold: int) -> dict[str, Any]:
    """What one arm comes to, each number over the stated images and chips."""
    kept = arm.out.kept
    shift_CxNxL = np.asarray(arm.out.state.threshold_shift_v).mean(axis=-1)
    before, after = kept[:, sequence.before].mean(axis=1), kept[:, sequence.after].mean(axis=1)  # of each chip
    changed = [settling_time(shift_CxNxL[:, :, layer], sequence, hold) for layer in range(kept.shape[-1])]
    steps = choose(MODE_OF, arm.mode, "mode").adaptive and arm.scenario not in (RAMP, "steady")
    cycles = [
        [limit_cycle(chip[sequence.arrived :]) for chip in shift_CxNxL[:, :, layer]] for layer in range(kept.shape[-1])
    ]
    return {
        "name": arm.name,
        "scenario": arm.scenario,
        "bias": arm.bias,
        "mode": arm.mode,
        "accuracy_before": arm.correct[:, sequence.before].mean(),
        "accuracy_after": arm.correct[:, sequence.after].mean(),
        "kept_before": before.mean(axis=0).tolist(),
        "kept_after": after.mean(axis=0).tolist(),
        "kept_error_before": float(np.abs(before - wanted).mean()),
        "kept_error_after": float(np.abs(after - wanted).mean()),
        "threshold_shift_after_v": shift_CxNxL[:, sequence.after].mean(axis=(0, 1)).tolist(),
        "largest_shift_v": float(np.abs(shift_CxNxL).max()),
        "settling_tokens": [None if n is None else n * tokens for n in changed] if steps else None,
        "cycles": [sum(cycle is not None for cycle in layer) for layer in cycles],
        "toggles_per_token": (
            arm.out.toggles.sum(axis=(0, 1)) / np.maximum(arm.out.pairs.sum(axis=(0, 1)), 1)
        ).tolist(),
        "toggle_pairs": arm.out.pairs.sum(axis=(0, 1)).tolist(),
        "chips": len(kept),
        "images": kept.shape[1],
    }


def settling_time(shift_CxN: np.ndarray, sequence: Sequence, hold: int) -> int | None:
    """Images until the mean threshold of the chips stays within 10 % of its step for ``hold`` images; None if not.

    A step below three times the scatter of the final value cannot be told from hunting and has no settling time.
    """
    mean = shift_CxN.mean(axis=0)
    start, end = mean[sequence.before].mean(), mean[sequence.after].mean()
    if abs(end - start) < 3.0 * mean[sequence.after].std():
        return None
    return settling(mean, float(start), float(end), sequence.change, hold=hold)


def windows(
    settings: DriftSettings, trained: TrainedRun, sequence: Sequence, arms: list[Arm], unpruned: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Means over each window of the sequence and over chips, for the figures and the table."""
    edges = np.linspace(0, len(sequence.labels), settings.windows + 1).round().astype(int)

    def over(values: np.ndarray, axis: int) -> np.ndarray:
        parts = [values.take(range(a, b), axis).mean(axis) for a, b in zip(edges, edges[1:], strict=False)]
        return np.stack(parts, axis)

    shift = [np.asarray(arm.out.state.threshold_shift_v).mean(axis=-1) for arm in arms]
    return {
        "drift_edges": edges,
        "drift_kept_target": np.asarray(trained.settings.pruning.kept_per_layer(trained.settings.model.depth)),
        "drift_temperature_c": np.stack([over(sequence.temperature_c[arm.scenario], 0) for arm in arms]),
        "drift_accuracy": np.stack([over(arm.correct.mean(axis=0), 0) for arm in arms]),
        "drift_unpruned": np.stack([over(unpruned[arm.scenario].astype(float), 0) for arm in arms]),
        "drift_kept": np.stack([over(np.asarray(arm.out.kept).mean(axis=0), 0) for arm in arms]),
        "drift_shift_v": np.stack([over(part.mean(axis=0), 0) for part in shift]),
    }


def write_cells(
    path: Path, settings: DriftSettings, sequence: Sequence, arms: list[Arm], arrays: dict[str, np.ndarray], tokens: int
) -> None:
    """One row for each arm and window."""
    edges, kept = arrays["drift_edges"], arrays["drift_kept"]
    layers = range(1, kept.shape[-1] + 1)
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(
        [
            "scenario",
            "bias",
            "mode",
            "window",
            "first_image",
            "last_image",
            "first_token",
            "temperature_c",
            "changed",
            "accuracy",
        ]
        + ["accuracy_unpruned", *(f"kept_layer{n}" for n in layers), *(f"threshold_shift_v_layer{n}" for n in layers)]
        + ["chips", "images"]
    )
    for number, arm in enumerate(arms):
        for window, (first, end) in enumerate(zip(edges, edges[1:], strict=False)):
            out.writerow(
                [arm.scenario, arm.bias, arm.mode, window, first, end - 1, first * tokens]
                + [f"{arrays['drift_temperature_c'][number, window]:.2f}"]
                + [int(arm.scenario != "steady" and first >= sequence.change)]
                + [f"{arrays[name][number, window]:.5f}" for name in ("drift_accuracy", "drift_unpruned")]
                + [f"{value:.5f}" for value in kept[number, window]]
                + [f"{value:.6f}" for value in arrays["drift_shift_v"][number, window]]
                + [settings.chips, end - first]
            )
    write_text_atomically(path, text.getvalue())
