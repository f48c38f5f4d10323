"""Validation: our model against ngspice, cell by cell, then arrays that nothing was fitted to."""

from __future__ import annotations

import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.cells.library import SUPPLY_V
from atis_jax.circuits import ArrayGeometry, get_preset, sample_chip, with_fields
from atis_jax.circuits.array import shot_noise_a2
from atis_jax.circuits.ota import settling_time_s
from atis_jax.circuits.tia import noise_bandwidth_hz
from atis_jax.fitting.curves import Curve
from atis_jax.fitting.law import predicted_a
from atis_jax.fitting.spread import pooled_fields
from atis_jax.formatting import si
from atis_jax.gates import Gate
from atis_jax.report import write_report
from atis_jax.spice import benches
from atis_jax.spice.models import find_process
from atis_jax.spice.simulator import find_ngspice, ngspice_version
from atis_jax.units import ELEMENTARY_CHARGE_C
from experiments.files import write_arrays_atomically
from experiments.rundir import RunFolder
from experiments.spice.characterise import Characterised, characterise, mismatched, population
from experiments.spice.contents import VALIDATION
from experiments.spice.gates import (
    GATE_GM,
    GATE_LOADED,
    GATE_NOISE,
    GATE_SETTLING,
    GATE_SINGLE,
    GATE_SUM,
    gates_summary,
)
from experiments.spice.power import power_gates
from experiments.spice.rows import gap_gates, model_loaded_sums_a, model_sums_a, random_row, row_gap
from experiments.spice.settings import SUPPLIES_V, ValidationSettings
from experiments.spice.speed import speed_gates

FAMILY = 0.95
"""Confidence that all the intervals of spreads hold at once: each is wider by Bonferroni's correction."""
SAMPLED_CHIPS = 1024
"""Of 64 OTAs: their own sampling error, 0.3 %, is small beside that of the devices, 5 %."""
SETTLED_BITS = 6
LOADS = ((1e-9, 1e-12), (10e-9, 1e-12), (100e-9, 1e-12))
NOMINAL_C = 27.0
SPEED_TOKENS = 48
LOADED_INPUTS, LOADED_V, LOADED_C = 4, 0.1, (27.0, 60.0)
PRESET_INPUTS, PRESET_C = 16, (0.0, 27.0, 70.0)
POWER_TOKENS = 24
"""A supply current is a mean over tokens, and each differs little."""


def run(settings: ValidationSettings, folder: RunFolder) -> dict[str, Any]:
    """Run the experiment; writes artifacts.npz, summary.json and the report.

    Raises:
        SpiceError: no ngspice, no models, or a failed simulation.
    """
    started = time.time()
    find_process(settings.process.name, settings.process.corner)
    find_ngspice()
    folder.begin()
    also_c = (*settings.array_temperatures_c, NOMINAL_C)
    found = characterise(settings.process, settings.single_biases_a, also_c)
    print(f"{found.process.name}: {len(found.curves)} transfer curves fitted", flush=True)
    arrays: dict[str, np.ndarray] = {}
    gates: list[Gate] = []
    for part in (_single, _transconductance, _sums, _loaded, _presets, _spread, _noise, _settling, _power, _speed):
        new_gates, new_arrays = part(settings, found)
        for gate in new_gates:
            print(f"{gate.what}: {gate.value:.3g} {gate.unit} {'holds' if gate.passed else 'FAILS'}", flush=True)
        gates += new_gates
        arrays |= new_arrays
    write_arrays_atomically(folder.path / "artifacts.npz", arrays)
    summary = {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "spice": {
            "simulator": ngspice_version(),
            "process": found.process.name,
            "generic": found.process.generic,
            "curves": len(found.curves),
            "law_rms": found.law.rms,
        },
        "gates": gates_summary(gates),
        "timing": {"seconds": time.time() - started},
    }
    folder.write_summary(summary)
    write_report(folder.path, VALIDATION)
    return summary


def _speed(settings: ValidationSettings, found: Characterised) -> tuple[list[Gate], dict[str, np.ndarray]]:
    """Whether the time that is billed is enough, and not five times too long."""
    return speed_gates(found.process, NOMINAL_C, SPEED_TOKENS, settings.seed), {}


