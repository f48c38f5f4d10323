"""The netlist at its speed: how far each score is from the settled one, and how much of that the model follows."""

from __future__ import annotations

from typing import Any

from atis_jax.report.errors import Absent
from atis_jax.report.formatting import si
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLUE, GREY, ORANGE, VERMILLION, new_figure, plain_log_ticks
from experiments.export.figures.targets import read_export
from experiments.spice.words import process_note

COLORS = (ORANGE, BLUE, VERMILLION, GREY)


def in_time(run: RunFiles) -> Section:
    """RMS of the score against the time of a token, a line a layer; dashed, what the model with residue leaves."""
    spice = read_export(run)["targets"].get("spice", {})
    played = spice.get("in_time")
    if not played:
        raise Absent("no tokens were played one after another")
    figure = new_figure(2.9)
    axes = figure.subplots()
    for number, layer in enumerate(sorted({one["layer"] for one in played})):
        rows = sorted((one for one in played if one["layer"] == layer), key=lambda one: one["token_s"])
        time_us = [1e6 * one["token_s"] for one in rows]
        color = COLORS[number % len(COLORS)]
        axes.plot(time_us, [1e3 * one["rms_from_settled_v"] for one in rows], "o-", color=color, label=f"layer {layer}")
        left = [1e3 * one["rms_with_residue_v"] for one in rows]
        axes.plot(time_us, left, "s--", color=color, markersize=3.5, linewidth=0.9)
    axes.set_yscale("log")
    plain_log_ticks(axes.yaxis)
    axes.set_xlim(left=0)
    axes.set_xlabel("time of a token (µs)")
    axes.set_ylabel("RMS (mV)")
    figure.legend(loc="outside upper left", ncols=4)
    picture = Picture(
        "in_time",
        figure,
        "RMS of the score against the time of a token, a line a layer, with what the model leaves dashed.",
        _caption(played),
        table=_table(played),
    )
    return Section("The netlist at its speed", (*process_note(run, "in_time"), picture))


def _caption(played: list[dict[str, Any]]) -> str:
    billed = [one for one in played if one["fraction"] == 1]
    bits, wrong = (sum(one[name] for one in billed) for name in ("bits", "unequal_to_settled"))
    return (
        f"Real tokens one after another through the netlist in ngspice. Solid: the score at a token's end less the "
        f"settled one. Dashed: what of that our model with residue does not follow. At the billed time, "
        f"{si(max(one['token_s'] for one in billed), 's', 2)} at most, {wrong or 'none'} of {bits} bits differ from "
        "the settled ones."
    )


def _table(played: list[dict[str, Any]]) -> tuple[tuple[str, ...], ...]:
    head = ("layer", "a token", "bits unlike settled", "RMS from settled", "bits unlike model", "model's RMS error")
    rows = [
        (
            str(one["layer"]),
            si(one["token_s"], "s", 2),
            f"{one['unequal_to_settled']} of {one['bits']}",
            si(one["rms_from_settled_v"], "V", 2),
            f"{one['unequal_with_residue']} of {one['bits']}",
            si(one["rms_with_residue_v"], "V", 2),
        )
        for one in played
    ]
    return (head, *rows)
