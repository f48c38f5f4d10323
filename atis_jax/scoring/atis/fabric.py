"""The scorer in a routing fabric: projection, currents into lines, switches as weights, two outputs, a latch.

A weight's current is I_j = w_j I_0 (``cells.fabric``). How far outputs rise is the circuit's own choice, so the volts
at the latch belong to the sum of the weights. A score is told in the volts of the design's R_f instead, R_f sum_j I_j
u_j, and the latch's offset and noise with it: a common factor of scores, threshold and errors decides nothing.

Weights are programmed as ``hardware`` says of its floating gates, and drift with temperature by this circuit's own law;
the lines' currents, which all weights share, are taken to be constant. Nor does the supply move a decision: in ngspice
+-10 % changes a score's gain by 2 %, the threshold's too, and leaves 0.02 mV (``python -m experiments.spice.fabric
--corners``).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.fabric import (
    GREATEST_WEIGHT,
    LEAST_WEIGHT,
    REST_A,
    THRESHOLD_RANGE,
    Timing,
    integration_s,
    line_f,
    output_f,
    settling_s,
    static_weight,
)
from atis_jax.cells.pulse import LATCH_S
from atis_jax.circuits.chip import Environment
from atis_jax.circuits.fabric import (
    FabricChip,
    fabric_noise_v,
    fabric_score_v,
    nominal_fabric_chip,
    sample_fabric_chip,
    spec_of,
)
from atis_jax.circuits.floating_gate import program_current_a
from atis_jax.energy.components.fabric import lines_j, parts_j
from atis_jax.energy.presets import EnergyPreset
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.fabric_spec import FabricScorerSpec
from atis_jax.scoring.atis.latched import Latched, Row, with_threshold
from atis_jax.scoring.atis.program import program
from atis_jax.scoring.types import ScorerState
from atis_jax.typing import Key


class RoutingFabric(Latched):
    """The routing fabric, on chips whose weights, outputs and latches differ."""

    Spec = FabricScorerSpec
    spec: FabricScorerSpec

    def sample_chip(self, key: Key, lot: Key | None = None) -> Any:
        """One layer's ``FabricChip``; a lot has nothing in common."""
        del lot
        spread = spec_of(
            Timing(self.spec.bits, 1.0, 1.0),  # what is drawn depends on neither time nor capacitance
            1.0,
            weight_sigma=self.hardware.floating_gate.error_sigma,
            capacitance_sigma=self.spec.capacitance_sigma,
            latch_offset_sigma_v=self.spec.latch_offset_sigma_v,
        )
        return sample_fabric_chip(key, spread, self.spec.groups, self.spec.inputs + 1)

    def perfect_chip(self) -> Any:
        """The same without any error."""
        return nominal_fabric_chip(self.spec.groups, self.spec.inputs + 1)

    def row(self, design: Design, state: ScorerState) -> Row:
        """One layer's switches; outputs rise for as long as their currents at rest need to the middle."""
        gate, bits = self.hardware.floating_gate, self.spec.bits
        programmed = program(design, self.spec, self.hardware, state.query)
        least_a, greatest_a = LEAST_WEIGHT * REST_A, GREATEST_WEIGHT * REST_A
        ranged = dataclasses.replace(
            gate,
            min_current_a=jnp.maximum(gate.min_current_a, least_a),
            max_current_a=jnp.minimum(gate.max_current_a, greatest_a),
        )
        wide = dataclasses.replace(ranged, max_current_a=THRESHOLD_RANGE * ranged.max_current_a)
        threshold_a = program_current_a(programmed.threshold_v / programmed.feedback_ohm, wide)
        weight_a = program_current_a(programmed.signed_current_a, ranged)
        built = jnp.ones(self.spec.inputs) if programmed.built is None else programmed.built
        current_a = jnp.concatenate([weight_a * built, threshold_a[:, None]], axis=-1)
        # Not the magnitude of what is drawn: that has no slope where an input is off.
        sized = jnp.concatenate([jnp.abs(weight_a) * built, jnp.abs(threshold_a)[:, None]], axis=-1) / REST_A
        static_a = REST_A * jnp.sum(static_weight(sized), axis=-1)
        capacitance_f = output_f(self.spec.inputs, self.spec.line_f)
        integrate_s = integration_s(jnp.maximum(static_a, REST_A), capacitance_f)
        settle_s = settling_s(line_f(self.spec.groups, self.spec.line_f), bits)
        circuit = spec_of(
            Timing(bits, settle_s, 1.0),
            capacitance_f,
            integrate_s=integrate_s,
            latch_noise_v=self.hardware.comparator.noise_v,
        )
        return Row(
            current_a=current_a,
            drawn_a=jnp.sum(static_a),
            threshold_v=threshold_a * programmed.feedback_ohm,
            volts_per_a=programmed.feedback_ohm,
            token_s=settle_s + jnp.max(integrate_s) + LATCH_S,
            circuit=circuit,
        )

    def at_latch(
        self, row: Row, chip: FabricChip, environment: Environment, inputs: Float[Array, "n N"]
    ) -> tuple[Float[Array, "n G"], Float[Array, "n G"]]:
        """See ``Latched``; in volts of R_f."""
        temperature_k = environment.temperature_k
        circuit = row.circuit
        volts_per_a = 2.0 * circuit.modulation * circuit.integrate_s / circuit.capacitance_f
        told = row.volts_per_a / volts_per_a

        def token(one: Float[Array, "branches"]):
            return (
                told * fabric_score_v(row.current_a, one, circuit, chip, temperature_k),
                told * fabric_noise_v(row.current_a, one, circuit, chip, temperature_k),
            )

        return jax.vmap(token)(with_threshold(inputs))

    def lines_j(self, preset: EnergyPreset, inputs: Float[Array, "L"], rows: Row) -> dict[str, Float[Array, "L"]]:
        """Registers, converters and input lines stand in ``dac``, switches in ``ota``, latches in ``comparator``."""
        parts = parts_j(
            preset,
            inputs,
            rows.drawn_a,
            self.spec.bits,
            rows.token_s,
            rows=float(self.spec.groups),
            supply_v=self.hardware.supply_v,
        )
        return lines_j(parts)
