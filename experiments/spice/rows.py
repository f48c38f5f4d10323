"""Rows of an array, random or of an exported design: ngspice beside a preset that was told nothing of them."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from atis_jax.cells.library import SUPPLY_V
from atis_jax.circuits import ArrayGeometry, Environment, Hardware, Program, nominal_chip, read, realise, with_fields
from atis_jax.circuits.array import output_conductance_s
from atis_jax.export.bundle import Bundle
from atis_jax.export.quantities import achieved
from atis_jax.gates import Gate
from atis_jax.spice import benches
from atis_jax.spice.models import Process
from atis_jax.spice.netlist import Amplifier
from atis_jax.units import celsius_to_kelvin

SMALL_V = 0.5
"""Scores that matter: thresholds lie among them."""
GATE_SMALL_V = 2e-3
GREY_ZONE_V = 3 * GATE_SMALL_V + 3e-3
"""Half-width around a threshold inside which a decision may differ: three times the gate on the scores, and the
comparator's systematic offset, 0.2-2.8 mV for references of -0.3 to 0.3 V at 0-70 C and 1.62-1.98 V."""
SPREAD_V = 0.15
"""RMS score of a random row, as trained designs have it."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One score of a scorer as netlisted.

    Attributes:
        name: for tables.
        signed_current_a: (n,) bias currents, sign = swapped inputs, A.
        feedback_ohm: R_f.
        threshold_v: asked of the comparator, V.
        bandwidth_hz: of R_f with its capacitor, Hz.
    """

    name: str
    signed_current_a: np.ndarray
    feedback_ohm: float
    threshold_v: float
    bandwidth_hz: float

    @property
    def amplifier(self) -> Amplifier:
        """Its TIA."""
        return Amplifier(self.feedback_ohm, float(np.abs(self.signed_current_a).sum()), self.bandwidth_hz)


def random_row(rng: np.random.Generator, inputs: int, low_a: float, high_a: float, hardware: Hardware) -> Row:
    """Log-uniform currents and random signs; R_f for scores of ``SPREAD_V``; a threshold within half of that."""
    signs = rng.choice([-1.0, 1.0], inputs)
    signed_a = signs * np.exp(rng.uniform(math.log(low_a), math.log(high_a), inputs))
    voltages_v = float(hardware.dac.full_scale_v) * rng.uniform(-1.0, 1.0, (256, inputs))
    feedback_ohm = SPREAD_V / float(np.std(model_sums_a(hardware, signed_a, voltages_v, 27.0)))
    threshold_v = SPREAD_V * rng.uniform(-0.5, 0.5)
    return Row(f"{inputs} random", signed_a, feedback_ohm, threshold_v, float(hardware.tia.bandwidth_hz))


def bundle_rows(bundle: Bundle) -> list[Row]:
    """Every score of every scored layer; of a differential scorer the half with w."""
    rows = []
    for layer in bundle.scored:
        numbers = achieved(bundle, layer)
        for score, signed_a in enumerate(np.asarray(numbers.signed_current_a, np.float64)):
            rows.append(
                Row(
                    f"layer {layer + 1}" + (f", score {score + 1}" if bundle.spec.groups > 1 else ""),
                    signed_a,
                    float(numbers.feedback_ohm[score]),
                    float(numbers.threshold_v[score]),
                    float(bundle.hardware.tia.bandwidth_hz),
                )
            )
    return rows


def as_netlisted(hardware: Hardware, inputs: int) -> Hardware:
    """``hardware`` without the grids that a netlist does not have: converters, currents and references as given."""
    return with_fields(
        hardware,
        {
            "max_inputs": max(hardware.max_inputs, inputs),
            "dac.bits": None,
            "dac.used_bits": None,
            "floating_gate.bits": None,
            "floating_gate.used_bits": None,
            "floating_gate.min_current_a": 0.0,
            "floating_gate.max_current_a": math.inf,
            "comparator.reference_bits": None,
        },
    )


def model_scores_v(
    hardware: Hardware,
    signed_current_a: np.ndarray,
    feedback_ohm: float,
    voltages_v: np.ndarray,
    temperature_c: float,
    supply_v: float | None = None,
) -> np.ndarray:
    """The score of each row of voltages as the front end of the perfect chip reads it, V."""
    full_scale_v = 0.2
    free = with_fields(as_netlisted(hardware, len(signed_current_a)), {"dac.full_scale_v": full_scale_v})
    program = Program(jnp.asarray(signed_current_a, jnp.float32)[None], jnp.array([feedback_ohm]), jnp.zeros(1))
    chip = nominal_chip(free, ArrayGeometry(len(signed_current_a)))
    environment = Environment(celsius_to_kelvin(temperature_c), free.supply_v if supply_v is None else supply_v)
    realised = realise(program, free, chip, environment)
    scores_v = jax.vmap(read, (None, 0))(realised, jnp.asarray(voltages_v / full_scale_v, jnp.float32))
    return np.asarray(scores_v)[:, 0].astype(np.float64)


