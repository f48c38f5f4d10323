"""How sure a verdict is: all constants drawn together over their ranges, the same draws for every contender."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax.energy.constants.provenance import Constant
from atis_jax.energy.deployments import (
    IN_BOTH,
    DeploymentSpec,
    PointSpec,
    contender,
    contenders_of,
    point_of,
    recipe_of,
)
from atis_jax.energy.ledger import LINES, SCORING_LINES
from atis_jax.energy.presets import constants_of, made_of
from atis_jax.energy.sensitivity import range_of
from atis_jax.energy.shapes import NetworkShape
from atis_jax.typing import Key

SPAN = (0.05, 0.5, 0.95)
"""Quantiles of a margin that are told."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Every contender's ledger under the same draws.

    Attributes:
        lines_j: by contender, (draws, lines) joules.
        constants: what was drawn.
        names: of the lines, in their order.
    """

    lines_j: Mapping[str, Float[np.ndarray, "draws lines"]]
    constants: tuple[Constant, ...]
    names: tuple[str, ...] = LINES


@dataclasses.dataclass(frozen=True)
class Certainty:
    """One analog contender against one rival.

    Attributes:
        draws: how often all constants were drawn.
        wins: in how many of them the analog contender's whole pass takes less.
        saved: quantiles ``SPAN`` of 1 - ours / theirs, of the whole pass.
        circuits: the same of the rival's scoring over ours, without what both read and project; None where the rival
            scores nothing.
    """

    draws: int
    wins: int
    saved: tuple[float, ...]
    circuits: tuple[float, ...] | None


def drawn_ledgers(
    spec: DeploymentSpec, network: NetworkShape, points: dict[str, PointSpec], key: Key, draws: int
) -> Drawn:
    """All contenders of a deployment under ``draws`` sets of constants, log-uniform over ``sensitivity.range_of``."""
    names = contenders_of(spec)
    recipes = {name: recipe_of(spec, point_of(name, points)) for name in names}
    constants = tuple(
        dict.fromkeys(one for recipe in recipes.values() for one in constants_of(recipe) if one.value > 0.0)
    )

    def lines(values: Float[Array, "constants"]) -> dict[str, Float[Array, "lines"]]:
        found = {}
        for name, recipe in recipes.items():
            used = set(constants_of(recipe))
            here = {one: value for one, value in zip(constants, values, strict=True) if one in used}
            preset = made_of(recipe, str(spec.preset), here)
            found[name] = jnp.stack(list(contender(name, spec, network, points, preset).as_dict().values()))
        return found

    every = jax.device_get(jax.jit(jax.vmap(lines))(drawn_values(constants, key, draws)))
    return Drawn({name: np.asarray(found, np.float64) for name, found in every.items()}, constants)


def drawn_values(constants: Sequence[Constant], key: Key, draws: int) -> Float[np.ndarray, "draws constants"]:
    """Every constant in each draw, log-uniform over ``sensitivity.range_of``, in its own unit."""
    ends = np.log([range_of(one)[:2] for one in constants])
    shares = np.asarray(jax.random.uniform(key, (draws, len(constants))))
    return np.exp(ends[:, 0] + shares * (ends[:, 1] - ends[:, 0]))


def certainty(drawn: Drawn, who: str, rival: str, differing: tuple[str, ...]) -> Certainty:
    """How often ``who`` takes less than ``rival``, and by how much.

    Args:
        drawn: every contender's ledger.
        who: an analog contender.
        rival: against whom.
        differing: the lines that are not the same in both, whatever the prices (``deployments.differing_lines``). The
            others are no part of the difference, which would be lost in the rounding of a sum a million times as large.
    """
    mine, other = drawn.lines_j[who], drawn.lines_j[rival]
    scoring = _at(drawn, SCORING_LINES)
    less_j = np.sum((other - mine)[:, _at(drawn, differing)], axis=1)
    saved = less_j / np.sum(other, axis=1)
    return Certainty(
        draws=len(saved),
        wins=int(np.sum(less_j > 0)),
        saved=_span(saved),
        circuits=_span(_circuits(drawn, mine, other)) if np.any(other[:, scoring]) else None,
    )


def _circuits(
    drawn: Drawn, mine: Float[np.ndarray, "draws lines"], other: Float[np.ndarray, "draws lines"]
) -> Float[np.ndarray, "draws"]:
    """The rival's scoring over ours without what both read and project, as ``deployments.circuits_ratio`` has it."""
    shared = np.sum(np.minimum(mine, other)[:, _at(drawn, IN_BOTH)], axis=1)
    ours, theirs = (np.sum(one[:, _at(drawn, SCORING_LINES)], axis=1) - shared for one in (mine, other))
    return theirs / ours


def _at(drawn: Drawn, lines: tuple[str, ...]) -> list[int]:
    return [drawn.names.index(line) for line in lines]


def _span(values: Float[np.ndarray, "draws"]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, SPAN))
