"""How far chips are from their perfect chip, and which are within a limit, as summaries tell it."""

from __future__ import annotations

from typing import Any

import numpy as np

from atis_jax import statistics
from atis_jax.statistics import MeanEstimate, YieldEstimate


def paired_errors(change: np.ndarray, discordant: np.ndarray, examples: int) -> np.ndarray:
    """Standard error of each change of accuracy, from the number of inputs judged differently."""
    return np.vectorize(statistics.paired_standard_error)(discordant / examples, examples, change)


def mean_change(change: np.ndarray, discordant: np.ndarray, examples: int, level: float) -> MeanEstimate:
    """Mean change of accuracy over chips, with the error of their draw and that of the inputs that all of them see.

    The inputs' error is that of one such chip: what chips judge differently may be the same inputs.

    Args:
        change: (chips,).
        discordant: inputs judged differently, any shape.
        examples: inputs of each.
        level: of confidence.
    """
    shared = statistics.paired_standard_error(float(np.mean(discordant)) / examples, examples, float(np.mean(change)))
    return statistics.mean_estimate(change, level, shared_error=shared)


def distance(change: np.ndarray) -> np.ndarray:
    """What ``yield_estimate`` counts as within: a chip better by more than the limit is as far off as a worse one."""
    return -np.abs(change)


def told(estimate: YieldEstimate) -> dict[str, Any]:
    """Passing chips, their share with its interval, and chips whose verdict their own sampling error could turn."""
    return {
        "passed": estimate.passes,
        "fraction": estimate.fraction,
        "low": estimate.interval.low,
        "high": estimate.interval.high,
        "unresolved": estimate.unresolved,
    }
