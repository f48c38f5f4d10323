"""Yield: which share of chips passes, how far each lies from the perfect chip, and what makes chips differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from atis_jax.report.errors import Absent
from atis_jax.report.formatting import count, percent, points, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, BLUE, GREEN, ORANGE, VERMILLION, new_figure, panels_of


def chip_yield(run: RunFiles) -> Section:
    """The share of chips that pass with its interval, and every chip's change against its perfect chip."""
    arms = _arms(run)
    change = run.array("yield_change")
    limit = float(arms[0]["limit"])
    names = [_name(arm, arms) for arm in arms]
    figure = new_figure(1.5 + 0.42 * len(arms))
    shares, strips = panels_of(figure, 1, 2, sharey=True, width_ratios=[1, 1.5])
    place = np.arange(len(arms))[::-1]
    for y, arm in zip(place, arms, strict=True):
        within = arm["within"]
        shares.plot([within["low"], within["high"]], [y, y], color=BLUE, linewidth=3, alpha=0.45)
        shares.plot(within["fraction"], y, "o", color=BLUE, markersize=6)
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
        strips.plot(worst[~failing], height[~failing], ".", color=BLUE, markersize=4, alpha=0.5)
        strips.plot(worst[failing], height[failing], "x", color=VERMILLION, markersize=4.5)
    strips.xaxis.set_major_formatter(lambda x, _: f"{100 * x:+.3g}".replace("-", "−"))
    strips.set_xlabel("points from the perfect chip")
    first = arms[0]
    caption = (
        f"Left: share of chips within {points(limit).lstrip('+')} of the perfect chip of their own design at every "
        f"temperature, {_temperatures(run)}, on the same {count(first['examples'], 'input')}; bars are "
        f"Clopper-Pearson intervals, the dashed line is 99 %. Right: each mark is a chip at the temperature where it "
        f"lies farthest from the perfect chip; crosses are chips that fail. One input more or less is "
        f"{points(first['resolution'], 3).lstrip('+')}; the sampling error of one chip's difference is about "
        f'{points(first["sampling_error"]).lstrip("+")}; "open" counts the chips whose verdict their own error could '
        "turn."
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
    """Rank correlation of accuracy and kept fraction with what fabrication gave each chip."""
    found = run.table("failing").get("correlations")
    if not found:
        raise Absent("too few chips to tell which fail and why")
    kept, shift = run.array("yield_chip_kept"), run.array("yield_chip_shift_v")
    change = run.array("yield_chip_change")
    labels = [f"layer {entry['layer']}, {entry['cause']}" for entry in found]
    figure = new_figure(0.8 + 0.2 * len(found))
    bars, scatter = panels_of(figure, 1, 2, width_ratios=[1.25, 1])
    place = np.arange(len(found))[::-1]
    for offset, key, interval, color, label in (
        (0.18, "rank_correlation_kept", "kept_interval", BLUE, "kept fraction of that layer"),
        (-0.18, "rank_correlation_accuracy", "accuracy_interval", ORANGE, "change of accuracy (size of the cause)"),
    ):
        value = np.asarray([entry[key] for entry in found])
        ends = np.asarray([entry[interval] for entry in found])
        bars.hlines(place + offset, ends[:, 0], ends[:, 1], color=color, linewidth=2.2, alpha=0.45)
        bars.plot(value, place + offset, "o", color=color, markersize=4, label=label)
    bars.axvline(0.0, color=BLACK, linewidth=0.9)
    bars.set_xlim(-1.05, 1.05)
    bars.set_yticks(place, labels)
    bars.set_xlabel("rank correlation over chips")
    figure.legend(*bars.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    layer = int(np.argmax(kept.std(axis=0)))
    scatter.plot(1e3 * shift[:, layer], kept[:, layer], ".", color=BLUE, markersize=4, alpha=0.6)
    scatter.set_xlabel(f"offsets at layer {layer + 1} (mV)")
    scatter.set_ylabel(f"kept after layer {layer + 1}")
    scatter.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.0f} %")
    strongest = max(found, key=lambda entry: abs(entry["rank_correlation_kept"]))
    hardest = max(found, key=lambda entry: abs(entry["rank_correlation_accuracy"]))
    follows, costs = strongest["cause"], hardest["cause"]
    caption = (
        f"Over the {count(len(change), 'chip')} of the first row above. Left: rank correlation of what fabrication "
        "gave a chip with the tokens it keeps and with its change of accuracy, with intervals. The kept fraction "
        f"follows {follows} of layer {strongest['layer']} most "
        f"({significant(strongest['rank_correlation_kept'], 2)}), the change of accuracy {costs} of layer "
        f"{hardest['layer']} ({significant(hardest['rank_correlation_accuracy'], 2)}). Right: offsets of OTAs, TIA "
        f"and comparator, summed at layer {layer + 1}'s comparator, against what that layer keeps."
    )
    picture = Picture("yield_causes", figure, "Correlations with causes, and kept fraction against offset.", caption)
    return Section("Which chips differ, and why", (picture,))


def _arms(run: RunFiles) -> list[dict[str, Any]]:
    arms = run.summary.get("yield")
    if not isinstance(arms, list) or not arms:
        raise Absent("summary.json has no 'yield'")
    return arms


def _name(arm: dict[str, Any], arms: list[dict[str, Any]]) -> str:
    what = "as fabricated" if arm["calibration"] == "none" else arm["calibration"].replace("+", " + ")
    return what if len({one["run"] for one in arms}) == 1 else f"{arm['run']}: {what}"


def _temperatures(run: RunFiles) -> str:
    values = run.array("yield_temperature_c")
    return ", ".join(f"{value:g}" for value in values) + " °C"
