"""Break-even maps: where analog scoring takes as much as its rivals, over two numbers of the design at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D

from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.formatting import join, percent, si, si_scale, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section, Table
from atis_jax.report.style import ANALOG, BLACK, DIGITAL, new_figure, panels_of, ratio_axis, ratio_ticks
from experiments.energy.comparisons import number_at, table_at

COLOURED = ("codesigned_digital", "folded", "digital")
"""The rival whose ratio is the colour: the first of these that the maps have."""
_WORDS = {
    "codesigned_digital": "the same score in digital",
    "folded": "the paper's score folded in digital",
    "digital": "the paper's score in digital, not folded",
    "dense": "dense, whole pass",
}
_LINES: dict[str, Any] = {"codesigned_digital": "-", "folded": "--", "digital": "-.", "dense": ":"}
_COLOURS = LinearSegmentedColormap.from_list("analog_or_digital", (ANALOG, "#ffffff", DIGITAL))
NO_DESIGN = "#b9bec7"
LEAST = 1.25
"""The colours end no nearer to 1 than this factor, so that a map of small differences looks like one."""


@dataclass(frozen=True)
class MapAxis:
    """One axis of a map.

    Attributes:
        label: what it is.
        unit: "" for a count, "of 1" for a share.
        log: whether it is logarithmic.
        values: in ``unit``.
        own: where the design stands, None where nobody says.
    """

    label: str
    unit: str
    log: bool
    values: Float[np.ndarray, "values"]
    own: float | None

    def shown(self) -> tuple[float, str]:
        """What values are divided by for the axis, and the label with the unit that then holds."""
        if self.unit == "of 1":
            return 0.01, f"{self.label} (%)"
        if self.unit in ("", "nm"):
            return 1.0, self.label + (f" ({self.unit})" if self.unit else "")
        factor, prefix = si_scale([float(self.values.max())])
        return factor, f"{self.label} ({prefix}{self.unit})"

    def words(self, value: float) -> str:
        """A value with its unit."""
        if self.unit == "of 1":
            return percent(value, 0)
        if self.unit in ("", "nm"):
            whole = f"{value:,.0f}" if value == round(value) else significant(value)
            return f"{whole} {self.unit}".rstrip()
        return si(value, self.unit)


@dataclass(frozen=True)
class BreakEvenMap:
    """Ratios over two axes: (rows, columns) by rival, the energy of the co-designed circuit over the rival's.

    NaN where no design can be, which artifacts.npz writes as 0.
    """

    scenario: str
    x: MapAxis
    y: MapAxis
    ratio: dict[str, Float[np.ndarray, "rows columns"]]

    @property
    def title(self) -> str:
        """Both axes."""
        return f"{self.y.label} over {self.x.label}"


def read_maps(run: RunFiles) -> tuple[BreakEvenMap, ...]:
    """The maps that summary.json describes, from artifacts.npz.

    Raises:
        Absent: there are none.
        ReportError: a description or ratios that cannot be.
    """
    entries = run.summary.get("maps")
    if not entries:
        raise Absent(run.missing.get("summary.json", "summary.json has no 'maps'"))
    if not isinstance(entries, list):
        raise ReportError(f"summary.json: 'maps' must be a list, found {entries!r}")
    return tuple(_map(run, table_at(entry, f"maps[{number}]"), number) for number, entry in enumerate(entries))


def _map(run: RunFiles, entry: dict[str, Any], number: int) -> BreakEvenMap:
    where, ratio = f"maps[{number}]", {}
    for rival in entry.get("against") or ():
        name = f"map{number}_{rival}"
        found = run.array(name)
        if np.any(found < 0) or not np.any(found > 0):
            raise ReportError(f"{run.path / 'artifacts.npz'}: '{name}' holds ratios of energies below 0, or none above")
        ratio[str(rival)] = np.where(found > 0, found, np.nan)
    x, y = (_axis(table_at(entry.get(a), f"{where}.{a}"), run.array(f"map{number}_{a}"), f"{where}.{a}") for a in "xy")
    return BreakEvenMap(str(entry.get("scenario", "")), x, y, ratio)


def _axis(entry: dict[str, Any], values: np.ndarray, where: str) -> MapAxis:
    if len(values) < 2 or not np.all(np.diff(values) > 0) or (entry.get("log") and values[0] <= 0):
        raise ReportError(f"artifacts.npz: the values of {where} must rise, at least two (above 0 on a log axis)")
    own = None if entry.get("own") is None else number_at(entry, "own", where)
    return MapAxis(
        str(entry.get("label", where)), str(entry.get("unit", "")), bool(entry.get("log")), values.astype(float), own
    )


def break_even_maps(run: RunFiles) -> Section:
    """A panel a map: colour for the fairest digital rival, lines where the energies are the same."""
    maps = read_maps(run)
    coloured = next((rival for rival in COLOURED if all(rival in one.ratio for one in maps)), None)
    if coloured is None:
        raise Absent("the maps are against no digital scorer")
    rows = math.ceil(len(maps) / 2)
    figure = new_figure(0.9 + 2.55 * rows)
    panels = panels_of(figure, rows, 2)
    for axes in panels[len(maps) :]:
        axes.set_axis_off()
    ratios = np.concatenate([one.ratio[coloured].ravel() for one in maps])
    reach = max(LEAST, float(np.nanmax(ratios)), 1 / float(np.nanmin(ratios)))
    mesh, drawn = None, set()
    for axes, one in zip(panels, maps, strict=False):
        mesh = _panel(axes, one, coloured, math.log(reach))
        drawn |= {rival for rival, ratio in distinct(one).items() if crosses(ratio)}
    ticks = ratio_ticks(1 / reach, reach, 5)
    bar = figure.colorbar(mesh, ax=panels, shrink=0.5, aspect=30)  # type: ignore[arg-type]
    bar.set_ticks([math.log(tick) for tick in ticks], labels=[f"{tick:.3g}" for tick in ticks])
    bar.set_label("energy of what differs, analog over digital\norange: analog takes less; blue: digital does")
    handles = [
        Line2D([], [], color=BLACK, linestyle=style, label=f"as much as {_WORDS.get(rival, rival)}")
        for rival, style in _LINES.items()
        if rival in drawn
    ]
    star: dict[str, Any] = {"marker": "*", "linestyle": "none", "markerfacecolor": "white", "markersize": 11}
    handles.append(Line2D([], [], color=BLACK, label="the design as it is", **star))
    figure.legend(handles=handles, loc="outside upper left", ncols=2, fontsize=8.2)
    return Section("Break-even maps", (Picture("break_even", figure, "Maps of ratios.", _caption(maps)),))


def break_even_numbers(run: RunFiles) -> Section:
    """In how much of each map analog takes less, and where the winner changes beside the design."""
    caption = (
        "In how much of each map analog takes less, in brackets the smallest and largest ratio, and where the winner "
        "changes in the line of places nearest to the design."
    )
    return Section("Break-even maps, in numbers", (Table("break_even_numbers", caption, _table(read_maps(run))),))


def distinct(one: BreakEvenMap) -> dict[str, Float[np.ndarray, "rows columns"]]:
    """The ratios without those that repeat another's: a design that folds to itself has one rival under two names."""
    found: dict[str, np.ndarray] = {}
    for rival in sorted(one.ratio, key=lambda name: (*_LINES, name).index(name)):
        if not any(np.allclose(one.ratio[rival], other, rtol=1e-6, equal_nan=True) for other in found.values()):
            found[rival] = one.ratio[rival]
    return found


