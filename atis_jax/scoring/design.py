"""The design: what co-design optimises, and what it asks the chip to hold.

A design is separate from a chip (what fabrication gives). Its leaves are unconstrained real numbers; the physical
quantities follow through bounded invertible maps, so a current cannot go negative or out of range. A network's
design is one ``Design`` whose leaves carry a leading axis of layers; ``layer_design`` takes one of them out.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.frontend import Program
from atis_jax.circuits.hardware import Hardware
from atis_jax.numerics import Bounded, pytree
from atis_jax.scoring.knobs import initial_knobs, input_gates
from atis_jax.scoring.projection import initial_projection
from atis_jax.scoring.prototype import query_weights, raw_from_weights, trained_weights
from atis_jax.scoring.spec import ScorerSpec
from atis_jax.typing import Key

INPUT_GAIN = Bounded(0.01, 10.0, log=True)
"""DAC full scales per unit of projected token."""
FEEDBACK_OHM = Bounded(1e3, 1e10, log=True)
"""TIA feedback. PHYSICS: 78 kohm for 6.4 uA into 0.5 V; a 1 nA array needs gigaohms (pseudo-resistors)."""
LARGEST_BIAS_A = Bounded(4e-9, 100e-9, log=True)
"""Bias current of a weight of one: at most the 100 nA of the paper's section 4.2."""
INITIAL_BIAS_A = 50e-9
INITIAL_INPUT_GAIN = 0.6
"""Five thirds of a projected token's standard deviation fill the DAC: smaller inputs drown in the OTAs' offsets, which
shift all scores of a chip alike, and clipping one in ten costs less."""


@pytree
class Design:
    """Unconstrained parameters of one layer's scorer (leading axis L when stacked).

    Attributes:
        projection: (N, D) token to array inputs; trained only if the projection is ``learned``.
        input_gain: () raw of ``INPUT_GAIN``.
        prototype: (G, N) raw of tanh: bias current over its maximum, signed.
        bias_scale: () raw of ``LARGEST_BIAS_A``.
        feedback: (G,) raw of ``FEEDBACK_OHM``.
        threshold: (G,) raw of the comparator threshold, within the reference's span.
        input_gate: (N,) raw of a sigmoid, on above zero; this and what follows is read by ``scoring.knobs``, and None
            where the spec does not train it.
        dac_bits: () raw of ``bits_range``.
        full_scale: () raw of ``FULL_SCALE_V``.
    """

    projection: Float[Array, "N D"]
    input_gain: Float[Array, ""]
    prototype: Float[Array, "G N"]
    bias_scale: Float[Array, ""]
    feedback: Float[Array, "G"]
    threshold: Float[Array, "G"]
    input_gate: Float[Array, "N"] | None = None
    dac_bits: Float[Array, ""] | None = None
    full_scale: Float[Array, ""] | None = None


def threshold_range(hardware: Hardware) -> Bounded:
    """Range of the comparator threshold: the reference's span, centred on zero."""
    half = 0.5 * float(hardware.comparator.reference_span_v)
    return Bounded(-half, half)


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


def layer_design(design: Design, layer: int) -> Design:
    """One layer's design out of a stacked one."""
    return jax.tree.map(lambda leaf: leaf[layer], design)


def signed_weights(design: Design, spec: ScorerSpec, query: Float[Array, "G D"]) -> Float[Array, "G N"]:
    """The prototype as fractions of the largest bias current, from wherever the spec takes it."""
    if spec.prototype == "ema":
        return query_weights(query, design.projection)
    return trained_weights(design.prototype)


def with_extracted_prototype(design: Design, query: Float[Array, "G D"]) -> Design:
    """The design holding a prototype extracted from a trained network (``query`` as in ``query_weights``)."""
    return dataclasses.replace(design, prototype=raw_from_weights(query_weights(query, design.projection)))


def inputs_of(design: Design, tokens_normalised: Float[Array, "n D"]) -> Float[Array, "n N"]:
    """Inputs u = gain P x: dimensionless array inputs, DAC full scale at +-1."""
    return INPUT_GAIN.forward(design.input_gain) * (tokens_normalised @ design.projection.T)


def program(design: Design, spec: ScorerSpec, hardware: Hardware, query: Float[Array, "G D"]) -> Program:
    """What the design asks the chip to hold: signed bias currents, feedback, threshold, and which inputs are built."""
    largest_a = LARGEST_BIAS_A.forward(design.bias_scale)
    return Program(
        signed_current_a=largest_a * signed_weights(design, spec, query),
        feedback_ohm=FEEDBACK_OHM.forward(design.feedback),
        threshold_v=threshold_range(hardware).forward(design.threshold),
        built=input_gates(design, spec),
    )


def array_program(design: Design, spec: ScorerSpec, hardware: Hardware, query: Float[Array, "G D"]) -> Program:
    """``program`` for the arrays that are really there: itself, or for a differential scorer its halves w and -w.

    Returns:
        Leaves of ``spec.geometry.prototypes`` rows, H G: the rows of weights w, then those of -w. Both halves are on
        the same converters: an input is built in both or in neither.
    """
    held = program(design, spec, hardware, query)
    if not spec.differential:
        return held
    return Program(
        signed_current_a=jnp.concatenate([held.signed_current_a, -held.signed_current_a]),
        feedback_ohm=jnp.tile(held.feedback_ohm, 2),
        threshold_v=jnp.tile(held.threshold_v, 2),
        built=held.built,
    )
