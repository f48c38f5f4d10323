"""What a sweep covers: lists of overrides ``{dotted field: value}``, one entry a run.

``get_sweep()`` of a config file returns such a list; lists add up with ``+``.
"""

from __future__ import annotations

import itertools
import math
import random as _random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from atis_jax.validation import SettingError

Space = list[dict[str, Any]]
Distribution = Callable[[_random.Random], Any]
"""Draws one value from the generator it is given."""

_DIGITS = 4
"""Significant digits of a drawn number: enough for a sweep, and short enough for the name of a folder."""


def product(axes: Mapping[str, Sequence[Any]]) -> Space:
    """Every combination of the values, the last field varying fastest.

    Args:
        axes: values of each dotted field, as in ``{"seed": [0, 1], "scorer.inputs": [16, 32]}``.

    Raises:
        SettingError: no field, or a field without values.
    """
    _check_axes(axes, "product")
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def zipped(axes: Mapping[str, Sequence[Any]]) -> Space:
    """The first values of all fields together, then the second values, and so on.

    Args:
        axes: values of each dotted field, equally many of each.

    Raises:
        SettingError: no field, a field without values, or lists of different lengths.
    """
    _check_axes(axes, "zipped")
    lengths = {name: len(values) for name, values in axes.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise SettingError(f"zipped: {counts} values; give every field equally many, or use product for all of them")
    return [dict(zip(axes, values, strict=True)) for values in zip(*axes.values(), strict=True)]


def random(count: int, seed: int, axes: Mapping[str, Distribution]) -> Space:
    """``count`` independent draws; the same seed gives the same points on any machine.

    A field has a stream of its own, so adding a field leaves the values of the others as they were, and a larger
    count begins with the points of a smaller one.

    Args:
        count: points, at least 1.
        seed: of the draws.
        axes: distribution of each dotted field: ``uniform``, ``log_uniform``, ``integers`` or ``choice``.

    Raises:
        SettingError: no point, no field, or a field that is given values instead of a distribution.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise SettingError(f"random: count = {count!r}; give a whole number of points, at least 1")
    if not axes:
        raise SettingError("random: no fields; give at least one, as in {'seed': integers(0, 99)}")
    for name, draw in axes.items():
        if not callable(draw):
            raise SettingError(
                f"random: {name} = {draw!r} is not a distribution; give uniform, log_uniform, integers or choice(...)"
            )
    streams = {name: _random.Random(f"{seed}:{name}") for name in axes}
    return [{name: draw(streams[name]) for name, draw in axes.items()} for _ in range(count)]


def crossed(*spaces: Space) -> Space:
    """Every point of the first space with every point of the second, and so on.

    Raises:
        SettingError: a space is empty, or two set the same field.
    """
    for i, space in enumerate(spaces):
        if not space:
            raise SettingError(f"crossed: space {i} is empty; give every space at least one point")
    combined = []
    for parts in itertools.product(*spaces):
        point: dict[str, Any] = {}
        for part in parts:
            twice = sorted(point.keys() & part.keys())
            if twice:
                raise SettingError(f"crossed: {twice[0]} is set by two spaces; set it in one of them")
            point |= part
        combined.append(point)
    return combined


def uniform(low: float, high: float) -> Distribution:
    """Numbers between ``low`` and ``high``, rounded to four significant digits.

    Raises:
        SettingError: the bounds are not finite, or ``low`` is not below ``high``.
    """
    _check_bounds("uniform", low, high)
    return lambda generator: _rounded(generator.uniform(low, high), low, high)


def log_uniform(low: float, high: float) -> Distribution:
    """Numbers whose logarithm is uniform, rounded to four significant digits.

    Raises:
        SettingError: the bounds are not finite, ``low`` is not below ``high``, or ``low`` is not above 0.
    """
    _check_bounds("log_uniform", low, high)
    if low <= 0:
        raise SettingError(f"log_uniform: low = {low} is not above 0, which has no logarithm; raise it or use uniform")
    return lambda generator: _rounded(math.exp(generator.uniform(math.log(low), math.log(high))), low, high)


def integers(low: int, high: int) -> Distribution:
    """Whole numbers from ``low`` to ``high``, both included.

    Raises:
        SettingError: a bound is not a whole number, or ``low`` is not below ``high``.
    """
    for name, value in (("low", low), ("high", high)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise SettingError(f"integers: {name} = {value!r} is not a whole number; give one, or use uniform")
    _check_bounds("integers", low, high)
    return lambda generator: generator.randint(low, high)


def choice(values: Sequence[Any]) -> Distribution:
    """One of ``values``, all equally likely.

    Raises:
        SettingError: there are no values.
    """
    values = list(values)
    if not values:
        raise SettingError("choice: no values; give at least one")
    return lambda generator: generator.choice(values)


def _check_axes(axes: Mapping[str, Sequence[Any]], what: str) -> None:
    if not axes:
        raise SettingError(f"{what}: no fields; give at least one, as in {what}({{'seed': [0, 1]}})")
    for name, values in axes.items():
        # A text is a sequence too: "relu" would become four points.
        if isinstance(values, str) or not isinstance(values, (Sequence, range)):
            raise SettingError(f"{what}: {name} = {values!r} is not a list of values; write [{values!r}]")
        if len(values) == 0:
            raise SettingError(f"{what}: {name} has no values; give at least one, or leave the field out")


def _check_bounds(what: str, low: float, high: float) -> None:
    for name, value in (("low", low), ("high", high)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise SettingError(f"{what}: {name} = {value!r} is not a finite number; give one")
    if low >= high:
        raise SettingError(f"{what}: low = {low} is not below high = {high}; swap or change them")


def _rounded(value: float, low: float, high: float) -> float:
    return min(max(float(f"{value:.{_DIGITS}g}"), float(low)), float(high))
