"""Intervals of a proportion and of a mean over chips."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

RESAMPLED_AT_ONCE = 1_000_000
"""Values drawn at a time by the bootstrap: 8 MB."""


class Interval(NamedTuple):
    """The ends of a two-sided confidence interval."""

    low: float
    high: float


class MeanEstimate(NamedTuple):
    """A mean and how well it is known.

    Attributes:
        mean: of the sample.
        standard_error: s / sqrt(n), s with n - 1, and any error that all values share.
        interval: for the mean of the population.
        samples: n.
    """

    mean: float
    standard_error: float
    interval: Interval
    samples: int


def wilson_interval(successes: int, trials: int, level: float = 0.95) -> Interval:
    """The score interval of a proportion: all p with |k/n - p| <= z sqrt(p (1 - p) / n).

    Its coverage is ``level`` on average over p, and can fall some points short for a given one; for a promise use
    ``clopper_pearson_interval``.

    Args:
        successes: k.
        trials: n.
        level: of confidence, between 0 and 1.

    Raises:
        ValueError: not 0 <= k <= n with n at least 1, or ``level`` out of bounds.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    check_counts(successes, trials)
    z2 = normal_quantile(level) ** 2
    share = successes / trials
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = np.sqrt(z2 * (share * (1 - share) + z2 / (4 * trials)) / trials) / (1 + z2 / trials)
    # At 0 and n the interval ends there; the difference of two roundings would not.
    low = 0.0 if successes == 0 else float(centre - half)
    return Interval(low, 1.0 if successes == trials else float(centre + half))


def clopper_pearson_interval(successes: int, trials: int, level: float = 0.95) -> Interval:
    """The exact interval of a proportion: each end leaves (1 - level)/2 of the binomial beyond the observed count.

    Covers any true proportion with at least ``level``: the interval for a yield that somebody relies on. The ends are
    quantiles of beta(k, n - k + 1) and beta(k + 1, n - k).

    Args:
        successes: k.
        trials: n.
        level: of confidence, between 0 and 1.

    Raises:
        ValueError: not 0 <= k <= n with n at least 1, or ``level`` out of bounds.

    Source: Clopper and Pearson, Biometrika 26 (1934) 404.
    """
    check_counts(successes, trials)
    tail = 0.5 * (1 - check_level(level))
    failures = trials - successes
    low = 0.0 if successes == 0 else float(special.betaincinv(successes, failures + 1, tail))
    return Interval(low, 1.0 if failures == 0 else float(special.betaincinv(successes + 1, failures, 1 - tail)))


def mean_estimate(
    values: ArrayLike,
    level: float = 0.95,
    kind: str = "student",
    resamples: int = 10_000,
    seed: int = 0,
    shared_error: float = 0.0,
) -> MeanEstimate:
    """Mean over independent chips with its standard error and interval.

    ``student``: mean -+ t_(n-1) s / sqrt(n), exact for normal values. ``bootstrap``: quantiles of the means of
    ``resamples`` samples drawn with replacement; no law is assumed, and with n chips the interval is too narrow by
    about sqrt((n - 1)/n), more for a long tail.

    Args:
        values: (chips,) one finite number for each chip. Chips at several temperatures are not independent: average
            over temperatures first.
        level: of confidence, between 0 and 1.
        kind: ``student`` or ``bootstrap``.
        resamples: of the bootstrap.
        seed: of the bootstrap; the same gives the same interval.
        shared_error: standard error e of what all values have in common and their scatter does not show, such as the
            inputs that all chips see. With it ``student`` is mean -+ sqrt((t s)^2 / n + (z e)^2).

    Raises:
        ValueError: fewer than two values, one that is not finite, an unknown kind, or a ``shared_error`` below zero or
            with a bootstrap.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), percentile interval.
    """
    sample = checked_sample(values, "values", least=2)
    tail = 0.5 * (1 - check_level(level))
    mean, error = float(sample.mean()), float(sample.std(ddof=1) / np.sqrt(sample.size))
    if not shared_error >= 0 or (shared_error and kind != "student"):
        raise ValueError(f"shared_error = {shared_error} must be zero or more, and zero for kind = {kind!r}")
    if kind == "student":
        drawn = float(special.stdtrit(sample.size - 1, 1 - tail)) * error
        half = math.hypot(drawn, normal_quantile(level) * shared_error)
        interval = Interval(mean - half, mean + half)
    elif kind == "bootstrap":
        means = _resampled_means(sample, resamples, seed)
        interval = Interval(*(float(end) for end in np.quantile(means, (tail, 1 - tail))))
    else:
        raise ValueError(f"kind = {kind!r} is not one of: student, bootstrap")
    return MeanEstimate(mean, math.hypot(error, shared_error), interval, sample.size)


def mean_and_ends(values: ArrayLike) -> dict[str, float]:
    """Mean of independent values and the ends of its 95 % interval, as a summary holds them."""
    found = mean_estimate(values)
    return {"mean": found.mean, "low": found.interval.low, "high": found.interval.high}


def _resampled_means(sample: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means of ``resamples`` samples with replacement."""
    if resamples < 1:
        raise ValueError(f"resamples = {resamples} must be 1 or more")
    rng, rows = np.random.default_rng(seed), max(1, RESAMPLED_AT_ONCE // sample.size)
    sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    return np.concatenate([sample[rng.integers(0, sample.size, (size, sample.size))].mean(axis=1) for size in sizes])


def normal_quantile(level: float) -> float:
    """The z with ``level`` of a standard normal between -z and z: 1.96 for 0.95."""
    return float(special.ndtri(0.5 * (1 + check_level(level))))


def check_level(level: float) -> float:
    """``level`` if it lies between 0 and 1.

    Raises:
        ValueError: it does not.
    """
    if not 0 < level < 1:
        raise ValueError(f"level = {level} must be between 0 and 1, such as 0.95")
    return level


def check_counts(successes: float, trials: float) -> None:
    """Raise ValueError unless 0 <= ``successes`` <= ``trials`` and there was a trial."""
    if trials < 1:
        raise ValueError(f"trials = {trials} must be 1 or more")
    if not 0 <= successes <= trials:
        raise ValueError(f"successes = {successes} must be between 0 and trials = {trials}")


def checked_sample(values: ArrayLike, name: str, least: int) -> np.ndarray:
    """``values`` in float64, once they are a vector of at least ``least`` finite numbers.

    Raises:
        ValueError: they are not.
    """
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or sample.size < least:
        raise ValueError(f"{name} has shape {sample.shape}; give a vector of at least {least} numbers")
    if not np.all(np.isfinite(sample)):
        raise ValueError(f"{name} has {int(np.sum(~np.isfinite(sample)))} values that are not finite")
    return sample
