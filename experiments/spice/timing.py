"""The time constants of the built cells, from ngspice: how late an OTA's mirror is, how slowly a comparator decides.

    python -m experiments.spice.timing

prints what ``atis_jax.cells.library`` holds (``OTA_MIRROR_F``, ``COMPARATOR_TIME_S``, ``COMPARATOR_RANGE_V``) beside
what this machine's ngspice and models give, and what the laws leave.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares

from atis_jax.cells.library import (
    COMPARATOR_CURRENT_A,
    COMPARATOR_INPUT_F,
    COMPARATOR_RANGE_V,
    COMPARATOR_TIME_S,
    OTA_MIRROR_F,
    OTA_MIRROR_PER_DECADE,
    OTA_OUTPUT_F,
)
from atis_jax.spice.models import Process, find_process
from atis_jax.spice.netlist import comparator_line, ota_line
from atis_jax.spice.simulator import SpiceError
from atis_jax.spice.steps import comparator_delay_s, node_capacitance_f, ota_step
from atis_jax.units import thermal_voltage_v
from experiments import arguments

BIASES_A = (3e-9, 10e-9, 30e-9, 100e-9)
STEPS_V = (0.05, -0.05)
LATE = (0.003, 0.1)
"""What is lacking, of the bias current, where the capacitance is fitted."""
OVERDRIVES_V = (1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3)
TEMPERATURE_C = 27.0
KAPPA, KAPPA_PER_DECADE = 0.689, -0.04
"""Of the OTA at 10 nA, PHYSICS of the presets: V, sky130."""


def mirror_capacitance_f(process: Process, bias_a: float, step_v: float) -> tuple[float, float]:
    """C of the logistic law through what an OTA's current lacks after a step, F; and the RMS of its logarithm.

    The pair's two sides are what the current settles to; only C is free. Fitted where less than a tenth of the bias
    current is lacking: before that other nodes move too, and what a token leaves for the next is the end.
    """
    thermal_v = float(thermal_voltage_v(TEMPERATURE_C + 273.15))
    kappa = KAPPA + KAPPA_PER_DECADE * np.log10(bias_a / 10e-9)
    stop_s = 50.0 * OTA_MIRROR_F * thermal_v / (kappa * bias_a)
    time_s, current_a = ota_step(process, bias_a, step_v, stop_s, TEMPERATURE_C)
    settled_a = current_a[-1]
    side_a = 0.5 * (bias_a + settled_a)  # settled: the mirror's current less the other side's, which sum to I_b
    before_a = bias_a - side_a
    lacking = np.abs(current_a - settled_a) / bias_a
    late = (lacking < LATE[1]) & (lacking > LATE[0])

    def left(log_f):
        rate = kappa * side_a / (np.exp(log_f[0]) * thermal_v)
        mirror_a = side_a / (1.0 + (side_a / before_a - 1.0) * np.exp(-rate * time_s[late]))
        return np.log(np.abs(mirror_a - side_a) / bias_a / lacking[late])

    fit = least_squares(left, [np.log(OTA_MIRROR_F)])
    return float(np.exp(fit.x[0])), float(np.sqrt(np.mean(fit.fun**2)))


def comparator_law(delays_s: Sequence[float]) -> tuple[float, float, float]:
    """(T, R, RMS of the logarithm) of t = T ln(1 + R / V) through the delays at ``OVERDRIVES_V``."""

    def left(found):
        time_s, range_v = np.exp(found)
        return np.log(time_s * np.log1p(range_v / np.array(OVERDRIVES_V)) / np.array(delays_s))

    fit = least_squares(left, np.log([COMPARATOR_TIME_S, COMPARATOR_RANGE_V]))
    time_s, range_v = np.exp(fit.x)
    return float(time_s), float(range_v), float(np.sqrt(np.mean(fit.fun**2)))


def main(given: Sequence[str]) -> int:
    """Print both tables."""
    arguments.parser("experiments.spice.timing", __doc__).parse_args(given)
    process = find_process("auto")
    print(f"{process.name}, {TEMPERATURE_C:g} C\n\nbias (nA)  mirror, falling and rising (fF)  left of what lacks (%)")
    means = []
    for bias_a in BIASES_A:
        found = [mirror_capacitance_f(process, bias_a, step_v) for step_v in STEPS_V]
        means.append(np.mean([farad for farad, _ in found]))
        shown = "  ".join(f"{1e15 * farad:14.3g}" for farad, _ in found)
        print(f"{1e9 * bias_a:9.3g}  {shown}  {100 * max(left for _, left in found):.2g}")
    slope_f, at_f = np.polyfit(np.log10(np.array(BIASES_A) / 10e-9), means, 1)
    print(f"at 10 nA {1e15 * at_f:.4g} fF, {slope_f / at_f:+.2g} a decade", end="; ")
    print(f"library: {1e15 * OTA_MIRROR_F:g} fF, {OTA_MIRROR_PER_DECADE:+g}\n\noverdrive (mV)  up (us)  down (us)")
    delays_s = []
    for overdrive_v in OVERDRIVES_V:
        both_s = [
            comparator_delay_s(process, sign * overdrive_v, COMPARATOR_CURRENT_A, TEMPERATURE_C) for sign in (1, -1)
        ]
        delays_s.append(float(np.sqrt(both_s[0] * both_s[1])))
        print(f"{1e3 * overdrive_v:14g}  {1e6 * both_s[0]:7.3g}  {1e6 * both_s[1]:9.3g}")
    output_f = node_capacitance_f(process, ota_line("1", 17e-9, "out"), "out", TEMPERATURE_C)
    input_f = node_capacitance_f(process, comparator_line(0.0, COMPARATOR_CURRENT_A, "y", "keep"), "y", TEMPERATURE_C)
    print(f"an OTA's output {1e15 * output_f:.2g} fF, a comparator's input {1e15 * input_f:.2g} fF", end="; ")
    print(f"library: {1e15 * OTA_OUTPUT_F:.2g} fF, {1e15 * COMPARATOR_INPUT_F:.2g} fF")
    time_s, range_v, left = comparator_law(delays_s)
    print(f"T {1e6 * time_s:.3g} us, R {1e3 * range_v:.3g} mV, left {100 * left:.2g} %", end="; ")
    print(f"library: {1e6 * COMPARATOR_TIME_S:.3g} us, {1e3 * COMPARATOR_RANGE_V:.3g} mV")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SpiceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
