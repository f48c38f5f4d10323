"""The digital scorer: the same linear score q . P x in floating point, compared with the same threshold.

It shares the analog scorer's design, so the two compare like with like: its score is multiplied by the ideal chip's
transfer (bias, kappa / 2 U_T, DAC full scale, feedback), which makes it the comparator voltage of a perfect linear
circuit. On the ``ideal`` preset the analog scorer equals it to float tolerance.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits import comparator
from atis_jax.circuits.chip import Chip, Environment
from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.design import Design, inputs_of, threshold_range
from atis_jax.scoring.knobs import full_scale_v
from atis_jax.scoring.program import program
from atis_jax.scoring.projection import conditioned
from atis_jax.scoring.spec import ScorerSpec
from atis_jax.scoring.threshold import MIN_SMOOTHING, TARGET_WITHOUT_CONTEXT, sequential_decisions
from atis_jax.scoring.types import Context, Decision, Scorer, ScorerState
from atis_jax.typing import Key
from atis_jax.units import NOMINAL_TEMPERATURE_K, thermal_voltage_v


def digital(spec: ScorerSpec, hardware: Hardware, target: Float[Array, "L"] | None = None) -> Scorer:
    """A scorer that computes the same score exactly; chip, environment and key are not looked at.

    The threshold adapts as the analog scorer's does; hysteresis is a property of the analog comparator alone.

    Args:
        spec: structure of the scorer.
        hardware: whose ideal transfer turns the score into volts.
        target: (L,) wanted share of incoming tokens kept, for the adaptive threshold.
    """

    def score(
        design: Design,
        chip: Chip | None,
        environment: Environment | None,
        tokens: Float[Array, "n D"],
        context: Context,
        key: Key | None,
    ) -> tuple[Decision, ScorerState]:
        del chip, environment, key
        held = program(design, spec, hardware, context.state.query)
        slope = hardware.ota.kappa / (2.0 * thermal_voltage_v(NOMINAL_TEMPERATURE_K))
        transfer = full_scale_v(design, spec, hardware) * slope
        # Ohms times amperes first: 1e-9 times 1e-2 would creep towards the small end of float32.
        weight = held.feedback_ohm[:, None] * held.drawn_current_a * transfer
        voltage = inputs_of(design, conditioned(tokens, spec.source)) @ weight.T
        if spec.adaptive_rate_v > 0:
            keep, threshold_v, state = sequential_decisions(
                voltage,
                held.threshold_v,
                context.alive,
                context.state,
                hysteresis_v=0.0,
                adaptive_rate_v=spec.adaptive_rate_v,
                activity_rate=spec.activity_rate,
                target=TARGET_WITHOUT_CONTEXT if target is None else target[context.layer],
            )
        else:
            threshold_v, state = held.threshold_v, context.state
            keep = voltage > threshold_v
        probability = comparator.keep_probability(
            voltage, threshold_v, 0.0, jnp.maximum(context.smoothing, MIN_SMOOTHING) * threshold_range(hardware).high
        )
        return Decision(voltage, probability, keep), state

    return score
