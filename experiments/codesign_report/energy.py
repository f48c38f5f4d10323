"""The energy ledger: a waterfall of the whole network, and the scorer's small parts on a log scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from atis_jax.report.circuits import CIRCUITS, name_of
from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.formatting import join, percent, si, si_scale, significant
from atis_jax.report.run_files import RunFiles, kind_of
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import ANALOG, BLACK, DENSE, DIGITAL, GREY, new_figure, plain_log_ticks

NETWORK_PARTS = {
    "sensor_read": "camera: read-out",
    "sensor_adc": "camera: ADC",
    "sensor_link": "camera: link",
    "embedding": "embedding, head",
    "normalisation": "normalisation",
    "attention": "attention",
    "pairs": "attention's circuit",
    "mlp": "MLP",
    "exponentials": "softmax, GELU",
    "activations": "memory: tokens",
    "weights": "memory: weights",
    "cache": "memory: key-value cache",
    "uplink": "sending the result",
}
SCORER_PARTS = {
    "scorer_memory": "memory: what the scorer reads",
    "projection": "projection",
    "score": "digital product",
    "scorer_exponentials": "exponentials, roots",
    "dac": "DACs",
    "ota": "OTA array",
    "tia": "TIA",
    "comparator": "comparator",
    "reference": "threshold reference",
    "switching": "prototype switching",
    "programming": "floating-gate programming",
}
_DENSE = "dense, no scorer"
# summary.json's field, label in the figure, words in the sentence. Each is a total of a whole network.
_REFERENCES = (
    ("digital_j", "digital scorer", "with the same score in digital"),
    ("digital_folded_j", "folded digital", "with the folded digital score"),
    ("dense_j", _DENSE, "the dense network"),
)
_NETWORK = "#b9c5d1"


@dataclass(frozen=True)
class EnergyNumbers:
    """Joules per example, by label.

    Attributes:
        network: parts that are not the scorer's, also ones this page has no words for.
        scorer: the scorer's parts.
        references: totals of other ways to do it.
        digital: what scoring costs in the digital ones among them.
        own: what the page calls the scorer.
    """

    network: dict[str, float]
    scorer: dict[str, float]
    references: dict[str, float]
    digital: dict[str, float]
    own: str = "analog scorer"

    @property
    def scorer_j(self) -> float:
        """All of the scorer."""
        return sum(self.scorer.values())

    @property
    def total_j(self) -> float:
        """Network and scorer."""
        return sum(self.network.values()) + self.scorer_j


def read_numbers(run: RunFiles) -> EnergyNumbers:
    """The ledger and the totals of summary.json.

    Raises:
        Absent: no ledger in this run.
        ReportError: a value that is not a finite number of joules at or above zero.
    """
    ledger = run.table("energy").get("ledger_j")
    if not ledger:
        raise Absent(run.missing.get("summary.json", "summary.json has no 'energy.ledger_j'"))
    if not isinstance(ledger, dict):
        raise ReportError(f"summary.json: 'energy.ledger_j' must be a table of joules, found {ledger!r}")

    def joules(name: str) -> float | None:
        value = run.number(name)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise ReportError(f"summary.json: '{name}' is {value}; expected joules, at least 0")
        return value

    parts = {name.removesuffix("_j"): joules(f"energy.ledger_j.{name}") for name in ledger}
    found = {name: value for name, value in parts.items() if value is not None and name != "total"}
    # A line that nobody pays (no camera, no cache) is not a part of this network.
    network = {label: found[name] for name, label in NETWORK_PARTS.items() if found.get(name)}
    kind = kind_of(run)
    named = SCORER_PARTS | dict(CIRCUITS[kind].parts if kind in CIRCUITS else {})
    scorer = {label: found[name] for name, label in named.items() if name in found and (label or found[name])}
    unknown = {n: v for n, v in found.items() if n not in NETWORK_PARTS and n not in SCORER_PARTS}
    totals = {label: joules(f"energy.{key}") for key, label, _ in _REFERENCES}
    digital = {label: joules(f"energy.{key.removesuffix('_j')}_scoring_j") for key, label, _ in _REFERENCES[:2]}
    return EnergyNumbers(
        network | unknown,
        scorer,
        {label: value for label, value in totals.items() if value is not None},
        {label: value for label, value in digital.items() if value},
        f"{name_of(kind)} scorer" if kind in CIRCUITS else "scorer",
    )


def energy(run: RunFiles) -> Section:
    """Above: every part added up to the total on a linear axis, with totals to compare. Below: the scorer."""
    numbers = read_numbers(run)
    absent = tuple(
        (f"Energy of: {label}", f"summary.json has no 'energy.{key}'")
        for key, label, _ in _REFERENCES
        if label not in numbers.references
    )
    rows = len(numbers.network) + len(numbers.references) + 2
    zoomed = sum(v > 0 for v in numbers.scorer.values()) + len(numbers.digital)
    figure = new_figure(0.85 + 0.31 * rows + (0.85 + 0.31 * zoomed if numbers.scorer_j else 0))
    if numbers.scorer_j:
        panels = figure.subplots(2, 1, height_ratios=[rows, zoomed])
        _zoom(panels[1], numbers, run.words.unit)
    else:
        panels = [figure.subplots()]
    _waterfall(panels[0], numbers, run.words.unit)
    whole = f"energy per {run.words.unit} by part of the network"
    alt = f"Waterfall of {whole}, and the scorer's parts on a logarithmic scale."
    picture = Picture("energy", figure, alt, " ".join(_sentences(run, numbers)))
    return Section("Energy", (picture,), absent)


def _waterfall(axes: Axes, numbers: EnergyNumbers, unit: str) -> None:
    total = numbers.total_j
    factor, prefix = si_scale([total, *numbers.references.values()])
    longest = max([total, *numbers.references.values()]) / factor or 1.0
    labels: list[str] = []

    def row(label: str, left: float, length: float, text: str, color: str, hatch: str = "", alpha=1.0):
        i = len(labels)
        labels.append(label)
        bar = axes.barh(i, length / factor, left=left / factor, height=0.66, color=color, hatch=hatch, alpha=alpha)
        for patch in bar:
            patch.set(edgecolor="#3f4a5a", linewidth=0.7)
        axes.text((left + length) / factor + 0.012 * longest, i, text, va="center", fontsize=8.6)

    start = 0.0
    parts = [(label, value, _NETWORK) for label, value in numbers.network.items()]
    parts += [(numbers.own, numbers.scorer_j, ANALOG)] if numbers.scorer else []
    for label, value, color in parts:
        share = f"  ({percent(value / total)})" if total else ""
        row(label, start, value, si(value, "J") + share, color=color)
        start += value
        axes.plot([start / factor] * 2, [len(labels) - 1, len(labels)], color=GREY, linewidth=0.8, zorder=1)
    row("total", 0.0, total, si(total, "J"), color=ANALOG)
    for label, value in numbers.references.items():
        text = si(value, "J") + (f"  (total is {percent(total / value)} of it)" if value else "")
        row(label, 0.0, value, text, color=DENSE if label == _DENSE else DIGITAL, hatch="//", alpha=0.35)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.45, -0.6)
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= 1.1 * longest])
    axes.set_xlim(0, 1.5 * longest)  # room for the longest bar's words
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"energy per {unit} ({prefix}J), linear axis")
    axes.set_title("The parts add up to the total; hatched: other ways to do it")


def _zoom(axes: Axes, numbers: EnergyNumbers, unit: str) -> None:
    """Points on a logarithmic axis, not bars: a bar's length means nothing where the axis has no zero."""
    rows = [(label, value, True) for label, value in numbers.scorer.items() if value > 0]
    rows.sort(key=lambda row: -row[1])
    rows += [(f"{label}, all of it", value, False) for label, value in numbers.digital.items()]
    values = [value for _, value, _ in rows]
    factor, prefix = si_scale([math.sqrt(min(values) * max(values))])  # the middle of the axis
    low, high = min(values) / factor / 3, max(values) / factor
    axes.set_xscale("log")
    axes.set_xlim(low, high * (high / low) ** 0.62)  # room on the right for the largest part's words
    for i, (_, value, own) in enumerate(rows):
        x = value / factor
        axes.plot([low, x], [i, i], color="#9aa3b2", linewidth=0.9, linestyle=":")
        face = (ANALOG, "D") if own else (DIGITAL, "s")
        axes.plot(x, i, face[1], color=face[0], markeredgecolor=BLACK, markersize=6)
        share = value / numbers.scorer_j
        words = f"{percent(share)} of the scorer" if own else f"{significant(share)} × the {numbers.own}"
        axes.annotate(
            f"{si(value, 'J')}  ({words})",
            (x, i),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.6,
        )
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xticks(10.0 ** np.arange(math.ceil(math.log10(low)), math.ceil(math.log10(high)) + 1))
    axes.minorticks_off()
    plain_log_ticks(axes.xaxis)
    axes.set_xlabel(f"energy per {unit} ({prefix}J), logarithmic axis: distances are ratios and do not add up")
    axes.set_title(f"Inside the {numbers.own}, and the same score in digital (squares)")


