"""The deployment scenarios of summary.json, checked once, so that tables and figures can trust what they are given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.run_files import RunFiles

ANALOG = {"paper": "folded", "codesigned": "codesigned_digital"}
"""The analog contenders, each with its fairest rival: the same score folded in digital, or in its cheaper form."""
GROUPS = {
    "pixels": ("sensor_read", "sensor_adc", "sensor_link"),
    "embedding": ("embedding",),
    "scoring": (
        "scorer_memory",
        "projection",
        "score",
        "scorer_exponentials",
        "dac",
        "ota",
        "tia",
        "comparator",
        "reference",
        "switching",
        "programming",
    ),
    "attention": ("attention", "pairs", "normalisation"),
    "MLP": ("mlp",),
    "softmax, GELU": ("exponentials",),
    "memory: weights": ("weights",),
    "memory: tokens and cache": ("activations", "cache"),
    "sending": ("uplink",),
}
"""The ledger's lines by what a reader knows them as."""


@dataclass(frozen=True)
class Swing:
    """One constant moved over its range.

    Attributes:
        name: of the constant.
        value: its own, in ``unit``.
        unit: SI without prefix.
        low: lower end of its range.
        high: upper end.
        assumed: nobody states the range; it is half to twice the value.
        ratio_low: energy of the analog contender over its rival's at the lower end.
        ratio_high: at the upper end.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    assumed: bool
    ratio_low: float
    ratio_high: float

    @property
    def decides(self) -> bool:
        """Whether the winner changes within the range."""
        return (self.ratio_low - 1.0) * (self.ratio_high - 1.0) < 0


@dataclass(frozen=True)
class Certainty:
    """How sure a verdict is, over draws of all constants.

    Attributes:
        draws: how many.
        wins: share of them in which the analog contender's whole pass takes less.
        interval: of that share.
        saved: 5 %, median and 95 % of what it takes less, of the rival's whole pass; negative where it takes more.
        circuits: the same of the rival's scoring over ours, without what both read and project.
    """

    draws: int
    wins: float
    interval: tuple[float, float]
    saved: tuple[float, float, float]
    circuits: tuple[float, ...] | None


@dataclass(frozen=True)
class Comparison:
    """An analog contender held against a rival.

    Attributes:
        analog: who.
        rival: against whom.
        total_factor: the rival's energy over the analog one's, of the whole pass; above 1 analog takes less.
        scoring_factor: the same of scoring alone; None where the rival scores nothing.
        ratio: analog over rival, of the lines that are not the same in both.
        swings: the constants that move ``ratio`` most, the most decisive first.
        break_even: value of the first constant at which ``ratio`` is 1; None where no value that was tried makes it.
        circuits_factor: ``scoring_factor`` without what both read of tokens and project; None as there, or in a run of
            before it was told.
        certainty: over the ranges of all constants drawn together; None in a run of before it was told.
    """

    analog: str
    rival: str
    total_factor: float
    scoring_factor: float | None
    ratio: float
    swings: tuple[Swing, ...]
    break_even: float | None
    circuits_factor: float | None = None
    certainty: Certainty | None = None


@dataclass(frozen=True)
class Scenario:
    """One deployment.

    Attributes:
        name: short.
        words: one sentence about it.
        network: which transformer.
        preset: prices of the operations.
        kept: share of the tokens kept after each layer.
        rate_hz: passes a second.
        total_j: of a pass, by contender.
        scoring_j: the scorer's part of it.
        ledger_j: all parts, by contender and line.
        against: the comparisons.
        measured: accuracy and tokens of a run of this scenario, or why there are none; None if it has no such run.
    """

    name: str
    words: str
    network: str
    preset: str
    kept: tuple[float, ...]
    rate_hz: float
    total_j: dict[str, float]
    scoring_j: dict[str, float]
    ledger_j: dict[str, dict[str, float]]
    against: tuple[Comparison, ...]
    measured: dict[str, Any] | None

    def versus(self, analog: str, rival: str) -> Comparison | None:
        """The comparison of the two, if there is one."""
        return next((one for one in self.against if (one.analog, one.rival) == (analog, rival)), None)

    def scoring_share(self, who: str) -> float:
        """Scoring's part of a contender's whole pass."""
        return self.scoring_j[who] / self.total_j[who]

    def grouped_j(self, who: str) -> dict[str, float]:
        """A contender's ledger by ``GROUPS``; a line that is in none of them stands alone."""
        lines = self.ledger_j[who]
        known = {line for group in GROUPS.values() for line in group}
        grouped = {name: sum(lines.get(line, 0.0) for line in group) for name, group in GROUPS.items()}
        return grouped | {line: joules for line, joules in lines.items() if line not in known}


def read_scenarios(run: RunFiles) -> tuple[Scenario, ...]:
    """The scenarios of summary.json.

    Raises:
        Absent: it has none.
        ReportError: one that lacks a number, or has one that cannot be.
    """
    entries = run.summary.get("scenarios")
    if not entries:
        raise Absent(run.missing.get("summary.json", "summary.json has no 'scenarios'"))
    if not isinstance(entries, list):
        raise ReportError(f"summary.json: 'scenarios' must be a list, found {entries!r}")
    return tuple(_scenario(entry, f"scenarios[{number}]") for number, entry in enumerate(entries))


