"""The front of a sweep: which designs nobody beats in both of two numbers, and how they stand to a reference."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from atis_jax.validation import SettingError, check_settings, setting
from experiments.repeats import Repeats
from experiments.sweeps.designs import SEED, Design, designs_of, difference_limit
from experiments.sweeps.points import Point
from experiments.sweeps.row import Row
from experiments.wording import is_measured_accuracy


@dataclasses.dataclass(frozen=True)
class Front:
    """Two numbers of the summary, and the design that all others are held against."""

    reference: str = setting("", doc="name of a run of the reference design")
    cost: str = setting("energy.scoring_j", doc="number of the summary that should be small")
    value: str = setting("accuracy.hardware_mean", doc="number of the summary that should be large")
    tolerance: float = setting(0.005, low=0.0, high=1.0, doc="how much less of the value still counts as equal")

    def __post_init__(self):
        check_settings(self, "front")


@dataclasses.dataclass(frozen=True)
class Placed:
    """A design on the plane of the two numbers; both are means over its seeds.

    Attributes:
        design: the design.
        cost: over its seeds.
        value: over its seeds.
        cheaper: the reference's cost over its own.
        change: its value less the reference's.
        limit: the least change that is more than chance, None where unknown and for the reference itself.
        equal: whether it loses no more than the tolerance.
        best: whether no other design costs no more and is worth no less, one of the two strictly.
    """

    design: Design
    cost: Repeats
    value: Repeats
    cheaper: float
    change: float
    limit: float | None
    equal: bool
    best: bool


def front_of(asked: Any, points: Sequence[Point]) -> Front:
    """The front that ``get_front()`` of a config asks for.

    Args:
        asked: a dict with ``reference``, the overrides of one of the sweep's points with or without its seed, and where
            they differ from the defaults of ``Front`` its ``cost``, ``value`` and ``tolerance``.
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
    named = [(point.name, dict(point.overrides)) for point in points]
    # The point itself before one that has a seed more.
    named += [(name, {field: value for field, value in given.items() if field != SEED}) for name, given in named]
    found = [name for name, given in named if isinstance(wanted, Mapping) and given == dict(wanted)]
    if not found:
        raise SettingError(
            f"get_front(): reference = {wanted!r} is none of the sweep's {len(points)} points; give the overrides of "
            "one of them"
        )
    return Front(**{**asked, "reference": found[0]})


def place(table: Sequence[Row], front: Front) -> list[Placed]:
    """Every design of which a run has both numbers, the cheapest first; empty before one of the reference's has."""
    found = [(design, both) for design in designs_of(table) if (both := design.repeats(front.cost, front.value))]
    base = next((one for one in found if _holds(one[0], front.reference)), None)
    if base is None:
        return []
    at = [(cost.mean, value.mean) for _, (cost, value) in found]
    base_cost, base_value = base[1]
    placed = []
    for design, (cost, value) in found:
        here = (cost.mean, value.mean)
        beaten = any(c <= here[0] and v >= here[1] and (c, v) != here for c, v in at)
        change = value.mean - base_value.mean
        known = is_measured_accuracy(front.value) and design is not base[0]
        placed.append(
            Placed(
                design=design,
                cost=cost,
                value=value,
                cheaper=base_cost.mean / cost.mean if cost.mean > 0 else math.inf,
                change=change,
                limit=difference_limit((base[0], base_value), (design, value)) if known else None,
                equal=change >= -front.tolerance,
                best=not beaten,
            )
        )
    return sorted(placed, key=lambda one: one.cost.mean)


def lacking(table: Sequence[Row], front: Front) -> str:
    """Why there is no front yet: no run of the reference has finished, or its summary has no such number."""
    reference = next((design for design in designs_of(table) if _holds(design, front.reference)), None)
    numbers = next((row.numbers for row in reference.rows if row.numbers), None) if reference else None
    if numbers is None:
        return f"The reference run {front.reference} has not finished."
    absent = [name for name in (front.cost, front.value) if name not in numbers]
    return (
        f"The summary of the reference run {front.reference} has no {' and no '.join(absent)}; get_front() can name: "
        f"{', '.join(numbers)}."
    )


def reference_of(placed: Sequence[Placed], front: Front) -> Placed:
    """The reference among them."""
    return next(one for one in placed if _holds(one.design, front.reference))


def cheapest_equal(placed: Sequence[Placed]) -> Placed:
    """The design of lowest cost that is worth as much as the reference within the tolerance (the reference is one)."""
    return next(one for one in placed if one.equal)


def _holds(design: Design, run: str) -> bool:
    return any(row.name == run for row in design.rows)