def crosses(ratio: np.ndarray) -> bool:
    """Whether both win somewhere."""
    return bool(np.nanmin(ratio) < 1 < np.nanmax(ratio))


def edges(values: np.ndarray, log: bool) -> np.ndarray:
    """Borders of the cells around ``values``, half way on the axis they are drawn on."""
    at = np.log(values) if log else values
    middle = (at[1:] + at[:-1]) / 2
    found = np.concatenate([[at[0] - (middle[0] - at[0])], middle, [at[-1] + (at[-1] - middle[-1])]])
    return np.exp(found) if log else found


def finer(one: BreakEvenMap, level: np.ndarray, steps: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both axes and ``level`` with ``steps`` places between two, straight on the axes that are drawn.

    A contour drawn from the places alone is straight in the values, which on a logarithmic axis is elsewhere.
    """
    columns, rows = (
        np.linspace(0, len(axis.values) - 1, steps * (len(axis.values) - 1) + 1) for axis in (one.x, one.y)
    )
    x, y = (_between(axis.values, at, axis.log) for axis, at in ((one.x, columns), (one.y, rows)))
    wide = np.stack([_between(row, columns) for row in level])
    return x, y, np.stack([_between(column, rows) for column in wide.T], axis=1)


def _between(values: np.ndarray, at: np.ndarray, log: bool = False) -> np.ndarray:
    places = np.arange(len(values))
    return np.exp(np.interp(at, places, np.log(values))) if log else np.interp(at, places, values)


def _panel(axes: Axes, one: BreakEvenMap, coloured: str, reach: float):
    sides = []
    sides_of: tuple[tuple[Literal["x", "y"], MapAxis], ...] = (("x", one.x), ("y", one.y))
    for which, axis in sides_of:
        factor, label = axis.shown()
        at = edges(axis.values, axis.log) / factor
        if axis.log:
            ratio_axis(axes, which, at[0], at[-1])
        else:
            axes.set(**{f"{which}lim": (at[0], at[-1])})
        axes.set(**{f"{which}label": label})
        sides.append((at, factor, None if axis.own is None else axis.own / factor))
    (x_edges, x_unit, own_x), (y_edges, y_unit, own_y) = sides
    axes.set_facecolor(NO_DESIGN)
    mesh = axes.pcolormesh(
        x_edges, y_edges, np.log(one.ratio[coloured]), cmap=_COLOURS, vmin=-reach, vmax=reach, rasterized=True
    )
    for rival, ratio in distinct(one).items():
        if crosses(ratio):
            at_x, at_y, level = finer(one, np.log(ratio))
            look: dict[str, Any] = {"colors": BLACK, "linewidths": 1.6, "linestyles": _LINES.get(rival, "-.")}
            axes.contour(at_x / x_unit, at_y / y_unit, level, levels=[0.0], **look)
    if own_x is not None and own_y is not None:
        axes.plot(own_x, own_y, "*", color="white", markeredgecolor=BLACK, markersize=11, clip_on=False, zorder=5)
    axes.tick_params(labelsize=7.8)
    axes.xaxis.label.set_fontsize(8.6)
    axes.yaxis.label.set_fontsize(8.6)
    axes.grid(visible=False)
    return mesh


def _caption(maps: tuple[BreakEvenMap, ...]) -> str:
    scenarios = list(dict.fromkeys(one.scenario for one in maps))
    nowhere = [one.title for one in maps if not any(crosses(ratio) for ratio in distinct(one).values())]
    text = (
        f"The co-designed circuit in scenario {join(scenarios)}: two of its numbers moved, the rest as they are. "
        "A line is where analog takes as much as a rival, the star where the design stands."
    )
    if any(np.isnan(ratio).any() for one in maps for ratio in one.ratio.values()):
        text += " Grey: no such design, for instance more numbers selected than a token has."
    if nowhere:
        text += f" Without a line, because the winner is the same everywhere in the map: {join(nowhere)}."
    return f"{text} DAC: converter from a number to a voltage. Node: smallest feature of the digital chip's process."


def _table(maps: tuple[BreakEvenMap, ...]) -> tuple[tuple[str, ...], ...]:
    rivals = [rival for rival in _LINES if any(rival in distinct(one) for one in maps)]
    heads = ("map", *(f"against {_WORDS[rival]}" for rival in rivals))
    rows = []
    for one in maps:
        known = distinct(one)
        rows.append((one.title, *(_verdict(one, known[rival]) if rival in known else "as another" for rival in rivals)))
    return (heads, *rows)


def _verdict(one: BreakEvenMap, every: np.ndarray) -> str:
    """Who takes less where, and between which ratios."""
    ratio = every[np.isfinite(every)]
    low, high = (f"{value:.2f}" for value in (ratio.min(), ratio.max()))
    span = low if low == high else f"{low} to {high}"
    if not crosses(ratio):
        return f"analog {'less' if ratio.max() <= 1 else 'more'} everywhere ({span})"
    turn = _turn(one, every)
    return f"analog less in {percent(float((ratio < 1).mean()), 0)} ({span})" + (f"; {turn}" if turn else "")


def _turn(one: BreakEvenMap, ratio: np.ndarray) -> str:
    """Where along x, or else along y, the ratio passes 1 in the line of places nearest to the design."""
    for along, across, lines in ((one.x, one.y, ratio), (one.y, one.x, ratio.T)):
        if across.own is None:
            continue
        away = np.log(across.values / across.own) if across.log and across.own > 0 else across.values - across.own
        nearest = int(np.argmin(np.abs(away)))
        at = np.log(along.values) if along.log else along.values
        line = np.log(lines[nearest])
        for left in np.flatnonzero(line[:-1] * line[1:] < 0):
            share = line[left] / (line[left] - line[left + 1])
            value = at[left] + share * (at[left + 1] - at[left])
            turned = along.words(math.exp(value) if along.log else float(value))
            return f"turns at {along.label} {turned} ({across.label}: {across.words(across.values[nearest])})"
    return ""
