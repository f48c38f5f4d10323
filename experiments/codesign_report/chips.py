"""Accuracy from chip to chip beside the sampling error of the examples, and against the temperature of each."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from atis_jax.report.formatting import count
from atis_jax.report.run_files import RunFiles
from atis_jax.report.sampling import calibration_words, change_to, points_to, sample_of
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import ANALOG, BLACK, DENSE, GREEN, GREY, new_figure, panels_of

_EDGE = "#7a3600"
"""A darker shade of the chips' colour, around bars of it."""


def chip_accuracy(run: RunFiles) -> Section:
    """Histogram with every chip as a tick below it; accuracy against temperature where that was varied.

    The axis is at least as wide as the sampling error, whose band is drawn: chips on the same examples may differ by
    less than what these examples tell of any accuracy.
    """
    accuracy = run.array("chip_accuracy").astype(float)
    temperature = run.optional("chip_temperature_c")
    varied = temperature is not None and float(np.ptp(temperature)) > 0
    figure = new_figure(2.9)
    panels = panels_of(figure, 1, 2 if varied else 1, width_ratios=[1.15, 1] if varied else None)
    axes = panels[0]
    dense, ideal = run.fraction("accuracy.dense"), run.fraction("accuracy.ideal")
    mean = float(accuracy.mean())
    error = sample_of(run).error(mean)
    band = [] if error is None else [mean - error, mean + error]
    low, high = _limits(accuracy, [*band, *(v for v in (dense, ideal) if v is not None and np.isfinite(v))])
    heights, edges = np.histogram(accuracy, bins=_bins(accuracy) if np.ptp(accuracy) else 1)
    if band:
        axes.axvspan(*band, color=GREY, alpha=0.2, linewidth=0, label=f"± one standard error of the {run.words.units}")
    axes.stairs(heights, edges, fill=True, color=ANALOG, alpha=0.55)
    axes.vlines(edges[1:-1], 0, np.minimum(heights[1:], heights[:-1]), color=_EDGE, linewidth=0.6)
    axes.stairs(heights, edges, color=_EDGE, linewidth=0.9)
    tallest = float(heights.max())
    axes.plot(accuracy, np.full(accuracy.size, -0.06 * tallest), "|", color=BLACK, markersize=7, alpha=0.6)
    for value, color, dash, label in (
        (mean, BLACK, "-", "mean of chips"),
        (dense, DENSE, "--", "dense"),
        (ideal, GREEN, ":", "perfect chip"),
    ):
        if value is not None and np.isfinite(value):
            axes.axvline(value, color=color, linestyle=dash, linewidth=1.8, label=label)
    axes.set_xlim(low, high)
    axes.set_ylim(-0.12 * tallest, 1.08 * tallest)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_ylabel("chips")
    axes.set_xlabel("accuracy (%)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=4, handlelength=1.6)
    _percent_ticks(axes.xaxis)
    if varied:
        _temperature_panel(panels[1], temperature, accuracy, dense, band, (low, high))
    reason = "artifacts.npz has no array 'chip_temperature_c'"
    if temperature is not None:
        reason = f"all chips were evaluated at {temperature[0]:g} °C"
    absent = () if varied else (("Accuracy against temperature", reason),)
    caption = " ".join(_sentences(run, accuracy, temperature if varied else None, dense))
    alt = "Histogram of accuracy over chips" + (" and accuracy against temperature." if varied else ".")
    return Section("Accuracy from chip to chip", (Picture("chip_accuracy", figure, alt, caption),), absent)


def _bins(accuracy: np.ndarray) -> int:
    return int(np.clip(round(1.5 * np.sqrt(accuracy.size)), 5, 24))


def _limits(accuracy: np.ndarray, others: list[float]) -> tuple[float, float]:
    values = [*accuracy, *others]
    margin = max(0.08 * (max(values) - min(values)), 0.0015)
    return min(values) - margin, max(values) + margin


def _percent_ticks(axis) -> None:
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda x, _: f"{100 * x:.4g}")


def _temperature_panel(axes, temperature, accuracy, dense, band, limits) -> None:
    if band:
        axes.axhspan(*band, color=GREY, alpha=0.2, linewidth=0)
    axes.plot(temperature, accuracy, "o", color=ANALOG, markersize=4, alpha=0.7)
    if dense is not None and np.isfinite(dense):
        axes.axhline(dense, color=DENSE, linestyle="--", linewidth=1.8)
    axes.set_xlabel("temperature (°C)")
    axes.set_ylabel("accuracy (%)")
    axes.set_ylim(*limits)
    _percent_ticks(axes.yaxis)


def _sentences(run: RunFiles, accuracy: np.ndarray, temperature: np.ndarray | None, dense: float | None) -> list[str]:
    sample = sample_of(run)
    mean, spread = float(accuracy.mean()), float(accuracy.std(ddof=1)) if accuracy.size > 1 else 0.0
    error = sample.error(mean)
    set_first = f", {words}" if (words := calibration_words(run)) else ""
    sentences = [
        f"{count(accuracy.size, 'chip')}{set_first}: mean accuracy {sample.words(mean)}, worst "
        f"{sample.words(accuracy.min())}, best {sample.words(accuracy.max())}; each tick under the bars is a chip."
    ]
    if accuracy.size > 1 and error is not None:
        sentences.append(
            f"On these same {run.words.units} chips spread by {points_to(spread, error)} (standard deviation), "
            f"{'less' if spread < error else 'more'} than the sampling error of {points_to(error, error)}."
        )
    if dense is not None and np.isfinite(dense):
        below = int((accuracy < dense - 0.005).sum())
        sentences.append(
            f"The mean is {change_to(mean - dense, error)} from dense, and {below} of {accuracy.size} lie more than "
            "half a point below it."
        )
    if temperature is not None:
        slope = 10 * np.polyfit(temperature, accuracy, 1)[0]
        sentences.append(
            f"From {temperature.min():.0f} to {temperature.max():.0f} °C a straight line through the chips "
            f"changes by {change_to(float(slope), error)} per 10 °C."
        )
    return sentences
