"""A number measured once for each seed: its mean, its spread, and which differences are more than chance."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy import special

from atis_jax.formatting import percent_decimals, sampling_error
from atis_jax.statistics.intervals import normal_quantile

LEVEL = 0.95
"""Confidence at which two designs count as different."""
_FINEST = 2
"""Most decimals of a percentage."""


@dataclasses.dataclass(frozen=True)
class Repeats:
    """One number of one design, once for each seed.

    Attributes:
        values: at least one.
    """

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many seeds."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.values))

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds, with n - 1; None of a single one."""
        return float(np.std(self.values, ddof=1)) if self.n > 1 else None


def least_difference(first: Repeats, second: Repeats, examples: float | None) -> float | None:
    """The difference of two mean accuracies from which on they are not equal by chance, at 95 % confidence.

    hypot(t s sqrt(1/n + 1/m), z sqrt(e^2 + f^2)): s the standard deviation over seeds of both together, t Student's
    quantile for its n + m - 2 degrees of freedom; e and f the sampling errors of the two accuracies. The second part
    takes the examples as drawn anew for each design. Where both saw the same ones the true part is smaller, so a
    difference beyond is safe to call one.

    Args:
        first: accuracies of a design, as fractions.
        second: those of another.
        examples: test examples of one accuracy; None where unknown, and that part is left out.

    Returns:
        None where neither part is known: one seed each, and no number of examples.
    """
    freedom = first.n + second.n - 2
    if not freedom and not examples:
        return None
    seeds = test = 0.0
    if freedom:
        squares = sum(one.spread**2 * (one.n - 1) for one in (first, second) if one.spread is not None)
        quantile = float(special.stdtrit(freedom, 0.5 * (1 + LEVEL)))
        seeds = quantile * math.sqrt(squares / freedom * (1 / first.n + 1 / second.n))
    if examples:
        test = normal_quantile(LEVEL) * math.hypot(*(sampling_error(one.mean, examples) for one in (first, second)))
    return math.hypot(seeds, test)


def table_decimals(error: float | None) -> int:
    """Decimals of a percentage in a table: down to the first digit of its error (a fraction), 2 at most."""
    return min(percent_decimals(error, _FINEST), _FINEST)


def spread_decimals(spread: float, decimals: int) -> int:
    """Decimals of a spread beside a percentage of ``decimals``: more where it would read 0."""
    return max(decimals, table_decimals(spread)) if spread else decimals
