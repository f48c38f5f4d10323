"""The numbers at the top of the page, each with what it is to be compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass

from atis_jax.report import circuits, montecarlo, verdicts
from atis_jax.report.errors import ReportError
from atis_jax.report.formatting import count, duration, join, percent, points, si, significant
from atis_jax.report.run_files import RunFiles


@dataclass(frozen=True)
class Row:
    """A line of the headline table: what, its value, and how it compares."""

    what: str
    value: str
    compared: str = ""


@dataclass(frozen=True)
class Headline:
    """The summary in one sentence, the table, and what of it was not measured (what, why)."""

    sentence: str
    rows: tuple[Row, ...]
    absent: tuple[tuple[str, str], ...]


def headline(run: RunFiles) -> Headline:
    """Headline numbers of summary.json; those it does not have are listed, not guessed."""
    missing: list[tuple[str, str]] = []
    rows = [*_accuracy(run, missing), *_tokens(run, missing), *_energy(run, missing)]
    rows += [*_scenarios(run), *_cost(run), *_checks(run)]
    if "summary.json" in run.missing:
        missing = [("Headline numbers", run.missing["summary.json"])]
    return Headline(_sentence(run), tuple(rows), tuple(missing))


def _wanted(run: RunFiles, what: str, name: str, missing: list[tuple[str, str]], number=None) -> float | None:
    value = (number or run.fraction)(name)
    if value is None:
        missing.append((what, f"summary.json has no '{name}'"))
    return value


def chips(run: RunFiles) -> int | None:
    """How many chips the hardware accuracy is over."""
    value = run.number("accuracy.chips")
    if value is not None and (not value.is_integer() or value < 1):
        raise ReportError(f"summary.json: 'accuracy.chips' is {value}; expected a whole number, at least 1")
    return None if value is None else int(value)


def _accuracy(run: RunFiles, missing: list[tuple[str, str]]) -> list[Row]:
    number = chips(run)
    over = "hardware" if number is None else f"hardware, {count(number, 'sampled chip')}"
    temperatures = _temperatures(run)
    std = run.fraction("accuracy.hardware_std")
    dense = _wanted(run, "Accuracy of the dense network", "accuracy.dense", missing)
    rows = []
    if dense is not None:
        rows.append(
            Row(
                "Accuracy: dense (nothing pruned, same training budget)",
                percent(dense, 2),
                _standard_error(run, dense),
            )
        )
    for what, name in (
        ("ideal (the trained scorer on a perfect chip)", "ideal"),
        (f"{over}{temperatures}", "hardware_mean"),
        ("worst chip" if number is None else f"worst of {count(number, 'chip')}", "hardware_worst"),
        ("digital scorer, same architecture", "digital"),
        ("random pruning at the same fractions", "random"),
    ):
        value = _wanted(run, f"Accuracy: {what}", f"accuracy.{name}", missing)
        if value is None:
            continue
        shown = percent(value, 2)
        if name == "hardware_mean" and std is not None:
            shown += f" ± {100 * std:.2f}"
        rows.append(
            Row(
                f"Accuracy: {what}",
                shown,
                f"{points(value - dense)} against dense" if dense is not None else "",
            )
        )
    return rows


def _temperatures(run: RunFiles) -> str:
    value = run.table("accuracy").get("temperature_c")
    if value is None:
        return ""
    values = value if isinstance(value, list) else [value]
    if not values or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        raise ReportError(f"summary.json: 'accuracy.temperature_c' must be numbers, found {value!r}")
    low, high = min(values), max(values)
    return f", at {low:g} °C" if low == high else f", between {low:g} and {high:g} °C"


def _standard_error(run: RunFiles, accuracy: float) -> str:
    examples = run.number("dataset.examples")
    if examples is None or not examples > 0 or not math.isfinite(accuracy):
        return ""
    error = 100 * math.sqrt(max(accuracy * (1 - accuracy), 0.0) / examples)
    return f"one standard error of {count(int(examples), 'example')} is {error:.2f} points"


def _tokens(run: RunFiles, missing: list[tuple[str, str]]) -> list[Row]:
    rows = []
    for what, name in (
        ("Patches pruned, averaged over layers", "tokens.pruned_fraction"),
        ("Patches pruned, last layer", "tokens.pruned_fraction_final_layer"),
    ):
        value = _wanted(run, what, name, missing)
        if value is not None:
            rows.append(Row(what, percent(value), "class token not counted"))
    return rows


def _energy(run: RunFiles, missing: list[tuple[str, str]]) -> list[Row]:
    total = _wanted(run, "Energy per image", "energy.total_j", missing, run.number)
    if total is None:
        return []
    preset = run.table("energy").get("preset")
    rows = [Row("Energy per image", si(total, "J"), f"energy preset {preset}" if preset else "")]
    for what, name in (
        ("the dense network without a scorer", "dense_j"),
        ("the same with a digital scorer", "digital_j"),
        ("the same with a folded digital scorer", "digital_folded_j"),
    ):
        other = _wanted(run, f"Energy against {what}", f"energy.{name}", missing, run.number)
        if other is None:
            continue
        ratio = total / other if other else float("nan")
        words = f"{percent(abs(1 - ratio))} {'less' if ratio <= 1 else 'more'}"
        rows.append(Row(f"Energy against {what}", words, f"{significant(ratio, 4)} times its {si(other, 'J')}"))
    return rows


def _scenarios(run: RunFiles) -> list[Row]:
    return [Row(*row) for row in verdicts.rows(run)]


def _cost(run: RunFiles) -> list[Row]:
    return [Row(*row) for row in montecarlo.cost(run)]


def _checks(run: RunFiles) -> list[Row]:
    """Whether masked and gathered evaluation agree, and how long the run took: shown where measured."""
    rows = []
    equal = run.fraction("agreement.decisions_equal_fraction")
    logits = run.number("agreement.masked_vs_gathered_max_abs_logit")
    if equal is not None:
        rows.append(Row("Masked and gathered evaluation: equal decisions", percent(equal, 3)))
    if logits is not None:
        rows.append(Row("Masked and gathered evaluation: largest difference of a logit", significant(logits, 2)))
    seconds, step = run.number("timing.seconds"), run.number("timing.train_step_s")
    if seconds is not None:
        per_step = "" if step is None else f"{si(step, 's')} a training step"
        rows.append(Row("Time of the run", duration(seconds), per_step))
    return rows


def _sentence(run: RunFiles) -> str:
    """Accuracy with both fractions and the number of chips, as it should always be quoted."""
    mean, dense = run.fraction("accuracy.hardware_mean"), run.fraction("accuracy.dense")
    average = run.fraction("tokens.pruned_fraction")
    final = run.fraction("tokens.pruned_fraction_final_layer")
    if mean is None:
        return montecarlo.answer(run) or verdicts.answer(run) or circuits.answer(run)
    number = chips(run)
    where = "On hardware" if number is None else f"Over {count(number, 'sampled chip')}"
    text = f"{where} the network reaches {percent(mean)} accuracy"
    text += f" ({percent(dense)} dense)" if dense is not None else ""
    pruned = []
    if average is not None:
        pruned.append(f"{percent(average)} of the patches pruned on average over layers")
    if final is not None:
        pruned.append(f"{percent(final)} pruned in the last layer")
    return text + (f", with {join(pruned)}." if pruned else ".")
