"""What share of the way from one loss to another a third one goes, over the same inputs.

Shape suffixes: n inputs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from atis_jax.statistics.intervals import Interval, check_level, checked_sample


class SharedDraws:
    """Resamples of inputs, the same for all that is compared on them.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), paired samples.
    """

    def __init__(self, inputs: int, resamples: int = 10_000, seed: int = 0):
        if inputs < 2 or resamples < 1:
            raise ValueError(f"inputs = {inputs} must be 2 or more and resamples = {resamples} 1 or more")
        draws = np.random.default_rng(seed).integers(0, inputs, (resamples, inputs))
        self.weight = np.stack([np.bincount(draw, minlength=inputs) for draw in draws]) / inputs

    def means(self, values: ArrayLike) -> Float[np.ndarray, " resamples"]:
        """The mean of each resample."""
        return self.weight @ checked_sample(values, "values", least=2)


class Estimate(NamedTuple):
    """A value and its interval."""

    value: float
    interval: Interval


def difference(first: ArrayLike, second: ArrayLike, draws: SharedDraws, level: float = 0.95) -> Estimate:
    """Mean of ``first`` less that of ``second``, both of the same inputs.

    Args:
        first: (n,) of each input.
        second: (n,) in the same order.
        draws: resamples of the inputs.
        level: of confidence, between 0 and 1.

    Raises:
        ValueError: shapes differ, or values are not finite.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return Estimate(float(first.mean() - second.mean()), _ends(draws.means(first - second), level))


def recovered(
    loss: ArrayLike, worst: ArrayLike, reference: ArrayLike, draws: SharedDraws, level: float = 0.95
) -> Estimate:
    """(worst - loss) / (worst - reference): 0 is as bad as the worst, 1 as good as the reference.

    The interval resamples all three together; where the gap itself may be 0 it says so by being wide.

    Args:
        loss: (n,) of each input.
        worst: (n,) in the same order.
        reference: (n,) in the same order.
        draws: resamples of the inputs.
        level: of confidence, between 0 and 1.

    Raises:
        ValueError: shapes differ, or values are not finite.
    """
    loss, worst, reference = (np.asarray(part, np.float64) for part in (loss, worst, reference))
    won, gap = draws.means(worst - loss), draws.means(worst - reference)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Estimate(float((worst - loss).mean() / (worst - reference).mean()), _ends(won / gap, level))


def _ends(values: Float[np.ndarray, " resamples"], level: float) -> Interval:
    tail = 0.5 * (1 - check_level(level))
    return Interval(*(float(end) for end in np.nanquantile(values, (tail, 1 - tail))))
