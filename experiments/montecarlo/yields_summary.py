"""The yield of each arm, with its interval, from the cells' counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from atis_jax import statistics
from experiments.montecarlo.arms import Evaluated
from experiments.montecarlo.engine import Arm
from experiments.montecarlo.verdicts import distance, paired_errors, told
from experiments.montecarlo.yields_settings import YieldSettings


def summarise(
    settings: YieldSettings, evaluated: Evaluated, arms: Sequence[Arm]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the summary and the figures say of every arm.

    A chip passes if, at every temperature and supply, its accuracy is within the limit of that of its design's perfect
    chip on the same inputs; ``not_below`` counts chips that are better than that as passing too.
    """
    found, changes, kept = [], [], []
    for number, arm in enumerate(arms):
        change, fractions = _grids(settings, evaluated, number, arm)
        changes.append(change)
        kept.append(fractions)
        found.append(_arm(settings, evaluated, number, arm, change, fractions))
    arrays = {
        "yield_change": np.stack(changes),
        "yield_kept": np.stack(kept),
        "yield_temperature_c": np.asarray([one["temperature_c"] for one in settings.conditions]),
        "yield_ideal": np.asarray(evaluated.ideal),
    }
    return {"yield": found}, arrays


def _grids(settings: YieldSettings, evaluated: Evaluated, number: int, arm: Arm) -> tuple[np.ndarray, np.ndarray]:
    """Change of accuracy against the perfect chip (chips, conditions), kept fractions (chips, conditions, L)."""
    chips, conditions = settings.montecarlo.chips, len(settings.conditions)
    rows = evaluated.rows[number * chips * conditions : (number + 1) * chips * conditions]
    change = np.asarray([(row["gained"] - row["lost"]) / row["examples"] for row in rows])
    depth = arm.evaluator.model.depth
    kept = np.asarray([[row[f"kept_{layer + 1}"] for layer in range(depth)] for row in rows])
    return change.reshape(chips, conditions), kept.reshape(chips, conditions, depth)


def _arm(settings, evaluated: Evaluated, number: int, arm: Arm, change: np.ndarray, kept: np.ndarray) -> dict[str, Any]:
    limit, examples = settings.limit, settings.montecarlo.examples
    rows = evaluated.rows[number * change.size : (number + 1) * change.size]
    discordant = np.asarray([row["lost"] + row["gained"] for row in rows]).reshape(change.shape)
    known = {
        "standard_errors": paired_errors(change, discordant, examples),
        "level": settings.confidence,
    }
    by_condition = statistics.yield_estimate(distance(change), limit, "each", **known)
    return {
        **arm.labels,
        "chips": len(change),
        "examples": examples,
        "limit": limit,
        "ideal_accuracy": evaluated.ideal[number],
        "accuracy_mean": float(np.mean([row["accuracy"] for row in rows])),
        "change_mean": float(change.mean()),
        "change_std_of_chips": float(change.mean(axis=1).std(ddof=1)) if len(change) > 1 else None,
        "change_worst": float(change.min()),
        "within": told(statistics.yield_estimate(distance(change), limit, **known)),
        "not_below": told(statistics.yield_estimate(change, limit, **known)),
        "within_by_temperature": [
            {**condition, **told(estimate)}
            for condition, estimate in zip(settings.conditions, by_condition, strict=True)
        ],
        "kept_mean": kept.mean(axis=(0, 1)).tolist(),
        "kept_std_of_chips": kept.mean(axis=1).std(axis=0).tolist(),
        "resolution": 1.0 / examples,
        "sampling_error": float(np.sqrt(discordant.mean()) / examples),
    }
