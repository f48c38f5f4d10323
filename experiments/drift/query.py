"""How the moving-average prototype follows the queries of a sequence that changes: an RC filter's step response."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.drift.arms import Arm, Sequence
from experiments.drift.response import settling
from experiments.drift.settings import DriftSettings

SMALLEST_STEP = 3.0
"""Least step of a layer's mean query, over the scatter of the filtered query along it, that is called a step."""


def query_response(
    settings: DriftSettings, sequence: Sequence, arms: list[Arm]
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Progress of the filtered query along the step that its input made, for each shift and layer.

    Read from the arms with a fixed threshold and prototype, where the query is followed but not used: what it
    follows then changes at once.

    Returns:
        a row for each shift and layer, and the curves to draw (NaN for a layer whose query made no step).
    """
    rate, change = settings.ema_rate, sequence.change
    hold = max(1, round(2.0 / rate))
    by_name = {arm.scenario: arm for arm in arms if arm.mode == "fixed" and arm.scenario in settings.shifts}
    after = np.arange(len(sequence.labels) - change)
    rows, curves = [], []
    for scenario in settings.shifts:
        query_CxNxLxX = np.asarray(by_name[scenario].out.state.query, float)
        query_CxNxLxX = query_CxNxLxX.reshape(*query_CxNxLxX.shape[:3], -1)
        for layer in range(query_CxNxLxX.shape[2]):
            progress, ratio = _progress(query_CxNxLxX[:, :, layer], rate, sequence)
            is_step = ratio >= SMALLEST_STEP
            mean = progress.mean(axis=0)
            rows.append(
                {
                    "shift": scenario,
                    "layer": layer + 1,
                    "step_over_scatter": ratio,
                    "settling_images": settling(mean, 0.0, 1.0, change, hold=hold) if is_step else None,
                    "expected_settling_images": int(np.ceil(np.log(0.1) / np.log1p(-rate))) if rate < 1 else 1,
                    "rms_from_filter": float(
                        np.sqrt(np.mean((mean[change:] - 1.0 + (1.0 - rate) ** (after + 1.0)) ** 2))
                    )
                    if is_step
                    else None,
                    "hold_images": hold,
                    "chips": len(query_CxNxLxX),
                    "images": len(after),
                }
            )
            curves.append(mean if is_step else np.full(len(mean), np.nan))
    shape = len(settings.shifts), -1, len(sequence.labels)
    filtered = np.concatenate([np.zeros(change), 1.0 - (1.0 - rate) ** (after + 1.0)])
    return rows, {"drift_query": np.stack(curves).reshape(shape), "drift_query_filter": filtered}


def _progress(query_CxNxX: Float[np.ndarray, "c n x"], rate: float, sequence: Sequence):
    """(chips, n) position of the filtered query between its inputs' means before (0) and after (1) the change."""
    raw = (query_CxNxX[:, 1:] - (1.0 - rate) * query_CxNxX[:, :-1]) / rate  # raw[k] came with image k + 1
    before = raw[:, sequence.before.start : sequence.change - 1].mean(axis=1, keepdims=True)
    step = raw[:, sequence.change - 1 :].mean(axis=1, keepdims=True) - before
    length2 = np.sum(step**2, axis=-1)
    if not np.all(length2 > 0):
        return np.zeros(query_CxNxX.shape[:2]), 0.0
    progress = np.sum((query_CxNxX - before) * step, axis=-1) / length2
    scatter = float(progress[:, sequence.before].std(axis=1).mean())
    # A query that is the same for every image (first layer: CLS has seen no patch) scatters by rounding alone.
    relative = float(np.sqrt(length2.mean()) / np.linalg.norm(before, axis=-1).mean())
    return progress, 0.0 if relative < 1e-4 else 1.0 / max(scatter, 1e-9)


__all__ = ["query_response"]
