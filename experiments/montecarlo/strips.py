"""Strips of the experiments over chips: yield, noise, temperature, precision."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from typing import Any

from atis_jax.report.charts import Bar, Dot, bars, dots
from atis_jax.report.formatting import count, imperfection, join
from atis_jax.report.run_files import RunFiles
from atis_jax.report.sampling import change_to, percent_to, points_to
from atis_jax.report.section import Number, Picture, Strip
from atis_jax.report.style import ANALOG
from experiments.montecarlo.figures.thermal import BIAS_WORDS
from experiments.montecarlo.figures.yields import arm_name

_MOST_ROWS = 5


def yield_strip(run: RunFiles) -> Strip:
    """The share of chips that pass, as fabricated and after each calibration, over its interval."""
    arms = run.part("yield")
    shares, rows = [], []
    for arm in arms:
        within, name = arm["within"], arm_name(arm, arms)
        share = percent_to(within["fraction"], _half(within["low"], within["high"]))
        shares.append(f"{share} {_state(arm['calibration'], name)}")
        band = 100 * within["low"], 100 * within["high"]
        rows.append(Dot(name, 100 * within["fraction"], share, ANALOG, band))
    best, worst = (f(arms, key=lambda arm: arm["within"]["fraction"]) for f in (max, min))
    verdict = ""
    if len(arms) > 1:
        apart = best["within"]["low"] > worst["within"]["high"]
        verdict = f"; {arm_name(best, arms)} wins, {arm_name(worst, arms)} loses" if apart else "; they do not differ"
    sentence = (
        f"Of {count(arms[0]['chips'], 'sampled chip')} these stay within {_limit(arms[0]['limit'])} of the perfect "
        f"chip at every temperature: {join(shares)}{verdict}."
    )
    figure = dots(rows, "chips that pass (%)")
    caption = "Bands are confidence intervals; those that overlap do not differ. Right is better."
    picture = Picture("strip_yield", figure, "Dots of the share of chips.", caption)
    open_verdicts = max(arm["within"].get("unresolved") or 0 for arm in arms)
    numbers = []
    if open_verdicts:
        numbers.append(Number(count(open_verdicts, "chip"), "so near the limit that other inputs could turn them"))
    return Strip(sentence, (picture,), tuple(numbers))


def _state(calibration: str, name: str) -> str:
    if calibration == "none":
        return name
    return name if ":" in name else f"after {name}"


def noise_strip(run: RunFiles) -> Strip:
    """All imperfections at the design's own size in words and one number; each alone at the largest scale as dots."""
    found = {(point["imperfection"], point["scale"]): point for point in run.part("noise")}
    largest = max(scale for _, scale in found)
    worst_first = [name for name in run.table("ranking").get(f"{largest:g}", []) if (name, largest) in found]
    together, parts, numbers = found.get(("all", 1.0)), [], []
    if together is not None:
        cost = _cost(together)
        parts.append(f"At the design's own size all imperfections together {_changes(together)}")
        numbers.append(Number(cost, "change of accuracy, all together at the design's own size"))
        scales = sorted(scale for name, scale in found if name == "all")
        safe = max(takewhile(lambda s: _all_within(found["all", s]), scales), default=None)
        if safe:
            label = f"the design's own size: up to there all {together['chips']} chips stay within "
            numbers.append(Number(f"{safe:g} times", label + f"{_limit(run.summary['limit'])} of the perfect chip"))
    if worst_first:
        most = f"{imperfection(worst_first[0])} loses most when enlarged {largest:g} times"
        parts.append(f"{most}, {_lost(found[worst_first[0], largest])}")
    rows = [_change_row(imperfection(name), found[name, largest]) for name in worst_first[:_MOST_ROWS]]
    pictures = _changes_picture("strip_noise", rows, f"change of accuracy at {largest:g} times its size (points)")
    return Strip(_joined(parts), pictures, tuple(numbers))


def _all_within(point: dict[str, Any]) -> bool:
    return point["within"]["passed"] == point["chips"]


