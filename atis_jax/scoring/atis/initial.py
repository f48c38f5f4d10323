"""Where a design starts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.atis.design import FEEDBACK_OHM, INPUT_GAIN, LARGEST_BIAS_A, Design, threshold_range
from atis_jax.scoring.atis.knobs import initial_knobs
from atis_jax.scoring.atis.projection import initial_projection
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.typing import Key

INITIAL_BIAS_A = 50e-9
INITIAL_INPUT_GAIN = 0.6
"""Five thirds of a projected token's standard deviation fill the DAC: smaller inputs drown in the OTAs' offsets, which
shift all scores of a chip alike, and clipping one in ten costs less."""


def initial_design(
    key: Key, spec: ScorerSpec, hardware: Hardware, width: int, variance: Float[Array, "D"] | None = None
) -> Design:
    """One layer's starting point; ``vmap`` over keys for all layers.

    The prototype starts small and random, the threshold at the bottom of the span (every gate open); see
    ``training.calibrate`` for setting feedback and threshold from the scores of real tokens.
    """
    projection_key, prototype_key = jax.random.split(key)
    span_v = threshold_range(hardware).high
    weights = 0.5 * jax.random.normal(prototype_key, (spec.groups, spec.inputs))
    # N independent currents of about 0.4 x 0.4 of the maximum; a third of the span is a sound RMS. Real tokens
    # replace the estimate (``training.calibrate``).
    feedback = span_v / 3.0 / (INITIAL_BIAS_A * 0.16 * jnp.sqrt(spec.inputs))
    return Design(
        projection=initial_projection(spec.projection, projection_key, spec.inputs, width, variance),
        input_gain=INPUT_GAIN.inverse(INITIAL_INPUT_GAIN),
        prototype=weights,
        bias_scale=LARGEST_BIAS_A.inverse(INITIAL_BIAS_A),
        feedback=jnp.full((spec.groups,), FEEDBACK_OHM.inverse(feedback)),
        threshold=jnp.full((spec.groups,), threshold_range(hardware).inverse(-0.98 * threshold_range(hardware).high)),
        **initial_knobs(spec, hardware),
    )
