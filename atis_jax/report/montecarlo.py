"""The top of the page of an experiment over chips: its answer in a sentence, and what it took."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from atis_jax.report.formatting import count, imperfection, percent, points
from atis_jax.report.run_files import RunFiles

_MIB = 2**20


def answer(run: RunFiles) -> str:
    """What the experiment found, empty for one that asks nothing of many chips."""
    for section, sentence in _SENTENCES.items():
        if run.summary.get(section):
            return sentence(run)
    return ""


def cost(run: RunFiles) -> list[tuple[str, str, str]]:
    """What, value and comparison: how much was evaluated, how fast, in what memory."""
    account = run.table("montecarlo")
    if not account:
        return []
    cells = int(account["cells"])
    rate, here = account.get("inputs_per_s"), int(account.get("cells_computed_here", cells))
    # Speed, memory and time are the last attempt's alone.
    part = f", {here:,} of the cells in the last attempt" if 0 < here < cells else ""
    rows = [
        (
            "Cells (a chip in one condition) x inputs",
            f"{cells:,} x {int(account['examples']):,}",
            f"{rate:,.0f} inputs a second on {count(int(account['devices']), 'device')}{part}"
            if rate
            else "read from disk",
        )
    ]
    memory = account["memory"]
    rows.append(
        (
            "Largest resident memory",
            f"{memory['peak_resident_bytes'] / _MIB:,.0f} MiB",
            f"of a budget of {memory['budget_bytes'] / _MIB:,.0f} MiB",
        )
    )
    return rows


def _yield(run: RunFiles) -> str:
    arms = run.summary["yield"]
    parts, several = [], len({arm["run"] for arm in arms}) > 1
    for arm in arms:
        within = arm["within"]
        what = "as fabricated" if arm["calibration"] == "none" else f"after {arm['calibration'].replace('+', ', ')}"
        parts.append(
            (f"{arm['run']} " if several else "")
            + f"{percent(within['fraction'])} {what} ({percent(within['low'])} to {percent(within['high'])}"
            + (f", {within['unresolved']} verdicts open)" if within["unresolved"] else ")")
        )
    limit = points(arms[0]["limit"]).lstrip("+")
    return (
        f"Of {count(arms[0]['chips'], 'sampled chip')} within {limit} of the perfect chip at every temperature: "
        f"{'; '.join(parts)}."
    )


def _noise(run: RunFiles) -> str:
    found = {(point["imperfection"], point["scale"]): point for point in run.summary["noise"]}
    largest = max(scale for _, scale in found)
    ranked, text = run.table("ranking")[f"{largest:g}"], ""
    if ranked:
        worst = found[ranked[0], largest]
        text = (
            f"At {largest:g} times its size {imperfection(ranked[0])} alone costs most, {points(worst['change_mean'])} "
            f"({points(worst['change_low'])} to {points(worst['change_high'])})."
        )
    together = found.get(("all", 1.0))
    if together is None:
        return text
    scales = sorted(scale for name, scale in found if name == "all")
    tolerated = max(takewhile(lambda scale: _all_within(found["all", scale]), scales), default=None)
    stay = (
        f" Up to {tolerated:g} times that size all {count(together['chips'], 'sampled chip')} stay within "
        f"{points(run.summary['limit']).lstrip('+')} of the perfect chip."
        if tolerated
        else ""
    )
    return (
        f"All imperfections together, at the design's own size, change accuracy by {points(together['change_mean'])} "
        f"({points(together['change_low'])} to {points(together['change_high'])}).{stay} {text}"
    ).rstrip()


def _all_within(point: dict[str, Any]) -> bool:
    return point["within"]["passed"] == point["chips"]


def _temperature(run: RunFiles) -> str:
    found = run.summary["temperature"]
    coldest, hottest = (f(entry["temperature_c"] for entry in found) for f in (min, max))
    arms: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in found:
        arms.setdefault((entry["bias"], entry["compensation"]), []).append(entry)
    lost = {arm: min(0.0, *(entry["change_mean"] for entry in entries)) for arm, entries in arms.items()}
    bare = [arm for arm in arms if arm[1] == "none"] or list(arms)
    bias, compensation = hardest = min(bare, key=lambda arm: lost[arm])
    worst = min(arms[hardest], key=lambda entry: entry["change_mean"])
    how = "uncompensated" if compensation == "none" else f"with compensation '{compensation}'"
    text = (
        f"From {coldest:g} to {hottest:g} °C, {how}, {bias.replace('_', ' ')} bias loses most: "
        f"{points(lost[hardest])} at its worst ({points(worst['change_low'])} to {points(worst['change_high'])}), "
        f"keeping {_kept(arms[hardest])} of the tokens"
    )
    helped = [arm for arm in arms if arm[0] == bias and arm[1] != compensation]
    if helped:
        best = max(helped, key=lambda arm: lost[arm])
        text += f"; at best, with compensation '{best[1]}', {points(lost[best])} and {_kept(arms[best])}"
    return text + "."


def _kept(entries: list[dict[str, Any]]) -> str:
    low, high = (f(entry["kept_mean"] for entry in entries) for f in (min, max))
    return f"{percent(low)} to {percent(high)}"


def _drift(run: RunFiles) -> str:
    """The change that drives a fixed threshold farthest off, and what the adaptive one makes of it."""
    drift = run.table("drift")
    arms = {(arm["scenario"], arm["bias"], arm["mode"]): arm for arm in drift["arms"]}
    fixed = [arm for (scenario, _, mode), arm in arms.items() if mode == "fixed" and scenario != "steady"]
    if not fixed:
        return ""
    worst = max(fixed, key=lambda arm: arm["kept_error_after"])
    adaptive = arms.get((worst["scenario"], worst["bias"], "adaptive"))
    what = f"A change of {worst['scenario']}"
    if worst["scenario"] == "ramp":
        what = f"A temperature ramp under {worst['bias'].replace('_', ' ')} bias"
    text = (
        f"{what} drives the tokens kept under a fixed threshold "
        f"{100 * worst['kept_error_after']:.1f} points off the wanted share"
    )
    accuracies = f"accuracy then is {percent(worst['accuracy_after'])} with the fixed threshold"
    if adaptive:
        text += f", under an adaptive one {100 * adaptive['kept_error_after']:.1f}"
        accuracies += f", {percent(adaptive['accuracy_after'])} with the adaptive one"
    unpruned = drift["unpruned"].get(worst["scenario"])
    if unpruned:
        accuracies += (
            f", {percent(unpruned['after'])} with nothing pruned (before the change {percent(unpruned['before'])})"
        )
    return f"{text}; {accuracies}."


def precision_answer(run: RunFiles) -> str:
    """Two sentences on the paper's claim of 4 to 6 effective bits, from the counts alone."""
    precision = run.table("precision")
    claim, knee = precision["claim"]["design"], precision["knee"]["design"]
    low, high = claim["bits"]
    within, below = claim["within"], claim["below"]
    limit, kept = (points(precision[name]).lstrip("+") for name in ("limit", "kept_limit"))
    first = (
        f"Of {within['points']} combinations with {low:g} to {high:g} effective bits {within['hold']} hold, of "
        f"{below['points']} with fewer {below['hold']} (they lose at most {limit} and keep at most {kept} more tokens, "
        f"mean of {count(precision['chips'], 'chip')} on {count(precision['examples'], 'input')})."
    )
    if knee["median"] is None:
        return (
            f"{first} {count(knee['without'], 'design')} of {knee['designs']} fail even with the most effective bits."
        )
    odd = (("without", "fail even with the most"), ("at_most", "fail at none that were measured"))
    rest = [f"{knee[name]} {words}" for name, words in odd if knee[name]]
    span = f"{_up(knee['low'])} to {_up(knee['high'])}"
    second = (
        f"From {_up(knee['median'])} effective bits on no combination of a design fails by more than one standard "
        f"error (median of {count(knee['designs'], 'design')}, {'; '.join([span, *rest])})."
    )
    return f"{first} {second}"


def _up(bits: float) -> str:
    """One decimal, rounded up: what holds from 3.21 on holds from 3.3 on."""
    return f"{math.ceil(10 * bits - 1e-9) / 10:.1f}"


_SENTENCES: dict[str, Callable[[RunFiles], str]] = {
    "yield": _yield,
    "noise": _noise,
    "temperature": _temperature,
    "precision": precision_answer,
    "drift": _drift,
}
