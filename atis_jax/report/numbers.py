"""Every number of a training run, each with what it is to be compared with: the table that ends the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atis_jax.report.formatting import count, duration, equal_words, percent, si, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.sampling import (
    Sample,
    calibration_words,
    change_to,
    chips_of,
    place_words,
    points_to,
    sample_of,
)
from atis_jax.report.standing import energy_standing


@dataclass(frozen=True)
class Row:
    """A line of the table: what, its value, and how it compares."""

    what: str
    value: str
    compared: str = ""


@dataclass(frozen=True)
class Numbers:
    """The table, and what of it was not measured (what, why)."""

    rows: tuple[Row, ...]
    absent: tuple[tuple[str, str], ...]


def numbers(run: RunFiles, own: Sequence[Row] = ()) -> Numbers:
    """Numbers of summary.json; those it does not have are listed, not guessed. ``own``: the experiment's lines."""
    missing: list[tuple[str, str]] = []
    rows = [*_accuracy(run, missing), *_tokens(run, missing), *_energy(run, missing)]
    rows += [*own, *_checks(run)]
    if "summary.json" in run.missing:
        missing = [("Every number", run.missing["summary.json"])]
    return Numbers(tuple(rows), tuple(missing))


def _wanted(run: RunFiles, what: str, name: str, missing: list[tuple[str, str]], number=None) -> float | None:
    value = (number or run.fraction)(name)
    if value is None:
        missing.append((what, f"summary.json has no '{name}'"))
    return value


def _accuracy(run: RunFiles, missing: list[tuple[str, str]]) -> list[Row]:
    number, sample = chips_of(run), sample_of(run)
    over = "hardware" if number is None else f"hardware, {count(number, 'sampled chip')}"
    said = [over, calibration_words(run), f"at {degrees}" if (degrees := place_words(run)) else ""]
    std = run.fraction("accuracy.hardware_std")
    dense = _wanted(run, "Accuracy of the dense network", "accuracy.dense", missing)
    rows = []
    if dense is not None:
        what = "Accuracy: dense (nothing pruned, same training budget)"
        rows.append(Row(what, sample.words(dense), _standard_error(sample, dense)))
    for what, name in (
        ("ideal (the trained scorer on a perfect chip)", "ideal"),
        (", ".join(filter(None, said)), "hardware_mean"),
        ("worst chip" if number is None else f"worst of {count(number, 'chip')}", "hardware_worst"),
        ("digital scorer, same architecture", "digital"),
        ("random pruning at the same fractions", "random"),
        *_oracle(run),
    ):
        value = _wanted(run, f"Accuracy: {what}", f"accuracy.{name}", missing)
        if value is None:
            continue
        shown = sample.words(value)
        if name == "hardware_mean" and std is not None:
            shown += f", chips spread by {points_to(std, sample.error(value))}"
        compared = "" if dense is None else f"{change_to(value - dense, sample.error(dense))} against dense"
        rows.append(Row(f"Accuracy: {what}", shown, compared))
    return rows


def _oracle(run: RunFiles) -> list[tuple[str, str]]:
    """What sees the attention itself, of the runs that were compared with it."""
    name = "attention_received"
    return [] if run.fraction(f"accuracy.{name}") is None else [("most attended tokens, the same fractions", name)]


def _standard_error(sample: Sample, accuracy: float) -> str:
    error = sample.error(accuracy)
    if error is None or sample.examples is None:
        return ""
    return f"one standard error of {count(sample.examples, 'example')} is {points_to(error, error)}"


def _tokens(run: RunFiles, missing: list[tuple[str, str]]) -> list[Row]:
    rows, tokens = [], run.words.tokens.capitalize()
    for what, name in (
        (f"{tokens} pruned, averaged over layers", "tokens.pruned_fraction"),
        (f"{tokens} pruned, last layer", "tokens.pruned_fraction_final_layer"),
    ):
        value = _wanted(run, what, name, missing)
        if value is not None:
            rows.append(Row(what, percent(value), f"{run.words.protected} not counted"))
    return rows


def _energy(run: RunFiles, missing: list[tuple[str, str]]) -> list[Row]:
    what = f"Energy per {run.words.unit}"
    total = _wanted(run, what, "energy.total_j", missing, run.number)
    if total is None:
        return []
    preset = run.table("energy").get("preset")
    rows = [Row(what, si(total, "J"), f"energy preset {preset}" if preset else "")]
    for what, name in (
        ("the dense network without a scorer", "dense_j"),
        ("the same with a digital scorer", "digital_j"),
        ("the same with a folded digital scorer", "digital_folded_j"),
    ):
        other = _wanted(run, f"Energy against {what}", f"energy.{name}", missing, run.number)
        if other is None:
            continue
        standing = energy_standing(total, other)
        rows.append(Row(f"Energy against {what}", standing.words if standing else "", f"its own is {si(other, 'J')}"))
    return rows


def _checks(run: RunFiles) -> list[Row]:
    """Whether masked and gathered evaluation agree, and how long the run took: shown where measured."""
    rows = []
    equal = run.fraction("agreement.decisions_equal_fraction")
    logits = run.number("agreement.masked_vs_gathered_max_abs_logit")
    if equal is not None:
        rows.append(Row("Masked and gathered evaluation: equal decisions", equal_words(equal)))
    if logits is not None:
        rows.append(Row("Masked and gathered evaluation: largest difference of a logit", significant(logits, 2)))
    seconds, step = run.number("timing.seconds"), run.number("timing.train_step_s")
    if seconds is not None:
        per_step = "" if step is None else f"{si(step, 's')} a training step"
        rows.append(Row("Time of the run", duration(seconds), per_step))
    return rows
