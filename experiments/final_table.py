"""The table that ends a run: what its ``summary.json`` holds, in a few lines a section."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from atis_jax.formatting import accuracy, accuracy_decimals, equal_words, percent, si, significant, writable
from atis_jax.report.formatting import imperfection
from atis_jax.report.wording import words_for
from experiments.export.words import loops_equal
from experiments.spice.words import population_words

Rows = Iterable[tuple[str, str]]
Summary = Mapping[str, Any]

COSTLIEST = 3
"""Imperfections that the table names; the report ranks all."""


def final_table(summary: Summary, stream: IO[str] | None = None) -> None:
    """Print the figures of ``summary.json`` that were measured, as one table.

    Args:
        summary: the summary, docs/runs.md says what its numbers mean.
        stream: where to write, standard output unless given.
    """
    console = Console(file=stream or sys.stdout)
    if not console.is_terminal:
        console = Console(file=stream or sys.stdout, width=88)
    table = Table(title=str(summary.get("experiment", "run")), title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for section, rows in SECTIONS.items():
        if summary.get(section):
            for name, value in rows(summary):
                table.add_row(*(writable(text, console.encoding) for text in (name, value)))
    if table.row_count:
        console.print(table)


def _accuracy(summary: Summary) -> Rows:
    found = summary["accuracy"]
    chips = f", {found['chips']} chips" if "chips" in found else ""
    chips += ", calibrated" if found.get("calibration") else ""
    labels = {
        "dense": "accuracy, dense",
        "ideal": "accuracy, pruned, perfect chip",
        "hardware_mean": f"accuracy, pruned, mean{chips}",
        "hardware_worst": f"  worst{chips}",
        "digital": "accuracy, digital scorer",
        "random": "accuracy, random pruning, same fractions",
        "attention_received": "accuracy, most attended, same fractions",
    }
    for key, label in labels.items():
        if found.get(key) is not None:
            yield label, _share(summary, found[key])
    if found.get("hardware_std") is not None:
        yield f"  standard deviation{chips}", f"{significant(100 * found['hardware_std'], 2)} points"


def _tokens(summary: Summary) -> Rows:
    tokens = summary["tokens"]
    if tokens.get("pruned_fraction") is not None:
        yield "tokens pruned, mean of layers", percent(tokens["pruned_fraction"])
    if tokens.get("pruned_fraction_final_layer") is not None:
        yield "tokens pruned, final layer", percent(tokens["pruned_fraction_final_layer"])
    if tokens.get("kept_per_layer"):
        yield "tokens kept, each layer", "  ".join(f"{float(kept):.3g}" for kept in tokens["kept_per_layer"])


def _agreement(summary: Summary) -> Rows:
    agreement = summary["agreement"]
    if agreement.get("masked_vs_gathered_max_abs_logit") is not None:
        gap = agreement["masked_vs_gathered_max_abs_logit"]
        yield "masked against gathered, largest logit gap", f"{gap:.1e}"
    if agreement.get("decisions_equal_fraction") is not None:
        yield "  decisions equal", equal_words(agreement["decisions_equal_fraction"])


def _energy(summary: Summary) -> Rows:
    energy = summary["energy"]
    preset = f" ({energy['preset']})" if "preset" in energy else ""
    one = words_for((summary.get("dataset") or {}).get("unit")).one
    for key, label in (("dense_j", f"energy {one}, dense"), ("total_j", f"energy {one}, pruned")):
        if energy.get(key) is not None:
            yield label + preset, si(energy[key], "J")
    if energy.get("dense_j") and energy.get("total_j") is not None:
        yield "  ratio", significant(energy["total_j"] / energy["dense_j"])


def _yield(summary: Summary) -> Rows:
    """Of each arm the chips that pass with their interval, and how far chips are from the perfect one."""
    arms = summary["yield"]
    several = len({arm["run"] for arm in arms}) > 1
    yield "chips that pass at every temperature", f"limit {100 * arms[0]['limit']:.2f} points"
    for arm in arms:
        what = "as fabricated" if arm["calibration"] == "none" else arm["calibration"]
        within = arm["within"]
        decimals = accuracy_decimals(within["fraction"], arm["chips"])
        low, high = (f"{100 * within[end]:.{decimals}f}" for end in ("low", "high"))
        share = f"{within['passed']} of {arm['chips']} = {percent(within['fraction'], decimals)}"
        yield f"  {arm['run'] + ', ' if several else ''}{what}", f"{share} ({low} to {high})"
        yield "    mean change, worst", f"{_points(arm['change_mean'])}, {_points(arm['change_worst'])} points"


def _noise(summary: Summary) -> Rows:
    """The change with every imperfection at the design's own size, and what costs most at the largest scale."""
    points = {(point["imperfection"], point["scale"]): point for point in summary["noise"]}
    yield "accuracy, perfect chip", _share(summary, summary["ideal_accuracy"])
    if ("all", 1.0) in points:
        yield "change, all imperfections, design's size", _change(points["all", 1.0])
    largest = max(scale for _, scale in points)
    for name in summary["ranking"][f"{largest:g}"][:COSTLIEST]:
        yield f"  {imperfection(name)} alone, {largest:g} times its size", _change(points[name, largest])


