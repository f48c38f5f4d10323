"""The scorer with pulse-width inputs: projection, pulses, currents on two lines, a latch (``cells.pulse``).

What is R_f in the other circuits is T / C here, full time over a line's capacitance (``latched``). The score is linear
but for the lines' finite output resistance: the OTA's tanh is gone, and a digital inner product is its exact rival.

Currents are programmed, drawn and moved by temperature as ``hardware`` says of its floating gates. The supply moves
nothing here: in ngspice +-10 % changes gain and threshold alike, and leaves 0.24 mV of 326 mV
(``python -m experiments.spice.pulse --corners``).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.pulse import BRANCH_LINE_F, CAPACITOR_HIGH_F, CAPACITOR_LOW_F, LINE_F, THRESHOLD_RANGE
from atis_jax.circuits.chip import Environment
from atis_jax.circuits.floating_gate import program_current_a
from atis_jax.circuits.pulse import (
    PulseChip,
    nominal_pulse_chip,
    pulse_noise_v,
    pulse_score_v,
    sample_pulse_chip,
    spec_of,
)
from atis_jax.circuits.thermal import bias_scale
from atis_jax.energy.components.pulse import lines_j, parts_j
from atis_jax.energy.presets import EnergyPreset
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.latched import Latched, Row, with_threshold
from atis_jax.scoring.atis.program import program
from atis_jax.scoring.atis.pulse_spec import PulseScorerSpec
from atis_jax.scoring.types import ScorerState
from atis_jax.typing import Key


class PulseWidth(Latched):
    """The circuit with pulse-width inputs, on chips whose currents, switches and latches differ."""

    Spec = PulseScorerSpec
    spec: PulseScorerSpec

    def sample_chip(self, key: Key, lot: Key | None = None) -> Any:
        """One layer's ``PulseChip``; a lot has nothing in common."""
        del lot
        spread = spec_of(
            self.spec.timing,
            1.0,  # what is drawn does not depend on it
            current_sigma=self.hardware.floating_gate.error_sigma,
            injection_sigma_v=self.spec.switch_offset_sigma_v,
            latch_offset_sigma_v=self.spec.latch_offset_sigma_v,
        )
        return sample_pulse_chip(key, spread, self.spec.groups, self.spec.inputs + 1)

    def perfect_chip(self) -> Any:
        """The same without any error."""
        return nominal_pulse_chip(self.spec.groups, self.spec.inputs + 1)

    def input_facts(self) -> dict[str, Any]:
        """Bits of a pulse, and a token's time, the same in every layer, s."""
        return {"pulse_bits": self.spec.timing.bits, "token_s": self.spec.timing.token_s}

    def row(self, design: Design, state: ScorerState) -> Row:
        """One layer's branches and capacitors.

        A capacitor that would be smaller or larger than can be built stays at that bound; the threshold's current
        belongs to the capacitance that is built.
        """
        timing, gate = self.spec.timing, self.hardware.floating_gate
        programmed = program(design, self.spec, self.hardware, state.query)
        hanging_f = (self.spec.inputs + 1) * BRANCH_LINE_F + LINE_F
        wanted_f = timing.full_time_s / programmed.feedback_ohm - hanging_f
        capacitance_f = jnp.clip(wanted_f, CAPACITOR_LOW_F, CAPACITOR_HIGH_F)
        # Femtofarads over nanoseconds is microsiemens: theta / R_f with the capacitance as built.
        conductance_s = (capacitance_f + hanging_f) / timing.full_time_s
        wide = dataclasses.replace(gate, max_current_a=THRESHOLD_RANGE * gate.max_current_a)
        threshold_a = program_current_a(programmed.threshold_v * conductance_s, wide)
        weight_a = program_current_a(programmed.signed_current_a, gate)
        built = jnp.ones(self.spec.inputs) if programmed.built is None else programmed.built
        return Row(
            current_a=jnp.concatenate([weight_a * built, threshold_a[:, None]], axis=-1),
            # Not the magnitude of what is drawn: that has no slope where an input is off.
            drawn_a=jnp.sum(jnp.abs(weight_a) * built) + jnp.sum(jnp.abs(threshold_a)),
            threshold_v=threshold_a / conductance_s,
            volts_per_a=1.0 / conductance_s,
            token_s=jnp.asarray(timing.token_s),
            circuit=spec_of(timing, capacitance_f, latch_noise_v=self.hardware.comparator.noise_v),
        )

    def at_latch(
        self, row: Row, chip: PulseChip, environment: Environment, inputs: Float[Array, "n N"]
    ) -> tuple[Float[Array, "n G"], Float[Array, "n G"]]:
        """What the latches see of each token, V, and the RMS noise of its decision, V."""
        thermal, temperature_k = self.hardware.thermal, environment.temperature_k
        magnitude_a = jnp.abs(row.current_a) * jnp.exp(chip.log_current)
        moved_a = row.current_a * bias_scale(magnitude_a, self.hardware.ota.kappa, thermal, temperature_k)

        def token(one: Float[Array, "branches"]):
            return (
                pulse_score_v(moved_a, one, row.circuit, chip),
                pulse_noise_v(moved_a, one, row.circuit, chip, temperature_k),
            )

        return jax.vmap(token)(with_threshold(inputs))

    def lines_j(self, preset: EnergyPreset, inputs: Float[Array, "L"], rows: Row) -> dict[str, Float[Array, "L"]]:
        """Generators, clock, drivers stand in ``dac``, currents in ``ota``, precharge and latch in ``comparator``."""
        timing, supply_v = self.spec.timing, self.hardware.supply_v
        parts = parts_j(preset, inputs, rows.drawn_a, timing, rows=float(self.spec.groups), supply_v=supply_v)
        return lines_j(parts)
