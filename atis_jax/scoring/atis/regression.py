"""A prototype that starts where ridge regression puts it: the log of the attention a token receives, from the token.

One vector a layer is all that a static prototype is, so the regression's is the best linear start there is for the
target. Shape suffixes: L layers, B examples, T tokens of one, M of all, N inputs of the array, D width, G head groups,
H heads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from atis_jax.pruning.stream import Attended
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.prototype import raw_from_weights
from atis_jax.validation import choose

STARTS = ("random", "received", "cls_row", "received_onward", "cls_row_onward")
"""Where a static prototype starts: drawn, or fitted to one of these parts of the dense network's attention.

``onward`` is the mean of the layer's own and all behind it: a token that goes is missing in every one of them.
"""
ONWARD = {"received": False, "cls_row": False, "received_onward": True, "cls_row_onward": True}
"""Whether a fitted start looks at the layers behind."""
FITTED = {"random": frozenset(), **{start: frozenset({start.removesuffix("_onward")}) for start in ONWARD}}
"""Parts of the attention that each start needs."""
RIDGE = 1e-2
"""Added to the Gram matrix's diagonal, over the diagonal's mean."""
SMALLEST_ATTENTION = 1e-6
"""Attention below it counts as it: of 10,000 tokens an even share is a hundred times as much."""
LARGEST_WEIGHT = 0.95
"""Of a fitted prototype: its raw value stays where tanh has a slope."""


def attention_target(
    attended: Attended, part: str, counted: Bool[Array, "#B T"], groups: int
) -> Float[Array, "L B T G"]:
    """Log of the attention that each token gets from a group's heads on average, less the example's mean.

    Args:
        attended: of the dense network, leaves (L, B, H, T).
        part: which, one of ``ONWARD``.
        counted: tokens that are a method's to judge; the mean is over them, others are 0.
        groups: G.
    """
    onward = choose(ONWARD, part, "scorer.start")
    (name,) = FITTED[part]
    given = getattr(attended, name)
    depth, batch, heads, tokens = given.shape
    if onward:
        layers_behind = jnp.arange(depth, 0, -1, dtype=given.dtype)[:, None, None, None]
        given = jnp.cumsum(given[::-1], axis=0)[::-1] / layers_behind
    share = jnp.mean(given.reshape(depth, batch, groups, heads // groups, tokens), axis=3)
    log = jnp.moveaxis(jnp.log(jnp.maximum(share, SMALLEST_ATTENTION)), 2, -1)
    weight = jnp.broadcast_to(counted, (batch, tokens))[..., None].astype(log.dtype)
    mean = jnp.sum(log * weight, axis=2, keepdims=True) / jnp.maximum(jnp.sum(weight, axis=1), 1.0)[:, None]
    return (log - mean) * weight


def fitted(
    design: Design,
    projection: str,
    tokens: Float[Array, "M D"],
    target: Float[Array, "M G"],
    weight: Float[Array, "M"],
    share: Callable[[Design, Float[Array, "M D"]], Float[Array, "M N"]],
) -> Design:
    """The design with the prototype of ridge regression, the largest weight of each at ``LARGEST_WEIGHT``.

    The regression is on what the array makes of its inputs, tanh and all. A ``learned`` projection starts as the
    regression on the whole token, dealt to the inputs; a ``selection`` as the dimensions that tell most together.

    Args:
        design: of one layer.
        projection: the spec's.
        tokens: as the projection sees them.
        target: what to fit, for each head group.
        weight: 1 for tokens that count, else 0.
        share: what a token makes of each weight's current.
    """
    rows = choose(_PROJECTED, projection, "scorer.projection")(design.projection, tokens, target, weight)
    design = dataclasses.replace(design, projection=rows)
    gram, covariance = moments(share(design, tokens), target, weight)
    weights = jnp.linalg.solve(gram, covariance).T
    peak = jnp.maximum(jnp.max(jnp.abs(weights), axis=-1, keepdims=True), jnp.finfo(weights.dtype).tiny)
    return dataclasses.replace(design, prototype=raw_from_weights(LARGEST_WEIGHT * weights / peak))


def moments(
    features: Float[Array, "M F"], target: Float[Array, "M G"], weight: Float[Array, "M"]
) -> tuple[Float[Array, "F F"], Float[Array, "F G"]]:
    """Covariance of the features, ridge added, and theirs with the target, over tokens of this weight."""
    share = weight / jnp.maximum(jnp.sum(weight), 1.0)
    centred = features - share @ features
    weighed = centred * share[:, None]
    gram = weighed.T @ centred
    ridge = RIDGE * jnp.mean(jnp.diagonal(gram)) + jnp.finfo(gram.dtype).tiny
    return gram + ridge * jnp.eye(len(gram)), weighed.T @ target


def dealt(rows: Float[Array, "N D"], tokens, target, weight) -> Float[Array, "N D"]:
    """The regression's vector of each group in parts: one row of the projection holds a part, of unit variance.

    Row n belongs to group n mod G. Dimensions are dealt to and fro in the order of what they contribute, so that parts
    are about alike; every second part is inverted, so that currents of both signs flow and what shifts all alike
    cancels.
    """
    inputs, width = rows.shape
    gram, covariance = moments(tokens, target, weight)
    vector_GxD = jnp.linalg.solve(gram, covariance).T
    groups = len(vector_GxD)
    row = np.arange(inputs)
    parts = np.maximum(1, (inputs - np.arange(groups) + groups - 1) // groups)[:, None]
    contributed = jnp.abs(vector_GxD) * jnp.sqrt(jnp.diagonal(gram))
    rank = jnp.argsort(jnp.argsort(-contributed, axis=-1), axis=-1)
    place = rank % parts
    part_GxD = jnp.where((rank // parts) % 2 == 0, place, parts - 1 - place)
    dealt_NxD = jnp.where(part_GxD[row % groups] == (row // groups)[:, None], vector_GxD[row % groups], 0.0)
    spread = jnp.sqrt(jnp.einsum("nd,de,ne->n", dealt_NxD, gram, dealt_NxD))
    sign = np.where((row // groups) % 2 == 0, 1.0, -1.0)
    return dealt_NxD * (sign / jnp.maximum(spread, jnp.finfo(spread.dtype).tiny))[:, None]


def pursued(rows: Float[Array, "N D"], tokens, target, weight) -> Float[Array, "N D"]:
    """Rows of the identity: N dimensions chosen one after the other by orthogonal matching pursuit.

    Each is that which correlates most with what the ones before it leave of the target (Pati et al. 1993,
    doi 10.1109/ACSSC.1993.342465), squares summed over head groups.
    """
    inputs, width = rows.shape
    gram, covariance = moments(tokens, target, weight)
    scale = jnp.sqrt(jnp.diagonal(gram))

    def choose_one(_, chosen):
        # Dimensions that are not chosen have rows and columns of the identity, and nothing to explain.
        pair = chosen[:, None] & chosen
        solved = jnp.linalg.solve(jnp.where(pair, gram, jnp.eye(width)), jnp.where(chosen[:, None], covariance, 0.0))
        left = jnp.sum(jnp.square((covariance - gram @ solved) / scale[:, None]), axis=-1)
        return chosen.at[jnp.argmax(jnp.where(chosen, -jnp.inf, left))].set(True)

    chosen = jax.lax.fori_loop(0, inputs, choose_one, jnp.zeros(width, bool))
    return jax.nn.one_hot(jnp.argsort(~chosen, stable=True)[:inputs], width)


def unchanged(rows: Float[Array, "N D"], tokens, target, weight) -> Float[Array, "N D"]:
    """A projection that is drawn and held."""
    del tokens, target, weight
    return rows


_PROJECTED = {"learned": dealt, "selection": pursued, "gaussian": unchanged, "sparse_sign": unchanged}
