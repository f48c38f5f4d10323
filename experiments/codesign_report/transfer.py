"""Transfer curves of the chip used: OTA current against voltage, DAC voltage against code."""

from __future__ import annotations

from typing import Any

import numpy as np

from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.formatting import count, percent, si, si_scale, significant
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, BLUE, legend_above, new_figure, panels_of
from atis_jax.units import ZERO_CELSIUS_K

_FAINT: dict[str, Any] = {"color": BLUE, "linewidth": 0.9, "alpha": 0.55}
_NOMINAL: dict[str, Any] = {"color": BLACK, "linestyle": "--", "linewidth": 1.4, "zorder": 3}


def ota_transfer(run: RunFiles) -> Section:
    """Sampled OTAs of one chip against the nominal one, and their difference from it."""
    voltage, current = run.array("ota_v").astype(float), run.array("ota_current").astype(float)
    nominal, temperature = run.optional("ota_current_nominal"), run.optional("ota_temperature_k")
    order = np.argsort(voltage)
    voltage, current = voltage[order], current[:, order]
    if voltage.size < 2 or np.ptp(voltage) == 0:
        raise Absent("artifacts.npz: 'ota_v' has fewer than two different voltages")
    nominal = None if nominal is None else nominal.astype(float)[order]
    v_factor, v_prefix = si_scale(np.abs(voltage).tolist())
    i_factor, i_prefix = si_scale([float(np.abs(current).max())])
    figure = new_figure(2.9)
    panels = panels_of(figure, 1, 1 if nominal is None else 2)
    for j, row in enumerate(current):
        panels[0].plot(voltage / v_factor, row / i_factor, label="sampled OTAs" if j == 0 else None, **_FAINT)
    panels[0].set_ylabel(f"output current ({i_prefix}A)")
    if nominal is not None:
        panels[0].plot(voltage / v_factor, nominal / i_factor, label="nominal", **_NOMINAL)
        scale = float(np.abs(nominal).max()) or 1.0
        for row in current:
            panels[1].plot(voltage / v_factor, 100 * (row - nominal) / scale, **_FAINT)
        panels[1].axhline(0, **_NOMINAL)
        panels[1].set_ylabel("difference from nominal\n(% of its largest current)")
    for axes in panels:
        axes.set_xlabel(f"differential input ({v_prefix}V)")
    legend_above(panels[0], "sampled OTAs", "nominal")
    at = "" if temperature is None else f" at {float(temperature) - ZERO_CELSIUS_K:.3g} °C"
    sentences = [f"{count(len(current), 'sampled OTA')} of the chip used{at}."]
    crossings = np.array([x for x in (_crossing(voltage, row) for row in current) if x is not None])
    if crossings.size > 1:
        sentences.append(
            "Their zero crossings (offsets) spread with a standard deviation of "
            f"{si(float(crossings.std(ddof=1)), 'V')}."
        )
    if nominal is not None:
        worst = float(np.abs(current - nominal).max()) / scale
        sentences.append(f"The largest departure from nominal is {percent(worst)} of the largest nominal current.")
    absent = () if nominal is not None else (("Nominal OTA curve", "artifacts.npz has no array 'ota_current_nominal'"),)
    alt = "Output current against differential input voltage for sampled OTAs."
    return Section("OTA transfer curves", (Picture("ota_transfer", figure, alt, " ".join(sentences)),), absent)


def _crossing(voltage: np.ndarray, current: np.ndarray) -> float | None:
    """Voltage where the current changes sign, interpolated; None when it does not inside the sweep."""
    change = np.flatnonzero(np.diff(np.sign(current)) != 0)
    if not change.size:
        return None
    i = int(change[0])
    return float(voltage[i] - current[i] * (voltage[i + 1] - voltage[i]) / (current[i + 1] - current[i]))


def integral_nonlinearity(volts: np.ndarray) -> np.ndarray:
    """INL in LSB of each row of (converters, codes): departure from the line through its own end points."""
    codes = np.arange(volts.shape[1])
    lsb = (volts[:, -1:] - volts[:, :1]) / (volts.shape[1] - 1)
    return (volts - volts[:, :1]) / lsb - codes


def dac_transfer(run: RunFiles) -> Section:
    """Voltage against code for sampled DACs, and their integral nonlinearity."""
    code, volts = run.array("dac_code").astype(float), run.array("dac_v").astype(float)
    nominal = run.optional("dac_v_nominal")
    order = np.argsort(code)
    code, volts = code[order], volts[:, order]
    if code.size < 2:
        raise Absent("artifacts.npz: 'dac_code' has fewer than two codes")
    if (volts[:, 0] == volts[:, -1]).any():
        raise ReportError("artifacts.npz: 'dac_v' has a converter with the same voltage at its first and last code")
    factor, prefix = si_scale([float(np.abs(volts).max())])
    figure = new_figure(2.9)
    left, right = figure.subplots(1, 2)
    inl = integral_nonlinearity(volts)
    for j, (row, error) in enumerate(zip(volts, inl, strict=True)):
        left.step(code, row / factor, where="mid", label="sampled DACs" if j == 0 else None, **_FAINT)
        right.plot(code, error, **_FAINT)
    if nominal is not None:
        left.step(code, nominal.astype(float)[order] / factor, where="mid", label="nominal", **_NOMINAL)
    worst = float(np.abs(inl).max())
    for bound in (-0.5, 0.5):
        right.axhline(bound, color=BLACK, linestyle=":", linewidth=1.2, label="± half an LSB" if bound > 0 else None)
    span = 1.1 * max(worst, 0.5)
    right.set_ylim(-span, span)
    left.set_xlabel("code")
    right.set_xlabel("code")
    left.set_ylabel(f"output voltage ({prefix}V)")
    right.set_ylabel("INL (LSB)")
    legend_above(left, "sampled DACs", "nominal")
    legend_above(right, "± half an LSB")
    steps = np.diff(inl, axis=1)  # DNL: what each step is longer than one LSB
    lsb = float(np.abs(volts[:, -1] - volts[:, 0]).mean()) / (code.size - 1)
    sentences = [
        f"{count(len(volts), 'sampled DAC')} of {code.size} codes, one LSB is {si(lsb, 'V')}.",
        "The worst integral nonlinearity, from the line through a DAC's own end points, is "
        f"{significant(worst, 2)} LSB, "
        f"the worst differential one {significant(float(np.abs(steps).max()), 2)} LSB.",
    ]
    backwards = int((steps < -1).any(axis=1).sum())
    sentences.append(
        "All of them are monotonic."
        if not backwards
        else f"{backwards} of them go backwards at some code (not monotonic)."
    )
    absent = () if nominal is not None else (("Nominal DAC curve", "artifacts.npz has no array 'dac_v_nominal'"),)
    alt = "Output voltage against code, and integral nonlinearity against code, for sampled DACs."
    return Section(
        "DAC transfer curve and linearity",
        (Picture("dac_transfer", figure, alt, " ".join(sentences)),),
        absent,
    )
