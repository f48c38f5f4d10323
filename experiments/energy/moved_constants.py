"""Every constant moved at once and alone, as rows of one array, so that a ledger is compiled and run once for them all.

Shape suffixes: R rows, K constants.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Float

from atis_jax.energy.certainty import Certainty, Drawn, certainty, drawn_values
from atis_jax.energy.constants.provenance import Constant
from atis_jax.energy.decoding import WordLedger
from atis_jax.energy.deployments import differing_lines, spending_ratio
from atis_jax.energy.presets import EnergyPreset, Term, constants_of, made_of
from atis_jax.energy.sensitivity import Swing, by_weight, range_of, searched_range
from atis_jax.typing import Key

STEPS = 61
"""Of a constant on its way through the range in which a break-even is looked for."""


@dataclasses.dataclass(frozen=True)
class Moved:
    """Rows of constants: as they are; each alone at both ends of its range; each alone on its way; all drawn together.

    Attributes:
        recipe: terms of each price.
        name: of the preset.
        constants: those above 0.
        values: (R, K) in their own units.
        draws: how many rows are drawn, the last ones.
    """

    recipe: Mapping[str, tuple[Term, ...]]
    name: str
    constants: tuple[Constant, ...]
    values: Float[np.ndarray, "R K"]
    draws: int

    def preset(self, row: Float[np.ndarray, "K"]) -> EnergyPreset:
        """Prices of one row."""
        return made_of(self.recipe, self.name, dict(zip(self.constants, row, strict=True)))

    def at_ends(self, number: int) -> slice:
        """Rows of a constant at the lower and at the upper end of its range."""
        return slice(1 + 2 * number, 3 + 2 * number)

    def on_way(self, number: int) -> slice:
        """Rows of a constant on its way."""
        first = 1 + 2 * len(self.constants) + STEPS * number
        return slice(first, first + STEPS)


def moved_constants(recipe: Mapping[str, tuple[Term, ...]], name: str, key: Key, draws: int) -> Moved:
    """All rows for the constants behind a recipe; the draws are those of ``energy.certainty``."""
    constants = tuple(one for one in constants_of(recipe) if one.value > 0.0)
    usual = np.asarray([one.value for one in constants])

    def alone(number: int, values) -> Float[np.ndarray, "R K"]:
        rows = np.tile(usual, (len(values), 1))
        rows[:, number] = values
        return rows

    ends = [alone(number, range_of(one)[:2]) for number, one in enumerate(constants)]
    ways = [alone(number, np.geomspace(*searched_range(one), STEPS)) for number, one in enumerate(constants)]
    drawn = drawn_values(constants, key, draws)
    return Moved(recipe, name, constants, np.concatenate([usual[None], *ends, *ways, drawn]), draws)


@dataclasses.dataclass(frozen=True)
class Hinge:
    """What a comparison hangs on.

    Attributes:
        swing: of the constant that matters most.
        turn: its value at which both take the same, None where there is none.
        sure: over all draws.
    """

    swing: Swing
    turn: float | None
    sure: Certainty


def hinge(moved: Moved, ours: WordLedger, theirs: WordLedger, rival: str) -> Hinge:
    """Of one ledger against its rival's; the leaves of both are (R,).

    Args:
        moved: the rows.
        ours: in each row.
        theirs: likewise.
        rival: whose name that is; against ``dense`` whole words are compared, else what is not the same in both.
    """
    mine, other = (jax.tree.map(lambda leaf: leaf[0], one) for one in (ours, theirs))
    ratio = spending_ratio(ours, theirs, rival, differing_lines(mine, other, rival))
    swings = {}
    for number, constant in enumerate(moved.constants):
        low, high, assumed = range_of(constant)
        at_low, at_high = ratio[moved.at_ends(number)]
        swings[number] = Swing(constant, float(at_low), float(at_high), (low, high), assumed)
    swing = by_weight(swings.values())[0]
    number = moved.constants.index(swing.constant)
    way = moved.on_way(number)
    lines = tuple(mine.as_dict())
    drawn = Drawn({"ours": _rows(moved, ours), "theirs": _rows(moved, theirs)}, moved.constants, lines)
    # What is equal in both cancels, against dense too.
    unequal = differing_lines(mine, other, rival="")
    return Hinge(swing, crossing(moved.values[way, number], ratio[way]), certainty(drawn, "ours", "theirs", unequal))


def crossing(values: Float[np.ndarray, "S"], ratio: Float[np.ndarray, "S"]) -> float | None:
    """Where a ratio passes 1, by a straight line between the two values around it; None where it does not."""
    above = ratio > 1.0
    turns = np.flatnonzero(above[1:] != above[:-1])
    if not len(turns):
        return None
    here = int(turns[0])
    share = (1.0 - ratio[here]) / (ratio[here + 1] - ratio[here])
    return float(values[here] + share * (values[here + 1] - values[here]))


def _rows(moved: Moved, found: WordLedger) -> Float[np.ndarray, "R lines"]:
    drawn = [np.asarray(line, np.float64)[-moved.draws :] for line in found.as_dict().values()]
    return np.stack(drawn, axis=1)
