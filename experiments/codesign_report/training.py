"""Training curves: loss, accuracy, kept fraction and energy against step, the phases shaded and named.

The controls of a co-design run were trained one after another, each from the same network as the co-design itself.
They are drawn over it, from the step at which all of them begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from atis_jax.report.errors import Absent
from atis_jax.report.formatting import count, join, percent, significant
from atis_jax.report.metrics import Metrics, Phase, thin
from atis_jax.report.run_files import RunFiles, kind_of
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, KINDS, LINES, SHADES, VERMILLION, new_figure, panels_of, plain_log_ticks

_KEPT: tuple[str, ...] = ("kept_per_layer", "kept_fraction")
_ENERGY: tuple[str, ...] = ("energy_ratio",)
_TERMS = 5
_SMOOTH = 0.02
"""A curve is the mean over this fraction of its phase, the band behind it the range of the raw values."""
_TRUNK = ("", "dense", "codesign")
"""Stages that follow one another; every other one is a control that begins where the co-design does."""
_STAGES = {"dense": "dense", "codesign": "co-design", "dense_longer": "dense, longer"}
"""Stages in words."""
_NAMED_LAYERS = 12
"""So many layers stand in a legend one by one."""
_LEGEND_ROWS = 7
_DASHES = ("--", "-.", ":")
_PERCENT = ("accuracy", "kept", "energy")
"""Words of the columns that are shares, drawn in percent."""


_LABELS = {
    "loss": "total",
    "loss_ce": "cross-entropy",
    "loss_distill": "distillation",
    "loss_keep": "keep rate",
    "loss_swing": "score swing",
    "loss_attention": "attention",
    "loss_energy": "energy",
    "accuracy": "training batch",
    "kept_fraction": "all layers",
}


def training_curves(run: RunFiles) -> Section:
    """Up to four panels above one another, each with what metrics.jsonl has for it."""
    metrics = run.metrics
    if not metrics.phases:
        raise Absent(run.missing.get("metrics.jsonl", "metrics.jsonl is empty"))
    panels: list[tuple[str, list[str]]] = [
        (title, names)
        for title, names in (
            ("loss", _loss_names(metrics)),
            ("accuracy (%)", [n for n in metrics.columns if "accuracy" in n][:_TERMS]),
            (f"{run.words.tokens} kept (%)", [n for n in _KEPT if n in metrics.columns]),
            ("energy\n(% of dense)", [n for n in _ENERGY if n in metrics.columns]),
        )
        if names
    ]
    absent = tuple(
        (f"Training curve of the {what}", f"metrics.jsonl has no '{name}'")
        for what, name in (
            ("loss", "loss"),
            ("accuracy", "accuracy"),
            ("kept fraction", "kept_fraction"),
            ("energy ratio", "energy_ratio"),
        )
        if name not in metrics.columns
    )
    if not panels:
        raise Absent("metrics.jsonl has none of 'loss', 'accuracy', 'kept_fraction', 'energy_ratio'")
    figure = new_figure(0.5 + 1.75 * len(panels))
    rows = panels_of(figure, len(panels), 1, sharex=True)
    trunk, controls = _tracks(metrics)
    begin = _branch(metrics)
    colour = KINDS["dense"] if begin is None else KINDS.get(kind_of(run), BLACK)
    for axes, (title, names) in zip(rows, panels, strict=True):
        for name, style in zip(names, LINES * 2, strict=False):
            if name == "accuracy":
                continue
            _draw(axes, metrics, trunk, name, (colour, "-") if name in _ENERGY else style)
        if "accuracy" in names:
            _draw_accuracy(axes, metrics, trunk, colour)
            _draw_controls(axes, metrics, controls, begin)
        _mark_not_finite(axes, metrics, trunk, names)
        axes.set_ylabel(title)
        if title == "loss":
            _log_if_wide(axes)
        else:
            axes.set_ylim(0, 103) if "energy" not in title else axes.set_ylim(bottom=0)
        handles, labels = axes.get_legend_handles_labels()
        if len(labels) > 1:
            look: dict[str, Any] = {"bbox_to_anchor": (1.0, 0.5), "handlelength": 1.8, "borderaxespad": 0.3}
            if len(labels) > _LEGEND_ROWS:
                look |= {"ncols": 2, "columnspacing": 0.8, "handlelength": 1.0, "fontsize": 7.8}
            axes.legend(handles, labels, loc="center left", **look)
    shades = _shade_phases(rows, metrics, trunk)
    if len(shades) > 1 or trunk[0].name != "training":
        figure.legend(handles=shades, loc="outside upper left", ncols=6, title_fontsize=8.8, handlelength=1.4)
    rows[-1].set_xlabel("training step")
    rows[-1].xaxis.set_major_locator(MaxNLocator(7, integer=True))
    rows[-1].xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    caption = " ".join([*_sentences(metrics, controls), *_not_finite_sentences(metrics), *metrics.remarks])
    alt = f"Line charts against training step: {join([title.split(' (')[0].split(chr(10))[0] for title, _ in panels])}."
    picture = Picture("training", figure, alt, caption, table=_table(metrics))
    return Section("Training", (picture,), absent)


def _loss_names(metrics: Metrics) -> list[str]:
    terms = [name for name in metrics.columns if name.startswith("loss_")]
    return [name for name in ("loss",) if name in metrics.columns] + terms[:_TERMS]


def _tracks(metrics: Metrics) -> tuple[tuple[Phase, ...], dict[str, tuple[Phase, ...]]]:
    """The phases that follow one another, and those of each control by the control's stage."""
    trunk = tuple(phase for phase in metrics.phases if phase.stage in _TRUNK)
    controls: dict[str, tuple[Phase, ...]] = {}
    for phase in metrics.phases:
        if phase.stage not in _TRUNK:
            controls[phase.stage] = (*controls.get(phase.stage, ()), phase)
    return (trunk, controls) if trunk else (metrics.phases, {})


