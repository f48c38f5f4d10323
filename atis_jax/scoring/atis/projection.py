"""Bringing a token from d_model down to the N inputs of the array (ATIS paper, 5.1).

Every kind is a matrix (N, D) acting on the normalised token (a selection also on raw pixels, see ``conditioned``); they
differ in how the matrix comes about, whether it is trained, and what it costs in digital arithmetic (see
``energy.ledger``). Rows have unit expected norm, so that a normalised token of unit variance per element gives inputs
of unit variance whatever the kind.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.typing import Key
from atis_jax.validation import choose

NORM_EPSILON = 1e-6
"""Added to the variance before the root: Flax LayerNorm's default, so both see one and the same vector."""


def normalise(tokens: Float[Array, "... D"]) -> Float[Array, "... D"]:
    """(x - mean) / sqrt(var + 1e-6) over the last axis: the vector the attention itself sees before its Q, K, V."""
    centred = tokens - jnp.mean(tokens, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + NORM_EPSILON)


def conditioned(seen: Float[Array, "... X"], source: str) -> Float[Array, "... X"]:
    """What the projection acts on: tokens normalised as for the attention, pixels as they come.

    Args:
        seen: tokens (X = D), or the pixel values of patches (X = P, ``models.sensor.patch_pixels``).
        source: which of the two, ``ScorerSpec.source``. Normalising pixels would need them converted.
    """
    return choose(_CONDITIONED, source, "scorer.source")(seen)


_CONDITIONED: dict[str, Callable[[Array], Array]] = {"tokens": normalise, "pixels": lambda seen: seen}


def gaussian(key: Key, inputs: int, width: int) -> Float[Array, "N D"]:
    """Entries N(0, 1/D): the Johnson-Lindenstrauss projection (Dasgupta & Gupta 2003, doi 10.1002/rsa.10073)."""
    return jax.random.normal(key, (inputs, width)) / jnp.sqrt(width)


def sparse_sign(key: Key, inputs: int, width: int) -> Float[Array, "N D"]:
    """sqrt(3/D) times +1, 0, -1 with probability 1/6, 2/3, 1/6: additions only (Achlioptas 2003).

    doi 10.1016/S0022-0000(03)00025-4. The common factor is absorbed in the input gain.
    """
    draw = jax.random.uniform(key, (inputs, width))
    sign = jnp.where(draw < 1 / 6, -1.0, jnp.where(draw < 1 / 3, 1.0, 0.0))
    return sign * jnp.sqrt(3.0 / width)


def selection(variance: Float[Array, "D"], inputs: int) -> Float[Array, "N D"]:
    """Rows of the identity: the ``inputs`` dimensions of highest variance, 0 MACs (paper 5.1 c).

    Args:
        variance: (D,) variance of each dimension of the normalised tokens over data, see
            ``training.calibrate.token_variance``.
        inputs: N; must not exceed D.

    Raises:
        ValueError: if N > D.
    """
    width = variance.shape[0]
    if inputs > width:
        raise ValueError(
            f"scorer.inputs = {inputs} exceeds the width {width}: selection can pick at most {width} dimensions; "
            "lower scorer.inputs or use another projection"
        )
    _, index = jax.lax.top_k(variance, inputs)
    return jax.nn.one_hot(jnp.sort(index), width)


def initial_projection(
    kind: str, key: Key, inputs: int, width: int, variance: Float[Array, "D"] | None = None
) -> Float[Array, "N D"]:
    """The matrix a design starts from; only ``learned`` is trained afterwards (it starts as ``gaussian``).

    Raises:
        SettingError: no such projection.
    """
    made: dict[str, Callable[[], Float[Array, "N D"]]] = {
        "learned": lambda: gaussian(key, inputs, width),
        "gaussian": lambda: gaussian(key, inputs, width),
        "sparse_sign": lambda: sparse_sign(key, inputs, width),
        "selection": lambda: selection(jnp.ones(width) if variance is None else variance, inputs),
    }
    return choose(made, kind, "scorer.projection")()
