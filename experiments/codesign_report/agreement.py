"""Does the score find the tokens that the dense network attends to? Rank correlation and recall by layer."""

from __future__ import annotations

import numpy as np

from atis_jax.report.circuits import name_of
from atis_jax.report.errors import Absent
from atis_jax.report.formatting import percent
from atis_jax.report.run_files import RunFiles, kind_of
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import (
    ANALOG,
    BLACK,
    RANDOM,
    layer_axis,
    legend_above,
    new_figure,
    panels_of,
)


def agreement(run: RunFiles) -> Section:
    """Two panels: Spearman's rho, and recall at the kept fraction beside what a random choice would reach."""
    spearman, recall = run.optional("agreement_layer_spearman"), run.optional("agreement_recall")
    if spearman is None and recall is None:
        run.array("agreement_layer_spearman")  # says which file lacks it
        raise Absent("unreachable")
    chance = run.optional("kept_per_layer_mean") if recall is not None else None
    drawn = [(name, array) for name, array in (("rho", spearman), ("recall", recall)) if array is not None]
    figure = new_figure(2.9)
    panels = panels_of(figure, 1, len(drawn))
    sentences, words, own = [], run.words, f"{name_of(kind_of(run))} score"
    for axes, (name, array) in zip(panels, drawn, strict=True):
        layers = np.arange(1, array.size + 1)
        if name == "rho":
            axes.bar(layers, array, width=0.6, color=ANALOG)
            axes.axhline(0, color=BLACK, linewidth=0.9)
            axes.set_ylabel("Spearman's ρ of score\nand attention received")
            axes.set_ylim(min(0.0, 1.15 * float(np.nanmin(array, initial=0.0))), 1.0)
            sentences.append(
                f"Rank correlation of score and attention received in the dense network: {_range(array, str_rho)}."
            )
        else:
            axes.bar(layers, 100 * array, width=0.6, color=ANALOG, label=own)
            axes.set_ylabel(f"recall of the most\nattended {words.tokens} (%)")
            axes.set_ylim(0, 105)
            sentences.append(
                f"Of as many most-attended {words.tokens} as are kept, {_range(array, percent)} are among the kept."
            )
            if chance is not None:
                axes.hlines(
                    100 * chance,
                    layers - 0.4,
                    layers + 0.4,
                    color=RANDOM,
                    linestyle="--",
                    linewidth=2,
                    label="random choice",
                )
                legend_above(axes, own, "random choice")
                above = array - chance
                best = int(np.nanargmax(above)) if np.isfinite(above).any() else 0
                sentences.append(
                    f"A random choice would find the kept fraction itself; the largest gain over it is "
                    f"{100 * above[best]:.0f}\u00a0points, in layer {best + 1}."
                )
        layer_axis(axes, array.size)
        for x, value in zip(layers, array, strict=True):
            if not np.isfinite(value):
                axes.text(float(x), 0.02, "n/a", ha="center", fontsize=8.6)
    if any(not np.isfinite(array).all() for _, array in drawn):
        sentences.append("Layers marked n/a have no value (a constant score or nothing pruned).")
    absent = tuple(
        (what, f"artifacts.npz has no array '{name}'")
        for what, name, array in (
            ("Rank correlation with attention", "agreement_layer_spearman", spearman),
            (f"Recall of the most attended {words.tokens}", "agreement_recall", recall),
        )
        if array is None
    )
    alt = "Bar charts by layer of agreement between the score and the attention that tokens receive."
    return Section("Agreement with attention", (Picture("agreement", figure, alt, " ".join(sentences)),), absent)


def str_rho(value: float) -> str:
    """A correlation with two decimals and a proper minus sign."""
    return f"{value:.2f}".replace("-", "\u2212")


def _range(array: np.ndarray, form) -> str:
    finite = array[np.isfinite(array)]
    if not finite.size:
        return "no value in any layer"
    if finite.size == 1:
        return form(float(finite[0]))
    return f"{form(float(finite.min()))} to {form(float(finite.max()))} depending on the layer"
