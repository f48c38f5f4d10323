"""The page of a sweep: its designs in their rank, a line a run, what failed and why, accuracy against each number."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from atis_jax.report.formatting import count, duration, join, significant
from atis_jax.report.templates import page_template
from experiments.sweeps import front_page
from experiments.sweeps.designs import Design, Rank, designs_of, ranking
from experiments.sweeps.figures import MOST_ROWS, draw_field, draw_ranks, series_of
from experiments.sweeps.front import Front
from experiments.sweeps.placing import lacking, place
from experiments.sweeps.row import Row
from experiments.wording import EXAMPLES, change, over_seeds, single

_SHOWN = (
    "accuracy.hardware_mean",
    "accuracy.hardware_std",
    "accuracy.hardware_worst",
    "tokens.pruned_fraction",
    "energy.scoring_j",
    "energy.total_j",
    "accuracy.dense",
)
_MOST_NUMBERS = 6
SAME = "not distinguishable"


def render(folder: Path, table: Sequence[Row], metric: str | None, front: Front | None = None) -> str:
    """The page as one self-contained text.

    Args:
        folder: of the sweep.
        table: its runs.
        metric: dotted name of the accuracy designs are compared by, None without one.
        front: two numbers to compare designs by, None for none.
    """
    numbers, designs = _columns(table, metric), designs_of(table)
    places = ranking(designs, metric)
    counts = {status: sum(row.status == status for row in table) for status in dict.fromkeys(r.status for r in table)}
    return page_template(__package__).render(
        title=folder.name,
        facts=join([f"{number} {status}" for status, number in counts.items()])
        + f" of {count(len(table), 'run')}; {count(len(designs), 'design')}",
        sentence=_sentence(places, metric or ""),
        front=None if front is None else front_page.section(place(table, front), front, lacking(table, front)),
        designs=_designs(places, metric, [name for name in numbers if name != metric]) if metric and places else None,
        heads=[*table[0].fields, "status", *numbers, "time"],
        lines=[
            {
                "name": row.name,
                "link": f"{quote(row.name)}/report.html" if (folder / row.name / "report.html").is_file() else "",
                "cells": [
                    *(_value(value) for value in row.fields.values()),
                    row.status + (f" ({row.restarts} restarts)" if row.restarts else ""),
                    *(
                        single(name, row.numbers[name], row.numbers.get(EXAMPLES)) if name in row.numbers else ""
                        for name in numbers
                    ),
                    "" if row.seconds is None else duration(row.seconds),
                ],
                "error": row.error,
                "detail": row.detail,
            }
            for row in table
        ],
        pictures=_pictures(places, metric or ""),
    )


def _columns(table: Sequence[Row], metric: str | None) -> list[str]:
    found = list(dict.fromkeys(name for row in table for name in row.numbers))
    known = [name for name in _SHOWN if name in found]
    chosen = known or found
    return list(dict.fromkeys([*([metric] if metric else []), *chosen]))[:_MOST_NUMBERS]


def _value(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _sentence(places: Sequence[Rank], metric: str) -> str:
    """The first design, and how many might as well be."""
    if not places:
        return ""
    first, others = places[0], places[1:]
    value = over_seeds(metric, first.accuracy, first.design.examples())
    seeds = count(first.accuracy.n, "seed")
    if not others:
        return f"One design: {metric} is {value} ({seeds})."
    text = f"The highest {metric} of {count(len(places), 'design')} has {first.design.name}: {value} ({seeds})."
    if all(one.limit is None for one in others):
        return (
            text + " Without repeats and without the number of evaluated examples nothing says which differences count."
        )
    alike = sum(one.alike for one in others)
    if not alike:
        return text + " Every other is lower by more than chance."
    if alike == len(others):
        return text + (" The other cannot" if alike == 1 else " None of the others can") + " be told from it."
    return text + f" {alike} of the {count(len(others), 'other')} cannot be told from it."


def _designs(places: Sequence[Rank], metric: str, others: Sequence[str]) -> dict[str, Any]:
    """What the page's template needs for the designs."""
    several = len(places) > 1
    return {
        "heads": ["seeds", metric, *(["against the first (points)"] if several else []), *others],
        "several": several,
        "lines": [
            {
                "rank": rank,
                "name": one.design.name,
                "same": several and (rank == 1 or one.alike),
                "cells": [
                    _seeds(one),
                    over_seeds(metric, one.accuracy, one.design.examples()),
                    *([_against(one, first=rank == 1)] if several else []),
                    *(_other(one.design, name) for name in others),
                ],
            }
            for rank, one in enumerate(places, start=1)
        ],
        "picture": _encoded(draw_ranks(places, metric)) if sum(one.accuracy.n for one in places) > 1 else None,
        "caption": _caption(places),
        "how": _how(places) if several else "",
    }


def _seeds(one: Rank) -> str:
    done, all_runs = one.accuracy.n, len(one.design.rows)
    return str(done) if done == all_runs else f"{done} of {all_runs}"


def _other(design: Design, name: str) -> str:
    found = design.repeats(name)
    return "" if found is None else over_seeds(name, found[0], design.examples())


def _against(one: Rank, first: bool) -> str:
    if first:
        return ""
    return change(one.change, one.error) + (f" ({SAME})" if one.alike else "")


def _error_words(one: Rank) -> str:
    examples = one.design.examples()
    if one.error is None or examples is None:
        return "The number of evaluated examples is not known, so neither is their sampling error."
    return (
        f"One standard error of an accuracy on {count(int(examples), 'evaluated example')} is "
        f"{significant(100 * one.error, 2)} points."
    )


def _caption(places: Sequence[Rank]) -> str:
    more = f"The first {MOST_ROWS} of {count(len(places), 'design')}. " if len(places) > MOST_ROWS else ""
    return more + _error_words(places[0])


def _how(places: Sequence[Rank]) -> str:
    """What ``not distinguishable`` means here, and what it leaves out."""
    repeated = any(one.accuracy.n > 1 for one in places)
    counted = [
        *(["the spread over the seeds of both"] if repeated else []),
        *(["the sampling error of their evaluated examples"] if places[0].error is not None else []),
    ]
    text = (
        f"A design is {SAME} from the first where chance alone would put it as far below, were the two equal, more "
        f"than once in 20 times. Counted as chance: {join(counted)}."
    )
    if places[0].error is None and not repeated:
        text = "Neither repeats nor the number of evaluated examples are known: no difference can be called one."
    elif not repeated:
        text += " No design was repeated with another seed, so how much trainings differ is not known and left out."
    return text + " The highest of several measured means is higher than a new measurement of that design would be."


def _pictures(places: Sequence[Rank], metric: str) -> list[dict[str, str]]:
    """Accuracy against every swept field but the seed that has at least two numeric values."""
    pictures = []
    for name in places[0].design.fields if places else ():
        values = [one.design.fields[name] for one in places]
        numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        if not numeric or len(set(values)) < 2:
            continue
        marks = "one mark a design"
        if any(one.accuracy.n > 1 for one in places):
            marks += ", the mean of its seeds; bars are the standard deviation over them"
        lines = any(len(one) > 1 for one in series_of(places, name).values())
        joined = f" A line joins designs that differ in {name} alone." if lines else ""
        pictures.append(
            {
                "data": _encoded(draw_field(places, metric, name)),
                "caption": f"{metric} against {name}: {marks}.{joined}",
            }
        )
    return pictures


def _encoded(png: bytes) -> str:
    return base64.b64encode(png).decode("ascii")
