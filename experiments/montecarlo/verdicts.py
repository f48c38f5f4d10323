"""Which chips are within a limit of their perfect chip, as summaries tell it."""

from __future__ import annotations

from typing import Any

import numpy as np

from atis_jax import statistics
from atis_jax.statistics import YieldEstimate


def paired_errors(change: np.ndarray, discordant: np.ndarray, examples: int) -> np.ndarray:
    """Standard error of each change of accuracy, from the number of inputs judged differently."""
    return np.vectorize(statistics.paired_standard_error)(discordant / examples, examples, change)


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
