"""Strips of ngspice against the model and of fits: what was found, in a sentence and few numbers."""

from __future__ import annotations

from atis_jax.report.formatting import count, percent, significant
from atis_jax.report.gates import gates_if_any, gates_number, gates_words
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Number, Strip
from experiments.spice.words import population_words, process_words

_SPACE = "\u00a0"


def validation_strip(run: RunFiles) -> Strip:
    """How many gates hold, and the sentence of the run."""
    run.part("spice")
    return Strip(validation_words(run), numbers=gates_number(run), note=process_words(run))


def fit_strip(run: RunFiles) -> Strip:
    """How far the law is from the curves, and from what each curve alone would allow."""
    told = run.part("fit")
    numbers = (
        Number(_two_digits(told["worst_rms_of_the_law"]), "of the bias current: RMS error of the law, worst curve"),
        Number(_two_digits(told["worst_rms_of_a_fit"]), "of the bias current, each curve fitted by itself"),
        Number(count(int(told["curves"]), "curve"), "fitted by one law"),
    )
    return Strip(fit_words(run), numbers=numbers, note=process_words(run))


def validation_words(run: RunFiles) -> str:
    """How many gates hold, and how far sums are off to which nothing was fitted."""
    gates = gates_if_any(run)
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


def fit_words(run: RunFiles) -> str:
    """How far one law is from the curves, and what the preset holds."""
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


def _two_digits(share: float) -> str:
    return f"{100 * share:.2g}\u00a0%"
