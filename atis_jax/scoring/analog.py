"""The analog scorer: projection, DACs, OTA array, TIA, comparator (ATIS paper, section 3)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits import comparator
from atis_jax.circuits.chip import Chip, Environment
from atis_jax.circuits.frontend import read, realise
from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.design import Design, inputs_of, program, threshold_range
from atis_jax.scoring.projection import normalise
from atis_jax.scoring.spec import ScorerSpec
from atis_jax.scoring.threshold import MIN_SMOOTHING, TARGET_WITHOUT_CONTEXT, sequential_decisions
from atis_jax.scoring.types import Context, Decision, Scorer, ScorerState
from atis_jax.typing import Key


def analog(spec: ScorerSpec, hardware: Hardware, target: Float[Array, "L"] | None = None) -> Scorer:
    """A scorer that simulates the analog circuit on ``hardware``.

    What does not depend on the token (programming, temperature, DAC levels) is worked out once per layer and chip,
    also under ``vmap`` over images. Read noise is one normal at the summing node and one at the comparator for each
    token and prototype, keyed by the token's original position.

    Args:
        spec: structure of the scorer.
        hardware: preset the chips were sampled from.
        target: (L,) wanted share of incoming tokens kept, for the adaptive threshold.

    Raises:
        ValueError: if the array needs more inputs than the hardware has.
    """
    if spec.inputs > hardware.max_inputs:
        raise ValueError(
            f"scorer.inputs = {spec.inputs} exceeds the {hardware.max_inputs} array inputs of hardware preset "
            f"{hardware.name!r}; lower scorer.inputs or choose a larger preset"
        )

    def score(
        design: Design,
        chip: Chip | None,
        environment: Environment | None,
        tokens: Float[Array, "n D"],
        context: Context,
        key: Key | None,
    ) -> tuple[Decision, ScorerState]:
        if chip is None or environment is None:
            raise ValueError("the analog scorer needs a chip and an environment; see circuits.chip.nominal_chip")
        realised = realise(program(design, spec, hardware, context.state.query), hardware, chip, environment)
        inputs = inputs_of(design, normalise(tokens))
        node_noise, comparator_noise = _read_noise(key, context, spec.groups)
        voltage = jax.vmap(read, in_axes=(None, 0, None if node_noise is None else 0))(realised, inputs, node_noise)
        at_comparator = voltage
        if comparator_noise is not None:
            at_comparator = voltage + realised.comparator_noise_v * comparator_noise
        if spec.sequential:
            keep, threshold_v, state = sequential_decisions(
                at_comparator,
                realised.threshold_v,
                context.alive,
                context.state,
                hysteresis_v=realised.hysteresis_v if spec.hysteresis else 0.0,
                adaptive_rate_v=spec.adaptive_rate_v,
                activity_rate=spec.activity_rate,
                target=TARGET_WITHOUT_CONTEXT if target is None else target[context.layer],
            )
        else:
            threshold_v, state = realised.threshold_v, context.state
            keep = at_comparator > threshold_v
        probability = comparator.keep_probability(
            voltage,
            threshold_v,
            realised.comparator_noise_v,
            jnp.maximum(context.smoothing, MIN_SMOOTHING) * threshold_range(hardware).high,
        )
        return Decision(at_comparator, probability, keep), state

    return score


def _read_noise(key: Key | None, context: Context, groups: int):
    """Standard normals (n, G) for the summing node and the comparator, or (None, None) without a key."""
    if key is None:
        return None, None
    draw = jax.random.normal(key, (2, context.token_count, groups))
    return tuple(jnp.take(draw, context.token_index, axis=1))
