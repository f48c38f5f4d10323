"""How much each layer keeps, and where its scores lie against the threshold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from atis_jax.report.errors import Absent
from atis_jax.report.formatting import count, percent, si, si_scale
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import (
    ANALOG,
    BLACK,
    BLUE,
    ORANGE,
    layer_axis,
    legend_above,
    new_figure,
    panels_of,
)


def kept_per_layer(run: RunFiles) -> Section:
    """Mean kept fraction a layer as bars, its spread over chips as error bars, the target as a mark."""
    mean = run.array("kept_per_layer_mean").astype(float)
    spread, target = run.optional("kept_per_layer_std"), run.optional("kept_target")
    layers = np.arange(1, mean.size + 1)
    figure = new_figure(2.7)
    axes = figure.subplots()
    axes.bar(layers, 100 * mean, width=0.62, color=ANALOG, label="kept, mean over chips")
    for x, value in zip(layers, mean, strict=True):
        if mean.size <= 12:
            axes.text(float(x), 2, f"{100 * value:.0f}", ha="center", va="bottom", color="white", fontsize=8.8)
    if spread is not None:
        look: dict[str, Any] = {"fmt": "none", "ecolor": BLACK, "capsize": 4, "zorder": 5, "label": "± std over chips"}
        axes.errorbar(layers, 100 * mean, yerr=100 * spread, **look)
    if target is not None:
        half = 0.4
        axes.hlines(
            100 * target,
            layers - half,
            layers + half,
            color=BLACK,
            linestyle="--",
            linewidth=2,
            label="target",
        )
    axes.set_ylim(0, 105)
    axes.set_ylabel(f"{run.words.tokens} kept (%)")
    layer_axis(axes, mean.size)
    legend_above(axes, "kept, mean over chips", "± std over chips", "target")
    sentences = [
        f"Averaged over layers {percent(float(mean.mean()))} of the {run.words.tokens} are kept, in the last layer "
        f"{percent(float(mean[-1]))} ({run.words.protected} not counted)."
    ]
    if spread is not None:
        worst = int(np.argmax(spread))
        sentences.append(
            f"From chip to chip the fraction varies most in layer {worst + 1}, by {_points(spread[worst])}."
        )
    if target is not None and np.isfinite(target).any():
        worst = int(np.nanargmax(np.abs(mean - target)))
        sentences.append(f"The farthest from its target is layer {worst + 1}, by {_points(abs(mean - target)[worst])}.")
    absent = tuple(
        (what, f"artifacts.npz has no array '{name}'")
        for what, name, array in (
            ("Spread of the kept fraction over chips", "kept_per_layer_std", spread),
            ("Target of the kept fraction", "kept_target", target),
        )
        if array is None
    )
    alt = f"Bar chart of the kept fraction of {run.words.tokens} in each layer."
    return Section("Kept fraction per layer", (Picture("kept_per_layer", figure, alt, " ".join(sentences)),), absent)


def _points(fraction: float) -> str:
    return f"{100 * float(fraction):.2g}\u00a0points"


def score_distributions(run: RunFiles) -> Section:
    """A small panel for each layer with a scorer: histograms of scores kept and pruned, thresholds as lines."""
    edges, keep, prune = (run.array(f"score_hist_{part}").astype(float) for part in ("v", "keep", "prune"))
    threshold = run.optional("threshold_v")
    scored = np.flatnonzero((keep + prune).sum(axis=1))
    if not scored.size:
        raise Absent("artifacts.npz: 'score_hist_keep' and 'score_hist_prune' count no token")
    edges, keep, prune = edges[scored], keep[scored], prune[scored]
    threshold = None if threshold is None else threshold[scored]
    layers = len(scored)
    columns = 2 if layers in (2, 4) else min(layers, 3)
    rows = math.ceil(layers / columns)
    figure = new_figure(0.55 + 1.75 * rows)
    panels = panels_of(figure, rows, columns)
    factor, prefix = si_scale([float(np.abs(edges).max())])
    for layer, axes in enumerate(panels):
        if layer >= layers:
            axes.set_axis_off()
            continue
        scaled = edges[layer] / factor
        axes.stairs(prune[layer], scaled, fill=True, color=ORANGE, alpha=0.55)
        axes.stairs(prune[layer], scaled, color="#8a5f00", linewidth=0.9, hatch="////", fill=False, label="pruned")
        axes.stairs(keep[layer], scaled, fill=True, color=BLUE, alpha=0.45)
        axes.stairs(keep[layer], scaled, color="#00456c", linewidth=1.2, label="kept")
        if threshold is not None:
            for i, value in enumerate(threshold[layer]):
                axes.axvline(
                    value / factor,
                    color=BLACK,
                    linestyle="--",
                    linewidth=1.3,
                    label="threshold" if not i else None,
                )
        axes.set_title(f"layer {scored[layer] + 1}", pad=3)
        axes.set_ylim(bottom=0)
        axes.locator_params(axis="both", nbins=4)
        if layer % columns == 0:
            axes.set_ylabel("tokens")
        if layer + columns >= layers:
            axes.set_xlabel(f"score voltage ({prefix}V)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3)
    caption = " ".join(_score_sentences(edges, keep, prune, threshold))
    absent = () if threshold is not None else (("Thresholds", "artifacts.npz has no array 'threshold_v'"),)
    alt = f"Histograms of the score voltage in {count(layers, 'layer')}, tokens kept and pruned."
    return Section("Scores against their threshold", (Picture("scores", figure, alt, caption),), absent)


def _score_sentences(edges, keep, prune, threshold) -> list[str]:
    looked, kept = (keep + prune).sum(axis=1), keep.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = kept / looked
    low, high = np.nanmin(share), np.nanmax(share)
    sentences = [
        f"Of the tokens a layer looks at it keeps {percent(float(low), 0)}"
        + (f" to {percent(float(high), 0)}, depending on the layer." if high - low > 0.005 else ".")
    ]
    centre = (edges[:, 1:] + edges[:, :-1]) / 2
    total = keep + prune
    mean = (total * centre).sum(axis=1) / np.maximum(looked, 1)
    std = np.sqrt((total * (centre - mean[:, None]) ** 2).sum(axis=1) / np.maximum(looked, 1))
    sentences.append(
        f"The scores' standard deviation is {si(float(std.min()), 'V')} in the narrowest layer and "
        f"{si(float(std.max()), 'V')} in the widest."
        if std.size > 1
        else f"The scores' standard deviation is {si(float(std[0]), 'V')}."
    )
    if threshold is not None and threshold.shape[1] == 1:
        # Only bins wholly on one side of the threshold can be said to be on the wrong side.
        against = np.where(edges[:, 1:] <= threshold, keep, 0) + np.where(edges[:, :-1] >= threshold, prune, 0)
        wrong = float(against.sum() / max(total.sum(), 1))
        sentences.append(
            f"{percent(wrong)} of the decisions fall on the other side of the drawn threshold, because "
            "of offset and noise."
        )
    return sentences
