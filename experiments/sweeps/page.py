"""The page of a sweep: one line a run, what failed and why, accuracy against each numeric field."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from atis_jax.report import style
from atis_jax.report.formatting import duration, join, percent, si, significant
from atis_jax.report.templates import page_template
from experiments.sweeps import front_page
from experiments.sweeps.front import Front, lacking, place
from experiments.sweeps.row import Row

_SHOWN = (
    "accuracy.hardware_mean",
    "accuracy.hardware_std",
    "accuracy.hardware_worst",
    "accuracy.dense",
    "tokens.pruned_fraction",
    "energy.total_j",
)
_MOST_NUMBERS = 6
_LOG_RATIO = 20
"""Largest over smallest value from which an axis is logarithmic."""


def render(folder: Path, table: Sequence[Row], metric: str | None, best: str | None, front: Front | None = None) -> str:
    """The page as one self-contained text.

    Args:
        folder: of the sweep.
        table: its runs.
        metric: dotted name of the number runs are compared by, None without one.
        best: name of the run to mark, None for none.
        front: two numbers to compare runs by, None for none.
    """
    numbers = _columns(table, metric)
    counts = {status: sum(row.status == status for row in table) for status in dict.fromkeys(r.status for r in table)}
    return page_template(__package__).render(
        title=folder.name,
        facts=join([f"{count} {status}" for status, count in counts.items()]) + f" of {len(table)} runs",
        sentence=_sentence(table, metric, best),
        heads=[*table[0].fields, "status", *numbers, "time"],
        lines=[
            {
                "name": row.name,
                "best": row.name == best,
                "link": f"{quote(row.name)}/report.html" if (folder / row.name / "report.html").is_file() else "",
                "cells": [
                    *(_value(value) for value in row.fields.values()),
                    row.status + (f" ({row.restarts} restarts)" if row.restarts else ""),
                    *(_number(name, row.numbers[name]) if name in row.numbers else "" for name in numbers),
                    "" if row.seconds is None else duration(row.seconds),
                ],
                "error": row.error,
                "detail": row.detail,
            }
            for row in table
        ],
        pictures=_pictures(table, metric),
        front=None if front is None else front_page.section(place(table, front), front, _number, lacking(table, front)),
    )


def _columns(table: Sequence[Row], metric: str | None) -> list[str]:
    found = list(dict.fromkeys(name for row in table for name in row.numbers))
    known = [name for name in _SHOWN if name in found]
    chosen = known or found
    return list(dict.fromkeys([*([metric] if metric else []), *chosen]))[:_MOST_NUMBERS]


def _value(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _number(name: str, value: float) -> str:
    """Accuracies and other shares in percent, joules with their prefix, all else to four digits."""
    if name.startswith("accuracy.") and 0 <= value <= 1:
        return percent(value, 2)
    if name.endswith("fraction") and 0 <= value <= 1:
        return percent(value)
    return si(value, "J") if name.endswith("_j") else significant(value, 4)


def _sentence(table: Sequence[Row], metric: str | None, best: str | None) -> str:
    if metric is None or best is None:
        return ""
    value = next(row.numbers[metric] for row in table if row.name == best)
    compared = sum(metric in row.numbers for row in table)
    return (
        f"Best of {compared} by {metric}: {best} with {_number(metric, value)}. The highest of several measured "
        "values is higher than a new measurement of that run would be."
    )


def _pictures(table: Sequence[Row], metric: str | None) -> list[dict[str, str]]:
    """Accuracy against every swept field that has at least two numeric values; the line joins the means."""
    measured = [row for row in table if metric is not None and metric in row.numbers]
    pictures = []
    for name in table[0].fields:
        pairs = [(row.fields[name], row.numbers[metric or ""]) for row in measured]
        values = [value for value, _ in pairs]
        numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        if not numeric or len(set(values)) < 2:
            continue
        pictures.append(
            {
                "data": base64.b64encode(_draw(name, metric or "", pairs)).decode("ascii"),
                "caption": f"{metric} against {name}: one mark a run ({len(pairs)}), the line joins the means.",
            }
        )
    return pictures


def _draw(name: str, metric: str, pairs: Sequence[tuple[float, float]]) -> bytes:
    values, results = np.asarray([v for v, _ in pairs], float), np.asarray([r for _, r in pairs], float)
    share = metric.startswith("accuracy.")
    results = 100 * results if share else results
    with style.drawing():
        figure = style.new_figure(2.6)
        axes = style.panels_of(figure, 1, 1)[0]
        places = np.unique(values)
        axes.plot(places, [results[values == p].mean() for p in places], color=style.GREY, linewidth=1.0)
        axes.plot(values, results, "o", color=style.BLUE, markersize=4.5)
        if places[0] > 0 and places[-1] / places[0] >= _LOG_RATIO:
            axes.set_xscale("log")
            style.plain_log_ticks(axes.xaxis)
        elif len(places) <= 8:
            axes.set_xticks(places, [f"{p:g}" for p in places])
        axes.set_xlabel(name)
        axes.set_ylabel(f"{metric} (%)" if share else metric)
        return style.png_bytes(figure)