def model_sums_a(
    hardware: Hardware, signed_current_a: np.ndarray, voltages_v: np.ndarray, temperature_c: float
) -> np.ndarray:
    """The array's current for each row of voltages into an ideal virtual ground, A: without converters and rails."""
    ideal = with_fields(hardware, {"tia.swing_v": math.inf, "tia.open_loop_gain": math.inf})
    feedback_ohm = 1e6
    return model_scores_v(ideal, signed_current_a, feedback_ohm, voltages_v, temperature_c) / feedback_ohm


def model_loaded_sums_a(
    hardware: Hardware, signed_current_a: np.ndarray, voltages_v: np.ndarray, load_ohm: float, temperature_c: float
) -> np.ndarray:
    """The array's current through a resistor: sum I / (1 + R G_o), the OTAs' output conductances beside the load."""
    conductance_s = float(np.sum(output_conductance_s(jnp.abs(signed_current_a), hardware.ota.early_voltage_v)))
    ideal_a = model_sums_a(hardware, signed_current_a, voltages_v, temperature_c)
    return ideal_a / (1.0 + load_ohm * conductance_s)


@dataclasses.dataclass(frozen=True)
class RowGap:
    """ngspice less the model on random tokens of one row, at one temperature and supply.

    Attributes:
        name: of the row.
        temperature_c: degrees Celsius.
        supply_v: V.
        tokens: played.
        small: of them, scores below ``SMALL_V``.
        small_rms_v: RMS difference of their scores, V.
        small_mean_v: mean difference, V.
        largest_v: of all scores, V.
        unequal: decisions.
        outside: unequal decisions outside ``GREY_ZONE_V``.
    """

    name: str
    temperature_c: float
    supply_v: float
    tokens: int
    small: int
    small_rms_v: float
    small_mean_v: float
    largest_v: float
    unequal: int
    outside: int


def row_gap(
    process: Process,
    hardware: Hardware,
    row: Row,
    voltages_v: Float[np.ndarray, "t n"],
    temperature_c: float,
    supply_v: float = SUPPLY_V,
) -> RowGap:
    """One row in ngspice and by ``hardware`` alone."""
    spice_v, keep = benches.array_scores(
        process, row.signed_current_a, voltages_v, row.amplifier, row.threshold_v, temperature_c, supply_v
    )
    model_v = model_scores_v(hardware, row.signed_current_a, row.feedback_ohm, voltages_v, temperature_c, supply_v)
    left_v, small = spice_v - model_v, np.abs(spice_v) < SMALL_V
    distance_v = model_v - row.threshold_v
    unequal = keep != (distance_v > 0)
    return RowGap(
        row.name,
        temperature_c,
        supply_v,
        len(voltages_v),
        int(small.sum()),
        float(np.sqrt(np.mean(left_v[small] ** 2))),
        float(np.mean(left_v[small])),
        float(np.max(np.abs(left_v))),
        int(unequal.sum()),
        int(np.sum(unequal & (np.abs(distance_v) > GREY_ZONE_V))),
    )


def gap_gates(gaps: list[RowGap], name: str) -> list[Gate]:
    """What a preset's rows are held to."""
    worst = max(gaps, key=lambda gap: gap.small_rms_v)
    tokens = sum(gap.tokens for gap in gaps)
    where = f"{worst.name}, {worst.temperature_c:g} C, {worst.supply_v:g} V"
    return [
        Gate(
            f"preset_scores_{name}",
            f"preset {name}, told nothing of the rows: worst RMS error of scores below {SMALL_V:g} V ({where})",
            1e3 * worst.small_rms_v,
            high=1e3 * GATE_SMALL_V,
            unit="mV",
        ),
        Gate(
            f"preset_decisions_{name}",
            f"preset {name}: decisions wrong beyond {1e3 * GREY_ZONE_V:g} mV of a threshold, of {tokens}",
            float(sum(gap.outside for gap in gaps)),
            high=0.0,
            unit="tokens",
        ),
    ]
