"""The page of a network pruned without training: accuracy by tokens removed, and how scores rank them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from atis_jax.formatting import sampling_error
from atis_jax.report.charts import Dot, dots
from atis_jax.report.contents import Contents, Entry
from atis_jax.report.run_files import Arrays, RunFiles
from atis_jax.report.section import Number, Picture, Section, Strip, Table
from atis_jax.report.style import (
    ANALOG,
    BLACK,
    BLUE,
    DENSE,
    GREEN,
    GREY,
    ORANGE,
    RANDOM,
    SKY,
    new_figure,
    panels_of,
)
from experiments.attention.figures import TARGETS, signed
from experiments.zero_shot.arms import ARMS

LOOKS: dict[str, tuple[str, Any, str, float]] = {
    "onward": (ANALOG, "-", "o", 2.4),
    "analog": (ANALOG, "--", "o", 1.2),
    "chips": (ANALOG, (0, (1, 1)), "o", 1.2),
    "cls": (ORANGE, "-", "s", 1.2),
    "cls_onward": (ORANGE, "--", "s", 1.2),
    "votes": (ORANGE, ":", "s", 1.2),
    "selection": (ANALOG, ":", "o", 1.2),
    "linear": (BLACK, ":", "s", 1.2),
    "attention_received": (GREEN, "-", "^", 1.6),
    "spatten": (GREEN, "--", "v", 1.2),
    "evit": (BLUE, "-", "D", 1.6),
    "zerotprune": (BLUE, "--", "d", 1.2),
    "tome": (SKY, "-", "P", 1.6),
    "norm": (GREY, "-", "*", 1.2),
    "position": (GREY, ":", "x", 1.2),
    "random": (RANDOM, "-", "x", 1.6),
}
"""Colour, dash, mark and width of each arm."""


def curves(axes: Axes, summary: Mapping[str, Any]) -> None:
    """Accuracy over the share of the tokens removed, a line an arm, from the untouched network on."""
    dense = 100 * summary["accuracy"]["dense"]
    arms = summary["zero_shot"]["arms"]
    for name in (name for name in LOOKS if name in arms):
        found, (color, dash, mark, width) = arms[name], LOOKS[name]
        points = [(100 * one["pruned"], 100 * one["accuracy"]) for one in found["shares"].values()]
        x, y = np.array([(0.0, dense), *points]).T
        axes.plot(x, y, color=color, linestyle=dash, marker=mark, markersize=4, linewidth=width, label=ARMS[name].words)
    axes.axhline(dense, color=DENSE, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_xlim(left=0.0)
    axes.set_xlabel("tokens removed, mean of layers, %")


def side_by_side(summaries: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A panel a network; an empty name is not written."""
    figure = new_figure(3.7)
    panels = panels_of(figure, 1, len(summaries))
    for axes, (name, summary) in zip(panels, summaries.items(), strict=True):
        curves(axes, summary)
        axes.set_title(name)
    panels[0].set_ylabel("accuracy, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def table_of(summary: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """A row an arm and share."""
    rows = [("removed, wanted", "", "removed", "operations", "accuracy", "less dense, points", "less ATIS, points")]
    examples = summary["dataset"]["examples"]
    arms = summary["zero_shot"]["arms"]
    for share in next(iter(arms.values()))["shares"]:
        for found in arms.values():
            one = found["shares"][share]
            error = sampling_error(one["accuracy"], examples)
            rows.append(
                (
                    f"{100 * float(share):.0f} %",
                    found["words"],
                    f"{100 * one['pruned']:.0f} %",
                    f"{100 * one['operations']:.0f} %",
                    f"{100 * one['accuracy']:.1f} ± {100 * error:.1f} %",
                    points(one["less"].get("dense")),
                    points(one["less"].get("analog")),
                )
            )
    return tuple(rows)


def points(less: Mapping[str, float] | None) -> str:
    """A difference and half of its interval, in points."""
    if less is None:
        return ""
    return f"{100 * less['mean']:+.1f} ± {50 * (less['high'] - less['low']):.1f}".replace("-", "\u2212")


def ranking_of(summary: Mapping[str, Any], target: str) -> tuple[tuple[str, ...], ...]:
    """A row a score: rank correlation in every layer and their mean, and recall at each share kept."""
    arms = {name: one for name, one in summary["zero_shot"]["arms"].items() if "agreement" in one}
    first = next(iter(arms.values()))["agreement"][target]
    layers = [str(layer + 1) for layer in range(len(first["spearman"]))]
    shares = [f"recall, {100 * float(share):.0f} % kept" for share in first["recall"]]
    rows = [("score", *layers, "mean", *shares)]
    for one in arms.values():
        found = one["agreement"][target]
        recall = (float(np.mean(each)) for each in found["recall"].values())
        rows.append(
            (
                one["words"],
                *map(signed, found["spearman"]),
                signed(float(np.mean(found["spearman"]))),
                *map(signed, recall),
            )
        )
    return tuple(rows)


def printed(summary: Mapping[str, Any]) -> str:
    """The tables as text."""
    tables = [table_of(summary)]
    if any("agreement" in one for one in summary["zero_shot"]["arms"].values()):
        tables += [ranking_of(summary, target) for target in TARGETS]
    return "\n\n".join(aligned(table) for table in tables)


def aligned(rows: tuple[tuple[str, ...], ...]) -> str:
    """Columns of equal width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def strip(run: RunFiles) -> Strip:
    """Every arm at the middle share."""
    summary = run.summary
    arms, dense = summary["zero_shot"]["arms"], summary["accuracy"]["dense"]
    shares = list(next(iter(arms.values()))["shares"])
    share = shares[len(shares) // 2]
    best = max(arms, key=lambda name: arms[name]["shares"][share]["accuracy"])
    examples = summary["dataset"]["examples"]
    rows = []
    for name, found in arms.items():
        accuracy = 100 * found["shares"][share]["accuracy"]
        half = 196 * sampling_error(accuracy / 100, examples)
        rows.append(
            Dot(found["words"], accuracy, f"{accuracy:.1f} %", LOOKS[name][0], (accuracy - half, accuracy + half))
        )
    sentence = (
        f"The network reaches {100 * dense:.1f} % with every token. With {100 * float(share):.0f} % of them removed, "
        f"mean of layers, and no training for it, the best is {arms[best]['words']} with "
        f"{100 * arms[best]['shares'][share]['accuracy']:.1f} %."
    )
    picture = Picture(
        "strip_zero_shot",
        dots(rows, "accuracy, %"),
        "Dots of accuracy, one a way to choose tokens.",
        f"{examples} {run.evaluated()}; 95 % intervals. The same share removed by each.",
    )
    return Strip(sentence, (picture,), (Number(f"{100 * dense:.1f} %", "with every token"),))


def by_share(run: RunFiles) -> Section:
    """The curves and their table."""
    summary = run.summary
    caption = (
        f"Accuracy of the untouched network on {summary['dataset']['examples']} {run.evaluated()}. Each layer keeps "
        f"the same part of what reaches it. Prototypes and thresholds are fitted to "
        f"{summary['zero_shot']['fit_examples']} training {run.words.units}; ATIS is on a chip without errors but "
        f"where {summary['zero_shot']['chips']} chips are named. Operations are multiply-accumulates over the dense "
        "network's, the method's own among them."
    )
    alt = "Lines of accuracy over the share of the tokens removed, one a way to choose them."
    return Section(
        "Tokens removed, nothing trained",
        (Picture("zero_shot_curves", side_by_side({"": summary}), alt, caption, table=table_of(summary)),),
    )


def ranking(run: RunFiles) -> Section:
    """How the scores rank the tokens of the dense network."""
    summary = run.summary
    return Section(
        "Scores and attention",
        tuple(
            Table(
                f"zero_shot_{target}",
                f"Spearman's rank correlation of each score with {words}, layer by layer, in the dense network; and "
                f"recall of what {words} would keep, mean of layers.",
                ranking_of(summary, target),
            )
            for target, words in TARGETS.items()
        ),
    )


ZERO_SHOT = Contents(
    strip=strip,
    strip_figures=("strip_zero_shot",),
    sections=(
        Entry("Tokens removed, nothing trained", ("zero_shot_curves",), by_share),
        Entry("Scores and attention", (), ranking),
    ),
    arrays=Arrays(),
)
