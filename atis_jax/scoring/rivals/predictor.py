"""DynamicViT's predictor: log probabilities of keeping and dropping a token, from it and the mean of those left.

    h = GELU(W LN(x) + b); half of h the token's own, of the other half the mean over the tokens by their policy;
    then C to C/2, GELU, to C/4, GELU, to 2, log-softmax.

Rao et al. 2021 (arXiv 2106.02034, eqs. 3 to 6), as the authors' code has it. Where no token is left its mean is 0,
theirs divides by zero. Shape suffixes: n tokens, C width.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.numerics import pytree
from atis_jax.typing import Key

SPREAD = 0.02
"""Of the weights that it starts from, a normal cut off at twice that; biases start at 0."""
EPSILON = 1e-5
"""Of the norm."""
PARTS = 4
"""The width is a multiple of it: the last hidden layer has a quarter."""


@pytree
class Predictor:
    """Weights, each matrix (in, out).

    Attributes:
        scale: (C,) of the norm.
        shift: (C,) of the norm.
        first: (C, C) and its bias.
        second: (C, C/2) and its bias.
        third: (C/2, C/4) and its bias.
        last: (C/4, 2) and its bias.
    """

    scale: Float[Array, "C"]
    shift: Float[Array, "C"]
    first: tuple[Float[Array, "C C"], Float[Array, "C"]]
    second: tuple[Float[Array, "C C/2"], Float[Array, "C/2"]]
    third: tuple[Float[Array, "C/2 C/4"], Float[Array, "C/4"]]
    last: tuple[Float[Array, "C/4 2"], Float[Array, "2"]]


def sizes(width: int) -> tuple[tuple[int, int], ...]:
    """(in, out) of each matrix."""
    return (width, width), (width, width // 2), (width // 2, width // 4), (width // 4, 2)


def untrained(key: Key, width: int) -> Predictor:
    """Drawn weights."""

    def drawn(key: Key, shape: tuple[int, int]):
        return SPREAD * jax.random.truncated_normal(key, -2.0, 2.0, shape), jnp.zeros(shape[1])

    maps = [drawn(one, shape) for one, shape in zip(jax.random.split(key, PARTS), sizes(width), strict=True)]
    return Predictor(jnp.ones(width), jnp.zeros(width), *maps)


def keep_or_drop(weights: Predictor, x: Float[Array, "n C"], policy: Float[Array, "n"]) -> Float[Array, "n 2"]:
    """Log probabilities, keep first.

    Args:
        weights: of one layer.
        x: tokens.
        policy: how far each is left, 0 to 1; 0 for those that are not judged.
    """
    normed = jax.nn.standardize(x, axis=-1, epsilon=EPSILON) * weights.scale + weights.shift
    hidden = _gelu(_mapped(weights.first, normed))
    own, others = jnp.split(hidden, 2, axis=-1)
    total = jnp.sum(policy)
    mean = jnp.sum(policy[:, None] * others, axis=0) / jnp.where(total > 0, total, 1.0)
    joined = jnp.concatenate([own, jnp.broadcast_to(mean, own.shape)], axis=-1)
    hidden = _gelu(_mapped(weights.second, joined))
    hidden = _gelu(_mapped(weights.third, hidden))
    return jax.nn.log_softmax(_mapped(weights.last, hidden), axis=-1)


def _mapped(weights, x):
    return x @ weights[0] + weights[1]


def _gelu(x):
    return jax.nn.gelu(x, approximate=False)
