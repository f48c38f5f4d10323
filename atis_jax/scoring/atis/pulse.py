"""The scorer with pulse-width inputs: projection, pulses, currents on two lines, a latch (``cells.pulse``).

It shares the design of the other circuits. What is R_f there is T / C here, full time over a line's capacitance:
R_f sum_j I_j u_j is the score in both. The threshold theta is a branch more, of the current theta / R_f. The score is
linear but for the lines' finite output resistance: the OTA's tanh is gone, and a digital inner product is its exact
rival.

Currents are programmed, drawn and moved by temperature as ``hardware`` says of its floating gates. The supply moves
nothing here: in ngspice +-10 % changes gain and threshold alike, and leaves 0.24 mV of 326 mV
(``python -m experiments.spice.pulse --corners``).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.cells.pulse import BRANCH_LINE_F, CAPACITOR_HIGH_F, CAPACITOR_LOW_F, LINE_F, THRESHOLD_RANGE
from atis_jax.circuits import comparator
from atis_jax.circuits.chip import Environment
from atis_jax.circuits.floating_gate import program_current_a
from atis_jax.circuits.pulse import (
    PulseChip,
    PulseSpec,
    line_capacitance_f,
    nominal_pulse_chip,
    pulse_noise_v,
    pulse_score_v,
    sample_pulse_chip,
    spec_of,
)
from atis_jax.circuits.thermal import bias_scale
from atis_jax.energy.ledger import Ledger
from atis_jax.energy.pulse import pulse_ledger
from atis_jax.numerics import pytree
from atis_jax.scoring.atis.checks import check_place
from atis_jax.scoring.atis.design import Design, inputs_of
from atis_jax.scoring.atis.method import Atis
from atis_jax.scoring.atis.program import program
from atis_jax.scoring.atis.projection import conditioned
from atis_jax.scoring.atis.pulse_spec import PulseScorerSpec, check_other_sections
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Place
from atis_jax.scoring.types import Context, Decision, ScorerState
from atis_jax.typing import Key


@pytree
class Row:
    """One layer's design as its branches are programmed.

    Attributes:
        current_a: signed, the threshold's branch last; its input is -1, A. Zero where an input is left out.
        drawn_a: of all branches together, A.
        threshold_v: what that branch takes off a score, V.
        circuit: a row's lines and latch, one for each score.
    """

    current_a: Float[Array, "G branches"]
    drawn_a: Float[Array, ""]
    threshold_v: Float[Array, "G"]
    circuit: PulseSpec


class PulseWidth(Atis):
    """The circuit with pulse-width inputs, on chips whose currents, switches and latches differ."""

    Spec = PulseScorerSpec
    spec: PulseScorerSpec

    def check(self, place: Place) -> None:
        """The sections fit, and say nothing of converters, amplifiers or a finite token time."""
        check_other_sections(place)
        check_place(self.spec, self.hardware, place, converts=False)

    @property
    def fabricated(self) -> bool:
        """It is a circuit."""
        return True

    def share(self, design: Design, conditioned: Float[Array, "n X"]) -> Float[Array, "n N"]:
        """Inputs within full scale, not rounded to steps."""
        return jnp.clip(inputs_of(design, conditioned), -1.0, 1.0)

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
            circuit=spec_of(timing, capacitance_f, latch_noise_v=self.hardware.comparator.noise_v),
        )

    def score(
        self,
        design: Design,
        chip: Any,
        environment: Environment | None,
        tokens: Float[Array, "n D"],
        context: Context,
        key: Key | None,
    ) -> tuple[Decision, ScorerState]:
        """See ``Method``; the score is what the latch sees with the threshold's branch added back.

        Raises:
            ValueError: there is no chip or no environment.
        """
        if chip is None or environment is None:
            raise ValueError("the pulse-width scorer needs a chip and an environment; see PulseWidth.perfect_chip")
        row = self.row(design, context.state)
        inputs = inputs_of(design, conditioned(tokens, self.spec.source))
        latch_v, noise_v = self.at_latch(row, chip, environment, inputs)
        voltage = latch_v + row.threshold_v
        at_latch = voltage
        if key is not None:
            at_latch = voltage + noise_v * _latch_noise(key, context, self.spec.groups)
        keep, threshold_v, state = self.decide(at_latch, row.threshold_v, context, False, 0.0)
        probability = comparator.keep_probability(voltage, threshold_v, noise_v, self.soft_width_v(context))
        return Decision(at_latch, probability, keep), state

    def at_latch(
        self, row: Row, chip: PulseChip, environment: Environment, inputs: Float[Array, "n N"]
    ) -> tuple[Float[Array, "n G"], Float[Array, "n G"]]:
        """What the latches see of each token, V, and the RMS noise of its decision, V."""
        thermal, temperature_k = self.hardware.thermal, environment.temperature_k
        magnitude_a = jnp.abs(row.current_a) * jnp.exp(chip.log_current)
        moved_a = row.current_a * bias_scale(magnitude_a, self.hardware.ota.kappa, thermal, temperature_k)
        pulses = jnp.concatenate([inputs, jnp.full((len(inputs), 1), -1.0)], axis=-1)

        def token(one: Float[Array, "branches"]):
            return (
                pulse_score_v(moved_a, one, row.circuit, chip),
                pulse_noise_v(moved_a, one, row.circuit, chip, temperature_k),
            )

        return jax.vmap(token)(pulses)

    def reference_v(
        self, design: Design, chip: Any, environment: Environment | None, state: ScorerState
    ) -> Float[Array, "G"]:
        """As its branch is programmed; the latch's offset is in the score."""
        del chip, environment
        return self.row(design, state).threshold_v

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Design, state: ScorerState) -> Ledger:
        """The network, projection, pulses, currents and latches."""
        rows = jax.vmap(self.row)(design, state)
        return pulse_ledger(
            costs.energy.prices(),
            costs.network,
            self.shape(costs, design),
            costs.tokens(kept),
            rows.drawn_a,
            self.spec.timing,
            self.hardware.supply_v,
            costs.energy.uses,
            costs.energy.memory(),
        )

    def shape(self, costs: Bill, design: Design) -> Any:
        """What the ledger needs to know of it: inputs of each layer where they are chosen."""
        return dataclasses.replace(self.ledger(costs).scorer(design), dac_bits=self.spec.bits)

    def near_threshold(
        self,
        design: Design,
        chip,
        environment,
        state: ScorerState,
        voltage,
        seen,
        rounding_v: float,
        rounding_code: float,
    ) -> Bool[Array, "B N G"]:
        """See ``Atis``: within ``rounding_v``, or where the steps of pulses near an edge reach the threshold."""
        row, steps = self.row(design, state), self.spec.timing.steps
        place = steps * self.share(design, conditioned(seen, self.spec.source))
        at_edge = jnp.abs(jnp.abs(place - jnp.round(place)) - 0.5) < rounding_code
        capacitance_f = line_capacitance_f(row.circuit, row.current_a.shape[-1])
        step_v = jnp.abs(row.current_a[:, :-1]) * (self.spec.timing.full_time_s / capacitance_f)[:, None] / steps
        reach_v = rounding_v + 2.0 * jnp.einsum("bnj,gj->bng", at_edge.astype(step_v.dtype), step_v)
        return jnp.abs(voltage - row.threshold_v) <= reach_v


def _latch_noise(key: Key, context: Context, groups: int) -> Float[Array, "n G"]:
    """A standard normal a token and score, keyed by the token's place in the full sequence."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, context.position)
    return jax.vmap(lambda token: jax.random.normal(token, (groups,)))(keys)
