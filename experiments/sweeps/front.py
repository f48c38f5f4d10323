"""The front of a sweep: which runs nobody beats in both of two numbers, and how they stand to a reference run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from atis_jax.validation import SettingError, check_settings, setting
from experiments.sweeps.points import Point
from experiments.sweeps.row import Row


@dataclasses.dataclass(frozen=True)
class Front:
    """Two numbers of the summary, and the run that all others are held against."""

    reference: str = setting("", doc="name of the reference run")
    cost: str = setting("energy.scoring_j", doc="number of the summary that should be small")
    value: str = setting("accuracy.hardware_mean", doc="number of the summary that should be large")
    tolerance: float = setting(0.005, low=0.0, high=1.0, doc="how much less of the value still counts as equal")

    def __post_init__(self):
        check_settings(self, "front")


@dataclasses.dataclass(frozen=True)
class Placed:
    """A finished run on the plane of the two numbers.

    Attributes:
        row: the run.
        cost: its cost.
        value: its value.
        cheaper: the reference's cost over its own.
        change: its value less the reference's.
        equal: whether it loses no more than the tolerance.
        best: whether no other run costs no more and is worth no less, one of the two strictly.
    """

    row: Row
    cost: float
    value: float
    cheaper: float
    change: float
    equal: bool
    best: bool


def front_of(asked: Any, points: Sequence[Point]) -> Front:
    """The front that ``get_front()`` of a config asks for.

    Args:
        asked: a dict with ``reference``, the overrides of one of the sweep's points, and where they differ from the
            defaults of ``Front`` its ``cost``, ``value`` and ``tolerance``.
        points: of the sweep.

    Raises:
        SettingError: not such a dict, or the reference is none of the points.
    """
    names = [field.name for field in dataclasses.fields(Front)]
    if not isinstance(asked, Mapping) or set(asked) - set(names) or "reference" not in asked:
        raise SettingError(
            f"get_front() returned {asked!r}; return a dict with 'reference', the overrides of one of the sweep's "
            f"points, and if wanted {', '.join(names[1:])}"
        )
    wanted = asked["reference"]
    found = [point.name for point in points if isinstance(wanted, Mapping) and dict(point.overrides) == dict(wanted)]
    if not found:
        raise SettingError(
            f"get_front(): reference = {wanted!r} is none of the sweep's {len(points)} points; give the overrides of "
            "one of them"
        )
    return Front(**{**asked, "reference": found[0]})


def place(table: Sequence[Row], front: Front) -> list[Placed]:
    """Every finished run that has both numbers, the cheapest first; empty before the reference has finished."""
    at = {
        row.name: (row.numbers[front.cost], row.numbers[front.value])
        for row in table
        if front.cost in row.numbers and front.value in row.numbers
    }
    if front.reference not in at:
        return []
    base_cost, base_value = at[front.reference]
    placed = []
    for row in (row for row in table if row.name in at):
        cost, value = at[row.name]
        beaten = any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in at.values())
        change = value - base_value
        cheaper = base_cost / cost if cost > 0 else math.inf
        placed.append(Placed(row, cost, value, cheaper, change, change >= -front.tolerance, not beaten))
    return sorted(placed, key=lambda one: one.cost)


def lacking(table: Sequence[Row], front: Front) -> str:
    """Why there is no front yet: the reference has not finished, or its summary has no such number."""
    reference = next((row for row in table if row.name == front.reference), None)
    if reference is None or not reference.numbers:
        return f"The reference run {front.reference} has not finished."
    absent = [name for name in (front.cost, front.value) if name not in reference.numbers]
    return (
        f"The summary of the reference run {front.reference} has no {' and no '.join(absent)}; get_front() can name: "
        f"{', '.join(reference.numbers)}."
    )


def reference_of(placed: Sequence[Placed], front: Front) -> Placed:
    """The reference among them."""
    return next(one for one in placed if one.row.name == front.reference)


def cheapest_equal(placed: Sequence[Placed]) -> Placed:
    """The run of lowest cost that is worth as much as the reference within the tolerance (the reference is one)."""
    return next(one for one in placed if one.equal)
