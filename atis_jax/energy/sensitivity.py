"""Which constant a comparison hangs on: every one moved over its range, alone, and the ratio of two ledgers watched."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping

from atis_jax.energy.constants.provenance import Constant
from atis_jax.energy.presets import EnergyPreset, Term, constants_of, made_of

ASSUMED_FACTOR = 2.0
"""Range of a constant that states none: half to twice its value."""

SEARCHED = 1000.0
"""How far from its value a constant's break-even is looked for, either way."""


@dataclasses.dataclass(frozen=True)
class Swing:
    """What one constant does to a ratio.

    Attributes:
        constant: which.
        low: the ratio with the constant at the lower end of its range.
        high: at the upper end.
        over: the range, in the constant's own unit.
        assumed: whether the range is ``ASSUMED_FACTOR``'s, for want of a stated one.
    """

    constant: Constant
    low: float
    high: float
    over: tuple[float, float]
    assumed: bool

    @property
    def decades(self) -> float:
        """How far the ratio moves, in powers of ten."""
        if min(self.low, self.high) <= 0:
            return 0.0
        return abs(math.log10(self.high / self.low))

    @property
    def decides(self) -> bool:
        """Whether the winner changes within the range."""
        return (self.low - 1.0) * (self.high - 1.0) < 0


Recipe = Mapping[str, tuple[Term, ...]]
Ratio = Callable[[EnergyPreset], float]


def range_of(constant: Constant) -> tuple[float, float, bool]:
    """Lower and upper end of a constant's range, and whether it is ``ASSUMED_FACTOR``'s for want of a stated one."""
    assumed = constant.low is None or constant.high is None
    low = constant.value / ASSUMED_FACTOR if constant.low is None else constant.low
    high = constant.value * ASSUMED_FACTOR if constant.high is None else constant.high
    return low, high, assumed


def swings(recipe: Recipe, name: str, ratio: Ratio) -> list[Swing]:
    """``ratio`` of two energies at both ends of every constant behind preset ``name``, the largest swing first.

    Constants that decide the winner come before those that do not.
    """
    found = []
    for constant in constants_of(recipe):
        if constant.value == 0.0:
            continue
        low, high, assumed = range_of(constant)
        ends = [ratio(made_of(recipe, name, {constant: value})) for value in (low, high)]
        found.append(Swing(constant, ends[0], ends[1], (low, high), assumed))
    return by_weight(found)


def by_weight(found: Iterable[Swing]) -> list[Swing]:
    """Those that decide the winner first, then by how far they move the ratio."""
    return sorted(found, key=lambda swing: (not swing.decides, -swing.decades))


def searched_range(constant: Constant) -> tuple[float, float]:
    """Where a constant's break-even is looked for."""
    ends = [constant.value / SEARCHED, constant.value * SEARCHED]
    ends += [value for value in (constant.low, constant.high) if value]
    return min(ends), max(ends)


def break_even(recipe: Recipe, name: str, constant: Constant, ratio: Ratio) -> float | None:
    """The value of ``constant`` at which ``ratio`` is one.

    Searched from a thousandth to a thousand times its value, and over its own range where that is wider. None where the
    winner is the same at both ends. Bisection in the logarithm; the ratio is monotonous in a price.
    """

    def at(value: float) -> float:
        return ratio(made_of(recipe, name, {constant: value})) - 1.0

    low, high = searched_range(constant)
    below = at(low)
    if below * at(high) > 0:
        return None
    for _ in range(60):
        middle = math.sqrt(low * high)
        if at(middle) * below > 0:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)
