"""One OTA in SPICE beside our model of it: transfer curves, transconductance against temperature, noise."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.ticker import NullLocator

from atis_jax.gates import Gate
from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.formatting import join, percent, si, significant
from atis_jax.report.gates import read_gates
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, LINES, new_figure, panels_of, plain_log_ticks
from experiments.spice.figures.curve_residuals import curves_and_residuals, worst_residuals
from experiments.spice.words import process_note


def single_ota(run: RunFiles) -> Section:
    """Transfer curves with residuals, and transconductance against temperature."""
    pictures, absent = [], []
    for what, build in (("Transfer curves", _transfer), ("Transconductance against temperature", _transconductance)):
        try:
            pictures.append(build(run))
        except Absent as reason:
            absent.append((f"{what} of one OTA", str(reason)))
    if not pictures:
        raise Absent(absent[0][1])
    return Section("One OTA: SPICE and model", (*process_note(run, "spice_ota"), *pictures), tuple(absent))


def biases_a(run: RunFiles) -> np.ndarray:
    """Biases of the single OTAs, A, in the order of every array but the curves, whose biases rise.

    Raises:
        Absent: no curves.
        ReportError: config.json and the arrays are of different runs.
    """
    rising = run.array("spice_bias_a").astype(float)
    told = run.config.get("single_biases_a")
    if told is None:
        return rising
    asked = np.array(told, float)
    if asked.shape != rising.shape or not np.allclose(np.sort(asked), rising, rtol=1e-9, atol=0.0):
        raise ReportError(
            f"config.json asks for OTAs at {[float(one) for one in asked]} A, but artifacts.npz has them at "
            f"{rising.tolist()}; take both files from one run"
        )
    return asked


def bias_words(bias_a: float) -> str:
    """A bias current as a label."""
    return f"{1e9 * bias_a:g}\u00a0nA"


def gates_by_name(run: RunFiles) -> dict[str, Gate]:
    """The run's gates by name, none where it has none."""
    try:
        return {gate.name: gate for gate in read_gates(run)}
    except Absent:
        return {}


def _transfer(run: RunFiles) -> Picture:
    voltage_v, found_a = run.array("spice_v"), run.array("spice_bias_a")
    curves, models = run.array("spice_curve"), run.array("spice_model")
    figure = curves_and_residuals(voltage_v, curves, models, [bias_words(one) for one in found_a], "SPICE")
    rms, largest = worst_residuals(curves, models)
    curves_of_law = run.number("spice.curves")
    through = "" if curves_of_law is None else f" through {curves_of_law:.0f} curves at all biases and temperatures"
    caption = (
        f"One OTA at {join([bias_words(one) for one in found_a])} and 27 °C. Points are SPICE's, lines our model "
        f"with one law{through}, nothing fitted to a curve alone. Below, what is left: at most "
        f"{percent(largest, 2)} of the bias current, RMS of the worst curve {percent(rms, 3)}."
    )
    alt = "Output current against differential input, SPICE and model, and the difference of both."
    return Picture("spice_curves", figure, alt, caption)


def _transconductance(run: RunFiles) -> Picture:
    celsius, gm, ours = (run.array(name).astype(float) for name in ("spice_c", "spice_gm", "spice_gm_model"))
    asked_a = biases_a(run)
    if gm.min() <= 0 or ours.min() <= 0:
        raise ReportError("artifacts.npz: 'spice_gm' and 'spice_gm_model' must be positive, S")
    figure = new_figure(2.9)
    left, right = panels_of(figure, 1, 2)
    for number, bias_a in enumerate(asked_a):
        color, dash = LINES[number % len(LINES)]
        left.plot(celsius, ours[number] / bias_a, color=color, linestyle=dash, label=bias_words(bias_a))
        left.plot(celsius, gm[number] / bias_a, "o", color=color, markersize=4.5, markerfacecolor="none")
        right.plot(celsius, 100 * (ours[number] / gm[number] - 1), ".", color=color, linestyle=dash)
    right.axhline(0.0, color=BLACK, linewidth=0.8)
    left.set_ylabel("gm over I_b (1/V)")
    right.set_ylabel("model less SPICE (% of SPICE)")
    for axes in (left, right):
        axes.set_xlabel("temperature (°C)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=min(6, len(asked_a)))
    apart = ours / gm - 1
    worst = np.unravel_index(np.abs(apart).argmax(), apart.shape)
    caption = (
        "Transconductance at zero input: points are SPICE's, lines the model's. The model is farthest off, by "
        f"{percent(float(apart[worst]), 2)}, at {bias_words(float(asked_a[worst[0]]))} and {celsius[worst[1]]:g} °C"
    )
    if len(celsius) > 1:
        change = 10 * np.diff(np.log(ours / gm), axis=1) / np.diff(celsius)
        caption += (
            f"; its change with temperature is off by at most {percent(float(np.abs(change).max()), 3)} per 10\u00a0°C"
        )
    return Picture("spice_gm", figure, "gm against temperature, SPICE and model.", f"{caption}.")


def noise_spectra(run: RunFiles) -> Section:
    """Output noise of one OTA over 4 q I_b against frequency, a line a bias."""
    frequency_hz, density = run.array("spice_noise_hz").astype(float), run.array("spice_noise").astype(float)
    asked_a, gates = biases_a(run), gates_by_name(run)
    if density.min() <= 0 or frequency_hz.min() <= 0:
        raise ReportError("artifacts.npz: 'spice_noise' and 'spice_noise_hz' must be positive")
    figure = new_figure(2.9)
    (axes,) = panels_of(figure, 1, 1)
    for number, bias_a in enumerate(asked_a):
        color, dash = LINES[number % len(LINES)]
        axes.plot(frequency_hz, density[number], color=color, linestyle=dash, label=bias_words(bias_a))
    axes.axhline(1.0, color=BLACK, linewidth=0.9, linestyle=(0, (1, 2)), label="4 q I_b")
    axes.set(xscale="log", yscale="log", xlabel="frequency", ylabel="noise density over 4 q I_b")
    plain_log_ticks(axes.yaxis)
    axes.xaxis.set_major_formatter(lambda hertz, _: si(hertz, "Hz", 1))
    axes.xaxis.set_minor_locator(NullLocator())
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=min(6, len(asked_a) + 1))
    corners = [_corner_hz(frequency_hz, row) for row in density]
    told = [
        f"{bias_words(bias_a)} {si(corner, 'Hz', 2)}"
        for bias_a, corner in zip(asked_a, corners, strict=True)
        if math.isfinite(corner)
    ]
    caption = (
        "Noise current of one OTA in SPICE over the theory's white noise, 4 q I_b; the model has white noise only."
    )
    if told:
        caption += f" SPICE's 1/f noise makes the density more than twice the theory's below: {join(told)}."
    ratios = [(bias_a, gates.get(f"noise_{bias_a:g}")) for bias_a in asked_a]
    shown = [f"{bias_words(bias_a)} {significant(gate.value)}" for bias_a, gate in ratios if gate]
    if shown:
        caption += f" Model over SPICE, RMS in the read-out's bandwidth with 1/f noise: {join(shown)}."
    picture = Picture("spice_noise", figure, "Noise density against frequency.", caption)
    return Section("Noise of one OTA", (*process_note(run, "spice_noise"), picture))


def _corner_hz(frequency_hz: np.ndarray, density: np.ndarray) -> float:
    """Above which frequency the density stays below twice 4 q I_b; not a number where it is never above or below."""
    above = np.flatnonzero(density > 2.0)
    return float(frequency_hz[above[-1]]) if above.size and above[-1] + 1 < len(density) else math.nan
