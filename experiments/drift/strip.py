"""The strip of a sequence that drifts: a fixed threshold against an adaptive one."""

from __future__ import annotations

from typing import Any

from atis_jax.report.charts import Bar, bars
from atis_jax.report.run_files import RunFiles
from atis_jax.report.sampling import Sample, points_to
from atis_jax.report.section import Number, Picture, Strip
from atis_jax.report.style import ANALOG, DENSE
from experiments.montecarlo.figures.thermal import BIAS_WORDS


def drift_strip(run: RunFiles) -> Strip:
    """The change that drives a fixed threshold farthest off, and what the adaptive one makes of it."""
    drift = run.part("drift")
    arms = {(arm["scenario"], arm["bias"], arm["mode"]): arm for arm in drift["arms"]}
    fixed = [arm for (scenario, _, mode), arm in arms.items() if mode == "fixed" and scenario != "steady"]
    if not fixed:
        return Strip("Nothing changed in this sequence, or no threshold was fixed: there is nothing to compare.")
    worst = max(fixed, key=lambda arm: arm["kept_error_after"])
    adaptive = arms.get((worst["scenario"], worst["bias"], "adaptive"))
    sample = Sample(int(drift["after_images"]) if drift.get("after_images") else None)
    what = f"A change of {worst['scenario']}"
    if worst["scenario"] == "ramp":
        what = f"A temperature ramp under {BIAS_WORDS.get(worst['bias'], worst['bias'])} bias"
    sentence = f"{what} drives a fixed threshold {_off(worst)} off the wanted share of tokens"
    rows = [Bar("fixed", 100 * worst["kept_error_after"], _off(worst), DENSE)]
    numbers = [Number(sample.words(worst["accuracy_after"]), "accuracy then, fixed threshold")]
    if adaptive is not None:
        rows.append(Bar("adaptive", 100 * adaptive["kept_error_after"], _off(adaptive), ANALOG))
        numbers.append(Number(sample.words(adaptive["accuracy_after"]), "accuracy then, adaptive threshold"))
        nearer = adaptive["kept_error_after"] < worst["kept_error_after"]
        sentence += (
            f", an adaptive one {_off(adaptive)}: there the adaptive one {'wins' if nearer else 'loses'}, "
            f"{_accuracy_verdict(sample, adaptive['accuracy_after'], worst['accuracy_after'], nearer)}"
        )
    unpruned = (drift.get("unpruned") or {}).get(worst["scenario"])
    if unpruned:
        label = f"accuracy then with nothing pruned ({sample.words(unpruned['before'])} before the change)"
        numbers.append(Number(sample.words(unpruned["after"]), label))
    figure = bars(rows, "off the wanted share of tokens (points)")
    picture = Picture("strip_drift", figure, "Bars of how far the kept share is off.", "Shorter is better.")
    return Strip(f"{sentence}.", (picture,), tuple(numbers))


def _off(arm: dict[str, Any]) -> str:
    return points_to(arm["kept_error_after"], 0.01)


def _accuracy_verdict(sample: Sample, ours: float, theirs: float, before: bool) -> str:
    sign = sample.sign(ours, theirs)
    if sign is None:
        return f"at {sample.words(ours)} accuracy against {sample.words(theirs)}"
    if sign == 0:
        return "in accuracy they do not differ"
    link = "and" if (sign == 1) == before else "but"
    return f"{link} in accuracy it {'wins' if sign == 1 else 'loses'} ({sample.gap_words(ours, theirs)})"
