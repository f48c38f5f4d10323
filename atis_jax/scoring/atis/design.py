"""The design: what co-design optimises.

A design is separate from a chip (what fabrication gives). Its leaves are unconstrained real numbers; the physical
quantities follow through bounded invertible maps, so a current cannot go negative or out of range. A network's
design is one ``Design`` whose leaves carry a leading axis of layers; ``layer_design`` takes one of them out.
"""

from __future__ import annotations

import jax
from jaxtyping import Array, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.numerics import Bounded, pytree

INPUT_GAIN = Bounded(0.01, 10.0, log=True)
"""DAC full scales per unit of projected token."""
FEEDBACK_OHM = Bounded(1e3, 1e10, log=True)
"""TIA feedback. PHYSICS: 78 kohm for 6.4 uA into 0.5 V; a 1 nA array needs gigaohms (pseudo-resistors)."""
LARGEST_BIAS_A = Bounded(4e-9, 100e-9, log=True)
"""Bias current of a weight of one: at most the 100 nA of the paper's section 4.2."""


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
        input_gate: (N,) raw of a sigmoid, on above zero; this and what follows is read by ``atis.knobs``, and None
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


def layer_design(design: Design, layer: int) -> Design:
    """One layer's design out of a stacked one."""
    return jax.tree.map(lambda leaf: leaf[layer], design)


def inputs_of(design: Design, tokens_normalised: Float[Array, "n D"]) -> Float[Array, "n N"]:
    """Inputs u = gain P x: dimensionless array inputs, DAC full scale at +-1."""
    return INPUT_GAIN.forward(design.input_gain) * (tokens_normalised @ design.projection.T)
