"""The designs of a sweep on the plane of two numbers: which nobody beats in both, and how they stand to a reference."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from experiments.seeds import Repeats
from experiments.sweeps.designs import Design, designs_of, difference_limit
from experiments.sweeps.front import Front
from experiments.sweeps.row import Row
from experiments.wording import is_measured_accuracy


@dataclasses.dataclass(frozen=True)
class Placement:
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


def place(table: Sequence[Row], front: Front) -> list[Placement]:
    """Every design of which a run has both numbers, the cheapest first; empty before one of the reference's has."""
    found = [(design, both) for design in designs_of(table) if (both := design.repeats(front.cost, front.value))]
    base = next((one for one in found if _holds(one[0], front.reference)), None)
    if base is None:
        return []
    at = [(cost.mean, value.mean) for _, (cost, value) in found]
    base_cost, base_value = base[1]
    placements = []
    for design, (cost, value) in found:
        here = (cost.mean, value.mean)
        beaten = any(c <= here[0] and v >= here[1] and (c, v) != here for c, v in at)
        change = value.mean - base_value.mean
        known = is_measured_accuracy(front.value) and design is not base[0]
        placements.append(
            Placement(
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
    return sorted(placements, key=lambda one: one.cost.mean)


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


def reference_of(placements: Sequence[Placement], front: Front) -> Placement:
    """The reference among them."""
    return next(one for one in placements if _holds(one.design, front.reference))


def cheapest_equal(placements: Sequence[Placement]) -> Placement:
    """The design of lowest cost that is worth as much as the reference within the tolerance (the reference is one)."""
    return next(one for one in placements if one.equal)


def _holds(design: Design, run: str) -> bool:
    return any(row.name == run for row in design.rows)
