"""Precision against sparsity: the surface over both resolutions, the knee in effective bits, and what limits them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from atis_jax.report.errors import Absent
from atis_jax.report.formatting import count, percent, points, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import GREY, LINES, SHADES, new_figure, panels_of

DEEPEST = 3.0
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
    if len(set(zip(pruned, inputs, strict=True))) < len(inputs):
        raise Absent("several designs have the same inputs and pruned fraction, and a panel shows one; see points.csv")
    places = {(f, s): axes for axes, (f, s) in zip(drawn, [(f, s) for f in fractions for s in sizes], strict=True)}
    mesh = None
    for axes in drawn:
        axes.set_axis_off()
    for number in range(len(change)):
        axes = places[pruned[number], inputs[number]]
        axes.set_axis_on()
        mesh = axes.imshow(change[number].T, origin="lower", aspect="auto", cmap="cividis", vmin=-DEEPEST, vmax=0)
        for d, p in np.argwhere(~holds[number]):
            color = "white" if change[number, d, p] < -DEEPEST / 2 else "black"
            axes.plot(d, p, marker="x", color=color, markersize=4.5, markeredgewidth=1.1)
        axes.set_xticks(range(len(dac)), [str(bit) for bit in dac])
        axes.set_yticks(range(len(gate)), [str(bit) for bit in gate])
        axes.grid(visible=False)
        axes.set_title(f"{inputs[number]} inputs, {percent(float(pruned[number]), 0)}", fontsize=8.8)
    for axes in drawn[-len(sizes) :]:
        axes.set_xlabel("DAC bits")
    for axes in drawn[:: len(sizes)]:
        axes.set_ylabel("programming bits")
    figure.colorbar(mesh, ax=drawn, label="change of accuracy (points)", shrink=0.7, extend="min")  # type: ignore
    chips = run.array("precision_change").shape[-1]
    limit, kept = run.number("precision.limit") or 0.0, run.number("precision.kept_limit") or 0.0
    caption = (
        "A panel is a design: inputs of its array, share of tokens it prunes. Colour is the mean over "
        f"{count(chips, 'chip')} of the difference to the perfect chip with the finest bits, on the same inputs; "
        f"no design was trained anew for other bits{_calibration(run)}. A cross: loses more than "
        f"{points(limit).lstrip('+')}, or keeps over {points(kept).lstrip('+')} more tokens. {int(holds.sum())} of "
        f"{holds.size} combinations hold. In the table: the fewest bits from which on a design does not fail by more "
        "than one standard error, the other at its finest, and its effective bits there. Programming bits are those of "
        "the grid; the error of programming stays as it is at every grid."
    )
    return Section(
        "Accuracy over the bits of converters and currents",
        (Picture("precision_surface", figure, "Maps of accuracy over bits.", caption, table=_needs(run)),),
    )


def effective_bits_knee(run: RunFiles) -> Section:
    """Change of accuracy and of kept tokens against effective bits under both definitions, a point a combination."""
    _designs(run)
    change, more = run.array("precision_change").mean(axis=-1), run.array("precision_kept_more")
    pruned = run.array("precision_pruned").round(2)
    precision = run.table("precision")
    low, high = precision["claim"]["design"]["bits"]
    figure = new_figure(4.6)
    panels = panels_of(figure, 2, 2, sharex="col", sharey="row")
    limits = -(run.number("precision.limit") or 0.0), run.number("precision.kept_limit") or 0.0
    for column, name in enumerate(("precision_bits", "precision_bits_linear")):
        bits = run.array(name).mean(axis=-1)
        for axes, values, limit in zip(panels[column::2], (change, more), limits, strict=True):
            for index, fraction in enumerate(np.unique(pruned)):
                mine = pruned == fraction
                axes.plot(
                    bits[mine].ravel(),
                    100 * values[mine].ravel(),
                    linestyle="none",
                    marker=MARKERS[index % len(MARKERS)],
                    markersize=3.2,
                    alpha=0.6,
                    color=LINES[index % len(LINES)][0],
                    label=f"{percent(float(fraction), 0)} pruned",
                )
            axes.axvspan(low, high, color=SHADES[1], zorder=0)
            axes.axhline(100 * limit, color=GREY, linewidth=0.9, linestyle="--")
    panels[0].set_title("against the design's own score", fontsize=8.8)
    panels[1].set_title("against the linear product", fontsize=8.8)
    panels[0].set_ylabel("accuracy (points)")
    panels[2].set_ylabel("tokens kept (points)")
    for axes in panels[2:]:
        axes.set_xlabel("effective bits of the score")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
    linear = precision["knee"]["linear"]
    finest = [design["finest"]["bits_linear"] for design in _designs(run)]
    caption = (
        f"{precision_answer(run)} Left, the wanted score is the design's own without error or noise: tanh and clipping "
        "belong to it. Right, it is the linear product, as the paper counts, where the OTA's curvature is an error: "
        f"with the finest bits chips then have {significant(min(finest), 2)} to {significant(max(finest), 2)} "
        "effective bits"
        + (
            f"; from {significant(linear['median'], 2)} on none of a design fails clearly (median)."
            if linear["median"]
            else "."
        )
        + " Shaded: the paper's 4 to 6 bits."
    )
    return Section(
        "Do 4 to 6 effective bits suffice?",
        (Picture("precision_knee", figure, "Accuracy and kept tokens against effective bits.", caption),),
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
    reached, raw = ([design["finest"][name] for design in _designs(run)] for name in ("bits", "bits_raw"))
    caption = (
        "Converters to comparator noise, against the design's own score without error; gain and offset fitted out, "
        f"mean of layers. Lines are sampled chips, dots the same bits without errors. With the finest bits "
        f"chips reach {significant(min(reached), 2)} to {significant(max(reached), 2)} effective bits; with their gain "
        f"and the offset from the threshold left in, {significant(min(raw), 2)} to {significant(max(raw), 2)}."
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


def _calibration(run: RunFiles) -> str:
    return "; every chip's thresholds are set anew" if run.config.get("calibrated") else ", nor any threshold set anew"


def _needs(run: RunFiles) -> tuple[tuple[str, ...], ...]:
    smallest = {
        "dac_bits": int(run.array("precision_dac_bits").min()),
        "programming_bits": int(run.array("precision_programming_bits").min()),
    }

    def bits(design: dict[str, Any], name: str) -> str:
        needed = design["needs"][name]
        return "fails" if needed is None else f"{needed} or fewer" if needed == smallest[name] else str(needed)

    rows = []
    for design in _designs(run):
        finest = design["finest"]
        rows.append(
            (
                str(design["inputs"]),
                percent(design["pruned"], 0),
                percent(design["kept"]),
                percent(design["ideal_accuracy"]),
                f"{points(finest['change_mean'])} ({points(finest['change_low'])} to {points(finest['change_high'])})",
                bits(design, "dac_bits"),
                bits(design, "programming_bits"),
                significant(finest["bits"], 2),
            )
        )
    heads = (
        "inputs",
        "to prune",
        "kept",
        "perfect chip",
        "chips, finest bits",
        "DAC bits",
        "programming bits",
        "effective bits",
    )
    return (heads, *rows)


__all__ = ["effective_bits_knee", "effective_bits_limits", "precision_surface"]


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
