"""Runs about circuits (SPICE, fits, exports): their gates, whose transistors they have, their answer in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atis_jax.gates import Gate, keeps
from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.formatting import count, equal_words, join, or_below, percent, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Table

TARGETS = {"bundle": "bundle", "spice": "SPICE", "rasp": "RASP 3.0", "an231e04": "AN231E04"}
"""Targets of an export as people call them, in the order of its tables."""
_SPACE = "\u00a0"
_DIGITS = range(3, 13)
_LEAST_SHARE = 1e-3
"""In percent or points."""
_NAMED = 3
"""Failing gates that the page's sentence names."""


def value_words(gate: Gate) -> str:
    """The value with its unit; a share that holds and that nobody can measure is said to be below 0.001."""
    floor = _LEAST_SHARE if gate.passed and gate.unit in ("%", "points") else 0.0
    return _with_unit(or_below(gate.value, floor, lambda value: _number(gate, value)), gate)


def bound_words(gate: Gate) -> str:
    """The bounds with their unit."""
    low, high = (None if bound is None else _number(gate, bound, 4) for bound in (gate.low, gate.high))
    if low is None and high is None:
        return "none"
    if low is None or high is None:
        return _with_unit(f"at most {high}" if low is None else f"at least {low}", gate)
    return _with_unit(f"exactly {low}" if low == high else f"{low} to {high}", gate)


def _with_unit(text: str, gate: Gate) -> str:
    return (f"{text} {gate.unit}" if gate.unit else text).replace(" ", _SPACE)


def _number(gate: Gate, value: float, digits: int = 3) -> str:
    """So many digits, or as many as put the printed value on its side of the printed bounds."""
    digits = max(digits, next((more for more in _DIGITS if _tells(gate, more)), _DIGITS[-1]))
    text = significant(value, digits)
    return text.rstrip("0").rstrip(".") if "." in text and "×" not in text else text


def _tells(gate: Gate, digits: int) -> bool:
    more = max(digits, 4)
    value, low, high = (
        None if number is None else float(f"{number:.{places - 1}e}")
        for number, places in ((gate.value, digits), (gate.low, more), (gate.high, more))
    )
    return value is not None and keeps(value, low, high) == gate.passed


def read_gates(run: RunFiles) -> tuple[Gate, ...]:
    """The gates of a run, in its order.

    Raises:
        Absent: it has none.
        ReportError: one lacks a field, or says it holds (or fails) where its numbers say otherwise.
    """
    found = run.summary.get("gates")
    if not found:
        raise Absent(run.missing.get("summary.json", "summary.json has no 'gates'"))
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ReportError("summary.json: 'gates' must be a list of tables, one a gate")
    return tuple(map(_gate, found))


def _gate(told: dict[str, Any]) -> Gate:
    lacking = [name for name in ("name", "what", "value", "passed") if told.get(name) is None]
    if lacking:
        raise ReportError(f"summary.json: gate {told.get('name') or told} has no {join(lacking)}")
    numbers: dict[str, Any] = {name: told.get(name) for name in ("value", "low", "high")}
    for name, number in numbers.items():
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
            raise ReportError(f"summary.json: gate {told['name']}: '{name}' must be a number, found {number!r}")
    gate = Gate(name=told["name"], what=told["what"], unit=told.get("unit") or "", **numbers)
    if gate.passed != told["passed"]:
        raise ReportError(
            f"summary.json: gate {told['name']} says passed = {told['passed']}, but its value is {told['value']} and "
            f"its bounds are {told.get('low')} and {told.get('high')}; write it again from its run"
        )
    return gate


def gates_words(gates: tuple[Gate, ...]) -> str:
    """How many hold, and which fail."""
    failing = [gate for gate in gates if not gate.passed]
    if not failing:
        return f"All {count(len(gates), 'gate')} hold." if len(gates) > 1 else "The only gate holds."
    named = [f"{gate.what} ({value_words(gate)}, bound: {bound_words(gate)})" for gate in failing[:_NAMED]]
    rest = [f"{len(failing) - _NAMED} more"] if len(failing) > _NAMED else []
    return f"{len(gates) - len(failing)} of {count(len(gates), 'gate')} hold. Failing: {'; '.join([*named, *rest])}."


def process_words(run: RunFiles) -> str:
    """Whose transistors ngspice simulated, where these are of no real process; empty otherwise."""
    targets = run.table("export").get("targets") or {}
    if not any(told.get("generic") for told in (run.table("spice"), run.table("fit"), targets.get("spice") or {})):
        return ""
    return (
        "Generic transistors: ngspice simulated a generic card that describes no real process. What follows checks our "
        "model and its tools; it says nothing of a chip that can be made."
    )


