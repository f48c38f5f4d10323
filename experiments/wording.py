"""How a number of a summary is written, by its dotted name: accuracies in percent, joules with their prefix."""

from __future__ import annotations

from atis_jax.formatting import sampling_error
from atis_jax.report.formatting import percent, si, si_scale, signed_points, significant
from experiments.seeds import Repeats, spread_decimals, table_decimals

EXAMPLES = "dataset.examples"
"""Number of a summary: the test examples of one accuracy."""


def is_accuracy(name: str) -> bool:
    """Whether a number of a summary is an accuracy (and not the number of chips, or a fraction beside it)."""
    return name.startswith("accuracy.") and name != "accuracy.chips" and not name.endswith("fraction")


def is_measured_accuracy(name: str) -> bool:
    """Whether it is an accuracy on the test examples, and not the spread of several."""
    return is_accuracy(name) and not name.endswith("_std")


def single(name: str, value: float, examples: float | None = None) -> str:
    """One number.

    Args:
        name: its dotted name.
        value: the number.
        examples: test examples of an accuracy: no digit below its sampling error is written.
    """
    if is_accuracy(name) and 0 <= value <= 1:
        return percent(value, _decimals(name, value, examples))
    if name.endswith("fraction") and 0 <= value <= 1:
        return percent(value)
    return si(value, "J") if name.endswith("_j") else significant(value, 4)


def change(difference: float, error: float | None) -> str:
    """The difference of two accuracies in points with its sign, to the digits of their sampling error."""
    decimals = table_decimals(error)
    return signed_points(difference, decimals) if round(100 * difference, decimals) else f"{0:.{decimals}f}"


def over_seeds(name: str, repeats: Repeats, examples: float | None = None) -> str:
    """Mean and standard deviation over seeds; the mean alone of one seed."""
    mean, spread = repeats.mean, repeats.spread
    if not spread:
        return single(name, mean, examples)
    if is_accuracy(name) and 0 <= mean <= 1:
        digits = spread_decimals(spread, _decimals(name, mean, examples))
        return f"{single(name, mean, examples)}\u00a0±\u00a0{100 * spread:.{digits}f}"
    if name.endswith("fraction") and 0 <= mean <= 1:
        return _plus_minus(100 * mean, 100 * spread, "%")
    if name.endswith("_j"):
        factor, prefix = si_scale([mean])
        return _plus_minus(mean / factor, spread / factor, f"{prefix}J")
    return _plus_minus(mean, spread, "")


def _plus_minus(mean: float, spread: float, unit: str) -> str:
    """Mean to three digits, and the spread unless it lies below the last of them."""
    text = significant(mean)
    if not 1e-4 <= abs(mean) < 1e6:  # written with a power of ten
        return f"{text}\u00a0±\u00a0{significant(spread, 2)}\u00a0{unit}".rstrip()
    decimals = len(text.partition(".")[2])
    beside = f"\u00a0±\u00a0{spread:.{decimals}f}" if round(spread, decimals) else ""
    return f"{text}{beside}\u00a0{unit}".rstrip()


def _decimals(name: str, value: float, examples: float | None) -> int:
    known = examples and is_measured_accuracy(name)
    return table_decimals(sampling_error(value, examples) if known and examples else None)
