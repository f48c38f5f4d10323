"""Yield: which share of chips passes, how far each lies from the perfect chip, and what makes chips differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from atis_jax.report.errors import Absent
from atis_jax.report.formatting import count, percent, points, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import ANALOG, BLACK, BLUE, GREEN, ORANGE, new_figure, panels_of


def chip_yield(run: RunFiles) -> Section:
    """The share of chips that pass with its interval, and every chip's change against its perfect chip."""
    arms = _arms(run)
    change = run.array("yield_change")
    limit = float(arms[0]["limit"])
    names = [arm_name(arm, arms) for arm in arms]
    figure = new_figure(1.5 + 0.42 * len(arms))
    shares, strips = panels_of(figure, 1, 2, sharey=True, width_ratios=[1, 1.5])
    place = np.arange(len(arms))[::-1]
    for y, arm in zip(place, arms, strict=True):
        within = arm["within"]
        shares.plot([within["low"], within["high"]], [y, y], color=ANALOG, linewidth=3, alpha=0.45)
        shares.plot(within["fraction"], y, "o", color=ANALOG, markersize=6)
    shares.axvline(0.99, color=GREEN, linestyle="--", linewidth=1.4)
    shares.set_xlim(min(0.9, min(arm["within"]["low"] for arm in arms)) - 0.02, 1.01)
    shares.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.4g} %")
    shares.set_xlabel("chips that pass")
    shares.set_yticks(place, names)
    strips.axvspan(-limit, limit, color=GREEN, alpha=0.12, linewidth=0)
    strips.axvline(0.0, color=BLACK, linewidth=0.9)
    spread = np.random.default_rng(0)
    for y, one in zip(place, change, strict=True):
        worst = one[np.arange(len(one)), np.abs(one).argmax(axis=1)]
        failing = np.abs(worst) > limit + 1e-12
        height = y + spread.uniform(-0.28, 0.28, len(worst))
        strips.plot(worst[~failing], height[~failing], ".", color=ANALOG, markersize=4, alpha=0.5)
        strips.plot(worst[failing], height[failing], "x", color=BLACK, markersize=4.5)
    strips.xaxis.set_major_formatter(lambda x, _: f"{100 * x:+.3g}".replace("-", "−"))
    strips.set_xlabel("points from the perfect chip")
    first = arms[0]
    caption = (
        f"Left: share of chips within {points(limit).lstrip('+')} of the perfect chip of their design at every "
        f"temperature, {_temperatures(run)}, on the same {count(first['examples'], 'input')}; bars are "
        "Clopper-Pearson intervals, of the draw of chips on these inputs; the dashed line is 99 %. Right: each mark is "
        "a chip at the temperature where it lies farthest from the perfect chip; crosses are chips that fail. One "
        f"input more or less is {points(first['resolution'], 3).lstrip('+')}; the sampling error of one chip's "
        f'difference is about {points(first["sampling_error"]).lstrip("+")}; "open" counts the chips whose verdict '
        "their own error could turn."
    )
    table = [("chips", "pass", "interval", "open", "mean change", "worst", "mean accuracy", "perfect chip")]
    for arm, name in zip(arms, names, strict=True):
        within = arm["within"]
        table.append(
            (
                f"{name}, {arm['chips']} chips",
                f"{within['passed']} = {percent(within['fraction'], 1)}",
                f"{percent(within['low'], 1)} to {percent(within['high'], 1)}",
                str(within.get("unresolved", "")),
                points(arm["change_mean"]),
                points(arm["change_worst"]),
                percent(arm["accuracy_mean"], 2),
                percent(arm["ideal_accuracy"], 2),
            )
        )
    picture = Picture("yield", figure, "Yield and the chips' changes of accuracy.", caption, table=tuple(table))
    return Section("Yield", (picture,))


