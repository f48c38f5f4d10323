"""Strips of the runs about circuits: ngspice against the model, fits, exports, reprogramming."""

from __future__ import annotations

from atis_jax.report.charts import Dot, dots
from atis_jax.report.circuits import TARGETS, answer, process_words, read_gates, target_order
from atis_jax.report.errors import Absent
from atis_jax.report.formatting import count, join
from atis_jax.report.run_files import RunFiles
from atis_jax.report.sampling import Sample, percent_to
from atis_jax.report.section import Number, Picture, Strip
from atis_jax.report.style import ANALOG, DENSE


def validation_strip(run: RunFiles) -> Strip:
    """How many gates hold, and the sentence of the run."""
    run.part("spice")
    return Strip(_said(run), numbers=_gates(run), note=process_words(run))


def fit_strip(run: RunFiles) -> Strip:
    """How far the law is from the curves, and from what each curve alone would allow."""
    told = run.part("fit")
    numbers = (
        Number(_two_digits(told["worst_rms_of_the_law"]), "of the bias current: RMS error of the law, worst curve"),
        Number(_two_digits(told["worst_rms_of_a_fit"]), "of the bias current, each curve fitted by itself"),
        Number(count(int(told["curves"]), "curve"), "fitted by one law"),
    )
    return Strip(_said(run), numbers=numbers, note=process_words(run))


def export_strip(run: RunFiles) -> Strip:
    """Accuracy of every target read back beside the design's own, over its error."""
    told = run.part("export")
    accuracy, targets = told["accuracy"], told["targets"]
    sample = Sample(int(accuracy["examples"]) if accuracy.get("examples") else None)
    original = float(accuracy["after_quantisation"])
    rows = [_target(sample, "the design", original, DENSE, None)]
    lost, even = [], []
    for name in target_order(targets):
        mean, words = float(targets[name]["hardware_mean"]), TARGETS.get(name, name)
        chips = run.optional(f"export_{name}_chips")
        rows.append(_target(sample, words, mean, ANALOG, None if chips is None else 100 * chips.astype(float)))
        sign = sample.sign(mean, original)
        if sign == -1:
            lost.append(f"{words} loses ({sample.gap_words(mean, original)})")
        elif sign is not None:
            even.append(f"{words} {'does not differ' if sign == 0 else 'wins'}")
    verdict = "; ".join([*lost, *([f"{join(even)}"] if even else [])])
    sentence = f"Built as its files say and read back, against the design on the perfect chip: {verdict}."
    if not verdict:
        sentence = _said(run)
    on = "" if sample.examples is None else f" on {sample.examples:,} test images"
    picture = Picture(
        "strip_export",
        dots(rows, f"accuracy{on} (%)"),
        "Dots of accuracy, each over its error.",
        "Bands are one standard error, ticks single chips. Right is better.",
    )
    return Strip(sentence, (picture,), _gates(run), process_words(run))


def retarget_strip(run: RunFiles) -> Strip:
    """Decisions as on the perfect chip in each state, and how much is written."""
    told = run.part("retarget")
    rows = [
        Dot(arm["arm"], 100 * arm["decisions_equal"], percent_to(arm["decisions_equal"], None), ANALOG)
        for arm in told["arms"]
    ]
    figure = dots(rows, "decisions as on the perfect chip (%)", compared=None)
    picture = Picture("strip_retarget", figure, "Dots of the share of equal decisions.", "Right is better.")
    numbers = (Number(f"{told['written']} of {told['cells']}", "cells written to go from one model to the other"),)
    return Strip(_said(run), (picture,), numbers, process_words(run))


def _said(run: RunFiles) -> str:
    """The run's sentence without the warning about its transistors, which the note repeats."""
    return answer(run).removeprefix(process_words(run)).strip()


def _gates(run: RunFiles) -> tuple[Number, ...]:
    try:
        found = read_gates(run)
    except Absent:
        return ()
    passed = sum(gate.passed for gate in found)
    return (Number(f"{passed} of {len(found)}", "gates hold: numbers that this run is held to"),)


def _target(sample: Sample, label: str, value: float, color: str, cloud) -> Dot:
    error = sample.error(value)
    band = None if error is None else (100 * (value - error), 100 * (value + error))
    return Dot(label, 100 * value, sample.words(value), color, band, cloud)


def _two_digits(share: float) -> str:
    return f"{100 * share:.2g}\u00a0%"
