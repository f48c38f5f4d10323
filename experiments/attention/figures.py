"""The figure and the tables of scores against attention: lines by layer, a colour a score, all networks alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from atis_jax.report.errors import Absent
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section, Table
from atis_jax.report.style import (
    ANALOG,
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RANDOM,
    SKY,
    layer_axis,
    new_figure,
    panels_of,
)

LABELS = {
    "random": "random",
    "token_norm": "norm of the token",
    "key_norm": "norm of the key",
    "unlike_mean": "\u2212cos(h, mean)",
    "like_cls": "h\u00b7h_CLS",
    "chosen": "best rule a layer",
    "ridge": "ridge regression",
    "learned": "ATIS, fitted",
    "selection": "ATIS, selection",
    "mean_query": "mean query, whole token",
    "extracted": "ATIS, extracted",
    "ema": "ATIS, EMA",
    "ridge_consensus": "ridge, one for all",
    "ridge_grouped": "ridge, one a group",
    "consensus": "ATIS, one for all",
    "grouped": "ATIS, one a group",
}
"""Words of each score, in the order of figures and tables."""
LINES: dict[str, tuple[Any, Any, float]] = {
    "random": (RANDOM, ":", 1.2),
    "token_norm": (GREY, "--", 1.2),
    "key_norm": (GREY, "-.", 1.2),
    "unlike_mean": (ORANGE, "-.", 1.2),
    "like_cls": (BLUE, "-", 1.4),
    "ridge": (BLACK, "-", 2.0),
    "learned": (ANALOG, "-", 2.0),
    "selection": (ANALOG, "--", 1.4),
    "mean_query": (GREEN, ":", 1.4),
    "extracted": (GREEN, "-", 1.4),
    "ema": (SKY, (0, (2, 1)), 1.4),
}
"""Colour, dash and width of each score that is drawn."""
TARGETS = {"received": "attention received", "cls_row": "attention from CLS"}
"""Words of each target."""


def lines_by_layer(networks: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A row of panels a network, a panel a target: Spearman's rho of every score in every layer.

    Args:
        networks: the part ``attention`` of a summary, by what the network is called; an empty name is not written.
    """
    figure = new_figure(2.6 * len(networks) + 0.9)
    parts = [network["targets"][target]["scores"] for network in networks.values() for target in TARGETS]
    lowest = min(min(found[name]["spearman"]) for found in parts for name in LINES)
    panels = panels_of(figure, len(networks), len(TARGETS), sharey=True)
    for panel, (network, target) in zip(panels, [(n, t) for n in networks for t in TARGETS], strict=True):
        found = networks[network]["targets"][target]["scores"]
        layers = len(found["random"]["spearman"])
        panel.axhline(0, color=BLACK, linewidth=0.7)
        for name, (color, dash, width) in LINES.items():
            panel.plot(
                range(1, layers + 1), found[name]["spearman"], color=color, linestyle=dash, linewidth=width,
                marker="o", markersize=2.2, label=LABELS[name],
            )  # fmt: skip
        layer_axis(panel, layers)
        panel.set_ylim(min(0.0, lowest) - 0.05, 1.0)
        panel.set_title(f"{network}{': ' if network else ''}{TARGETS[target]}")
    for panel in panels[:: len(TARGETS)]:
        panel.set_ylabel("Spearman's \u03c1")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, handlelength=2.0, columnspacing=1.2)
    return figure


def table_of(found: Mapping[str, Mapping[str, Any]], measure: str) -> tuple[tuple[str, ...], ...]:
    """A row a score, a column a layer, and the mean of the layers."""
    names = [name for name in LABELS if name in found]
    layers = len(found[names[0]][measure])
    rows = [
        (LABELS[name], *(signed(x) for x in (*found[name][measure], mean_of(found, name, measure)))) for name in names
    ]
    return (("score", *(str(layer) for layer in range(1, layers + 1)), "mean"), *rows)


