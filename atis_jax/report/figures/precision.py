"""Precision against sparsity: the surface over both resolutions, the knee in effective bits, and what limits them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from atis_jax.report.errors import Absent
from atis_jax.report.formatting import count, percent, points, significant
from atis_jax.report.montecarlo import precision_answer
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import GREY, LINES, SHADES, new_figure, panels_of

DEEPEST = 10.0
"""Fall of accuracy at the end of the colour scale, points; deeper ones have its colour."""
MARKERS = "os^DvP"


def precision_surface(run: RunFiles) -> Section:
    """Change of accuracy over DAC and programming bits: a column an array size, a row a pruned fraction."""
    _designs(run)
    change = 100 * run.array("precision_change").mean(axis=-1)
    holds = run.array("precision_holds").astype(bool)
    dac, gate = run.array("precision_dac_bits"), run.array("precision_programming_bits")
    inputs, pruned = run.array("precision_inputs"), run.array("precision_pruned").round(2)
    sizes, fractions = np.unique(inputs), np.unique(pruned)
    figure = new_figure(0.9 + 1.75 * len(fractions))
    drawn = panels_of(figure, len(fractions), len(sizes), sharex=True, sharey=True)
    places = {(f, s): axes for axes, (f, s) in zip(drawn, [(f, s) for f in fractions for s in sizes], strict=True)}
    image = None
    for axes in drawn:
        axes.set_axis_off()
    for number in range(len(change)):
        axes = places[pruned[number], inputs[number]]
        axes.set_axis_on()
        image = axes.imshow(change[number].T, origin="lower", aspect="auto", cmap="cividis", vmin=-DEEPEST, vmax=0)
        for d, p in np.argwhere(~holds[number]):
            axes.plot(d, p, marker="x", color="white", markersize=4.5, markeredgewidth=1.1)
        axes.set_xticks(range(len(dac)), [str(bit) for bit in dac])
        axes.set_yticks(range(len(gate)), [str(bit) for bit in gate])
        axes.grid(visible=False)
        axes.set_title(f"{inputs[number]} inputs, {percent(float(pruned[number]), 0)} pruned", fontsize=8.8)
    for axes in drawn[-len(sizes) :]:
        axes.set_xlabel("DAC bits")
    for axes in drawn[:: len(sizes)]:
        axes.set_ylabel("programming bits")
    figure.colorbar(image, ax=drawn, label="change of accuracy (points)", shrink=0.7, extend="min")  # type: ignore
    chips = run.array("precision_change").shape[-1]
    limit, kept = run.number("precision.limit") or 0.0, run.number("precision.kept_limit") or 0.0
    caption = (
        f"Mean over {count(chips, 'chip')} of the difference to the perfect chip with the finest bits, on the same "
        f"inputs; no design was trained anew for other bits. A cross: loses more than {points(limit).lstrip('+')}, or "
        f"keeps over {points(kept).lstrip('+')} more tokens. {int(holds.sum())} of {holds.size} combinations hold."
    )
    return Section(
        "Accuracy over the bits of converters and currents",
        (Picture("precision_surface", figure, "Maps of accuracy over bits.", caption, table=_needs(run)),),
    )


def effective_bits_knee(run: RunFiles) -> Section:
    """Change of accuracy and of kept tokens against the chain's effective bits, a point a combination."""
    _designs(run)
    bits = run.array("precision_bits").mean(axis=-1)
    change, more = run.array("precision_change").mean(axis=-1), run.array("precision_kept_more")
    pruned = run.array("precision_pruned").round(2)
    low, high = run.table("precision")["claim"]["bits"]
    figure = new_figure(3.0)
    accuracy, kept = panels_of(figure, 1, 2, sharex=True)
    for (color, _), marker, fraction in zip(LINES, MARKERS, np.unique(pruned), strict=False):
        mine = pruned == fraction
        for axes, values in ((accuracy, change), (kept, more)):
            axes.plot(
                bits[mine].ravel(),
                100 * values[mine].ravel(),
                linestyle="none",
                marker=marker,
                markersize=3.4,
                alpha=0.65,
                color=color,
                label=f"{percent(float(fraction), 0)} pruned",
            )
    for axes, limit in (
        (accuracy, -(run.number("precision.limit") or 0.0)),
        (kept, run.number("precision.kept_limit") or 0.0),
    ):
        axes.axvspan(low, high, color=SHADES[1], zorder=0)
        axes.axhline(100 * limit, color=GREY, linewidth=0.9, linestyle="--")
        axes.set_xlabel("effective bits of the score")
    accuracy.set_ylabel("change of accuracy (points)")
    kept.set_ylabel("more tokens kept (points)")
    figure.legend(*accuracy.get_legend_handles_labels(), loc="outside upper left", ncols=len(np.unique(pruned)))
    return Section(
        "Do 4 to 6 effective bits suffice?",
        (Picture("precision_knee", figure, "Accuracy against effective bits.", precision_answer(run)),),
    )


