"""A sequence that drifts: kept fraction, accuracy and threshold against time, for every way to run the comparator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.formatting import count, percent, si, signed_points
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, GREY, LINES, new_figure

MODES = ("fixed", "adaptive", "hysteresis", "adaptive + hysteresis", "adaptive + ema")
LABELS = {
    "fixed": "fixed threshold",
    "adaptive": "adaptive",
    "hysteresis": "hysteresis",
    "adaptive + hysteresis": "adaptive, hysteresis",
    "adaptive + ema": "adaptive, moving-average prototype",
}
BIAS_WORDS = {
    "fixed_charge": "fixed floating-gate charge",
    "constant": "constant bias current",
    "ptat": "PTAT bias current",
    "ctat": "CTAT bias current",
}
_OFF = "The last column is how far, on average over layers, the kept fraction is from the wanted one at the end."
SHIFT_WORDS = {"contrast": "contrast", "brightness": "brightness", "noise": "added noise", "steady": "no change"}


@dataclass(frozen=True)
class DriftRun:
    """The drift part of a run: the table of summary.json and the arrays that belong to it."""

    table: dict[str, Any]
    arms: list[dict[str, Any]]
    arrays: dict[str, np.ndarray]

    @property
    def tokens(self) -> int:
        """Tokens of an image."""
        return int(self.table["tokens_per_image"])

    @property
    def time(self) -> np.ndarray:
        """Middle of each window, thousands of tokens."""
        edges = self.arrays["drift_edges"].astype(float)
        return (edges[1:] + edges[:-1]) / 2 * self.tokens / 1e3

    @property
    def change(self) -> float:
        """When something began to change, thousands of tokens."""
        return float(self.table["change_image"]) * self.tokens / 1e3

    def of(self, scenario: str, bias: str | None = None) -> list[int]:
        """Numbers of a scenario's arms, in the order of ``MODES``."""
        found = [n for n, a in enumerate(self.arms) if a["scenario"] == scenario and bias in (None, a["bias"])]
        return sorted(found, key=lambda n: MODES.index(self.arms[n]["mode"]))

    @property
    def sample(self) -> str:
        """How many chips and images the numbers before and after are over."""
        before, after = int(self.table["before_images"]), int(self.table["after_images"])
        return f"{count(int(self.table['chips']), 'chip')}, {before} images before the change and {after} at the end"


def drift_run(run: RunFiles) -> DriftRun:
    """The drift part of ``run``.

    Raises:
        Absent: there is none.
        ReportError: table and arrays are of different runs.
    """
    table = run.table("drift")
    if not table:
        raise Absent(run.missing.get("summary.json", "summary.json has no 'drift'"))
    names = ("edges", "kept_target", "temperature_c", "accuracy", "unpruned", "kept", "shift_v")
    arrays = {f"drift_{name}": run.array(f"drift_{name}") for name in names}
    arms = table.get("arms") or []
    if len(arms) != len(arrays["drift_accuracy"]):
        raise ReportError(
            f"summary.json lists {len(arms)} arms of drift, but artifacts.npz has {len(arrays['drift_accuracy'])}; "
            "write both from one run"
        )
    return DriftRun(table, arms, arrays)


def temperature_ramp(run: RunFiles) -> Section:
    """A column a bias: the ramp, accuracy, and the kept fraction of the first and the last layer."""
    drift = drift_run(run)
    biases = list(dict.fromkeys(arm["bias"] for arm in drift.arms if arm["scenario"] == "ramp"))
    if not biases:
        raise Absent("no temperature ramp was run")
    groups = [(BIAS_WORDS.get(bias, bias), drift.of("ramp", bias)) for bias in biases]
    figure = _columns(drift, groups, ramp=True)
    cold, hot = (drift.arrays["drift_temperature_c"][groups[0][1][0], end] for end in (0, -1))
    caption = (
        f"From {cold:.0f} to {hot:.0f} °C. Means over {drift.sample}; dotted grey: the wanted fraction; thick grey: "
        f"the same network with nothing pruned. {_OFF}"
    )
    alt = "Temperature, accuracy and kept fraction of patches against time while the temperature ramps."
    picture = Picture("drift_temperature", figure, alt, caption, table=_before_after(drift, groups))
    return Section("Temperature ramp", (picture,))


