"""Two classifiers on the same inputs: the difference of their accuracies, known far better than either alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from atis_jax.statistics.intervals import Interval, normal_quantile


class PairedDifference(NamedTuple):
    """Accuracy of the second classifier less that of the first, on the same inputs.

    Attributes:
        difference: (gained - lost) / inputs.
        standard_error: sqrt(b + c - (b - c)^2 / n) / n, b and c the counts; zero when no input is judged differently.
        interval: for the difference on the population of inputs.
        p_value: of McNemar's exact test that gains and losses are equally likely.
        gained: inputs that only the second gets right.
        lost: inputs that only the first gets right.
        inputs: n.
    """

    difference: float
    standard_error: float
    interval: Interval
    p_value: float
    gained: int
    lost: int
    inputs: int


def discordant_counts(first_right: ArrayLike, second_right: ArrayLike) -> tuple[int, int, int]:
    """``(gained, lost, inputs)`` of two vectors that say for the same inputs whether each classifier was right.

    Args:
        first_right: (inputs,) booleans.
        second_right: (inputs,) booleans, in the same order.

    Raises:
        ValueError: shapes differ.
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            f"first_right {first.shape} and second_right {second.shape} must be vectors of the same inputs"
        )
    return int(np.sum(second & ~first)), int(np.sum(first & ~second)), first.size


def paired_difference(gained: int, lost: int, inputs: int, level: float = 0.95) -> PairedDifference:
    """Difference of two accuracies from the counts of inputs on which the classifiers disagree.

    Only these carry information. The interval is of all true differences D that the score test does not refuse,

        |b - c - n D| <= z sqrt(n (2 q + D (1 - D))),

    q the likeliest chance of a loss were D true; it has a width also when nothing was gained or lost.

    Args:
        gained: b, inputs that only the second gets right.
        lost: c, inputs that only the first gets right.
        inputs: n, all inputs.
        level: of confidence, between 0 and 1.

    Raises:
        ValueError: counts below zero or together more than ``inputs``.

    Source: Tango, Stat. Med. 17 (1998) 891 (interval); McNemar, Psychometrika 12 (1947) 153 (test).
    """
    if gained < 0 or lost < 0 or gained + lost > inputs or inputs < 1:
        raise ValueError(
            f"gained = {gained} and lost = {lost} must be zero or more, together at most inputs = {inputs}"
        )
    difference, discordant = (gained - lost) / inputs, gained + lost
    error = paired_standard_error(discordant / inputs, inputs, difference)
    # Twice the smaller tail of a fair coin; at equal counts the two tails overlap.
    tail = 2.0 * float(special.bdtr(min(gained, lost), discordant, 0.5)) if discordant else 1.0
    z = normal_quantile(level)
    interval = Interval(_score_end(gained, lost, inputs, z), -_score_end(lost, gained, inputs, z))
    return PairedDifference(difference, error, interval, min(1.0, tail), gained, lost, inputs)


def _score_end(gained: int, lost: int, inputs: int, z: float) -> float:
    """The lower end of the score interval, by bisection: the score falls as the supposed difference grows."""
    low, high = -1.0, (gained - lost) / inputs
    while high - low > 1e-12:
        middle = 0.5 * (low + high)
        spread = middle * (1.0 - middle)
        # q is the root of 2 n q^2 + linear q - c D (1 - D) = 0 that is a probability.
        linear = (2 * inputs - gained + lost) * middle - gained - lost
        root = np.sqrt(max(0.0, linear**2 + 8.0 * inputs * lost * spread))
        variance = inputs * (2.0 * (root - linear) / (4.0 * inputs) + spread)
        beyond = gained - lost - inputs * middle > z * np.sqrt(max(0.0, variance))
        low, high = (middle, high) if beyond else (low, middle)
    return low


def accuracy_resolution(inputs: int) -> float:
    """1 / n: the smallest step of an accuracy measured on n inputs.

    Raises:
        ValueError: no inputs.
    """
    if inputs < 1:
        raise ValueError(f"inputs = {inputs} must be 1 or more")
    return 1.0 / inputs


def paired_standard_error(discordant_fraction: float, inputs: int, difference: float = 0.0) -> float:
    """Sampling error of a paired difference: sqrt((p_d - d^2) / n).

    On 1,000 inputs of which 2 % are judged differently it is 0.45 points; the unpaired one at 90 % accuracy is 1.34.

    Args:
        discordant_fraction: p_d, share of inputs on which the two classifiers disagree, 0 to 1.
        inputs: n.
        difference: d, of the accuracies; at most p_d in size.

    Raises:
        ValueError: no inputs, or fractions that cannot be.
    """
    if inputs < 1:
        raise ValueError(f"inputs = {inputs} must be 1 or more")
    if not abs(difference) <= discordant_fraction + 1e-12 or discordant_fraction > 1 + 1e-12:
        raise ValueError(
            f"discordant_fraction = {discordant_fraction} must be at most 1 and at least the size of the "
            f"difference = {difference}"
        )
    return float(np.sqrt(max(0.0, discordant_fraction - difference**2) / inputs))
