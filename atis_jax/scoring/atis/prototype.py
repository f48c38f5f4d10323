"""The query prototype: which vector the array correlates every token with (ATIS paper, 3.2).

static     G x N weights, trained, programmed once into floating gates.
ema        exponential moving average of the CLS queries of recent sequences: an RC filter, carried as
           ``ScorerState.query``. Floating gates cannot be rewritten for each sequence, so this prototype is a volatile
           bias: a current DAC of the floating gates' resolution charges each OTA's bias gate, held on its capacitor
           until the next sequence. It goes through the same programming model (resolution, error, range).
extracted  the same query averaged once over data of the trained dense network and held (programmed like static).

The query of a head acts on tokens through its keys: q . W_k x = (W_k' q) . x, so a query enters here already pulled
back to token space (``models.vit.Block`` returns it so).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

MAX_WEIGHT = 1.0
QUERY_EPSILON = 1e-8


def trained_weights(raw: Float[Array, "G N"]) -> Float[Array, "G N"]:
    """Weights w = tanh(raw) in (-1, 1): the bias current as a fraction of its maximum, the sign by swapped inputs."""
    return jnp.tanh(raw)


def raw_from_weights(weights: Float[Array, "G N"]) -> Float[Array, "G N"]:
    """Inverse of ``trained_weights``; weights must lie strictly inside (-1, 1)."""
    return jnp.arctanh(weights)


def query_weights(query: Float[Array, "G D"], projection: Float[Array, "N D"]) -> Float[Array, "G N"]:
    """Weights proportional to P q, the largest magnitude of each prototype at 0.95 of full scale.

    For a projection with orthogonal rows (selection exactly, random approximately) u . P q approximates x . q.
    A query of zero (nothing seen yet) gives zero weights.
    """
    mapped = query @ projection.T
    peak = jnp.max(jnp.abs(mapped), axis=-1, keepdims=True)
    return 0.95 * mapped / jnp.maximum(peak, QUERY_EPSILON)


def update_query(query: Float[Array, "G D"], recent_BxHxD: Float[Array, "B H D"], rate: float) -> Float[Array, "G D"]:
    """One step of the RC filter: q <- (1 - rate) q + rate mean(recent), heads averaged within their group."""
    groups = query.shape[0]
    recent = recent_BxHxD.reshape(recent_BxHxD.shape[0], groups, -1, recent_BxHxD.shape[-1])
    return (1.0 - rate) * query + rate * jax.lax.stop_gradient(jnp.mean(recent, axis=(0, 2)))