def process_note(run: RunFiles, name: str) -> tuple[Table, ...]:
    """The same as the first paragraph of a section; ``name``: the section's, for the paragraph's own."""
    words = process_words(run)
    return (Table(f"{name}_process", words, ()),) if words else ()


def answer(run: RunFiles) -> str:
    """What a run about circuits found, in plain sentences; empty for other runs."""
    known = {"spice": _validation, "fit": _fit, "export": _export, "retarget": _retarget}
    for name, sentence in known.items():
        if run.table(name):
            return " ".join(filter(None, (process_words(run), sentence(run))))
    return ""


def _gates(run: RunFiles) -> tuple[Gate, ...]:
    try:
        return read_gates(run)
    except Absent:
        return ()


def _validation(run: RunFiles) -> str:
    gates = _gates(run)
    if not gates:
        return ""
    sums: dict[int, list[float]] = {}
    for gate in gates:
        kind, *numbers = gate.name.split("_")
        if kind == "sum" and len(numbers) == 2:
            sums.setdefault(int(numbers[0]), []).append(gate.value)
    text, told = gates_words(gates), run.table("spice")
    if sums:
        largest = max(sums)
        text += (
            f" Sums of {largest} OTAs, to which nothing was fitted, differ from those of {told['simulator']} with "
            f"{told['process']} by {significant(max(sums[largest]), 2)}{_SPACE}% of the sum of their bias currents "
            f"(RMS, worst of {count(len(sums[largest]), 'temperature')})."
        )
    return text


def _retarget(run: RunFiles) -> str:
    told = run.table("retarget")
    shares = {arm["arm"]: percent(arm["decisions_equal"], 2) for arm in told["arms"]}
    states = join([f"{share} {arm}" for arm, share in shares.items()])
    return (
        f"Going from the design of {told['old']} to that of {told['new']} writes {told['written']} of "
        f"{count(told['cells'], 'cell')}. Decisions as on the perfect chip: {states}."
    )


def _fit(run: RunFiles) -> str:
    told = run.table("fit")
    curves = int(told["curves"])
    text = (
        f"One law gives {'all ' if curves > 1 else ''}{count(curves, 'curve')} of {told['source']}: the RMS error is "
        f"{percent(told['worst_rms_of_the_law'], 3)} of the bias current in the worst of them, "
        f"{percent(told['worst_rms_of_a_fit'], 3)} where each curve is fitted by itself. The preset {told['preset']} "
        "holds it"
    )
    if not told.get("spread"):
        return f"{text}, with no spread: there were too few devices for one."
    return f"{text}, with the spread of {population_words(told['spread'])}."


def _export(run: RunFiles) -> str:
    told, gates = run.table("export"), _gates(run)
    targets = told["targets"]
    reached = [
        f"{TARGETS.get(name, name)} {percent(targets[name]['hardware_mean'], 2)}" for name in target_order(targets)
    ]
    chips = join(sorted({str(one["chips"]) for one in targets.values()}))
    original = percent(told["accuracy"]["after_quantisation"], 2)
    parts = [
        f"The design, {original} on the perfect chip, was written for its targets, read back and run; mean accuracy of "
        f"{chips} sampled chips: {join(reached)}."
    ]
    loops = (targets.get("spice") or {}).get("closed_loop")
    if loops:
        tokens, equal = loops_equal(loops)
        parts.append(
            f"Of {count(tokens, 'token')} played through the netlists in ngspice, {equal_words(equal)} of the "
            "decisions equal our model's."
        )
    return " ".join([*parts, gates_words(gates)] if gates else parts)


def population_words(groups: Sequence[Mapping[str, Any]]) -> str:
    """How many devices a spread is of, and in which conditions: the same dozen at two temperatures is a dozen."""
    sizes = sorted({int(group["devices"]) for group in groups})
    biases, temperatures = ({group[name] for group in groups} for name in ("bias_a", "temperature_c"))
    axes = [(len(biases), "bias", "biases"), (len(temperatures), "temperature", "temperatures")]
    if len(groups) < len(biases) * len(temperatures):
        axes = [(len(groups), "pair", "pairs of bias and temperature")]
    named = [count(*one) for one in axes if one[0] > 1]
    where = f"each of {join(named)}" if named else "one bias and temperature"
    return f"{join([f'{size:,}' for size in sizes])}{_SPACE}devices at {where}"


def loops_equal(loops: Sequence[Mapping[str, Any]]) -> tuple[int, float]:
    """Tokens of all layers of a closed loop, and the share of equal decisions."""
    tokens = sum(int(loop["tokens"]) for loop in loops)
    return tokens, sum(loop["tokens"] * loop["equal_fraction"] for loop in loops) / tokens


def target_order(targets: Mapping[str, Any]) -> list[str]:
    """Names of an export's targets as its tables list them."""
    return [name for name in TARGETS if name in targets] + [name for name in targets if name not in TARGETS]