def _scenario(entry: Any, where: str) -> Scenario:
    entry = table_at(entry, where)
    total = _joules(entry, "total_j", where)
    scoring = _joules(entry, "scoring_j", where)
    ledger = {
        who: _joules(table_at(entry.get("ledger_j"), f"{where}.ledger_j"), who, f"{where}.ledger_j") for who in total
    }
    if not total.get("dense"):
        raise ReportError(f"summary.json: '{where}.total_j.dense' is missing or 0; everything is held against it")
    if set(scoring) != set(total):
        raise ReportError(f"summary.json: '{where}' has totals of {sorted(total)}, scoring of {sorted(scoring)}")
    return Scenario(
        name=str(entry.get("name", where)),
        words=str(entry.get("words", "")),
        network=str(entry.get("network", "")),
        preset=str(entry.get("preset", "")),
        kept=tuple(number_at({"kept": kept}, "kept", where) for kept in entry.get("kept") or ()),
        rate_hz=number_at(entry, "rate_hz", where),
        total_j=total,
        scoring_j=scoring,
        ledger_j=ledger,
        against=tuple(
            _comparison(one, f"{where}.against[{number}]", total) for number, one in enumerate(entry.get("against", []))
        ),
        measured=table_at(entry["measured"], f"{where}.measured") if entry.get("measured") else None,
    )


def _comparison(entry: Any, where: str, total: dict[str, float]) -> Comparison:
    entry = table_at(entry, where)
    for role in ("analog", "rival"):
        if entry.get(role) not in total:
            raise ReportError(f"summary.json: '{where}.{role}' is {entry.get(role)!r}, which has no total")
    deciding = table_at(entry.get("deciding"), f"{where}.deciding")
    scoring = entry.get("scoring_factor")
    return Comparison(
        analog=entry["analog"],
        rival=entry["rival"],
        total_factor=positive_at(entry, "total_factor", where),
        scoring_factor=None if scoring is None else positive_at(entry, "scoring_factor", where),
        ratio=positive_at(entry, "ratio", where),
        swings=tuple(_swing(one, f"{where}.constants[{i}]") for i, one in enumerate(entry.get("constants") or ())),
        break_even=None if deciding.get("break_even") is None else positive_at(deciding, "break_even", where),
        circuits_factor=None if entry.get("circuits_factor") is None else positive_at(entry, "circuits_factor", where),
        certainty=None if entry.get("certainty") is None else _certainty(entry["certainty"], f"{where}.certainty"),
    )


def _certainty(entry: Any, where: str) -> Certainty:
    entry = table_at(entry, where)
    low, high = _numbers(entry, "interval", where, 2)
    wins = number_at(entry, "wins", where)
    if not 0 <= low <= wins <= high <= 1:
        raise ReportError(f"summary.json: '{where}' has a share of {wins:g} with an interval of {low:g} to {high:g}")
    saved = _numbers(entry, "share_saved", where, 3)
    circuits = None if entry.get("circuits_factor") is None else _numbers(entry, "circuits_factor", where, 3)
    return Certainty(
        int(positive_at(entry, "draws", where)), wins, (low, high), (saved[0], saved[1], saved[2]), circuits
    )


def _numbers(entry: dict[str, Any], key: str, where: str, length: int) -> tuple[float, ...]:
    """That many finite numbers in ascending order, of either sign."""
    found = entry.get(key)
    if (
        not isinstance(found, list)
        or len(found) != length
        or not all(isinstance(one, int | float) and math.isfinite(one) for one in found)
        or sorted(found) != found
    ):
        raise ReportError(f"summary.json: '{where}.{key}' must be {length} ascending numbers, found {found!r}")
    return tuple(map(float, found))


def _swing(entry: Any, where: str) -> Swing:
    entry = table_at(entry, where)
    ends = entry.get("range")
    if not isinstance(ends, list) or len(ends) != 2:
        raise ReportError(f"summary.json: '{where}.range' must be two numbers, found {ends!r}")
    low, high = (number_at({"range": end}, "range", where) for end in ends)
    return Swing(
        name=str(entry.get("name", where)),
        value=number_at(entry, "value", where),
        unit=str(entry.get("unit", "")),
        low=low,
        high=high,
        assumed=bool(entry.get("assumed_range")),
        ratio_low=positive_at(entry, "low", where),
        ratio_high=positive_at(entry, "high", where),
    )


def _joules(entry: dict[str, Any], key: str, where: str) -> dict[str, float]:
    found = table_at(entry.get(key), f"{where}.{key}")
    return {name: number_at(found, name, f"{where}.{key}") for name in found}


def table_at(value: Any, where: str) -> dict[str, Any]:
    """``value`` if it is a table."""
    if not isinstance(value, dict):
        raise ReportError(f"summary.json: '{where}' must be a table, found {value!r}")
    return value


def number_at(entry: dict[str, Any], key: str, where: str) -> float:
    """A finite number of at least 0."""
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ReportError(f"summary.json: '{where}.{key}' must be a finite number, at least 0, found {value!r}")
    return float(value)


def positive_at(entry: dict[str, Any], key: str, where: str) -> float:
    """A finite number above 0: a factor, or what stands on a logarithmic axis."""
    value = number_at(entry, key, where)
    if value == 0:
        raise ReportError(f"summary.json: '{where}.{key}' is 0; expected a number above 0")
    return value
