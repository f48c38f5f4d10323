"""Spreads of our own cells by Monte Carlo, their drift with temperature, and what process corners move.

    python -m experiments.spice.spreads --devices 500

Mismatch: offset of OTA, op-amp and comparator at 27 C, and the change of each device's own offset from 0 to 70 C, each
with its 95 % interval. An OTA's offset is the input at which its output current is zero. Lots: a corner moves the
n-channel and the p-channel transistor by three standard deviations each, which are taken as independent; for what is
linear in both, the standard deviation from lot to lot is then the RMS over the four corners divided by three. 60
devices take two minutes on two cores, 500 a quarter of an hour, comparators most of it. Drift goes with the offset
(correlations of 0.5 to 0.9 for OTAs and op-amp); the chips draw it on its own, which makes the offset at 70 C at most 5
% too small.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from atis_jax.fitting.curves import Curve
from atis_jax.fitting.ota import FittedOta, fit_curve
from atis_jax.fitting.spread import Spread, correlation, sigma
from atis_jax.spice import benches
from atis_jax.spice.models import PROCESSES, Process, find_process
from atis_jax.spice.netlist import Amplifier
from atis_jax.units import celsius_to_kelvin, thermal_voltage_v
from atis_jax.validation import UserError
from experiments import arguments
from experiments.spice.characterise import mismatched

COLD_C, NOMINAL_C, HOT_C = 0.0, 27.0, 70.0
BIASES_A = (1e-9, 10e-9, 100e-9)
PARTS = ("corners", "ota", "op_amp", "comparator")
AMPLIFIER = Amplifier(feedback_ohm=1e6, total_current_a=2.5e-7, bandwidth_hz=1e6)
"""The op-amp at its least bias, as arrays of up to 0.25 uA have it."""
CORNERS, CORNER_SIGMAS = ("ss", "ff", "sf", "fs"), 3.0


def balance_v(fit: FittedOta) -> float:
    """Input at which a fitted OTA's output current is zero, V."""
    scale_v = 2.0 * float(thermal_voltage_v(celsius_to_kelvin(fit.temperature_c))) / fit.kappa
    return fit.offset_v - scale_v * float(np.arctanh(fit.additive))


def ota_balances_v(process: Process, bias_a: float, temperature_c: float, devices: int, seed: int) -> np.ndarray:
    """``balance_v`` of OTAs that drew their own mismatch; the same seed gives the same devices."""
    return np.array([balance_v(fit) for fit in mismatched(process, bias_a, temperature_c, devices, seed)])


def corner_changes(name: str) -> dict[str, np.ndarray]:
    """What each corner moves of the typical OTA, (corners, biases): balance in V, ln kappa, ln I_b."""

    def typical(corner: str) -> np.ndarray:
        found = benches.ota_curves(find_process(name, corner), BIASES_A, (NOMINAL_C,))
        fits = [fit_curve(Curve("typical", *one), additive=True) for one in found]
        return np.array([(balance_v(fit), np.log(fit.kappa), np.log(fit.current_a / fit.bias_a)) for fit in fits])

    middle = typical("tt")
    moved = np.stack([typical(corner) - middle for corner in CORNERS])
    return {"offset": moved[..., 0], "ln kappa": moved[..., 1], "ln I_b": moved[..., 2]}


def lot_sigma(changes: np.ndarray) -> float:
    """Standard deviation from lot to lot: RMS over corners (and biases) divided by ``CORNER_SIGMAS``."""
    return float(np.sqrt(np.mean(changes**2))) / CORNER_SIGMAS


def _told(what: str, spread: Spread, scale: float, unit: str) -> None:
    low, high = scale * spread.low, scale * spread.high
    print(
        f"{what:42} {scale * spread.value:7.3g} {unit} ({low:.3g} to {high:.3g}), {spread.devices} devices", flush=True
    )


def _drift(what: str, cold_v: np.ndarray, nominal_v: np.ndarray, hot_v: np.ndarray) -> None:
    """Offset, its drift, and the correlation of the two."""
    drift = (hot_v - cold_v) / (HOT_C - COLD_C)
    _told(f"{what}: offset", sigma(nominal_v), 1e3, "mV")
    _told(f"{what}: drift", sigma(drift), 1e6, "uV/K")
    _told(f"{what}: drift with offset, correlation", correlation(nominal_v, drift), 1.0, "")


def _ota(process: Process, bias_a: float, told: argparse.Namespace, celsius: float) -> np.ndarray:
    return ota_balances_v(process, bias_a, celsius, told.devices, told.seed)


def main(given: Sequence[str]) -> int:
    """Print every spread."""
    parser = arguments.parser("experiments.spice.spreads", __doc__)
    parser.add_argument("--devices", type=int, default=60, help="of each cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--process", default="sky130", choices=PROCESSES)
    parser.add_argument("--cells", nargs="+", default=list(PARTS), choices=PARTS, help="what is simulated")
    told = parser.parse_args(given)
    process = find_process(told.process)
    if "corners" in told.cells and not process.generic:
        for what, changes in corner_changes(told.process).items():
            rows = zip(CORNERS, 100 * changes, strict=True)
            each = ", ".join(f"{corner} {np.array2string(row, precision=3)}" for corner, row in rows)
            print(f"corners, {what}: lot to lot {lot_sigma(changes):.3g}; x100, 1 / 10 / 100 nA: {each}", flush=True)
    cells: dict[str, Callable[[float], np.ndarray]] = {}
    if "ota" in told.cells:
        cells |= {f"OTA at {1e9 * bias_a:g} nA": partial(_ota, process, bias_a, told) for bias_a in BIASES_A}
    if "op_amp" in told.cells:
        cells["op-amp"] = lambda celsius: benches.mismatched_amplifiers(
            process, AMPLIFIER, celsius, told.devices, told.seed
        )
    if "comparator" in told.cells:
        cells["comparator"] = lambda celsius: benches.mismatched_comparators(
            process, 0.0, celsius, told.devices, told.seed
        )
    for what, offsets_v in cells.items():
        _drift(what, *(offsets_v(celsius) for celsius in (COLD_C, NOMINAL_C, HOT_C)))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
