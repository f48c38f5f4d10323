"""The figure and the tables of policies by budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from atis_jax.report.errors import Absent
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section, Table
from atis_jax.report.style import BLACK, LINES, RANDOM, new_figure

LABELS = {
    "random": "random",
    "streaming": "sinks and recent",
    "h2o": "H2O",
    "h2o_aged": "H2O, mean of rows",
    "h2o_layer": "H2O, one a layer",
    "a2sf": "A2SF",
    "tova": "TOVA",
    "snapkv": "SnapKV",
    "snapkv_unpooled": "SnapKV, not pooled",
    "key_norm": "key norm",
    "keydiff": "KeyDiff, keys",
    "keydiff_hidden": "KeyDiff, hidden state",
    "q_filters": "Q-Filters",
    "token_table": "table by token",
    "linear": "linear, one a layer",
    "linear_heads": "linear, one a head",
    "two_layer": "two layers, one a layer",
    "two_layer_heads": "two layers, one a head",
    "oracle": "oracle, one a head",
    "oracle_layer": "oracle, one a layer",
}
"""Words of each policy, in the order of figures and tables."""
MARKERS = "os^D"
"""One a round of the colours."""


GATED = {
    "thresholds": "The prefix is read in full, then what lies below the thresholds is evicted.",
    "refused": "A refused word is seen by nobody but itself, already while the prefix is read.",
}
"""What thresholds do, by the part of a budget's summary."""


def rows_of(budget: Mapping[str, Any], part: str = "policies") -> tuple[tuple[str, ...], ...]:
    """A row a policy of one budget: loss, what is added to a full cache's, the share recovered."""
    heads: tuple[str, ...] = ("policy", "loss", "added to a full cache", "recovered")
    heads += ("kept", "kept, windows") if part != "policies" else ()
    rows = []
    for name in (name for name in LABELS if name in budget[part]):
        one = budget[part][name]
        row: tuple[str, ...] = (
            LABELS[name],
            f"{one['loss']:.3f}",
            with_interval(one["added"], 3),
            with_interval(one["recovered"], 2),
        )
        if part != "policies":
            low, high = one["kept_range"]
            row += (f"{100 * one['kept']:.1f} %", f"{100 * low:.0f} to {100 * high:.0f} %")
        rows.append(row)
    return (heads, *rows)


def loss_by_budget(kv: Mapping[str, Any]) -> Figure:
    """What eviction adds to the loss, a line a policy, against what is kept; bars are intervals."""
    figure = new_figure(3.6)
    axes = figure.subplots()
    names = [name for name in LABELS if name in kv["budgets"][0]["policies"]]
    order = np.argsort([one["share"] for one in kv["budgets"]])
    budgets = [kv["budgets"][index] for index in order]
    place, spread = np.arange(len(budgets)), 0.7 / len(names)
    looks = [look for look in LINES if look[0] != RANDOM]
    for number, name in enumerate(names):
        added = [one["policies"][name]["added"] for one in budgets]
        value = np.array([one["value"] for one in added])
        ends = np.array([one["interval"] for one in added]).T
        color, dash = looks[number % len(looks)]
        axes.errorbar(
            place + spread * (number - (len(names) - 1) / 2),
            value,
            np.abs(ends - value),
            color=RANDOM if name == "random" else color,
            linestyle=dash if len(budgets) > 1 else "",
            linewidth=1.4,
            marker=MARKERS[number // len(looks) % len(MARKERS)],
            markersize=4,
            elinewidth=0.8,
            label=LABELS[name],
        )
    axes.axhline(0, color=BLACK, linewidth=0.7)
    axes.set_xticks(place, [f"{100 * one['share']:.0f}" for one in budgets])
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("kept of the prefix, %; side by side at each budget")
    axes.set_ylabel("added to the loss, nats a word")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    return figure


def by_budget(run: RunFiles) -> Section:
    """The figure, and a table for each budget."""
    kv, sample = run.part("kv"), f"{run.table('dataset')['examples']} {run.evaluated()}"
    caption = (
        f"What eviction adds to the loss of the words behind the first {kv['prefix']}, over {sample}. A full cache has "
        f"{kv['loss_full']:.3f} nats a word. Lower is better. Bars are 95 % by bootstrap over windows."
    )
    picture = Picture("kv_loss", loss_by_budget(kv), "Lines of added loss by budget, one a policy.", caption)
    tables = [
        Table(
            f"kv_{round(100 * budget['share'])}",
            f"{budget['kept_words']} of {kv['prefix']} words kept, the first {budget['sinks']} and the last "
            f"{budget['recent']} always. Recovered is the share of the gap from {LABELS[kv['worst']]} to "
            f"{LABELS[kv['reference']]}, {with_interval(budget['gap'], 3)} nats a word.",
            rows_of(budget),
        )
        for budget in kv["budgets"]
    ]
    return Section("Loss against budget", (picture, *tables))


def by_threshold(run: RunFiles) -> Section:
    """Static policies by thresholds."""
    kv = run.part("kv")
    if not any(budget["refused"] for budget in kv["budgets"]):
        raise Absent("config.gated is empty")
    tables = [
        Table(
            f"kv_{part}_{round(100 * budget['share'])}",
            f"Thresholds set on training windows to keep {100 * budget['share']:.0f} %. {words}",
            rows_of(budget, part),
        )
        for budget in kv["budgets"]
        for part, words in GATED.items()
    ]
    return Section("Thresholds", tuple(tables))


def printed(summary: Mapping[str, Any]) -> str:
    """The tables of a run as text."""
    kv = summary["kv"]
    parts = [f"\nloss of a full cache {kv['loss_full']:.4f}"]
    for budget in kv["budgets"]:
        parts.append(
            f"\n{100 * budget['share']:.0f} % kept; gap from {LABELS[kv['worst']]} to {LABELS[kv['reference']]} "
            f"{with_interval(budget['gap'], 3)}\n{aligned(rows_of(budget))}"
        )
        parts += [f"{words}\n{aligned(rows_of(budget, part))}" for part, words in GATED.items() if budget[part]]
    return "\n".join(parts)


def with_interval(found: Mapping[str, Any], digits: int) -> str:
    """A value and the ends of its interval."""
    value, low, high = (round(float(one), digits) + 0.0 for one in (found["value"], *found["interval"]))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]".replace("-", "\u2212")


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of a table in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