def yield_causes(run: RunFiles) -> Section:
    """Rank correlation of kept fraction and accuracy with what fabrication gave each chip; chips one by one."""
    failing = run.table("failing")
    found = failing.get("correlations")
    if not found:
        raise Absent("too few chips, or chips that do not differ: nothing tells which fail and why")
    kept, shift = run.array("yield_chip_kept"), run.array("yield_chip_shift_v")
    change = run.array("yield_chip_change")
    labels = [f"layer {entry['layer']}, {entry['cause']}" for entry in found]
    figure = new_figure(max(4.2, 0.8 + 0.2 * len(found)))
    grid = figure.add_gridspec(2, 2, width_ratios=[1.25, 1])
    bars, moved, cost = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1])
    place = np.arange(len(found))[::-1]
    for offset, key, color, label in (
        (0.18, "kept", BLUE, "kept fraction of that layer"),
        (-0.18, "accuracy", ORANGE, "change of accuracy"),
    ):
        value = np.asarray([entry[f"rank_correlation_{key}"] for entry in found])
        ends = np.asarray([entry[f"{key}_interval"] for entry in found])
        bars.hlines(place + offset, ends[:, 0], ends[:, 1], color=color, linewidth=2.2, alpha=0.45)
        bars.plot(value, place + offset, "o", color=color, markersize=4, label=label)
    bars.axvline(0.0, color=BLACK, linewidth=0.9)
    bars.set_xlim(-1.05, 1.05)
    bars.set_yticks(place, labels)
    bars.set_xlabel("rank correlation over chips")
    figure.legend(*bars.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    layer, last = int(np.argmax(kept.std(axis=0))), kept.shape[1] - 1
    moved.plot(1e3 * shift[:, layer], 100 * kept[:, layer], ".", color=BLUE, markersize=4, alpha=0.6)
    moved.set_xlabel(f"offsets at layer {layer + 1} (mV)")
    moved.set_ylabel(f"kept after layer {layer + 1} (%)")
    cost.plot(100 * kept[:, last], 100 * change, ".", color=ORANGE, markersize=4, alpha=0.6)
    cost.axhline(0.0, color=BLACK, linewidth=0.8)
    cost.set_xlabel(f"kept after layer {last + 1} (%)")
    cost.set_ylabel("change of accuracy (points)")
    caption = (
        f"The {count(len(change), 'chip')} of the first row above, temperatures averaged. Left: rank correlation of "
        "what fabrication gave a chip with the tokens it keeps and with its change of accuracy; intervals hold for all "
        "together. "
        f"{_strongest(found, 'kept', 'The kept fraction')}; {_strongest(found, 'accuracy', 'the change of accuracy')}. "
        f"{_strongest(found, 'accuracy_of_size', 'By the size of causes alone the change of accuracy')}. "
        f"Upper right: offsets of OTAs, TIA and comparator, summed at layer {layer + 1}'s comparator, against what "
        f"that layer keeps. Lower right: the change of accuracy against the tokens kept after layer {last + 1}"
    )
    both = failing.get("kept_and_accuracy")
    if both:
        low, high = both["interval"]
        caption += (
            f", rank correlation {significant(both['rank_correlation'], 2)} ({significant(low, 2)} to "
            f"{significant(high, 2)})"
        )
    picture = Picture(
        "yield_causes",
        figure,
        "Correlations with causes, kept fraction against offset, accuracy against kept fraction.",
        caption + ".",
    )
    return Section("Which chips differ, and why", (picture,))


def _strongest(found: list[dict[str, Any]], what: str, subject: str) -> str:
    entry = max(found, key=lambda entry: abs(entry[f"rank_correlation_{what}"]))
    low, high = entry[f"{what}_interval"]
    if low <= 0 <= high:
        return f"{subject} follows no cause beyond chance"
    value = significant(entry[f"rank_correlation_{what}"], 2)
    return f"{subject} follows {entry['cause']} of layer {entry['layer']} most ({value})"


def _arms(run: RunFiles) -> list[dict[str, Any]]:
    arms = run.summary.get("yield")
    if not isinstance(arms, list) or not arms:
        raise Absent("summary.json has no 'yield'")
    return arms


def arm_name(arm: dict[str, Any], arms: list[dict[str, Any]]) -> str:
    """An arm by its calibration, and by its run where several runs are compared."""
    what = "as fabricated" if arm["calibration"] == "none" else arm["calibration"].replace("+", " + ")
    return what if len({one["run"] for one in arms}) == 1 else f"{arm['run']}: {what}"


def _temperatures(run: RunFiles) -> str:
    values = dict.fromkeys(run.array("yield_temperature_c").tolist())
    return ", ".join(f"{value:g}" for value in values) + " °C"
