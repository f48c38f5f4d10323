"""The digital scorer: the same linear score q . P x in floating point, compared with the same threshold.

It shares the analog scorer's design, so the two compare like with like: its score is multiplied by the ideal chip's
transfer (bias, kappa / 2 U_T, DAC full scale, feedback), which makes it the comparator voltage of a perfect linear
circuit. On the ``ideal`` preset the analog scorer equals it to float tolerance.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.circuits import comparator
from atis_jax.circuits.chip import Chip, Environment
from atis_jax.energy.ledger import Ledger
from atis_jax.scoring.atis.design import Design, inputs_of
from atis_jax.scoring.atis.knobs import full_scale_v
from atis_jax.scoring.atis.method import Atis
from atis_jax.scoring.atis.program import program
from atis_jax.scoring.atis.projection import conditioned
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.types import Context, Decision, ScorerState
from atis_jax.typing import Key
from atis_jax.units import NOMINAL_TEMPERATURE_K, thermal_voltage_v


class Digital(Atis):
    """The same score computed exactly; chip, environment and key are not looked at.

    The threshold adapts as the analog scorer's does; hysteresis is a property of the analog comparator alone.
    ``hardware`` is whose ideal transfer turns the score into volts.
    """

    def score(
        self,
        design: Design,
        chip: Chip | None,
        environment: Environment | None,
        tokens: Float[Array, "n D"],
        context: Context,
        key: Key | None,
    ) -> tuple[Decision, ScorerState]:
        """See ``Method``."""
        del chip, environment, key
        spec, hardware = self.spec, self.hardware
        programmed = program(design, spec, hardware, context.state.query)
        slope = hardware.ota.kappa / (2.0 * thermal_voltage_v(NOMINAL_TEMPERATURE_K))
        transfer = full_scale_v(design, spec, hardware) * slope
        # Ohms times amperes first: 1e-9 times 1e-2 would creep towards the small end of float32.
        weight = programmed.feedback_ohm[:, None] * programmed.drawn_current_a * transfer
        voltage = context.along
        if voltage is None:
            voltage = inputs_of(design, conditioned(tokens, spec.source)) @ weight.T
        sequential = spec.adaptive_rate_v > 0
        keep, threshold_v, state = self.decide(voltage, programmed.threshold_v, context, sequential, 0.0)
        probability = comparator.keep_probability(voltage, threshold_v, 0.0, self.soft_width_v(context))
        return Decision(voltage, probability, keep, along=voltage if self.reads_once else None), state

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Design, state: ScorerState) -> Ledger:
        """The network and the score in digital; it folds where it can and where that is cheaper."""
        return self.ledger(costs).cheapest_digital(kept, design)

    def reference_v(
        self, design: Design, chip: Any, environment: Environment | None, state: ScorerState
    ) -> Float[Array, "G"]:
        """The design's own."""
        return program(design, self.spec, self.hardware, state.query).threshold_v

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
        """See ``Atis``."""
        programmed = program(design, self.spec, self.hardware, state.query)
        return jnp.abs(voltage - programmed.threshold_v) <= rounding_v