def _temperature(summary: Summary) -> Rows:
    """Of each bias and compensation the change of accuracy where it is coldest and where it is hottest."""
    found = summary["temperature"]
    ends = sorted({entry["temperature_c"] for entry in found})
    ends = [ends[0], ends[-1]] if len(ends) > 1 else ends
    change = {(entry["bias"], entry["compensation"], entry["temperature_c"]): entry["change_mean"] for entry in found}
    yield "accuracy, perfect chip", _share(summary, summary["ideal_accuracy"])
    yield "change of accuracy, mean of chips, at", ", ".join(f"{t:g} C" for t in ends)
    for bias, compensation in dict.fromkeys((entry["bias"], entry["compensation"]) for entry in found):
        changes = ", ".join(_points(change[bias, compensation, t]) for t in ends)
        yield f"  {bias}, " + ("uncompensated" if compensation == "none" else compensation), f"{changes} points"


def _precision(summary: Summary) -> Rows:
    """How many combinations of bits hold at the paper's effective bits, and from which on all do."""
    precision = summary["precision"]
    claim, knee = precision["claim"]["design"], precision["knee"]["design"]
    low, high = claim["bits"]
    labels = {"below": f"fewer than {low:g}", "within": f"{low:g} to {high:g}", "above": f"more than {high:g}"}
    yield "combinations of bits that hold, with", f"of {len(precision['designs'])} designs"
    for band, label in labels.items():
        counts = claim[band]
        yield f"  {label} effective bits", f"{counts['hold']} of {counts['points']}"
    if knee["median"] is not None:
        yield "no clear failure from, median (range)", f"{knee['median']:.1f} ({knee['low']:.1f} to {knee['high']:.1f})"


def _drift(summary: Summary) -> Rows:
    """After each change, fixed threshold and adaptive one; and the quickest loop that settled on every chip."""
    drift = summary["drift"]
    modes = ("fixed", "adaptive")
    arms = {(arm["scenario"], arm["bias"], arm["mode"]): arm for arm in drift["arms"]}
    yield "after the change, threshold fixed / adaptive", "kept fraction off by; accuracy"
    for scenario, bias in dict.fromkeys((arm["scenario"], arm["bias"]) for arm in drift["arms"]):
        mine = [arms[scenario, bias, mode] for mode in modes if (scenario, bias, mode) in arms]
        off = " / ".join(f"{100 * arm['kept_error_after']:.1f}" for arm in mine)
        right = " / ".join(f"{100 * arm['accuracy_after']:.1f}" for arm in mine)
        yield f"  {scenario}, {bias} bias", f"{off} points; {right} %"
    settled = [rate for rate in drift["step_response"]["rates"] if rate.get("settling_tokens") is not None]
    if settled:
        best = min(settled, key=lambda rate: rate["settling_tokens"])
        yield "quickest loop that settles", f"{best['settling_tokens']:,.0f} tokens at eta = {best['rate_v']:g} V"


def _scenarios(summary: Summary) -> Rows:
    """Of each scenario a pass's energy dense and pruned, and how many times as much the dense one takes."""
    yield "energy a pass, dense / paper's / co-designed", "dense takes"
    for one in summary["scenarios"]:
        total = one["total_j"]
        shown = [name for name in ("dense", "paper", "codesigned") if name in total]
        joules = " / ".join(si(total[name], "J") for name in shown)
        factors = " / ".join(f"{total['dense'] / total[name]:.2f}" for name in shown if name != "dense")
        yield f"  {one['name']}: {joules}", f"{factors} times as much"


