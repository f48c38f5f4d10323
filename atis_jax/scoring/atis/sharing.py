"""One array design for all layers, against one for each: what is shared, and how its copies stay one.

A shared design is held as L equal copies, so that every function of a layer's design works on it unchanged. Copies that
start equal and get the same gradient stay equal. Each layer still has its own chip: the same array is fabricated once
for every layer.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from atis_jax.scoring.atis.design import Design

SHARED = ("projection", "prototype", "bias_scale", "input_gate", "dac_bits", "full_scale")
"""Leaves of a design that are the same in every layer if ``scorer.shared``. Input gain, feedback and threshold stay
each layer's own: they fit the array to the spread of that layer's tokens."""


def averaged(design: Design) -> Design:
    """The design (or its gradient), leaves (L, ...), with every shared leaf replaced by its mean over layers.

    The mean of the copies' gradients is 1/L of the gradient to the one design that they stand for.
    """

    def mean(leaf):
        return jnp.broadcast_to(jnp.mean(leaf, axis=0), jnp.shape(leaf))

    return dataclasses.replace(design, **{name: jax.tree.map(mean, getattr(design, name)) for name in SHARED})
