"""Transfer curves of OTAs with the model's lines through them, and what the model leaves of each below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from atis_jax.report.style import BLACK, LINES, new_figure

SHOWN = 25
"""Points of a curve that are drawn; the residual shows all."""


def curves_and_residuals(
    voltage_v: np.ndarray, curves: np.ndarray, models: np.ndarray, labels: Sequence[str], measured: str
) -> Figure:
    """Points and lines above, model less points in percent of the bias current below.

    Args:
        voltage_v: (m,) differential input, V.
        curves: (k, m) currents over the bias current.
        models: (k, m) the same of the model.
        labels: of the k curves.
        measured: what the points are called.
    """
    figure = new_figure(4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.5, 1])
    shown = np.unique(np.linspace(0, len(voltage_v) - 1, SHOWN).round().astype(int))
    for number, (curve, model, label) in enumerate(zip(curves, models, labels, strict=True)):
        color, dash = LINES[number % len(LINES)]
        upper.plot(1e3 * voltage_v, model, color=color, linestyle=dash, label=label)
        upper.plot(1e3 * voltage_v[shown], curve[shown], "o", color=color, markersize=4, markerfacecolor="none")
        lower.plot(1e3 * voltage_v, 100 * (model - curve), color=color, linestyle=dash)
    lower.axhline(0.0, color=BLACK, linewidth=0.8)
    upper.set_ylabel("current over I_b")
    lower.set_ylabel("model less points\n(% of I_b)")
    lower.set_xlabel("differential input (mV)")
    handles, texts = upper.get_legend_handles_labels()
    point = Line2D([], [], color=BLACK, marker="o", linestyle="none", markersize=4, markerfacecolor="none")
    figure.legend([point, *handles], [measured, *texts], loc="outside upper left", ncols=min(4, len(texts) + 1))
    return figure


def worst_residuals(curves: np.ndarray, models: np.ndarray) -> tuple[float, float]:
    """Largest RMS of a curve and largest single residual, fractions of the bias current."""
    left = models - curves
    return float(np.sqrt(np.mean(left**2, axis=1)).max()), float(np.abs(left).max())