def _fit(summary: Summary) -> Rows:
    """How well the curves were fitted, the preset's kappa and offset."""
    told = summary["fit"]
    yield "curves fitted", str(told["curves"])
    yield "  worst RMS, each alone, of I_b", percent(told["worst_rms_of_a_fit"], 3)
    yield "  worst RMS, one law for all", percent(told["worst_rms_of_the_law"], 3)
    yield "kappa", f"{told['fields']['ota.kappa']:.4f}"
    if told["spread"]:
        yield "spread of the offset", si(told["fields"]["ota.offset_sigma_v"], "V")
        yield f"  {population_words(told['spread'])}", ""


def _retarget(summary: Summary) -> Rows:
    """What is written, and how often chips decide as the perfect one in each state."""
    told = summary["retarget"]
    yield "cells written, arrays erased", f"{told['written']} of {told['cells']}, {told['erased_arrays']}"
    for arm in told["arms"]:
        yield f"  {arm['arm']}: decisions as the perfect chip", equal_words(arm["decisions_equal"])


def _montecarlo(summary: Summary) -> Rows:
    account = summary["montecarlo"]
    if account.get("inputs_per_s"):
        cells = f"{account['cells_computed_here']:,} of {account['cells']:,} cells"
        yield "inputs a second", f"{account['inputs_per_s']:,.0f} ({cells})"


def _gates(summary: Summary) -> Rows:
    """How many gates hold, and every one that does not."""
    gates = summary["gates"]
    failing = [gate for gate in gates if not gate["passed"]]
    yield "gates that hold", f"{len(gates) - len(failing)} of {len(gates)}"
    for gate in failing:
        low, high = gate.get("low"), gate.get("high")
        bounds = [f"at least {low:.4g}"] if low is not None else []
        bounds += [f"at most {high:.4g}"] if high is not None else []
        yield f"  FAILS: {gate['name']}", f"{gate['value']:.4g} {gate.get('unit') or ''} ({', '.join(bounds)})"


def _export(summary: Summary) -> Rows:
    """Accuracy of the design and of each target read back, and how its decisions compare."""
    found, targets = summary["export"]["accuracy"], summary["export"]["targets"]
    yield "accuracy, perfect chip / mean of chips / worst", "decisions equal"
    yield "  the design itself: " + _three(summary, found["after_quantisation"], found), ""
    for name, target in targets.items():
        yield f"  {name}: {_three(summary, target['perfect'], target)}", equal_words(target["decisions_equal"])
    loops = targets.get("spice", {}).get("closed_loop")
    if loops:
        tokens, equal = loops_equal(loops)
        yield f"  in ngspice, {tokens:,} tokens against our model", equal_words(equal)


def _three(summary: Summary, perfect: float, account: Mapping[str, Any]) -> str:
    """Accuracies as percent; chips' only where there are chips."""
    chips = [account[name] for name in ("hardware_mean", "hardware_worst") if account.get(name) is not None]
    decimals = accuracy_decimals(perfect, _examples(summary))
    return " / ".join(f"{100 * value:.{decimals}f}" for value in (perfect, *chips)) + " %"


def _share(summary: Summary, fraction: float) -> str:
    """An accuracy with the digits that the run's test examples allow."""
    return accuracy(fraction, _examples(summary))


def _examples(summary: Summary) -> int | None:
    return (summary.get("dataset") or {}).get("examples")


def _timing(summary: Summary) -> Rows:
    timing = summary["timing"]
    if timing.get("train_step_s") is not None:
        yield "training step", f"{1e3 * timing['train_step_s']:.1f} ms"
    if timing.get("seconds") is not None:
        yield "whole run", f"{timing['seconds']:.0f} s"


SECTIONS: Mapping[str, Callable[[Summary], Rows]] = {
    "accuracy": _accuracy,
    "tokens": _tokens,
    "agreement": _agreement,
    "energy": _energy,
    "yield": _yield,
    "noise": _noise,
    "temperature": _temperature,
    "precision": _precision,
    "drift": _drift,
    "scenarios": _scenarios,
    "fit": _fit,
    "export": _export,
    "gates": _gates,
    "retarget": _retarget,
    "montecarlo": _montecarlo,
    "timing": _timing,
}
"""The sections of a summary that are shown, in this order, and what makes their rows from the summary."""


def _points(change: float) -> str:
    return f"{100 * change:+.2f}"


def _change(point: Mapping[str, Any]) -> str:
    """A mean change with its interval."""
    low, high = (_points(point[end]) for end in ("change_low", "change_high"))
    return f"{_points(point['change_mean'])} points ({low} to {high})"
