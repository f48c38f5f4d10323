"""The figures of a sweep's page: designs in their rank, and accuracy against a numeric field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atis_jax.report import style
from atis_jax.report.formatting import one_line
from experiments.sweeps.designs import Rank
from experiments.sweeps.points import name_of

MOST_ROWS = 20
"""Designs in the picture of ranks; the table has all."""
_LOG_RATIO = 20
"""Largest over smallest value from which an axis is logarithmic."""
_NAME = 44
"""Characters of a design's name beside its row."""
_MOST_SERIES = len(style.LINES)


def short_names(fields: Sequence[str]) -> dict[str, str]:
    """Each dotted field by its last part where that names it alone: ``scorer.inputs`` is ``inputs``."""
    last = [name.rpartition(".")[2] for name in fields]
    return {name: end if last.count(end) == 1 else name for name, end in zip(fields, last, strict=True)}


def draw_ranks(places: Sequence[Rank], metric: str) -> bytes:
    """A row a design, the first on top: its seeds, their mean with the standard deviation, the first's error."""
    shown = places[:MOST_ROWS]
    names = short_names(list(shown[0].design.fields))
    with style.drawing():
        figure = style.new_figure(1.1 + 0.27 * len(shown))
        axes = style.panels_of(figure, 1, 1)[0]
        first = shown[0]
        if first.error:
            low, high = (100 * (first.accuracy.mean + side * first.error) for side in (-1, 1))
            axes.axvspan(low, high, color="#e3edf7", label="one standard error")
        for row, one in enumerate(shown):
            seeds = [100 * value for value in one.accuracy.values]
            spread, mean = one.accuracy.spread, 100 * one.accuracy.mean
            if spread is not None:
                axes.plot(seeds, [row] * len(seeds), **_SEED_MARKS)
            label = "one run" if spread is None else "mean and standard deviation of seeds"
            axes.errorbar(mean, row, xerr=None if spread is None else 100 * spread, label=label, **_MEAN_MARKS)
        labels = [_label(one, names) + (f"  {place}" if len(places) > 1 else "") for place, one in enumerate(shown, 1)]
        axes.set_yticks(range(len(shown)), labels)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"{metric} (%)")
        # Outside: above the panel, which is narrow where names are long, a row of labels has no room.
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=len(handles))
        return style.png_bytes(figure)


def draw_field(places: Sequence[Rank], metric: str, field: str) -> bytes:
    """Accuracy against a numeric field: a mark a design; a line joins designs that differ in this field alone."""
    series = series_of(places, field)
    values = sorted({one.design.fields[field] for one in places})
    told = 1 < len(series) <= _MOST_SERIES and any(len(one) > 1 for one in series.values())
    with style.drawing():
        figure = style.new_figure(2.6 + 0.2 * len(series) * told)
        axes = style.panels_of(figure, 1, 1)[0]
        for number, (name, designs) in enumerate(series.items()):
            x, y = [one.design.fields[field] for one in designs], [100 * one.accuracy.mean for one in designs]
            colour, dash = style.LINES[number] if told else (style.BLUE, "-")
            axes.plot(
                x,
                y,
                color=colour if told else style.GREY,
                linestyle=dash,
                linewidth=1.2 if told else 0.8,
                marker="o",
                markersize=4.5,
                markerfacecolor=colour,
                markeredgecolor=colour,
                label=one_line(name, 80) if told else None,
            )
            axes.errorbar(x, y, [100 * (one.accuracy.spread or 0.0) for one in designs], ecolor=colour, fmt="none")
        if values[0] > 0 and values[-1] / values[0] >= _LOG_RATIO:
            axes.set_xscale("log")
            style.plain_log_ticks(axes.xaxis)
        elif len(values) <= 8:
            axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.set_xlabel(field)
        axes.set_ylabel(f"{metric} (%)")
        if told:
            axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2, handlelength=2.2)
        return style.png_bytes(figure)


def series_of(places: Sequence[Rank], field: str) -> dict[str, list[Rank]]:
    """Designs that differ in ``field`` alone, in its order, by what they have in common."""
    found: dict[str, list[Rank]] = {}
    for one in sorted(places, key=lambda one: one.design.fields[field]):
        names = short_names(list(one.design.fields))
        rest = {names[name]: value for name, value in one.design.fields.items() if name != field}
        found.setdefault(name_of(rest).replace(",", ", "), []).append(one)
    return found


def _label(one: Rank, names: Mapping[str, str]) -> str:
    parts = [part.partition("=") for part in one.design.name.split(",")]
    return one_line(", ".join(names.get(field, field) + mark + value for field, mark, value in parts), _NAME)


_SEED_MARKS: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 4,
    "color": "white",
    "markeredgecolor": style.GREY,
    "zorder": 2,
    "label": "one seed",
}
_MEAN_MARKS: dict[str, Any] = {"marker": "o", "markersize": 6, "color": style.BLUE, "elinewidth": 1.4, "zorder": 3}
