"""Which chips fail and why: correlation of a chip's loss with its parameters, and shares of its variance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from atis_jax.statistics.intervals import Interval, checked_sample, normal_quantile


class Correlation(NamedTuple):
    """A correlation coefficient and how well it is known.

    Attributes:
        value: between -1 and 1.
        interval: by Fisher's z.
        p_value: two-sided, of no correlation.
        samples: n.
    """

    value: float
    interval: Interval
    p_value: float
    samples: int


class Attribution(NamedTuple):
    """Least squares of a response on standardised parameters.

    Attributes:
        r_squared: share of the response's variance that all parameters explain together.
        adjusted_r_squared: less what as many unrelated parameters would explain: 1 - (1 - R^2)(n - 1)/(n - k - 1).
        slope: by parameter, change of the response, in its standard deviations, for one of the parameter's.
        alone: by parameter, R^2 of a fit on it alone; counts what it shares with others.
        unique: by parameter, fall of R^2 when it is left out; counts what no other explains.
        constant: parameters that do not vary (an imperfection that the design lacks); left out, zeros above.
        samples: n.
    """

    r_squared: float
    adjusted_r_squared: float
    slope: dict[str, float]
    alone: dict[str, float]
    unique: dict[str, float]
    constant: tuple[str, ...]
    samples: int


def correlation(x: ArrayLike, y: ArrayLike, kind: str = "pearson", level: float = 0.95) -> Correlation:
    """Pearson's r, or Spearman's (that of the ranks, ties averaged), with interval and p-value.

    Interval: tanh(atanh r -+ z s), s^2 = 1/(n - 3) for Pearson and (1 + r^2/2)/(n - 3) for Spearman. p-value:
    t = r sqrt((n - 2)/(1 - r^2)) with n - 2 degrees of freedom; for ranks an approximation, good from about ten chips.
    Of many parameters tried on the same chips some have a small p by chance: multiply it by their number (Bonferroni).

    Args:
        x: (chips,) a parameter.
        y: (chips,) the response.
        kind: ``pearson`` or ``spearman``.
        level: of confidence, between 0 and 1.

    Raises:
        ValueError: lengths differ, fewer than four chips, x or y constant, or an unknown kind.

    Source: Fisher, Metron 1 (1921); Bonett and Wright, Psychometrika 65 (2000) 23 (Spearman's interval).
    """
    first, second = checked_sample(x, "x", least=4), checked_sample(y, "y", least=4)
    if first.size != second.size:
        raise ValueError(f"x has {first.size} chips and y {second.size}; give the same chips in the same order")
    if kind not in ("pearson", "spearman"):
        raise ValueError(f"kind = {kind!r} is not one of: pearson, spearman")
    for name, values in (("x", first), ("y", second)):
        if _is_constant(values):
            raise ValueError(f"{name} is {values[0]} on every chip; a constant has no correlation")
    by_rank = kind == "spearman"
    first, second = (_standardised(_ranks(v) if by_rank else v) for v in (first, second))
    samples = first.size
    value = float(np.clip(np.mean(first * second), -1.0, 1.0))
    z, spread = normal_quantile(level), np.sqrt((1.0 + 0.5 * value**2 * by_rank) / (samples - 3))
    if abs(value) == 1.0:
        return Correlation(value, Interval(value, value), 0.0, samples)
    interval = Interval(*(float(np.tanh(np.arctanh(value) + side * z * spread)) for side in (-1, 1)))
    t = abs(value) * np.sqrt((samples - 2) / (1.0 - value**2))
    return Correlation(value, interval, float(2.0 * special.stdtr(samples - 2, -t)), samples)


def linear_attribution(parameters: Mapping[str, ArrayLike], response: ArrayLike) -> Attribution:
    """How much of the response's spread from chip to chip each parameter explains, to first order.

    y = sum_i beta_i x_i + rest by least squares, all standardised. For uncorrelated parameters alone = unique =
    beta^2 up to the sample's own correlations, and they sum to R^2. A quantity that counts in both directions (an
    offset, a gain error) explains nothing to first order: give its size, or its square, as a parameter of its own.

    Args:
        parameters: name -> (chips,) value on each chip.
        response: (chips,), such as the change of accuracy.

    Raises:
        ValueError: other lengths than the response's, a constant response, no parameters, or not at least two chips
            more than parameters.
    """
    y = checked_sample(response, "response", least=3)
    columns = {name: checked_sample(values, name, least=1) for name, values in parameters.items()}
    for name, values in columns.items():
        if values.size != y.size:
            raise ValueError(f"{name} has {values.size} chips and the response {y.size}; give the same chips")
    if not columns or y.size < len(columns) + 2:
        raise ValueError(
            f"{y.size} chips cannot tell {len(columns)} parameters apart; give one parameter or more, and at least two "
            "chips more than parameters"
        )
    if _is_constant(y):
        raise ValueError(f"the response is {y[0]} on every chip; there is nothing to explain")
    constant = tuple(name for name, values in columns.items() if _is_constant(values))
    varying = [name for name in columns if name not in constant]
    y = _standardised(y)
    x = np.stack([_standardised(columns[name]) for name in varying], axis=1) if varying else np.zeros((y.size, 0))
    whole, slopes = _r_squared(x, y), np.linalg.lstsq(x, y)[0]
    slope, alone, unique = (dict.fromkeys(columns, 0.0) for _ in range(3))
    for i, name in enumerate(varying):
        slope[name] = float(slopes[i])
        alone[name] = _r_squared(x[:, [i]], y)
        unique[name] = max(0.0, whole - _r_squared(np.delete(x, i, axis=1), y))
    adjusted = 1.0 - (1.0 - whole) * (y.size - 1) / (y.size - len(varying) - 1)
    return Attribution(whole, adjusted, slope, alone, unique, constant, y.size)


def _r_squared(x: np.ndarray, y: np.ndarray) -> float:
    """Share of the variance of ``y`` (standardised) that a linear fit on the columns of ``x`` explains."""
    if x.shape[1] == 0:
        return 0.0
    rest = y - x @ np.linalg.lstsq(x, y)[0]
    return float(np.clip(1.0 - np.mean(rest**2), 0.0, 1.0))


def _is_constant(values: np.ndarray) -> bool:
    """Whether all values are equal."""
    return bool(np.all(values == values[0]))


def _standardised(values: np.ndarray) -> np.ndarray:
    """Mean zero and variance one over the sample."""
    return (values - values.mean()) / values.std()


def _ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each value from 1, equal values sharing the mean of their ranks."""
    _, group, size = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(size)
    return (last - 0.5 * (size - 1))[group]
