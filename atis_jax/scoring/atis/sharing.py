"""One array design for all layers, against one for each: what is shared, and how its copies stay one.

A shared design is held as L equal copies, so that every function of a layer's design works on it unchanged. Copies that
start equal and get the same gradient stay equal. Each layer still has its own chip: the same array is fabricated once
for every layer. Where one read serves all layers (``scorer.reads``) the copies are one array, also on the chip.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from atis_jax.circuits.chip import Chip
from atis_jax.scoring.atis.design import Design

SHARED = ("projection", "prototype", "bias_scale", "input_gate", "dac_bits", "full_scale")
"""Leaves of a design that are the same in every layer if ``scorer.shared``. Input gain, feedback and threshold stay
each layer's own: they fit the array to the spread of that layer's tokens."""
OF_ONE_READ = (*SHARED, "input_gain", "feedback")
"""Leaves that are the same in every layer if one read serves them all: the thresholds alone are each layer's own."""

OF_COMPARATOR = "comparator_"
"""What names of a chip's leaves begin with that belong to the comparators, not to the array."""


def averaged(design: Design, shared: tuple[str, ...] = SHARED) -> Design:
    """The design (or its gradient), leaves (L, ...), with every shared leaf replaced by its mean over layers.

    The mean of the copies' gradients is 1/L of the gradient to the one design that they stand for.
    """

    def mean(leaf):
        return jnp.broadcast_to(jnp.mean(leaf, axis=0), jnp.shape(leaf))

    return dataclasses.replace(design, **{name: jax.tree.map(mean, getattr(design, name)) for name in shared})


def copied_from(design: Design, layer: Int[Array, ""]) -> Design:
    """The design with every layer a copy of one, thresholds too: where training of one read for all starts."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[layer], jnp.shape(leaf)), design)


def with_one_array(chip: Chip) -> Chip:
    """Chips of all layers, leaves (L, ...), as fabricated for one read: an array, and comparators for every layer."""
    array = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], jnp.shape(leaf)), chip)
    own = {name: leaf for name, leaf in vars(chip).items() if name.startswith(OF_COMPARATOR)}
    return dataclasses.replace(array, **own)
