"""The designs of a sweep: runs that differ only in their seed are repeats of one, and designs are what is ranked."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from atis_jax.formatting import sampling_error
from experiments.seeds import Repeats, least_difference
from experiments.sweeps.points import SEED
from experiments.sweeps.row import Row
from experiments.wording import EXAMPLES


@dataclasses.dataclass(frozen=True)
class Design:
    """What some runs of a sweep have in common.

    Attributes:
        name: the overrides without the seed.
        fields: every swept field but the seed, with its value.
        rows: the runs, one a seed.
    """

    name: str
    fields: Mapping[str, Any]
    rows: tuple[Row, ...]

    def repeats(self, *numbers: str) -> list[Repeats] | None:
        """Each of the numbers over the runs that have all of them; None if no run has."""
        found = [row.numbers for row in self.rows if all(name in row.numbers for name in numbers)]
        return [Repeats(tuple(one[name] for one in found)) for name in numbers] if found else None

    def examples(self) -> float | None:
        """Test examples of one accuracy: of its runs the fewest, None where no summary says."""
        found = [row.numbers[EXAMPLES] for row in self.rows if row.numbers.get(EXAMPLES, 0) > 0]
        return min(found, default=None)


@dataclasses.dataclass(frozen=True)
class Rank:
    """A design in its place.

    Attributes:
        design: the design.
        accuracy: over its seeds.
        error: sampling error of one of its accuracies, None where the number of examples is unknown.
        change: its mean accuracy less that of the first.
        limit: the least difference that is more than chance, None where nothing is known of it.
    """

    design: Design
    accuracy: Repeats
    error: float | None
    change: float
    limit: float | None

    @property
    def alike(self) -> bool:
        """Whether it is known that chance alone may have put it below the first."""
        return self.limit is not None and abs(self.change) <= self.limit


def designs_of(table: Sequence[Row]) -> list[Design]:
    """The designs in the order of the sweep."""
    groups: dict[Hashable, list[Row]] = {}
    for row in table:
        fields = {name: value for name, value in row.fields.items() if name != SEED}
        groups.setdefault(_hashable(fields), []).append(row)
    return [
        Design(rows[0].design, {name: v for name, v in rows[0].fields.items() if name != SEED}, tuple(rows))
        for rows in groups.values()
    ]


def ranking(designs: Sequence[Design], metric: str | None) -> list[Rank]:
    """The designs that have ``metric``, the highest mean first; of equal ones the sweep's order."""
    if metric is None:
        return []
    measured = [(design, found[0]) for design in designs if (found := design.repeats(metric)) is not None]
    measured.sort(key=lambda one: -one[1].mean)
    if not measured:
        return []
    (best, highest), examples = measured[0], [design.examples() for design, _ in measured]
    return [
        Rank(
            design=design,
            accuracy=accuracy,
            error=sampling_error(accuracy.mean, count) if count else None,
            change=accuracy.mean - highest.mean,
            limit=None if design is best else difference_limit((best, highest), (design, accuracy)),
        )
        for (design, accuracy), count in zip(measured, examples, strict=True)
    ]


def difference_limit(first: tuple[Design, Repeats], second: tuple[Design, Repeats]) -> float | None:
    """``least_difference`` of two designs with one of their accuracies."""
    known = [design.examples() for design, _ in (first, second)]
    examples = None if None in known else min(count for count in known if count)
    return least_difference(first[1], second[1], examples)


def _hashable(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return tuple((name, _hashable(item)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(_hashable(item) for item in value)
    # True == 1 in Python; 1 == 1.0 is wanted.
    return (isinstance(value, bool), value)
