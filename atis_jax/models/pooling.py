"""Many tokens as one vector: the mean over what is left of them."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.pruning.stream import Stream


def mean_left(
    x: Float[Array, "B N D"], stream: Stream, among: Bool[Array, "#B N"] | None = None
) -> Float[Array, "B D"]:
    """Mean of ``x`` over the tokens that are there, each as open as it is, and as large; 0 where none is.

    Args:
        x: what is averaged, a row a token of ``stream``.
        stream: says which tokens there are.
        among: tokens to be averaged; None: all.
    """
    weight = jnp.ones(x.shape[:2], x.dtype)
    if stream.gate is not None:
        weight = jnp.max(stream.gate, axis=-1).astype(x.dtype)
    if stream.real is not None:
        weight = jnp.where(stream.real, weight, 0.0)
    if stream.size is not None:
        weight = weight * stream.size
    if among is not None:
        weight = jnp.where(among, weight, 0.0)
    total = jnp.sum(weight, axis=-1, keepdims=True)
    return jnp.einsum("bn,bnd->bd", weight, x) / jnp.where(total > 0, total, 1.0)
