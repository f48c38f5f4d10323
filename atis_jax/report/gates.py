"""Gates of a run in words: each measured number beside its bound, how many hold and which fail."""

from __future__ import annotations

from typing import Any

from atis_jax.gates import Gate, keeps
from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.formatting import count, join, or_below, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Number

_SPACE = "\u00a0"
_DIGITS = range(3, 13)
_LEAST_SHARE = 1e-3
"""In percent or points."""
_NAMED = 3
"""Failing gates that a sentence names."""


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


def gates_if_any(run: RunFiles) -> tuple[Gate, ...]:
    """The gates of a run, none where it has none."""
    try:
        return read_gates(run)
    except Absent:
        return ()


def gates_number(run: RunFiles) -> tuple[Number, ...]:
    """How many gates hold, for a strip; nothing where a run has none."""
    found = gates_if_any(run)
    passed = sum(gate.passed for gate in found)
    return (Number(f"{passed} of {len(found)}", "gates hold: numbers that this run is held to"),) if found else ()