def temperature_strip(run: RunFiles) -> Strip:
    """The worst change of every bias as it is, and what the best compensation makes of the worst one."""
    found = run.part("temperature")
    span = " to ".join(f"{f(entry['temperature_c'] for entry in found):g}" for f in (min, max)) + " °C"
    arms: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in found:
        arms.setdefault((entry["bias"], entry["compensation"]), []).append(entry)
    worst = {arm: min(entries, key=lambda entry: entry["change_mean"]) for arm, entries in arms.items()}
    bare = [arm for arm in arms if arm[1] == "none"] or list(arms)
    hardest = min(bare, key=lambda arm: worst[arm]["change_mean"])
    helped = [arm for arm in arms if arm[0] == hardest[0] and arm[1] != hardest[1]]
    best = max(helped, key=lambda arm: worst[arm]["change_mean"]) if helped else None
    shown = sorted(bare, key=lambda arm: worst[arm]["change_mean"])[:_MOST_ROWS] + ([best] if best else [])
    rows = [_change_row(_arm_words(arm), worst[arm]) for arm in shown]
    sentence = f"From {span} {_arm_words(hardest)} bias loses most, {_lost(worst[hardest])} of accuracy at its worst"
    if best is not None:
        gained = worst[best]["change_low"] > worst[hardest]["change_high"]
        sentence += f"; compensation '{best[1]}' " + (
            f"wins, {_lost(worst[best])} lost" if gained else "does not differ from that"
        )
    pictures = _changes_picture("strip_temperature", rows, f"worst change of accuracy, {span} (points)")
    return Strip(f"{sentence}.", pictures)


def _arm_words(arm: tuple[str, str]) -> str:
    bias, compensation = BIAS_WORDS.get(arm[0], arm[0].replace("_", " ")), arm[1]
    return bias if compensation == "none" else f"{bias}, {compensation}"


def precision_strip(run: RunFiles) -> Strip:
    """How many combinations of bits hold with fewer, with as many and with more effective bits than the paper asks."""
    precision = run.part("precision")
    claim = precision["claim"]["design"]
    low, high = claim["bits"]
    labels = {"below": f"fewer than {low:g}", "within": f"{low:g} to {high:g}", "above": f"more than {high:g}"}
    rows = []
    for band, label in labels.items():
        hold, points = int(claim[band]["hold"]), int(claim[band]["points"])
        if points:
            rows.append(Bar(label, 100 * hold / points, f"{hold} of {points}", ANALOG))
    within, below = claim["within"], claim["below"]
    failed = int(within["points"]) - int(within["hold"])
    verdict = "the paper's claim holds" if not failed else f"the paper's claim fails in {failed}"
    sentence = (
        f"With {low:g} to {high:g} effective bits {within['hold']} of {count(int(within['points']), 'combination')} "
        f"hold, with fewer {below['hold']} of {below['points']}: {verdict}."
    )
    if not within["points"]:
        sentence = f"No combination that was measured has {low:g} to {high:g} effective bits."
    note = (
        f"To hold is to lose at most {_limit(precision['limit'])} and to keep at most "
        f"{points_to(precision['kept_limit'], 0.01)} more tokens, mean of {count(precision['chips'], 'chip')} on "
        f"{count(precision['examples'], 'input')}."
    )
    figure = bars(rows, "combinations that hold (%), by effective bits") if rows else None
    pictures = (
        ()
        if figure is None
        else (Picture("strip_precision", figure, "Bars of the share of combinations that hold.", "Longer is better."),)
    )
    return Strip(sentence, pictures, note=note)


def _half(low: float, high: float) -> float:
    return (high - low) / 2


def _cost(point: dict[str, Any]) -> str:
    return change_to(point["change_mean"], _half(point["change_low"], point["change_high"]))


def _lost(point: dict[str, Any]) -> str:
    return points_to(max(-point["change_mean"], 0.0), _half(point["change_low"], point["change_high"]))


def _changes(point: dict[str, Any]) -> str:
    """Whether an interval of a change holds zero, else its middle."""
    if point["change_low"] <= 0 <= point["change_high"]:
        return "do not differ from the perfect chip"
    verb = "gain" if point["change_mean"] > 0 else "lose"
    return f"{verb} {points_to(point['change_mean'], _half(point['change_low'], point['change_high']))} of accuracy"


def _change_row(label: str, point: dict[str, Any]) -> Dot:
    return Dot(
        label,
        100 * point["change_mean"],
        _cost(point).replace("\u00a0points", "").replace("\u00a0point", ""),
        ANALOG,
        (100 * point["change_low"], 100 * point["change_high"]),
    )


def _changes_picture(name: str, rows: list[Dot], xlabel: str) -> tuple[Picture, ...]:
    if not rows:
        return ()
    figure = dots(rows, xlabel, compared=None, zero=True)
    return (Picture(name, figure, "Dots of changes of accuracy.", "Bands are intervals; 0 is the perfect chip."),)


def _limit(limit: float) -> str:
    """A limit as it was set: the digits it has."""
    text = f"{100 * limit:g}"
    return f"{text}\u00a0{'point' if text == '1' else 'points'}"


def _joined(parts: Iterable[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""
