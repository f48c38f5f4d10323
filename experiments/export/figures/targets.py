"""Targets of an export: accuracy of each read back, and what a chip of each takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.formatting import count, equal_words, join, percent
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section, Table
from atis_jax.report.style import BLACK, LINES, VERMILLION, new_figure, panels_of
from experiments.export.words import TARGETS, target_order
from experiments.spice.words import process_note

_STRIP = 0.4
"""Half-height of a target's strip, rows being one apart."""
_CHECKED = {
    "bundle": "files read back",
    "spice": "netlist's numbers read back",
    "rasp": "BLIF read back",
    "an231e04": "capacitor tables read back; not built",
}


def read_export(run: RunFiles) -> dict[str, Any]:
    """The export of a run, its targets in the order of the tables.

    Raises:
        Absent: there is none.
    """
    found = run.table("export")
    if not found.get("targets"):
        raise Absent(run.missing.get("summary.json", "summary.json has no 'export' with targets"))
    return {**found, "targets": {name: found["targets"][name] for name in target_order(found["targets"])}}


def target_accuracy(run: RunFiles) -> Section:
    """Every chip of every target as a point; the table beside the original."""
    told = read_export(run)
    found = {name: run.optional(f"export_{name}_chips") for name in told["targets"]}
    chips = {name: values.astype(float) for name, values in found.items() if values is not None}
    lacking = tuple(
        (f"Accuracy of each chip, {TARGETS.get(name, name)}", f"artifacts.npz has no array 'export_{name}_chips'")
        for name in found
        if name not in chips
    )
    for name, values in chips.items():
        mean = told["targets"][name]["hardware_mean"]
        if not np.isclose(values.mean(), mean, atol=1e-6):
            raise ReportError(
                f"summary.json says that chips of target {name} have mean accuracy {mean}, artifacts.npz "
                f"({values.mean():.6g}) does not; take both files from one run"
            )
    caption, table = _caption(told), _table(told)
    shown = _strips(told, chips, caption, table) if chips else Table("export_accuracy", caption, table)
    return Section("Accuracy of each target", (*process_note(run, "export_accuracy"), shown), lacking)