def _power(settings: ValidationSettings, found: Characterised) -> tuple[list[Gate], dict[str, np.ndarray]]:
    """What the cells draw from the supply, against the ledger."""
    return power_gates(found.process, NOMINAL_C, POWER_TOKENS, settings.seed), {}


def _single(settings: ValidationSettings, found: Characterised) -> tuple[list[Gate], dict[str, np.ndarray]]:
    """Each curve by itself with I_b, kappa and V_os free; then all by one law; then what the figure shows."""
    wanted = set(settings.single_biases_a)
    inside = [index for index, fit in enumerate(found.fits) if fit.bias_a in wanted]
    lowest_v, highest_v = (f(found.fits[i].supply_v or SUPPLY_V for i in inside) for f in (min, max))
    lowest, highest = (f(found.fits[i].temperature_c for i in inside) for f in (min, max))
    gates = [
        Gate(
            f"single_{bias_a:g}",
            f"one OTA at {1e9 * bias_a:g} nA, {lowest:g} to {highest:g} C, {lowest_v:g} to {highest_v:g} V: worst RMS "
            "of a fit, of I_b",
            100 * max(fit.rms for fit in found.fits if fit.bias_a == bias_a),
            high=GATE_SINGLE,
            unit="%",
        )
        for bias_a in settings.single_biases_a
    ]
    gates.append(
        Gate(
            "law",
            f"one law for all {len(found.curves)} curves: worst RMS of a curve, nothing refitted, of I_b",
            100 * max(found.residuals),
            high=GATE_SINGLE,
            unit="%",
        )
    )
    nominal = {one.bias_a: one for one in _at_nominal_supply(found) if one.temperature_c == NOMINAL_C}
    curves = [nominal[bias_a] for bias_a in settings.single_biases_a]
    model = [predicted_a(found.hardware, one.bias_a, one.temperature_c, one.voltage_v) / one.bias_a for one in curves]
    arrays = {
        "spice_v": curves[0].voltage_v,
        "spice_bias_a": np.array([one.bias_a for one in curves]),
        "spice_curve": np.stack([one.current_a / one.bias_a for one in curves]),
        "spice_model": np.stack(model),
    }
    return gates, arrays


def _at_nominal_supply(found: Characterised) -> list[Curve]:
    """The curves of the nominal supply, or of the one supply that was simulated."""
    supplies_v = {one.supply_v for one in found.curves}
    return [one for one in found.curves if len(supplies_v) == 1 or one.supply_v == SUPPLY_V]


def _transconductance(settings: ValidationSettings, found: Characterised) -> tuple[list[Gate], dict[str, np.ndarray]]:
    """Slope at zero input against temperature, at constant bias."""
    gates, measured, ours = [], [], []
    temperatures = np.zeros(0)
    for bias_a in settings.single_biases_a:
        curves = sorted(
            (one for one in _at_nominal_supply(found) if one.bias_a == bias_a), key=lambda one: one.temperature_c
        )
        celsius = np.array([one.temperature_c for one in curves])
        gm = np.array([_slope(one.voltage_v, one.current_a) for one in curves])
        model = np.array(
            [
                _slope(one.voltage_v, predicted_a(found.hardware, bias_a, one.temperature_c, one.voltage_v))
                for one in curves
            ]
        )
        gap = 1000 * np.diff(np.log(model / gm)) / np.diff(celsius)
        gates.append(
            Gate(
                f"gm_{bias_a:g}",
                f"gm({1e9 * bias_a:g} nA) against temperature: worst difference of its change, per 10 C",
                float(np.max(np.abs(gap))),
                high=GATE_GM,
                unit="%",
            )
        )
        measured.append(gm)
        ours.append(model)
        temperatures = celsius
    arrays = {"spice_c": temperatures, "spice_gm": np.stack(measured), "spice_gm_model": np.stack(ours)}
    return gates, arrays


def _slope(voltage_v: np.ndarray, current_a: np.ndarray) -> float:
    """Transconductance at zero input, S: a straight line through the points within 2 mV."""
    near = np.abs(voltage_v) <= 2e-3 + 1e-9
    return float(np.polyfit(voltage_v[near], current_a[near], 1)[0])