def facts_of(attention: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Where the attention goes, layer by layer."""
    parts = {
        "received by protected tokens": attention["received_by_protected"],
        f"a row's top {100 * attention['top_keys']:.0f} % of keys": attention["concentration"],
    }
    layers = len(attention["concentration"])
    rows = [(words, *(signed(x) for x in (*found, float(np.mean(found))))) for words, found in parts.items()]
    return (("share of the attention", *(str(layer) for layer in range(1, layers + 1)), "mean"), *rows)


def mean_of(found: Mapping[str, Mapping[str, Any]], name: str, measure: str = "spearman") -> float:
    """Mean of the layers."""
    return float(np.mean(found[name][measure]))


def signed(value: float) -> str:
    """Two decimals and a proper minus sign."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\u2212")


def by_layer(run: RunFiles) -> Section:
    """The figure, and the table of each target."""
    attention, words = run.part("attention"), run.words
    sample = f"{run.table('dataset')['examples']} {run.evaluated()}"
    error = max(
        max(one["spearman_se"]) for target in TARGETS for one in attention["targets"][target]["scores"].values()
    )
    caption = (
        f"Rank correlation of each score with attention in the dense network, mean over {sample}. One standard error "
        f"is at most {error:.2f}. Protected {words.tokens} are left out. Ridge regression is what one vector a layer "
        f"reaches by least squares. It and the designs are fitted on {run.table('dataset')['fit_examples']} training "
        f"{words.units}."
    )
    picture = Picture(
        "attention_layers", lines_by_layer({"": attention}), "Lines of rank correlation by layer, one a score.", caption
    )
    tables = [
        Table(
            f"attention_{target}_{measure}",
            f"{what} with {TARGETS[target]}.",
            table_of(attention["targets"][target]["scores"], measure),
        )
        for target in TARGETS
        for measure, what in (
            ("spearman", "Spearman's rank correlation"),
            ("recall", f"Recall, {100 * attention['kept']:.0f} % kept (a random choice: {attention['kept']:.2f}),"),
        )
    ]
    return Section("Scores and attention, layer by layer", (picture, *tables))


def by_groups(run: RunFiles) -> Section:
    """One score against one a head group, each group's with the attention of its own heads."""
    attention = run.part("attention")
    if attention.get("multiplexed_apart_v") is None:
        raise Absent("config.groups is empty")
    tables = [
        Table(
            f"attention_{target}_groups{number}",
            f"{number} head groups: Spearman's rank correlation with {TARGETS[target]}, of each group's own heads, "
            "mean over groups. One array that serves the groups in turns scores alike (largest difference "
            f"{attention['multiplexed_apart_v']:.1g}\u00a0V).",
            table_of(found, "spearman"),
        )
        for target in TARGETS
        for number, found in attention["targets"][target]["groups"].items()
    ]
    return Section("Head groups", tuple(tables))


def mass(run: RunFiles) -> Section:
    """Where the attention goes."""
    caption = "Attention that tokens which are never pruned receive, and how concentrated a row is."
    return Section("Where the attention goes", (Table("attention_mass", caption, facts_of(run.part("attention"))),))


def printed(summary: Mapping[str, Any]) -> str:
    """The tables of a run as text."""
    attention = summary["attention"]
    parts = [("", facts_of(attention))]
    for target, words in TARGETS.items():
        found = attention["targets"][target]
        parts += [(f"Spearman, {words}", table_of(found["scores"], "spearman"))]
        parts += [(f"recall at {attention['kept']:g}, {words}", table_of(found["scores"], "recall"))]
        parts += [(f"Spearman, {words}, {n} groups", table_of(one, "spearman")) for n, one in found["groups"].items()]
        parts += [(f"best rule a layer, {words}", (("", *found["chosen"]),))]
    return "\n".join(f"\n{title}\n{_aligned(rows)}" for title, rows in parts)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
