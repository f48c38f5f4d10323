"""Keep masks: cascading down the layers, and the gate that training puts into the softmax.

Shape suffixes: B examples, N tokens, G head groups. A mask says which tokens a head group still attends to; a token is
computed at all (attention rows, MLP) while any group keeps it. ``counted`` (B, N) are the tokens that are a method's to
judge (``pruning.stream.Stream.counted``): protected ones and padding are left out of every number here. Its leading
axis may be 1.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.numerics import straight_through


def protect(gate_BxNxG: Float[Array, "B N G"], protected_BxN: Bool[Array, "B N"]) -> Float[Array, "B N G"]:
    """Set the protected tokens' gates to one, and stop their gradient."""
    return jnp.where(protected_BxN[..., None], jnp.ones_like(gate_BxNxG), gate_BxNxG)


def cascade(
    keep_BxNxG: Bool[Array, "B N G"], alive_BxNxG: Bool[Array, "B N G"], protected_BxN: Bool[Array, "B N"]
) -> Bool[Array, "B N G"]:
    """A token once pruned for a group stays pruned; protected tokens stay alive."""
    return (keep_BxNxG | protected_BxN[..., None]) & alive_BxNxG


def training_gate(
    probability_BxNxG: Float[Array, "B N G"],
    keep_BxNxG: Bool[Array, "B N G"],
    hardness: Float[Array, ""] | float,
) -> Float[Array, "B N G"]:
    """The gate that enters the softmax while training.

    ``(1 - hardness) p + hardness k``, with the gradient of p: 0 is the soft comparator, 1 the hard decision with a
    straight-through gradient (Bengio et al. 2013).
    """
    hard = keep_BxNxG.astype(probability_BxNxG.dtype)
    forward = (1.0 - hardness) * probability_BxNxG + hardness * hard
    return straight_through(forward, probability_BxNxG)


def at_fixed_rate(
    probability_BxNxG: Float[Array, "B N G"], counted_BxNxG: Bool[Array, "B N G"]
) -> Float[Array, "B N G"]:
    """The same probabilities, with the gradient they have when the threshold keeps their sum where it is.

    A threshold that follows the kept fraction undoes what moves all scores alike. With p = Phi((V - theta) / w),
    holding sum(p) over the counted tokens of the batch fixed gives d theta = sum(p' dV) / sum(p'), so

        dp_i -> dp_i - p'_i / sum_j(p'_j) * sum_j(dp_j).

    Without it the cross-entropy, which likes every gate open, drives a layer's scores to the end of their range
    while the threshold runs after them.

    Args:
        probability_BxNxG: soft decisions of a probit comparator (``circuits.comparator.keep_probability``).
        counted_BxNxG: tokens that reach the comparator and are a method's to judge. The others, which no threshold
            decides about, keep the gradient they have.
    """
    slope = jnp.where(counted_BxNxG, jax.scipy.stats.norm.pdf(jax.scipy.special.ndtri(probability_BxNxG)), 0.0)
    slope = jax.lax.stop_gradient(slope)
    share = slope / jnp.maximum(jnp.sum(slope, axis=(0, 1)), jnp.finfo(slope.dtype).tiny)
    total = jnp.sum(jnp.where(counted_BxNxG, probability_BxNxG, 0.0), axis=(0, 1))
    return probability_BxNxG - share * (total - jax.lax.stop_gradient(total))


def kept_fraction(alive_BxNxG: Bool[Array, "B N G"], counted_BxN: Bool[Array, "B N"]) -> Float[Array, ""]:
    """Fraction of the counted tokens that some group keeps, over the whole batch."""
    counted = jnp.broadcast_to(counted_BxN, alive_BxNxG.shape[:2])
    return jnp.sum(jnp.any(alive_BxNxG, axis=-1) & counted).astype(jnp.float32) / jnp.sum(counted).astype(jnp.float32)


def kept_tokens(alive_BxNxG: Bool[Array, "B N G"], counted_BxN: Bool[Array, "B N"]) -> Float[Array, "B"]:
    """Number of counted tokens that some group keeps, for each example."""
    return jnp.sum(jnp.any(alive_BxNxG, axis=-1) & counted_BxN, axis=-1)


def top_fraction(
    score_BxN: Float[Array, "B N"],
    alive_BxN: Bool[Array, "B N"],
    count: Float[Array, "*B"] | int,
    protected_BxN: Bool[Array, "B N"],
) -> Bool[Array, "B N"]:
    """The highest-scoring unprotected tokens that are alive, ``count`` of each example, and the protected ones."""
    priority_BxN = jnp.where(protected_BxN, jnp.inf, jnp.where(alive_BxN, score_BxN, -jnp.inf))
    order = jnp.argsort(jnp.argsort(-priority_BxN, axis=-1), axis=-1)
    allowed = jnp.asarray(count)[..., None] + jnp.sum(protected_BxN, axis=-1, keepdims=True)
    return (order < allowed) & alive_BxN