def effective_bits_limits(run: RunFiles) -> Section:
    """Effective bits against those of the converters and of the currents, a line an array size."""
    _designs(run)
    chips, alone = run.array("precision_bits").mean(axis=-1), run.array("precision_bits_alone")
    inputs = run.array("precision_inputs")
    figure = new_figure(2.9)
    by_dac, by_gate = panels_of(figure, 1, 2, sharey=True)
    for (color, _), size in zip(LINES, np.unique(inputs), strict=False):
        mine = inputs == size
        for axes, name, pick in (
            (by_dac, "precision_dac_bits", np.s_[:, :, -1]),
            (by_gate, "precision_programming_bits", np.s_[:, -1, :]),
        ):
            _line(axes, run.array(name), chips[mine][pick], color, "-", f"{size} inputs")
            _line(axes, run.array(name), alone[mine][pick], color, ":", None)
    by_dac.set_xlabel("DAC bits (currents at their finest)")
    by_gate.set_xlabel("programming bits (DAC at its finest)")
    by_dac.set_ylabel("effective bits of the score")
    figure.legend(*by_dac.get_legend_handles_labels(), loc="outside upper left", ncols=len(np.unique(inputs)))
    reached = [design["bits_reached"] for design in _designs(run)]
    raw = run.array("precision_bits_raw").mean(axis=-1)[:, -1, -1]
    caption = (
        "Whole chain, converters to comparator noise, against the design without error; gain and offset fitted out, "
        f"mean of layers. Lines are chips as fabricated, dots the same bits without errors. With the finest bits "
        f"chips reach {significant(min(reached), 2)} to {significant(max(reached), 2)} effective bits; their own gain "
        f"and offset left in, {significant(float(raw.min()), 2)} to {significant(float(raw.max()), 2)}."
    )
    return Section(
        "What limits the effective bits",
        (Picture("precision_limits", figure, "Effective bits against bits of the devices.", caption),),
    )


def _designs(run: RunFiles) -> list[dict[str, Any]]:
    found = run.summary.get("precision")
    if not isinstance(found, dict) or not found.get("designs"):
        raise Absent("summary.json has no 'precision'")
    return found["designs"]


def _line(axes: Axes, bits: np.ndarray, values: np.ndarray, color: str, dash: str, label: str | None) -> None:
    axes.plot(bits, values.mean(axis=0), color=color, linestyle=dash, marker=".", label=label)
    axes.set_xticks(bits)


def _needs(run: RunFiles) -> tuple[tuple[str, ...], ...]:
    rows = []
    for design in _designs(run):
        needs = {name: "more" if bits is None else str(bits) for name, bits in design["needs"].items()}
        rows.append(
            (
                str(design["inputs"]),
                percent(design["pruned"], 0),
                percent(design["kept"]),
                percent(design["ideal_accuracy"]),
                f"{points(design['change_mean'])} ({points(design['change_low'])} to {points(design['change_high'])})",
                needs["dac_bits"],
                needs["programming_bits"],
                significant(design["bits_reached"], 2),
            )
        )
    heads = (
        "inputs",
        "to be pruned",
        "kept",
        "perfect chip",
        "chips, finest bits",
        "DAC bits needed",
        "programming bits needed",
        "effective bits reached",
    )
    return (heads, *rows)


__all__ = ["effective_bits_knee", "effective_bits_limits", "precision_surface"]
