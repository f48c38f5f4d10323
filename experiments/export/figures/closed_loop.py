"""The loop closed in ngspice: real tokens through each layer's netlist and through our model of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.formatting import count, equal_words, percent, si, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, BLUE, GREY, ORANGE, SHADES, VERMILLION, new_figure
from experiments.export.figures.targets import read_export
from experiments.export.words import loops_equal
from experiments.spice.words import process_note

COLUMNS = 3


def closed_loop(run: RunFiles) -> Section:
    """A column a layer: SPICE's score against our model's with threshold and grey zone, the difference below."""
    spice = read_export(run)["targets"].get("spice")
    if spice is None:
        raise Absent("SPICE is no target of this run")
    loops = spice.get("closed_loop")
    if not loops:
        raise Absent("the netlists were not simulated")
    arrays = [_arrays(run, loop) for loop in loops]
    columns = min(COLUMNS, len(loops))
    rows = -(-len(loops) // columns)
    figure = new_figure(0.5 + 3.5 * rows)
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[1.6, 1] * rows)
    for axes in grid.ravel():
        axes.set_axis_off()
    apart = np.concatenate([1e3 * (found["model_v"] - found["spice_v"]).ravel() for found in arrays])
    margin = max(0.08 * float(np.ptp(apart)), 1e-3)
    low, high = min(float(apart.min()), 0.0) - margin, max(float(apart.max()), 0.0) + margin
    for number, (loop, found) in enumerate(zip(loops, arrays, strict=True)):
        row, column = divmod(number, columns)
        upper, lower = grid[2 * row : 2 * row + 2, column]
        _layer(upper, lower, found)
        upper.set_title(f"layer {loop['layer']}", fontsize=8.8)
        lower.set_ylim(low, high)
        if column == 0:
            upper.set_ylabel("score in SPICE (mV)")
            lower.set_ylabel("model less\nSPICE (mV)")
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=5)
    picture = Picture(
        "closed_loop",
        figure,
        "SPICE's scores against the model's, and their difference, a column a layer.",
        _caption(loops, spice),
        table=_table(loops),
    )
    return Section("The loop closed in ngspice", (*process_note(run, "closed_loop"), picture))


def _arrays(run: RunFiles, loop: dict[str, Any]) -> dict[str, np.ndarray]:
    """What was played in a layer, checked against what the summary says of it."""
    number = int(loop["layer"]) - 1
    names = ("spice_v", "model_v", "keep", "zone_v", "threshold_v")
    found = {name: run.array(f"loop{number}_{name}") for name in names}
    found["equal"] = found["keep"].astype(bool) == (found["model_v"] > found["threshold_v"])
    if len(found["keep"]) != loop["tokens"] or not np.isclose(found["equal"].mean(), loop["equal_fraction"], atol=1e-6):
        raise ReportError(
            f"layer {loop['layer']}: summary.json tells of {loop['tokens']} tokens, "
            f"{equal_words(loop['equal_fraction'])} decided alike, artifacts.npz of {len(found['keep'])} and "
            f"{equal_words(float(found['equal'].mean()))}; take both files from one run"
        )
    return found


def _layer(upper: Axes, lower: Axes, found: dict[str, np.ndarray]) -> None:
    ours, spice, equal, keep = (found[name].ravel() for name in ("model_v", "spice_v", "equal", "keep"))
    keep = keep.astype(bool)
    for axes, height in ((upper, spice), (lower, ours - spice)):
        axes.set_axis_on()
        for zone_v, threshold_v in zip(found["zone_v"], found["threshold_v"], strict=True):
            axes.axvspan(
                1e3 * (threshold_v - zone_v), 1e3 * (threshold_v + zone_v), color=SHADES[2], zorder=0, label="grey zone"
            )
            axes.axvline(1e3 * threshold_v, color=GREY, linewidth=1.0, linestyle="--", label="threshold")
        for mine, color, marker, label in (
            (equal & keep, BLUE, "o", "both keep"),
            (equal & ~keep, ORANGE, "^", "both drop"),
            (~equal, VERMILLION, "x", "they differ"),
        ):
            if mine.any():
                size = 6.5 if marker == "x" else 3.2
                axes.plot(
                    1e3 * ours[mine], 1e3 * height[mine], marker, color=color, markersize=size, alpha=0.75, label=label
                )
    lower.axhline(0.0, color=BLACK, linewidth=0.8)
    lower.set_xlim(upper.get_xlim())
    upper.tick_params(labelbottom=False)
    lower.set_xlabel("our model's score (mV)")


def _caption(loops: list[dict[str, Any]], spice: dict[str, Any]) -> str:
    tokens, equal = loops_equal(loops)
    outside = sum(loop["unequal_outside_zone"] for loop in loops)
    needed_v = max(loop["needed_zone_v"] for loop in loops)
    if needed_v == 0:
        needed = "so no grey zone was needed"
    else:
        needed = f"{outside or 'none'} of those that differ outside the grey zone; a half-width of {si(needed_v, 'V')} "
        needed += "would have held them all"
    moving = [one for one in spice.get("in_time", ()) if one["fraction"] == 1]
    transient = ""
    if moving:
        unlike, bits = (sum(one[name] for one in moving) for name in ("unequal_to_settled", "bits"))
        transient = (
            f" One after another at the billed {si(max(one['token_s'] for one in moving), 's', 2)} a token at most, "
            f"{unlike or 'no'} of {bits} bits differ at the end of a token."
        )
    errors = [loop["score_rms_error_v"] for loop in loops]
    ratios = [loop["speed_ratio"] for loop in loops]
    span = " to ".join(dict.fromkeys(significant(ratio, 2) for ratio in (min(ratios), max(ratios))))
    return (
        f"{count(tokens, 'real token')} of {count(len(loops), 'layer')}, {spice['process']}, {spice['simulator']}: "
        f"{equal_words(equal)} of the decisions are equal, {needed}. Shaded: the grey zone, in which a decision may "
        f"differ; it is what the gates allow the array, three times over, and what the model of amplifier and "
        f"comparator leaves. Scores differ by {si(max(errors), 'V', 2)} RMS at most. ngspice takes {span} times as "
        f"long as the model for the same tokens.{transient}"
    )


def _table(loops: list[dict[str, Any]]) -> tuple[tuple[str, ...], ...]:
    heads = (
        "layer",
        "decisions equal",
        "grey zone",
        "tokens in it",
        "zone needed",
        "error, RMS",
        "scores' spread",
        "ngspice",
        "model",
    )
    rows = [
        (
            str(loop["layer"]),
            equal_words(loop["equal_fraction"]),
            "±\u00a0" + ", ".join(si(zone_v, "V") for zone_v in loop["grey_zone_v"]),
            percent(loop["inside_zone_fraction"]),
            "none" if loop["equal_fraction"] == 1 else f"±\u00a0{si(loop['needed_zone_v'], 'V')}",
            si(loop["score_rms_error_v"], "V"),
            si(loop["score_std_v"], "V"),
            si(loop["spice_s"], "s"),
            si(loop["model_s"], "s"),
        )
        for loop in loops
    ]
    return (heads, *rows)