def image_shift(run: RunFiles) -> Section:
    """A column a change of the images: accuracy, and the kept fraction of the first and the last layer."""
    drift = drift_run(run)
    shifts = [name for name in dict.fromkeys(arm["scenario"] for arm in drift.arms) if name not in ("ramp", "steady")]
    if not shifts:
        raise Absent("the images did not change in this run")
    names = [*(["steady"] if drift.of("steady") else []), *shifts]
    groups = [(_shift_title(run, name), drift.of(name)) for name in names]
    figure = _columns(drift, groups, ramp=False)
    caption = (
        f"Means over {drift.sample}; dashed vertical: the change; dotted grey: the wanted fraction; thick grey: the "
        f"same network with nothing pruned. {_OFF}"
    )
    alt = "Accuracy and kept fraction of patches against time while the images change."
    picture = Picture("drift_shift", figure, alt, caption, table=_before_after(drift, groups))
    return Section("Shift of the images", (picture,))


def threshold_motion(run: RunFiles) -> Section:
    """A panel a scenario: what the feedback has added to each layer's threshold."""
    drift = drift_run(run)
    numbers = [n for n, arm in enumerate(drift.arms) if arm["mode"] == "adaptive"]
    if not numbers:
        raise Absent("no arm had an adaptive threshold")
    columns = min(3, len(numbers))
    rows = -(-len(numbers) // columns)
    figure = new_figure(0.6 + 1.75 * rows)
    panels = list(np.ravel(figure.subplots(rows, columns, squeeze=False, sharex=True)))
    shift = 1e3 * drift.arrays["drift_shift_v"]
    for axes in panels[len(numbers) :]:
        axes.set_axis_off()
    for place, (axes, number) in enumerate(zip(panels, numbers, strict=False)):
        for layer in range(shift.shape[-1]):
            color, dash = LINES[layer % len(LINES)]
            axes.plot(drift.time, shift[number, :, layer], color=color, linestyle=dash, label=f"layer {layer + 1}")
        arm = drift.arms[number]
        axes.set_title(
            f"ramp, {arm['bias'].replace('_', ' ')}"
            if arm["scenario"] == "ramp"
            else SHIFT_WORDS.get(arm["scenario"], arm["scenario"]),
            pad=3,
            fontsize=8.8,
        )
        _mark_change(axes, drift, arm["scenario"])
        axes.locator_params(axis="both", nbins=4)
        if place % columns == 0:
            axes.set_ylabel("added (mV)")
        if place + columns >= len(numbers):
            axes.set_xlabel("time (1,000 tokens)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=6)
    largest = max((drift.arms[n] for n in numbers), key=lambda arm: arm["largest_shift_v"])
    rest = [drift.arms[n] for n in numbers if drift.arms[n]["scenario"] == "steady"]
    sentences = [
        f"What the feedback adds to the threshold, mean of {count(int(drift.table['chips']), 'chip')}. The farthest "
        f"any chip's threshold went is {si(float(largest['largest_shift_v']), 'V')} ({_arm_words(largest)})."
    ]
    if rest:
        far = si(float(rest[0]["largest_shift_v"]), "V")
        sentences.append(f"With nothing changing it moves by up to {far}, the chip's own offset included.")
    settled = [
        (SHIFT_WORDS.get(arm["scenario"], arm["scenario"]), *("not" if t is None else f"{t:,}" for t in times))
        for arm in (drift.arms[n] for n in numbers)
        if (times := arm.get("settling_tokens"))
    ]
    table: tuple[tuple[str, ...], ...] = ()
    if settled:
        sentences.append(
            f"The table is the time, in tokens, until the mean threshold stays within 10 % of its step for the next "
            f"{int(drift.table['hold_tokens']):,}; 'not' where the step is below three times the hunting or is not "
            "over."
        )
        table = (("settling, tokens", *(f"layer {n + 1}" for n in range(shift.shape[-1]))), *settled)
    alt = "Threshold shift of each layer against time."
    picture = Picture("drift_threshold", figure, alt, " ".join(sentences), table=table)
    return Section("The threshold's own motion", (picture,))


def _columns(drift: DriftRun, groups: list[tuple[str, list[int]]], ramp: bool):
    """One column a group of arms; rows: the ramp if there is one, accuracy, kept in the first and the last layer."""
    layers = drift.arrays["drift_kept"].shape[-1]
    shown = list(dict.fromkeys((0, layers - 1)))
    heights = [*([0.5] if ramp else []), 1.0, *(1.0 for _ in shown)]
    figure = new_figure(0.9 + 1.55 * sum(heights))
    grid = figure.subplots(len(heights), len(groups), squeeze=False, sharex=True, sharey="row", height_ratios=heights)
    for column, (title, numbers) in enumerate(groups):
        cells: list[Axes] = list(grid[:, column])
        cells[0].set_title(title, fontsize=8.8)
        if ramp:
            axes = cells.pop(0)
            axes.plot(drift.time, drift.arrays["drift_temperature_c"][numbers[0]], color=BLACK)
            axes.set_ylabel("°C" if column == 0 else "")
        unpruned = drift.arrays["drift_unpruned"][numbers[0]]
        cells[0].plot(drift.time, unpruned, color="#b9bec7", linewidth=4, label="nothing pruned", zorder=1)
        for axes in cells:
            _mark_change(axes, drift, drift.arms[numbers[0]]["scenario"])
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        for number in numbers:
            mode = drift.arms[number]["mode"]
            color, dash = LINES[MODES.index(mode)]
            cells[0].plot(
                drift.time, drift.arrays["drift_accuracy"][number], color=color, linestyle=dash, label=LABELS[mode]
            )
            for axes, layer in zip(cells[1:], shown, strict=True):
                axes.plot(drift.time, drift.arrays["drift_kept"][number, :, layer], color=color, linestyle=dash)
        for axes, layer in zip(cells[1:], shown, strict=True):
            axes.axhline(drift.arrays["drift_kept_target"][layer], color=GREY, linestyle=":", linewidth=1.4)
            if column == 0:
                axes.set_ylabel(f"kept, layer {layer + 1}")
        if column == 0:
            cells[0].set_ylabel("accuracy")
        cells[-1].set_xlabel("time (1,000 tokens)")
    handles: dict[str, Any] = {}
    for axes in grid[1 if ramp else 0]:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=3)
    return figure


def _mark_change(axes: Axes, drift: DriftRun, scenario: str) -> None:
    """The moment of the change, where there is one."""
    if scenario not in ("ramp", "steady"):
        axes.axvline(drift.change, color=BLACK, linestyle="--", linewidth=0.9, zorder=0)


def _before_after(drift: DriftRun, groups: list[tuple[str, list[int]]]) -> tuple[tuple[str, ...], ...]:
    """Accuracy before the change and at the end, and how far the kept fraction is off, of each arm and unpruned."""
    rows: list[tuple[str, ...]] = [("", "comparator", "before", "at the end", "points", "kept off by, points")]
    for title, numbers in groups:
        arms = [drift.arms[n] for n in numbers]
        found: list[tuple[str, ...]] = []
        unpruned = (drift.table.get("unpruned") or {}).get(arms[0]["scenario"])
        if unpruned:
            found.append(("nothing pruned", *_accuracies(unpruned["before"], unpruned["after"]), ""))
        for arm in arms:
            accuracies = _accuracies(arm["accuracy_before"], arm["accuracy_after"])
            found.append((LABELS[arm["mode"]], *accuracies, f"{100 * float(arm['kept_error_after']):.1f}"))
        rows += [(title if place == 0 else "", *row) for place, row in enumerate(found)]
    return tuple(rows)


def _accuracies(before: float, after: float) -> tuple[str, str, str]:
    return percent(before), percent(after), signed_points(after - before, 1)


def _shift_title(run: RunFiles, name: str) -> str:
    """The change in words, with its size."""
    size = run.config.get(name)
    if isinstance(size, int | float) and not isinstance(size, bool):
        return {"contrast": f"contrast times {size:g}", "brightness": f"brightness {size:+g}"}.get(
            name, f"noise of {size:g} added"
        )
    return SHIFT_WORDS.get(name, name)


def _arm_words(arm: dict[str, Any]) -> str:
    if arm["scenario"] == "ramp":
        return f"temperature ramp, {BIAS_WORDS.get(arm['bias'], arm['bias'])}"
    return SHIFT_WORDS.get(arm["scenario"], arm["scenario"])
