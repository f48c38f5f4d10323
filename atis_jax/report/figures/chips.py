"""Accuracy from chip to chip, and against the temperature of each."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from atis_jax.report.formatting import count, percent, points
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, BLUE, GREEN, VERMILLION, new_figure, panels_of


def chip_accuracy(run: RunFiles) -> Section:
    """Histogram with every chip as a tick below it; accuracy against temperature where that was varied."""
    accuracy = run.array("chip_accuracy").astype(float)
    temperature = run.optional("chip_temperature_c")
    varied = temperature is not None and float(np.ptp(temperature)) > 0
    figure = new_figure(2.9)
    panels = panels_of(figure, 1, 2 if varied else 1, width_ratios=[1.15, 1] if varied else None)
    axes = panels[0]
    dense, ideal = run.fraction("accuracy.dense"), run.fraction("accuracy.ideal")
    low, high = _limits(accuracy, [v for v in (dense, ideal) if v is not None and np.isfinite(v)])
    heights, edges = np.histogram(accuracy, bins=_bins(accuracy) if np.ptp(accuracy) else 1)
    axes.stairs(heights, edges, fill=True, color=BLUE, alpha=0.55)
    axes.vlines(edges[1:-1], 0, np.minimum(heights[1:], heights[:-1]), color="#00456c", linewidth=0.6)
    axes.stairs(heights, edges, color="#00456c", linewidth=0.9)
    tallest = float(heights.max())
    axes.plot(accuracy, np.full(accuracy.size, -0.06 * tallest), "|", color=BLACK, markersize=7, alpha=0.6)
    for value, color, dash, label in (
        (float(accuracy.mean()), BLACK, "-", "mean of chips"),
        (dense, VERMILLION, "--", "dense"),
        (ideal, GREEN, ":", "perfect chip"),
    ):
        if value is not None and np.isfinite(value):
            axes.axvline(value, color=color, linestyle=dash, linewidth=1.8, label=label)
    axes.set_xlim(low, high)
    axes.set_ylim(-0.12 * tallest, 1.08 * tallest)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_ylabel("chips")
    axes.set_xlabel("accuracy")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    _percent_ticks(axes.xaxis, high - low)
    if varied:
        _temperature_panel(panels[1], temperature, accuracy, dense, (low, high))
    reason = "artifacts.npz has no array 'chip_temperature_c'"
    if temperature is not None:
        reason = f"all chips were evaluated at {temperature[0]:g} °C"
    absent = () if varied else (("Accuracy against temperature", reason),)
    caption = " ".join(_sentences(accuracy, temperature if varied else None, dense))
    alt = "Histogram of accuracy over chips" + (" and accuracy against temperature." if varied else ".")
    return Section("Accuracy from chip to chip", (Picture("chip_accuracy", figure, alt, caption),), absent)


def _bins(accuracy: np.ndarray) -> int:
    return int(np.clip(round(1.5 * np.sqrt(accuracy.size)), 5, 24))


def _limits(accuracy: np.ndarray, others: list[float]) -> tuple[float, float]:
    values = [*accuracy, *others]
    margin = max(0.08 * (max(values) - min(values)), 0.0015)
    return min(values) - margin, max(values) + margin


def _percent_ticks(axis, span: float) -> None:
    axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0 if span > 0.05 else 1 if span > 0.005 else 2))


def _temperature_panel(axes, temperature, accuracy, dense, limits) -> None:
    axes.plot(temperature, accuracy, "o", color=BLUE, markersize=4, alpha=0.7)
    if dense is not None and np.isfinite(dense):
        axes.axhline(dense, color=VERMILLION, linestyle="--", linewidth=1.8)
    axes.set_xlabel("temperature (°C)")
    axes.set_ylabel("accuracy")
    axes.set_ylim(*limits)
    _percent_ticks(axes.yaxis, limits[1] - limits[0])


def _sentences(accuracy: np.ndarray, temperature: np.ndarray | None, dense: float | None) -> list[str]:
    spread = f", standard deviation {points(float(accuracy.std(ddof=1))).lstrip('+')}" if accuracy.size > 1 else ""
    sentences = [
        f"{count(accuracy.size, 'chip')}: mean accuracy {percent(float(accuracy.mean()), 2)}{spread}, worst "
        f"{percent(float(accuracy.min()), 2)}, best {percent(float(accuracy.max()), 2)}; each tick under the "
        "bars is a chip."
    ]
    if dense is not None and np.isfinite(dense):
        below = int((accuracy < dense - 0.005).sum())
        sentences.append(
            f"The mean is {points(float(accuracy.mean()) - dense)} from dense, and {below} of "
            f"{accuracy.size} lie more than half a point below it."
        )
    if temperature is not None:
        slope = 10 * np.polyfit(temperature, accuracy, 1)[0]
        sentences.append(
            f"From {temperature.min():.0f} to {temperature.max():.0f} °C a straight line through the chips "
            f"changes by {points(float(slope), 3)} per 10 °C."
        )
    return sentences
