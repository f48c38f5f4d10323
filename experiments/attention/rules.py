"""Scores that need no circuit and nothing learned: each a formula on one layer's tokens, or on their keys.

Shape suffixes: B examples, N tokens (CLS first), D width, H heads, K head width.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.typing import Key

Rule = Callable[
    [Float[Array, "B N D"], Float[Array, "B H N K"], Bool[Array, "B N"], Key],
    Float[Array, "B N"],
]
"""(hidden states, keys, counted tokens, key) -> score of each token."""


def random(hidden, keys, counted, key) -> Float[Array, "B N"]:
    """Uniform."""
    del keys, counted
    return jax.random.uniform(key, hidden.shape[:2])


def token_norm(hidden, keys, counted, key) -> Float[Array, "B N"]:
    """Length |h| of the token as it comes to the layer."""
    del keys, counted, key
    return jnp.linalg.norm(hidden, axis=-1)


def key_norm(hidden, keys, counted, key) -> Float[Array, "B N"]:
    """Length |k| of the keys, mean over heads: what is known once the layer's keys are made."""
    del hidden, counted, key
    return jnp.mean(jnp.linalg.norm(keys, axis=-1), axis=1)


def unlike_mean(hidden, keys, counted, key) -> Float[Array, "B N"]:
    """-cos(h, mean of h over the example's counted tokens)."""
    del keys, key
    weight = counted[..., None].astype(hidden.dtype)
    mean = jnp.sum(hidden * weight, axis=1, keepdims=True) / jnp.maximum(jnp.sum(weight, axis=1, keepdims=True), 1.0)
    length = jnp.linalg.norm(hidden, axis=-1) * jnp.linalg.norm(mean, axis=-1)
    return -jnp.sum(hidden * mean, axis=-1) / jnp.maximum(length, jnp.finfo(hidden.dtype).tiny)


def like_cls(hidden, keys, counted, key) -> Float[Array, "B N"]:
    """Dot product with CLS, h . h_CLS."""
    del keys, counted, key
    return jnp.einsum("bnd,bd->bn", hidden, hidden[:, 0])


RULES: dict[str, Rule] = {
    "random": random,
    "token_norm": token_norm,
    "key_norm": key_norm,
    "unlike_mean": unlike_mean,
    "like_cls": like_cls,
}
"""By the name in a summary."""


def rule_scores(
    hidden: Float[Array, "L B N D"], keys: Float[Array, "L B H N K"], counted: Bool[Array, "B N"], key: Key
) -> dict[str, Float[Array, "L B N"]]:
    """Every rule in every layer."""
    layers = jax.random.split(key, len(hidden))
    return {name: jax.vmap(rule, (0, 0, None, 0))(hidden, keys, counted, layers) for name, rule in RULES.items()}