def _sentences(run: RunFiles, numbers: EnergyNumbers) -> list[str]:
    total, scorer = numbers.total_j, numbers.scorer
    preset = run.table("energy").get("preset")
    first = f"One {run.words.unit} costs {si(total, 'J')}" + (f", priced with '{preset}'" if preset else "")
    if scorer and total:
        largest = max(scorer, key=lambda label: scorer[label])
        share = percent(numbers.scorer_j / total)
        first += f"; the {numbers.own} takes {si(numbers.scorer_j, 'J')} of it ({share})"
        first += f", most of that in: {largest} ({si(scorer[largest], 'J')})" if numbers.scorer_j else ""
    sentences = [first + "."]
    compared = []
    for _, label, words in _REFERENCES:
        other = numbers.references.get(label)
        if other:
            change = total / other - 1
            compared.append(f"{percent(abs(change))} {'more' if change > 0 else 'less'} than {words}")
    if compared:
        sentences.append(f"That is {join(compared)}.")
    nothing = [label for label, value in scorer.items() if value == 0]
    if nothing and numbers.scorer_j:
        sentences.append(f"Zero here and not drawn: {join(nothing)}.")
    stated = run.number("energy.total_j")
    if stated is not None and not math.isclose(stated, total, rel_tol=1e-2):
        sentences.append(
            f"Careful: summary.json states a total of {si(stated, 'J')}, the parts add up to {si(total, 'J')}."
        )
    return sentences
