"""Strips of an export and of reprogramming: which target loses, which states decide as before."""

from __future__ import annotations

from atis_jax.report.charts import Dot, dots
from atis_jax.report.formatting import count, equal_words, join, percent
from atis_jax.report.gates import gates_if_any, gates_number, gates_words
from atis_jax.report.run_files import RunFiles
from atis_jax.report.sampling import Sample, percent_to
from atis_jax.report.section import Number, Picture, Strip
from atis_jax.report.style import ANALOG, DENSE
from experiments.export.words import TARGETS, loops_equal, target_order
from experiments.spice.words import process_words


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
        sentence = export_words(run)
    on = "" if sample.examples is None else f" on {sample.examples:,} {run.evaluated()}"
    picture = Picture(
        "strip_export",
        dots(rows, f"accuracy{on} (%)"),
        "Dots of accuracy, each over its error.",
        "Bands are one standard error, ticks single chips. Right is better.",
    )
    return Strip(sentence, (picture,), gates_number(run), process_words(run))


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
    return Strip(retarget_words(run), (picture,), numbers, process_words(run))


def export_words(run: RunFiles) -> str:
    """Accuracy of each target read back, decisions in ngspice, gates."""
    told, gates = run.table("export"), gates_if_any(run)
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


def retarget_words(run: RunFiles) -> str:
    """What is written to go from one design to the other, and what decides as before."""
    told = run.table("retarget")
    shares = {arm["arm"]: percent(arm["decisions_equal"], 2) for arm in told["arms"]}
    states = join([f"{share} {arm}" for arm, share in shares.items()])
    return (
        f"Going from the design of {told['old']} to that of {told['new']} writes {told['written']} of "
        f"{count(told['cells'], 'cell')}. Decisions as on the perfect chip: {states}."
    )


def _target(sample: Sample, label: str, value: float, color: str, cloud) -> Dot:
    error = sample.error(value)
    band = None if error is None else (100 * (value - error), 100 * (value + error))
    return Dot(label, 100 * value, sample.words(value), color, band, cloud)