def _branch(metrics: Metrics) -> float | None:
    """Step before the first one of the co-design and of every control; None where nothing branches."""
    first = next((phase for phase in metrics.phases if phase.stage == "codesign"), None)
    return None if first is None else float(metrics.step[first.start]) - _stride(metrics)


def _stride(metrics: Metrics) -> float:
    """Steps between two lines."""
    return float(np.median(np.diff(metrics.step))) if metrics.step.size > 1 else 1.0


def _runs(metrics: Metrics, name: str, phases: tuple[Phase, ...]) -> Iterator[tuple[Phase, np.ndarray, np.ndarray]]:
    """(phase, x, values) of a column for each of the phases that has any of it; shares in percent."""
    where, values = metrics.columns[name]
    values = 100 * values if any(word in name for word in _PERCENT) and not name.startswith("loss") else values
    for phase in phases:
        inside = (where >= phase.start) & (where < phase.stop)
        if inside.any():
            yield phase, metrics.step[where[inside]], values[inside]


def _window(values: np.ndarray) -> int:
    return max(1, round(_SMOOTH * len(values)))


def _draw(axes: Axes, metrics: Metrics, phases: tuple[Phase, ...], name: str, style, words: str | None = None) -> None:
    """A column over some phases; ``words``: its label, where it is not the column's own."""
    share = max(1, 300 // len(metrics.phases))
    first = True
    for phase, x, values in _runs(metrics, name, phases):
        bins = max(share, round(400 * (phase.stop - phase.start) / metrics.step.size))
        if values.ndim == 2:
            _draw_layers(axes, x, values, bins, first)
        else:
            curve = thin(x, values, _window(values), bins)
            color, dash = style
            lead = name in ("loss", "accuracy", "kept_fraction", "energy_ratio")
            if lead and values.size > 1:
                axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.18, linewidth=0)
            axes.plot(
                curve.x,
                curve.mean,
                color=color,
                linestyle=dash,
                linewidth=1.8 if lead else 1.1,
                marker="." if values.size < 12 else "",
                label=(words or _label(name)) if first else None,
                zorder=3,
            )
        first = False


def _draw_layers(axes: Axes, x: np.ndarray, values: np.ndarray, bins: int, first: bool) -> None:
    """A line a layer, dark to pale; every one is named where there is room for their names."""
    layers = values.shape[1]
    shades = matplotlib.colormaps["cividis"](np.linspace(0.05, 0.85, layers))
    for layer in range(layers):
        curve = thin(x, values[:, layer], _window(values), bins)
        label = f"layer {layer + 1}" if layers <= _NAMED_LAYERS else None
        if layers > _NAMED_LAYERS and layer == 0:
            label = f"layers 1 (dark)\nto {layers} (pale)"
        axes.plot(curve.x, curve.mean, color=to_hex(shades[layer]), linewidth=0.9, label=label if first else None)


def _draw_accuracy(axes: Axes, metrics: Metrics, trunk: tuple[Phase, ...], colour: str) -> None:
    """Of the dense network and of what the co-design makes of it, each in its own colour."""
    for stage in dict.fromkeys(phase.stage for phase in trunk):
        phases = tuple(phase for phase in trunk if phase.stage == stage)
        color = colour if stage == "codesign" else KINDS["dense"]
        _draw(axes, metrics, phases, "accuracy", (color, "-"), _STAGES.get(stage))


def _draw_controls(axes: Axes, metrics: Metrics, controls: dict[str, tuple[Phase, ...]], begin: float | None) -> None:
    """Accuracy of each control in a colour of its own, moved to the step from which it was trained."""
    for (stage, phases), dash in zip(controls.items(), _DASHES * len(controls), strict=False):
        moved = 0.0 if begin is None else float(metrics.step[phases[0].start]) - _stride(metrics) - begin
        for number, (_, x, values) in enumerate(_runs(metrics, "accuracy", phases)):
            curve = thin(x - moved, values, _window(values), 100)
            label = None if number else f"control: {_stage_words(stage)}"
            color = KINDS.get(stage, BLACK)
            axes.plot(curve.x, curve.mean, color=color, linestyle=dash, linewidth=1.4, label=label, zorder=3)


