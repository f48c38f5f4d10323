"""Really removing tokens: pack the survivors to the front of a shorter, static sequence.

How many survive depends on data and chip, an array's shape may not, so each layer has a static *capacity*. Choose it
from ``BUCKETS`` by the counts at hand (``choose_capacity``); what does not fit is counted, never dropped silently.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

BUCKETS, LONGEST_STEP = 8, 32
"""Capacities are rounded up to a step: this part of the sequence, so that there are few shapes to compile, but no more
tokens than that, which is room that costs next to nothing."""


def step_of(tokens: int) -> int:
    """Tokens by which capacities of a sequence of ``tokens`` differ."""
    return max(1, min(tokens // BUCKETS, LONGEST_STEP))


def choose_capacity(largest_count: int, tokens: int, protected: int = 1) -> int:
    """The smallest bucket that holds ``largest_count`` unprotected tokens and the protected ones.

    Args:
        largest_count: the most unprotected tokens any example keeps at this layer.
        tokens: unprotected tokens of a full sequence.
        protected: the others, for which there is always room.

    Raises:
        ValueError: if more tokens are kept than there are.
    """
    if not 0 <= largest_count <= tokens:
        raise ValueError(f"largest_count = {largest_count} must lie in 0..{tokens}, the tokens of a sequence")
    step = step_of(tokens)
    return min(tokens, int(np.ceil(largest_count / step)) * step) + protected


def pack(keep_N: Bool[Array, "N"], capacity: int) -> tuple[Int[Array, "C"], Bool[Array, "C"], Int[Array, ""]]:
    """Positions of the kept tokens in order, padded to ``capacity``.

    Returns:
        source: which position each packed slot takes its token from (padding slots point at position 0).
        valid: which slots hold a kept token.
        overflow: how many kept tokens did not fit.
    """
    slot_N = jnp.cumsum(keep_N) - 1
    count = jnp.sum(keep_N)
    # Writing each kept token's position into its slot needs no sort; the rest fall off the end and are dropped.
    target_N = jnp.where(keep_N, slot_N, capacity)
    source = jnp.zeros(capacity, jnp.int32).at[target_N].set(jnp.arange(keep_N.shape[0], dtype=jnp.int32), mode="drop")
    valid = jnp.arange(capacity) < count
    return source, valid, jnp.maximum(count - capacity, 0)


def scatter_back(
    values_C: Float[Array, "C"], index_C: Int[Array, "C"], valid_C: Bool[Array, "C"], tokens: int, fill: float = 0.0
) -> Float[Array, "tokens"]:
    """Packed per-token values returned to the tokens' original positions; absent tokens get ``fill``."""
    target_C = jnp.where(valid_C, index_C, tokens)
    return jnp.full(tokens, fill, values_C.dtype).at[target_C].set(values_C, mode="drop")