def _sums(settings: ValidationSettings, found: Characterised) -> tuple[list[Gate], dict[str, np.ndarray]]:
    """Signed sums of arrays with random currents and inputs: SPICE against the front end's own read."""
    rng = np.random.default_rng(settings.seed)
    gates, measured, ours = [], [], []
    low_a, high_a = min(settings.single_biases_a), max(settings.single_biases_a)
    for inputs in settings.array_inputs:
        signs = rng.choice([-1.0, 1.0], inputs)
        signed_a = signs * np.exp(rng.uniform(math.log(low_a), math.log(high_a), inputs))
        voltages_v = settings.full_scale_v * rng.uniform(-1.0, 1.0, (settings.array_reads, inputs))
        total_a = float(np.sum(np.abs(signed_a)))
        for celsius in settings.array_temperatures_c:
            spice_a = benches.array_sums(found.process, signed_a, voltages_v, celsius)
            model_a = model_sums_a(found.hardware, signed_a, voltages_v, celsius)
            gates.append(
                Gate(
                    f"sum_{inputs}_{celsius:g}",
                    f"sum of {inputs} OTAs at {celsius:g} C, predicted blind: RMS error, of the sum of I_b",
                    100 * float(np.sqrt(np.mean((model_a - spice_a) ** 2))) / total_a,
                    high=GATE_SUM,
                    unit="%",
                )
            )
            if celsius == settings.array_temperatures_c[len(settings.array_temperatures_c) // 2]:
                measured.append(spice_a / total_a)
                ours.append(model_a / total_a)
    arrays = {
        "spice_sum_inputs": np.array(settings.array_inputs),
        "spice_sum": np.stack(measured),
        "spice_sum_model": np.stack(ours),
    }
    return gates, arrays


def _loaded(settings: ValidationSettings, found: Characterised) -> tuple[list[Gate], dict[str, np.ndarray]]:
    """Sums of four OTAs into a resistor of 0.1 V over the sum of their currents, weights not fitted."""
    rng = np.random.default_rng((settings.seed, 1))
    low_a, high_a = min(settings.single_biases_a), max(settings.single_biases_a)
    gates = []
    for celsius in LOADED_C:
        signed_a = rng.choice([-1.0, 1.0], LOADED_INPUTS) * np.exp(
            rng.uniform(math.log(low_a), math.log(high_a), LOADED_INPUTS)
        )
        voltages_v = settings.full_scale_v * rng.uniform(-1.0, 1.0, (settings.array_reads, LOADED_INPUTS))
        total_a = float(np.sum(np.abs(signed_a)))
        spice_a = benches.loaded_sums(found.process, signed_a, voltages_v, LOADED_V / total_a, celsius)
        model_a = model_loaded_sums_a(found.hardware, signed_a, voltages_v, LOADED_V / total_a, celsius)
        gates.append(
            Gate(
                f"loaded_{celsius:g}",
                f"sum of {LOADED_INPUTS} OTAs at {celsius:g} C into {LOADED_V:g} V / sum of I_b, predicted blind: RMS "
                "error, of the sum of I_b",
                100 * float(np.sqrt(np.mean((model_a - spice_a) ** 2))) / total_a,
                high=GATE_LOADED,
                unit="%",
            )
        )
    return gates, {}


def _presets(settings: ValidationSettings, found: Characterised) -> tuple[list[Gate], dict[str, np.ndarray]]:
    """The presets that designs are trained on, told nothing of this run: a random row at temperatures and supplies."""
    if found.process.generic:
        return [], {}  # the presets are of sky130
    rng = np.random.default_rng((settings.seed, 2))
    gates = []
    for name in settings.presets:
        hardware = get_preset(name)
        row = random_row(rng, PRESET_INPUTS, 1e-9, 1e-7, hardware)
        gaps = []
        for celsius in PRESET_C:
            for supply_v in SUPPLIES_V:
                voltages_v = float(hardware.dac.full_scale_v) * rng.uniform(
                    -1.0, 1.0, (settings.preset_tokens, PRESET_INPUTS)
                )
                gaps.append(row_gap(found.process, hardware, row, voltages_v, celsius, supply_v))
        gates += gap_gates(gaps, name)
    return gates, {}


def _spread(settings: ValidationSettings, found: Characterised) -> tuple[list[Gate], dict[str, np.ndarray]]:
    """Chips drawn with the spread fitted to some devices, against other devices: both drawn by SPICE, apart."""
    words = {
        "offset_v": ("offset_sigma_v", "offset", 1e3, "mV"),
        "log_current_error": ("log_current_sigma", "ln I_b", 100.0, "%"),
    }
    each = 1 - (1 - FAMILY) / (len(words) * len(settings.single_biases_a))
    gates, shown, drawn = [], [], []
    for number, bias_a in enumerate(settings.single_biases_a):
        # Devices of their own at every bias, or the gates would all be one.
        seed = settings.seed * 2 * len(settings.single_biases_a) + 2 * number
        fitted_to = mismatched(found.process, bias_a, NOMINAL_C, settings.fitted_devices, seed + 1)
        hardware = with_fields(found.hardware, pooled_fields([population(fitted_to)[0]]))
        keys = jax.random.split(jax.random.fold_in(jax.random.key(settings.seed), number), SAMPLED_CHIPS)
        chips = jax.vmap(lambda key, of=hardware: sample_chip(key, of, ArrayGeometry(64)))(keys)
        spreads, points = population(mismatched(found.process, bias_a, NOMINAL_C, settings.devices, seed), each)
        shown.append(points)
        drawn.append(np.stack([np.ravel(chips.offset_v), np.ravel(chips.log_current_error)], axis=1)[: 4 * len(points)])
        for leaf, (name, what, scale, unit) in words.items():
            spread = spreads[name]
            gates.append(
                Gate(
                    f"{name}_{bias_a:g}",
                    f"spread of {what} of sampled chips, inside the {100 * each:.1f} % interval of {spread.devices} "
                    f"SPICE devices at {1e9 * bias_a:g} nA",
                    scale * float(jnp.std(getattr(chips, leaf))),
                    low=scale * spread.low,
                    high=scale * spread.high,
                    unit=unit,
                )
            )
    return gates, {"spice_devices": np.stack(shown), "spice_chips": np.stack(drawn)}


def _noise(settings: ValidationSettings, found: Characterised) -> tuple[list[Gate], dict[str, np.ndarray]]:
    """RMS noise current of one OTA in the read-out's bandwidth, 1/f noise included, against the model's white noise."""
    gates, spectra, frequency = [], [], None
    tia, bandwidth_hz = found.hardware.tia, float(found.hardware.tia.bandwidth_hz)
    for bias_a in settings.single_biases_a:
        frequency_hz, density = benches.output_noise(found.process, bias_a, NOMINAL_C, high_hz=100 * bandwidth_hz)
        spice_a2 = float(np.trapezoid(density / (1 + (frequency_hz / bandwidth_hz) ** 2), frequency_hz))
        white_a2 = shot_noise_a2(jnp.asarray(bias_a), noise_bandwidth_hz(bandwidth_hz))
        frequency = frequency_hz
        spectra.append(density / (4 * ELEMENTARY_CHARGE_C * bias_a))
        gates.append(
            Gate(
                f"noise_{bias_a:g}",
                f"RMS noise of one OTA at {1e9 * bias_a:g} nA in {bandwidth_hz / 1e6:g} MHz: model over SPICE",
                math.sqrt(float(tia.shot_noise_factor) * float(white_a2) / spice_a2),
                low=1 - GATE_NOISE,
                high=1 + GATE_NOISE,
            )
        )
    return gates, {"spice_noise_hz": np.asarray(frequency), "spice_noise": np.stack(spectra)}


def _settling(settings: ValidationSettings, found: Characterised) -> tuple[list[Gate], dict[str, np.ndarray]]:
    """Time to half an LSB of 6 bits of an OTA that follows a small step, over (C / gm) ln 2^7."""
    gates = []
    for bias_a, capacitance_f in LOADS:
        spice_s = benches.settling_s(found.process, bias_a, capacitance_f, NOMINAL_C, SETTLED_BITS)
        voltage_v = np.linspace(-5e-3, 5e-3, 11)
        gm = _slope(voltage_v, predicted_a(found.hardware, bias_a, NOMINAL_C, voltage_v))
        ours_s = float(settling_time_s(jnp.asarray(gm), capacitance_f, SETTLED_BITS))
        gates.append(
            Gate(
                f"settling_{bias_a:g}",
                f"settling to half an LSB of {SETTLED_BITS} bits, {1e9 * bias_a:g} nA into {1e12 * capacitance_f:g} pF "
                f"({si(spice_s, 's')} in SPICE): model over SPICE",
                ours_s / spice_s,
                low=1 - GATE_SETTLING,
                high=1 + GATE_SETTLING,
            )
        )
    return gates, {}