def _strips(
    told: dict[str, Any], chips: dict[str, np.ndarray], caption: str, table: tuple[tuple[str, ...], ...]
) -> Picture:
    figure = new_figure(0.9 + 0.75 * len(chips))
    (axes,) = panels_of(figure, 1, 1)
    for row, (name, values) in enumerate(chips.items()):
        axes.plot(
            100 * values,
            row + _apart(values),
            "o",
            color=LINES[row % len(LINES)][0],
            markersize=3.6,
            alpha=0.75,
        )
        perfect, mean = told["targets"][name]["perfect"], values.mean()
        words = ("its perfect chip", "mean of chips") if row == 0 else (None, None)
        axes.plot([100 * perfect], [row], "D", color=BLACK, markersize=6, fillstyle="none", label=words[0])
        axes.plot([100 * mean] * 2, [row - _STRIP, row + _STRIP], color=BLACK, linewidth=1.4, label=words[1])
    original = told["accuracy"]["after_quantisation"]
    axes.axvline(
        100 * original, color=VERMILLION, linestyle="--", linewidth=1.4, label="the design itself, perfect chip"
    )
    axes.set_yticks(range(len(chips)), [TARGETS.get(name, name) for name in chips])
    axes.set_ylim(len(chips) - 0.45, -0.55)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("accuracy (%)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    sizes = join(sorted({count(len(values), "chip") for values in chips.values()}))
    caption += f" Each point is one of {sizes} a target; chips of equal accuracy stand above one another."
    return Picture("export_chips", figure, "Accuracy of every sampled chip, a strip a target.", caption, table=table)


def _apart(values: np.ndarray) -> np.ndarray:
    """Heights at which equal values do not hide one another, within the strip."""
    heights = np.zeros(len(values))
    rounded = values.round(9)
    most = max(int(np.unique(rounded, return_counts=True)[1].max()) - 1, 1)
    step = min(0.12, 2 * _STRIP / most)
    for value in np.unique(rounded):
        mine = np.flatnonzero(rounded == value)
        heights[mine] = step * (np.arange(len(mine)) - (len(mine) - 1) / 2)
    return heights


def _caption(told: dict[str, Any]) -> str:
    examples = told["accuracy"].get("examples")
    over = f" on {count(int(examples), 'test input')}" if examples else ""
    text = (
        f"Accuracy of the design of {told['checkpoint']}{over}, and of what was read back from each target's files. "
        "Chips are sampled at the nominal temperature with the target's own imperfections; the design's are those of "
        "its own run. Decisions: keep or drop, on real tokens, perfect chip."
    )
    before, after = told["accuracy"].get("before_quantisation"), told["accuracy"]["after_quantisation"]
    if before is not None and before != after:
        text += f" Before its currents and thresholds were rounded to the grid the design reached {percent(before, 2)}."
    said: dict[str, list[str]] = {}
    for name, one in told["targets"].items():
        for sentence in one.get("built_otherwise") or []:
            said.setdefault(sentence, []).append(TARGETS.get(name, name))
    return " ".join([text, *(f"{join(names)}: {sentence}" for sentence, names in said.items())])


def _table(told: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    accuracy = told["accuracy"]
    heads = ("target", "folder", "checked", "perfect chip", "mean ± std", "worst", "decisions equal")
    original = {**accuracy, "perfect": accuracy["after_quantisation"]}
    rows = [("the design itself", "", "", *_accuracies(original), "")]
    for name, one in told["targets"].items():
        checked = "; ".join(filter(None, (_CHECKED.get(name, "read back"), one.get("checked"), _played(one))))
        equal = equal_words(one["decisions_equal"])
        rows.append((TARGETS.get(name, name), f"{one['folder']}/", checked, *_accuracies(one), equal))
    return (heads, *rows)


def _played(one: dict[str, Any]) -> str:
    if not one.get("process"):
        return ""
    return f"{one['process']}, played in {one['simulator']}" if one.get("closed_loop") else "not simulated"


def _accuracies(one: dict[str, Any]) -> tuple[str, str, str]:
    if one.get("hardware_mean") is None:
        return percent(one["perfect"], 2), "", ""
    spread = f" ± {100 * one['hardware_std']:.2f}" if one.get("hardware_std") is not None else ""
    chips = f" ({count(int(one['chips']), 'chip')})" if one.get("chips") else ""
    worst = percent(one["hardware_worst"], 2) + chips if one.get("hardware_worst") is not None else ""
    return percent(one["perfect"], 2), percent(one["hardware_mean"], 2) + spread, worst


def target_needs(run: RunFiles) -> Section:
    """What a chip of each FPAA takes, and what of its tools' files is not made."""
    targets = read_export(run)["targets"]
    tables = tuple(build(targets[name]) for name, build in (("rasp", _rasp), ("an231e04", _an231)) if name in targets)
    if not tables:
        raise Absent("no target of this run is an FPAA")
    return Section("What each FPAA takes", tables)


def _rasp(one: dict[str, Any]) -> Table:
    heads = ("layer", "OTAs", "floating-gate OTAs", "blocks (CABs)", "pads", "fits", "comparator reference")
    rows = []
    for name, budget in one["budget"].items():
        within = all(budget[part] <= budget[f"{part}_of_chip"] for part in ("cabs", "pads"))
        if budget["fits"] and not within:
            raise ReportError(f"summary.json: {name} is said to fit a RASP 3.0, but takes more than the chip has")
        references = (one.get("references_v") or {}).get(name) or []
        rows.append(
            (
                name.replace("layer", "layer\u00a0"),
                str(budget["ota"]),
                str(budget["fgota"]),
                *(f"{budget[part]} of {budget[f'{part}_of_chip']}".replace(" ", "\u00a0") for part in ("cabs", "pads")),
                "yes" if budget["fits"] else "NO",
                ", ".join(f"{1e3 * volts:.1f} mV".replace("-", "−") for volts in references),
            )
        )
    of_chip = max(budget["cabs_of_chip"] for budget in one["budget"].values())
    together = f"All layers together take {one['cabs_all_layers']} of the {of_chip} CABs of a chip"
    together += "." if one["cabs_all_layers"] <= of_chip else ", so one chip does not hold them all at once."
    caption = (
        f"RASP 3.0: {together} Weight currents are the design's times {one['scale']:.3g}. The reference is what the "
        f"comparator's pad is held below the common reference. Not made here: {'; '.join(one['not_made'])}."
    )
    return Table("export_rasp", caption, (heads, *rows))


def _an231(one: dict[str, Any]) -> Table:
    rows = [
        (
            name.replace("layer", "layer\u00a0"),
            ", ".join(str(chips) for chips in layer["chips"]),
            ", ".join(percent(error, 2) for error in layer["gain_rms_error"]),
        )
        for name, layer in one["layers"].items()
    ]
    caption = (
        "AN231E04: chips in a row for each score of a layer, and the RMS error of the gains that its capacitor ratios "
        f"give, over their RMS. {one['power'].rstrip('.')}. Not made here: {'; '.join(one['not_made'])}."
    )
    return Table("export_an231e04", caption, (("layer", "chips", "error of the gains"), *rows))
