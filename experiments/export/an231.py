"""The AN231E04 target: its files, and what its chips would make of them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.frontend import Realised, converted_v
from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.circuits.ota import transfer
from atis_jax.export import an231, an231_guide, an231_table
from atis_jax.export.bundle import Bundle
from atis_jax.export.imported import imported_design
from atis_jax.export.quantities import Achieved, calibrated_layer
from atis_jax.export.structure import as_built, built_otherwise, side_by_side
from atis_jax.units import thermal_voltage_v
from experiments.export.target import Target, keeping, on_perfect_chip

MARGIN = 1.25
"""The signal range planned for, over the largest score of these tokens."""
KAPPA = 0.7
"""Scales the linear law of the imported design; cancels out."""
FULL_CURRENT_A = 50e-9
"""What the largest gain of an imported linear design becomes."""


def an231_target(bundle: Bundle, run_inputs: tuple[np.ndarray, np.ndarray]) -> Target:
    """Capacitors and build guides of every scored layer, thresholds set for the linear scores."""
    inputs, kept = run_inputs
    # The design's own prototype, whatever it is made from: its currents are read here, before there is an import.
    single = dataclasses.replace(side_by_side(bundle.spec), differential=False)
    otherwise = built_otherwise(bundle.spec, single_ended=True)
    files: dict[str, bytes] = {}
    back: dict[int, Achieved] = {}
    told_layers = {}
    smallest, rounding = np.inf, 0.0
    for layer in bundle.scored:
        realised = on_perfect_chip(bundle, layer, calibrated_layer(bundle, layer), bundle.hardware, single)
        voltages_v = np.asarray(jax.vmap(converted_v, (None, 0))(realised, jnp.asarray(inputs[layer])))
        slopes = _slopes(realised, voltages_v)
        scores_v = voltages_v @ slopes.T
        thresholds_v = keeping(scores_v, kept[layer])
        full_scale_v = float(realised.full_scale_v)
        plans = []
        for score in range(bundle.spec.groups):
            partial = np.abs(np.cumsum(voltages_v * slopes[score], axis=1)).max()
            plans.append(an231.plan(slopes[score], MARGIN * float(partial), float(thresholds_v[score]), full_scale_v))
        table = an231_table.capacitors_csv(plans)
        name = f"layer{layer + 1}"
        files[f"{name}_capacitors.csv"] = table.encode()
        files[f"{name}_guide.md"] = an231_guide.guide_text(bundle.name, layer, plans, otherwise).encode()
        files[f"{name}_serial.csv"] = an231_guide.serial_csv(plans).encode()
        read = an231_table.read_capacitors(table, plans)
        back[layer] = _as_currents(read, bundle.spec.inputs)
        for one in read:
            gains, _ = an231.realised(one, bundle.spec.inputs)
            allowed = an231.rounding_bound(one, bundle.spec.inputs)
            rounding = max(rounding, float(np.max(np.abs(gains - one.wanted) / allowed)))
        smallest = min(smallest, *(one.volts_per_volt for one in plans))
        told_layers[name] = {
            "chips": [len(one.chips) for one in plans],
            "gain_rms_error": [_gain_error(one, bundle.spec.inputs) for one in read],
        }
    hardware = an231_hardware(bundle, float(smallest))
    told = {
        "layers": told_layers,
        "power": an231.POWER_NOTE,
        "not_made": list(an231.NOT_MADE),
        "built_otherwise": otherwise,
    }
    spec = as_built(bundle.spec, single_ended=True)
    return Target(files, imported_design(bundle, back, hardware), hardware, spec, told, rounding)


def _slopes(realised: Realised, voltages_v: np.ndarray) -> np.ndarray:
    """(G, N) V/V: of each OTA the line through the origin that fits its curve best over the tokens' own voltages."""
    volts = jnp.asarray(voltages_v)
    power = jnp.mean(volts**2, axis=0)
    rows = []
    for score in range(realised.weight_v.shape[0]):
        curve = transfer(realised.law, realised.slope_per_v[score] * volts, realised.inversion[score])
        slope = jnp.mean(curve * volts, axis=0) / jnp.where(power > 0, power, 1.0)
        rows.append(realised.weight_v[score] * slope)
    return np.asarray(jnp.stack(rows), np.float64)


def _gain_error(made: an231.Plan, inputs: int) -> float:
    """RMS error of the realised gains over their RMS."""
    gains, _ = an231.realised(made, inputs)
    return float(np.sqrt(np.mean((gains - made.wanted) ** 2) / np.mean(made.wanted**2)))


def _as_currents(plans: list[an231.Plan], inputs: int) -> Achieved:
    """The currents of linear OTAs that give the same gains, and the thresholds, in the design's scale."""
    kappa, unit_v = KAPPA, 2.0 * float(thermal_voltage_v(300.15))
    currents, ohms, thresholds = [], [], []
    for made in plans:
        gains, constant_v = an231.realised(made, inputs)
        slopes = gains / made.volts_per_volt * made.full_scale_v / made.design_full_scale_v
        ohm = float(np.max(np.abs(slopes))) * unit_v / kappa / FULL_CURRENT_A
        currents.append(slopes * unit_v / kappa / ohm)
        ohms.append(ohm)
        thresholds.append(-constant_v / made.volts_per_volt)
    return Achieved(np.array(currents), np.array(ohms), np.array(thresholds), 0.0, None)


def an231_hardware(bundle: Bundle, volts_per_volt: float) -> Hardware:
    """A linear array with the imperfections of switched capacitors, in the design's volts.

    Chosen, for the data sheet was not at hand: capacitor ratios within 1 %, 5 mV of offset and 1 mV of noise at the
    comparator.
    """
    return with_fields(
        bundle.hardware,
        {
            "name": "an231e04",
            "ota.law": "linear",
            "ota.kappa": KAPPA,
            "ota.kappa_per_k": 0.0,
            "ota.kappa_per_decade": 0.0,
            "ota.systematic": None,
            "ota.kappa_sigma": 0.0,
            "ota.kappa_chip_sigma": 0.0,
            "ota.offset_sigma_v": 0.0,
            "ota.additive_sigma": 0.0,
            "ota.log_current_sigma": 0.0,
            "ota.early_voltage_v": np.inf,
            "floating_gate.bits": None,
            "floating_gate.used_bits": None,
            "floating_gate.min_current_a": 0.0,
            "floating_gate.max_current_a": np.inf,
            "floating_gate.error_sigma": 0.01,
            "thermal.bias": "ptat",
            "thermal.current_per_k": 0.0,
            "tia.swing_v": 3.0 / volts_per_volt,
            "tia.rail_sharpness": 8,
            "tia.gain_sigma": 0.0,
            "tia.offset_sigma_v": 0.0,
            "tia.open_loop_gain": np.inf,
            "tia.bandwidth_hz": 0.0,
            "comparator.reference_bits": None,
            "comparator.trim_bits": None,
            "comparator.offset_sigma_v": 5e-3 / volts_per_volt,
            "comparator.noise_v": 1e-3 / volts_per_volt,
            "dac.unit_sigma": 0.0,
        },
    )
