"""The tables of a gate on chips beside its rivals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atis_jax.report.errors import Absent
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Section, Table
from experiments.kv.figures import LABELS, aligned, with_interval

OURS = {
    "gate": "ATIS, perfect chip",
    "by_rank": "ATIS, perfect chip, by rank",
    "chips": "ATIS, thresholds set on each chip",
    "as_fabricated": "ATIS, chips as fabricated",
    "fitted": "ATIS as fitted, perfect chip",
    "twin": "its digital twin",
}
READ = {"gate": OURS["gate"], "chips": "ATIS, chips as fabricated", "twin": OURS["twin"], "random": "random"}
PARTS = {
    "reading": "Refused while the prefix is read; the {local} words from each on still see it",
    "unseen": "Refused while the prefix is read, and seen by nobody but itself",
}


def words_of(name: str) -> str:
    """What a row is called."""
    for part in PARTS:
        if name.startswith(f"{part}_"):
            return READ[name.removeprefix(f"{part}_")]
    return OURS.get(name) or LABELS[name]


def rows_of(budget: Mapping[str, Any], names: list[str]) -> tuple[tuple[str, ...], ...]:
    """A row a method: kept, loss, the share recovered, and of chips their spread."""
    heads = ("method", "kept", "loss", "added to a full cache", "recovered", "chips: deviation, worst")
    rows = []
    for name in names:
        one = budget["rows"][name]
        kept, spread = one.get("kept", budget["matched_share"]), one.get("recovered_std")
        low, high = one.get("kept_range", (None, None))
        rows.append(
            (
                words_of(name),
                f"{100 * kept:.1f} %" + ("" if low is None else f" ({100 * low:.0f} to {100 * high:.0f})"),
                f"{one['loss']:.3f}",
                with_interval(one["added"], 3),
                with_interval(one["recovered"], 2),
                "" if spread is None else f"{one['chips']}: {spread:.3f}, {one['recovered_worst']:.2f}",
            )
        )
    return (heads, *rows)


def names_of(budget: Mapping[str, Any], part: str | None) -> list[str]:
    """Rows of what is evicted after reading (None), or of one of ``PARTS``; the best first."""
    starts = tuple(f"{one}_" for one in PARTS)
    names = [name for name in budget["rows"] if name.startswith(f"{part}_" if part else starts) == bool(part)]
    return sorted(names, key=lambda name: budget["rows"][name]["loss"])


def caption_of(kv: Mapping[str, Any], budget: Mapping[str, Any], part: str | None) -> str:
    """What a table shows."""
    how = "Evicted once the prefix is read" if part is None else PARTS[part].format(local=kv["local"])
    gained = ""
    if part is None and "gained" in budget:
        gained = (
            f" {kv['distillation_steps']} steps of training gained {with_interval(budget['gained'], 3)} nats a word "
            "over the fitted gate, on the perfect chip."
        )
    return (
        f"{how}. Thresholds set on training windows to keep {100 * budget['share']:.0f} % of {kv['prefix']} words, the "
        f"first {budget['sinks']} and the last {budget['recent']} always. Rivals keep "
        f"{100 * budget['matched_share']:.1f} %, as the perfect chip does. Recovered is the share of the gap from "
        f"{LABELS[kv['worst']]} to {LABELS[kv['reference']]}, {with_interval(budget['gap'], 3)} nats a word."
        f"{gained}"
    )


def after_reading(run: RunFiles) -> Section:
    """A table for each budget."""
    kv = run.part("kv_gate")
    return Section("Evicted after reading", tuple(_table(kv, budget, None) for budget in kv["budgets"]))


def while_reading(run: RunFiles) -> Section:
    """Tables of what is refused before it is written."""
    kv = run.part("kv_gate")
    tables = [_table(kv, budget, part) for budget in kv["budgets"] for part in PARTS if names_of(budget, part)]
    if not tables:
        raise Absent("config.chips_reading is 0")
    return Section("Refused while reading", tuple(tables))


def _table(kv: Mapping[str, Any], budget: Mapping[str, Any], part: str | None) -> Table:
    name = f"kv_gate_{part or 'after'}_{round(100 * budget['share'])}"
    return Table(name, caption_of(kv, budget, part), rows_of(budget, names_of(budget, part)))


def another_text(run: RunFiles) -> Section:
    """The first budget on a text that nothing was fitted to."""
    kv = run.part("kv_gate")
    if "second" not in kv:
        raise Absent("config.second_text is None")
    return Section("Another text", (Table("kv_gate_second", caption_of_second(kv), rows_of_second(kv)),))


def caption_of_second(kv: Mapping[str, Any]) -> str:
    """What the table of the second text shows."""
    second = kv["second"]
    return (
        f"The same on {second['name']}, to which nothing was fitted, thresholds neither; a full cache loses "
        f"{second['loss_full']:.3f} nats a word there. {caption_of(kv, second['budget'], None)}"
    )


def rows_of_second(kv: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Its table."""
    budget = kv["second"]["budget"]
    return rows_of(budget, names_of(budget, None))


def printed(summary: Mapping[str, Any]) -> str:
    """The tables of a run as text."""
    kv = summary["kv_gate"]
    parts = [f"\nloss of a full cache {kv['loss_full']:.4f}"]
    for budget in kv["budgets"]:
        for part in (None, *PARTS):
            if names := names_of(budget, part):
                parts.append(f"\n{caption_of(kv, budget, part)}\n{aligned(rows_of(budget, names))}")
    if "second" in kv:
        parts.append(f"\n{caption_of_second(kv)}\n{aligned(rows_of_second(kv))}")
    return "\n".join(parts)
