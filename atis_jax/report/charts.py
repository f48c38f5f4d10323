"""The two figures of a strip: dots with their error, and bars from zero; every row is named where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from atis_jax.report.style import BLACK, GREY, STRIP_WIDTH_IN, new_figure

_TEXT = 10.5
_ROW_IN = 0.36
_FAR = 3.0
"""A row further from the others than so many times their own span is drawn at the edge."""


@dataclass(frozen=True)
class Dot:
    """A row of a figure of dots.

    Attributes:
        label: at its left.
        value: where it stands.
        words: at its right.
        color: of all that belongs to it.
        band: both ends of its error; None where none is known.
        cloud: values that ``value`` is the mean of, one a chip.
        may_leave: may be drawn at the edge when it is far from all others.
    """

    label: str
    value: float
    words: str
    color: str
    band: tuple[float, float] | None = None
    cloud: np.ndarray | None = None
    may_leave: bool = False

    @property
    def ends(self) -> list[float]:
        """All that must be inside the axis to see this row whole."""
        cloud = [] if self.cloud is None else [float(self.cloud.min()), float(self.cloud.max())]
        return [self.value, *(self.band or ()), *cloud]


@dataclass(frozen=True)
class Bar:
    """A row of a figure of bars.

    Attributes:
        label: at its left.
        value: its length.
        words: at its end.
        color: of the bar and its words.
        part: what of it is hatched, at its end.
    """

    label: str
    value: float
    words: str
    color: str
    part: float = 0.0


def dots(rows: list[Dot], xlabel: str, compared: int | None = 0, zero: bool = False) -> Figure:
    """A dot a row over its error.

    Args:
        rows: from top to bottom.
        xlabel: what is counted, in which unit.
        compared: the row whose band goes through all others, so that overlaps are seen; None for no such row.
        zero: draw a line at 0.
    """
    figure, axes = _panel(len(rows), xlabel)
    low, high = _limits(rows, zero)
    for row, one in enumerate(rows):
        if row == compared and one.band is not None:
            axes.axvspan(*one.band, color=one.color, alpha=0.14, linewidth=0, zorder=0)
        if one.value < low or one.value > high:
            _at_the_edge(axes, row, one, left=one.value < low)
        else:
            _dot(axes, row, one)
        axes.annotate(
            one.words,
            (1.0, row),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=one.color,
            fontsize=_TEXT,
            fontweight="bold",
        )
    if zero:
        axes.axvline(0.0, color=BLACK, linewidth=0.9, zorder=1)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}".replace("-", "\u2212"))
    _name_rows(axes, [(one.label, one.color) for one in rows])
    return figure


def bars(rows: list[Bar], xlabel: str) -> Figure:
    """A bar a row, all from zero."""
    figure, axes = _panel(len(rows), xlabel)
    longest = max((one.value for one in rows), default=0.0) or 1.0
    for row, one in enumerate(rows):
        axes.barh(row, one.value, height=0.62, color=one.color)
        if one.part > 0:
            look: dict[str, Any] = {"height": 0.62, "color": one.color, "edgecolor": "white", "hatch": "////"}
            axes.barh(row, one.part, left=one.value - one.part, linewidth=0.0, **look)
        axes.annotate(
            one.words,
            (one.value, row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=one.color,
            fontsize=_TEXT,
            fontweight="bold",
        )
    axes.set_xlim(0, 1.08 * longest)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    _name_rows(axes, [(one.label, one.color) for one in rows])
    return figure


def _panel(rows: int, xlabel: str) -> tuple[Figure, Axes]:
    figure = new_figure(0.75 + _ROW_IN * rows, STRIP_WIDTH_IN)
    axes = figure.subplots()
    axes.set_xlabel(xlabel, fontsize=_TEXT - 1)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure, axes


def _name_rows(axes: Axes, names: list[tuple[str, str]]) -> None:
    axes.set_yticks(range(len(names)), [name for name, _ in names], fontsize=_TEXT, fontweight="bold")
    for label, (_, color) in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color(color)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _dot(axes: Axes, row: int, one: Dot) -> None:
    if one.band is not None:
        axes.plot(one.band, [row, row], color=one.color, alpha=0.3, linewidth=9, solid_capstyle="butt", zorder=2)
    if one.cloud is not None and len(one.cloud) > 1:
        axes.plot(one.cloud, np.full(len(one.cloud), row), "|", color=one.color, markersize=15, alpha=0.55, zorder=3)
    axes.plot(one.value, row, "o", color=one.color, markeredgecolor="white", markersize=8.5, zorder=4)


def _at_the_edge(axes: Axes, row: int, one: Dot, left: bool) -> None:
    at = 0.02 if left else 0.98
    transform = axes.get_yaxis_transform()
    axes.plot(at, row, "<" if left else ">", color=one.color, markersize=9, transform=transform, clip_on=False)
    side: dict[str, Any] = {"xytext": (9 if left else -9, 0), "ha": "left" if left else "right"}
    axes.annotate(
        "far off this scale", (at, row), xycoords=transform, textcoords="offset points", va="center", color=GREY, **side
    )


def _limits(rows: list[Dot], zero: bool) -> tuple[float, float]:
    """An axis that shows all rows, but those that may leave and are far from the rest."""
    inside = [end for one in rows if not one.may_leave for end in one.ends] + [0.0] * zero
    low, high = min(inside), max(inside)
    span = max(high - low, 1e-3)
    for one in rows:
        if one.may_leave and min(one.ends) >= low - _FAR * span and max(one.ends) <= high + _FAR * span:
            inside += one.ends
    low, high = min(inside), max(inside)
    margin = 0.08 * max(high - low, 1e-3)
    return low - margin, high + margin