def _stage_words(stage: str) -> str:
    return _STAGES.get(stage, stage.replace("_", " "))


def _label(name: str) -> str:
    return _LABELS.get(name, name.removeprefix("loss_").replace("_", " "))


def _log_if_wide(axes: Axes) -> None:
    """Logarithmic when every drawn value is positive and they span more than a factor of 50."""
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()]
    drawn = np.concatenate([y[np.isfinite(y)] for y in lines]) if lines else np.zeros(0)
    if drawn.size and drawn.min() > 0 and drawn.max() > 50 * drawn.min():
        axes.set_yscale("log")
        axes.set_ylim(drawn.min() / 1.5, drawn.max() * 1.5)
        plain_log_ticks(axes.yaxis)


def _mark_not_finite(axes: Axes, metrics: Metrics, phases: tuple[Phase, ...], names: list[str]) -> None:
    found = [(x, values) for name in names for _, x, values in _runs(metrics, name, phases)]
    x = np.unique(np.concatenate([at[~np.isfinite(v.reshape(len(at), -1)).all(1)] for at, v in found] or [np.zeros(0)]))
    if x.size:
        axes.plot(
            x,
            np.full(x.size, 0.05),
            transform=axes.get_xaxis_transform(),
            color=VERMILLION,
            marker="x",
            linestyle="",
            label="not a number",
            zorder=4,
        )


def _shade_phases(rows: list[Axes], metrics: Metrics, trunk: tuple[Phase, ...]) -> list[Patch]:
    """A shade for each phase of the trunk, no two alike, and a line where each begins."""
    keys = list(dict.fromkeys((phase.stage, phase.name) for phase in trunk))
    colors = {key: SHADES[i % len(SHADES)] for i, key in enumerate(keys)}
    starts = [metrics.step[phase.start] for phase in trunk]
    end = metrics.step[trunk[-1].stop - 1] + _stride(metrics)
    ends = [*starts[1:], end]  # the last step has a width too, or a phase of one step is not seen
    for axes in rows:
        for phase, start, stop in zip(trunk, starts, ends, strict=True):
            axes.axvspan(start, stop, color=colors[phase.stage, phase.name], zorder=0, linewidth=0)
        for start in starts[1:]:
            axes.axvline(start, color="#9aa3b2", linewidth=0.8, zorder=1)
        axes.set_xlim(metrics.step[trunk[0].start], max(end, metrics.step[trunk[0].start] + 1e-9))
        axes.grid(axis="x", visible=False)
    return [Patch(facecolor=colors[key], edgecolor="#9aa3b2", linewidth=0.6, label=f"phase: {key[1]}") for key in keys]


def _end(values: np.ndarray) -> float:
    """Mean over the last stretch of a phase, the values that are numbers."""
    tail = values[-_window(values) :]
    tail = tail[np.isfinite(tail)]
    return float(tail.mean()) if tail.size else float("nan")


_ENDS = (
    ("loss", "loss", significant),
    ("accuracy", "accuracy (training batches)", lambda value: percent(value / 100, 0)),
    ("kept_fraction", "kept fraction", lambda value: percent(value / 100)),
    ("energy_ratio", "energy relative to dense", lambda value: percent(value / 100)),
)


def _sentences(metrics: Metrics, controls: dict[str, tuple[Phase, ...]]) -> list[str]:
    sentences = [f"{count(metrics.step.size, 'logged step')}; lines are means over 2 % of a phase, bands the range."]
    if controls:
        names = join([_stage_words(stage) for stage in controls])
        sentences.append(
            f"Controls ({names}) were trained from the same network on the same batches as the co-design, and are "
            "drawn from where it begins."
        )
    return sentences


def _table(metrics: Metrics) -> tuple[tuple[str, ...], ...]:
    """What each phase ended with, a row a phase."""
    shown = [end for end in _ENDS if end[0] in metrics.columns and metrics.columns[end[0]][1].ndim == 1]
    rows = [["phase", "steps", *(f"{what}, at its end" for _, what, _ in shown)]]
    ends = {name: {p.start: _end(v) for p, _, v in _runs(metrics, name, metrics.phases)} for name, _, _ in shown}
    for phase in metrics.phases:
        cells = [form(ends[name][phase.start]) if phase.start in ends[name] else "" for name, _, form in shown]
        named = phase.name if phase.stage in _TRUNK else f"control: {_stage_words(phase.stage)}"
        rows.append([named, f"{phase.stop - phase.start:,}", *cells])
    return tuple(tuple(row) for row in rows)


def _not_finite_sentences(metrics: Metrics) -> list[str]:
    sentences = []
    for name, (where, values) in metrics.columns.items():
        bad = ~np.isfinite(values.reshape(len(where), -1)).all(axis=1)
        if bad.any():
            at = metrics.step[where[bad]][0]
            sentences.append(
                f"'{name}' was not a number at {count(int(bad.sum()), 'step')} (first at step {at:g}): "
                "a gap in its line."
            )
    return sentences
