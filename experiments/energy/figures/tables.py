"""Tables that need no figure: latency, published counts, figures of others, larger models, the paper's numbers."""

from __future__ import annotations

import re
from typing import Any

from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.formatting import count, percent, si, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Section, Table
from experiments.energy.comparisons import number_at, positive_at, table_at
from experiments.energy.plain_words import NAMES, network_name

UNLIMITED = 1e300
"""What a summary writes for infinity, which JSON does not have."""


def latency(run: RunFiles) -> Section:
    """How long a token takes in each design, and which of the roadmap's targets that meets."""
    entries = _entries(run, "targets")
    columns = ("design", "conversion", "settling", "one token", "tokens a second", "core", "usable")
    times: list[tuple[str, ...]] = []
    heads: dict[str, str] = {}
    met: list[tuple[str, dict[str, str]]] = []
    for where, entry in entries:
        design = _design(entry)
        joined = [si(number_at(entry, name, where), "s") for name in ("conversion_s", "settling_s", "token_s")]
        rate, core = number_at(entry, "rate_hz", where), si(number_at(entry, "core_w", where), "W")
        usable = "yes" if entry.get("settled") else "no: not settled in its time"
        times.append((design, *joined, _many(rate), core, usable))
        cells = {}
        for number, target in enumerate(entry.get("targets") or ()):
            at = f"{where}.targets[{number}]"
            target = table_at(target, at)
            name, value = (
                str(target.get("name", at)),
                _quantity(number_at(target, "value", at), str(target.get("unit", ""))),
            )
            heads.setdefault(name, f"{name}: {_bounds(target, at)}")
            cells[name] = f"{'met' if target.get('met') else 'not met'} ({value})"
        met.append((design, cells))
    unusable = [row[0] for row in times if row[-1] != "yes"]
    first = Table(
        "latency",
        "How long one token takes in one layer: its numbers are converted to voltages, then the array's currents have "
        "to settle. Core: power of the array's currents while it is on. A design whose currents have not settled "
        "within the time a token is given is not usable, whatever it saves: "
        + (f"here that is {', '.join(unusable)}." if unusable else "here every design settles."),
        (columns, *times),
    )
    second = Table(
        "targets",
        "Targets of the paper's roadmap (sections 6.2 and 6.3) for its prototypes: phase 2 is the smaller chip, phase "
        "3 the larger. In brackets the design's own value.",
        (("design", *heads.values()), *((design, *(cells.get(name, "") for name in heads)) for design, cells in met)),
    )
    return Section("How fast, and the roadmap's targets", (first, second) if heads else (first,))


def _design(entry: dict[str, Any]) -> str:
    """A design's name with its size, unless the name already has it."""
    name = NAMES.get(str(entry.get("design")), str(entry.get("design", "")))
    inputs, bits = entry.get("inputs"), entry.get("bits")
    if not isinstance(inputs, int) or not isinstance(bits, int) or "inputs" in name:
        return name
    return f"{name} ({count(inputs, 'input')}, {count(bits, 'bit')})"


def _bounds(target: dict[str, Any], where: str) -> str:
    unit = str(target.get("unit", ""))
    low, high = (
        None if target.get(end) is None else _quantity(number_at(target, end, where), unit) for end in ("low", "high")
    )
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at least {low}" if low is not None else f"at most {high}" if high is not None else "no bound"


def operation_counts(run: RunFiles) -> Section:
    """Our count of each network beside a published one, and what pruning leaves of it."""
    heads = ("network", "counted here", "published", "difference", "left, falling", "left, uniform", "published by")
    rows, differences = [], []
    for where, entry in _entries(run, "networks"):
        ours, theirs = positive_at(entry, "macs", where), positive_at(entry, "published", where)
        left = table_at(entry.get("left") or {}, f"{where}.left")
        cells = [
            percent(number_at(left, name, f"{where}.left")) if name in left else "" for name in ("falling", "uniform")
        ]
        differences.append(abs(ours / theirs - 1.0))
        rows.append(
            (
                network_name(str(entry.get("name", where))),
                f"{significant(ours / 1e9)} G",
                f"{significant(theirs / 1e9)} G",
                f"{100 * (ours / theirs - 1.0):+.2f} %".replace("-", "\u2212"),
                *cells,
                _breakable(str(entry.get("source", ""))),
            )
        )
    caption = (
        "Multiply-accumulates of one pass (one multiplication and one addition; G is a thousand million), as this "
        f"ledger counts them and as others published them; the largest difference is {percent(max(differences), 2)}. "
        "Left: what remains when 70 % of the tokens are dropped in the last layer, either evenly in logarithm from "
        "layer to layer (falling) or as many in every layer (uniform)."
    )
    return Section("Operation counts beside published ones", (Table("operation_counts", caption, (heads, *rows)),))


def outside_figures(run: RunFiles) -> Section:
    """Our figures beside those of others."""
    heads = ("quantity", "ours", "theirs", "ours / theirs", "evidence, node and source of theirs")
    rows, ratios = [], []
    for where, entry in _entries(run, "outside"):
        unit = str(entry.get("unit", ""))
        ours, theirs = (si(positive_at(entry, name, where), unit) for name in ("ours", "theirs"))
        ratios.append(positive_at(entry, "ratio", where))
        node = entry.get("node_nm")
        rows.append(
            (
                str(entry.get("quantity", where)),
                f"{ours} ({_breakable(str(entry.get('how', '')))})",
                f"{theirs} ({entry.get('name', '')})",
                significant(ratios[-1]),
                f"{entry.get('evidence', '')}, {'node not given' if node is None else f'{node} nm'}: "
                + _breakable(str(entry.get("source", ""))),
            )
        )
    near = sum(0.1 <= ratio <= 10 for ratio in ratios)
    caption = (
        "What this ledger charges beside what others measured or modelled for something alike. The node is the "
        "smallest feature of the chip's process: a smaller one usually takes less. "
        f"{near} of {len(ratios)} are within ten times of each other; ours run from {significant(min(ratios))} to "
        f"{significant(max(ratios))} times theirs. MAC: one multiplication and one addition. DAC, ADC: converters from "
        "numbers to voltages and back; TIA: the amplifier that reads the sum of currents."
    )
    return Section("Figures of others beside ours", (Table("outside_figures", caption, (heads, *rows)),))


def model_sizes(run: RunFiles) -> Section:
    """Models of the network node, by the memory of their weights."""
    heads = ("weights", "dense", "pruned", "saved", "reading weights, of dense", "mean power dense", "pruned")
    rows, saved = [], []
    for where, entry in _entries(run, "models"):
        dense, pruned = positive_at(entry, "dense_j", where), number_at(entry, "pruned_j", where)
        saved.append(1.0 - pruned / dense)
        rows.append(
            (
                f"{significant(positive_at(entry, 'gigabytes', where))} GB",
                si(dense, "J"),
                si(pruned, "J"),
                percent(saved[-1]),
                percent(number_at(entry, "weights_j", where) / dense),
                si(number_at(entry, "dense_w", where), "W"),
                si(number_at(entry, "pruned_w", where), "W"),
            )
        )
    low, high = (percent(f(saved)) for f in (min, max))
    caption = (
        "The network node with larger transformers, one pass at a time, pruned by the co-designed circuit. Pruning "
        f"saves {low if low == high else f'{low} to {high}'}; it cannot save the reading of the weights, which are "
        "fetched whole for every pass."
    )
    return Section("Larger models on the node", (Table("model_sizes", caption, (heads, *rows)),))


def paper_numbers(run: RunFiles) -> Section:
    """The paper's numbers, as printed and as computed."""
    heads = ("section", "quantity", "printed", "computed", "verdict", "why it differs")
    rows = []
    for where, entry in _entries(run, "paper"):
        printed = entry.get("printed")
        if not isinstance(printed, list) or not printed:
            raise ReportError(f"summary.json: '{where}.printed' must be a list of numbers, found {printed!r}")
        unit = str(entry.get("unit", ""))
        shown = " to ".join(_quantity(number_at({"printed": value}, "printed", where), unit) for value in printed)
        rows.append(
            (
                str(entry.get("section", "")),
                str(entry.get("quantity", where)),
                f"below {shown}" if entry.get("upper_bound") else shown,
                _quantity(number_at(entry, "computed", where), unit),
                str(entry.get("verdict", "")) + (", arithmetic" if entry.get("arithmetic") else ""),
                str(entry.get("discrepancy") or ""),
            )
        )
    found = [str(entry.get("verdict", "")) for _, entry in _entries(run, "paper")]
    caption = (
        f"Of {count(len(rows), 'number')} in the paper {found.count('as printed')} come out as printed, "
        f"{found.count('discrepancy')} come out different for a reason that is given, and {found.count('OFF')} are off "
        "without one. Arithmetic: from the paper's own numbers alone; the rest is worked out with the ledger. OTA: one "
        "amplifier of the analog array, which multiplies one input; A: the paper's appendix."
    )
    return Section("The paper's numbers, computed again", (Table("paper_numbers", caption, (heads, *rows)),))


def _entries(run: RunFiles, name: str) -> list[tuple[str, dict[str, Any]]]:
    entries = run.summary.get(name)
    if not entries:
        raise Absent(run.missing.get("summary.json", f"summary.json has no '{name}'"))
    if not isinstance(entries, list):
        raise ReportError(f"summary.json: '{name}' must be a list, found {entries!r}")
    return [(f"{name}[{i}]", table_at(entry, f"{name}[{i}]")) for i, entry in enumerate(entries)]


def _quantity(value: float, unit: str) -> str:
    if value >= UNLIMITED:
        return "unlimited"
    if unit in ("J", "W", "s", "B", "Hz"):
        return si(value, unit)
    return f"{value:,.0f}" if value == round(value) else significant(value)


def _many(value: float) -> str:
    return f"{significant(value / 1e6)} million" if value >= 1e6 else f"{value:,.0f}"


def _breakable(text: str) -> str:
    """Places where a path may break: a table is no wider than the page for one long word."""
    return re.sub(r"(?<=\w)([/_.])(?=\w)", "\\1\u200b", text)
