"""Q-Filters: words whose keys lie along the direction that queries share."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from atis_jax.eviction.policy import Policy


@dataclasses.dataclass(frozen=True)
class QFilters(Policy):
    """k . u, u the mean over a key head's queries of their principal direction (Godey et al. 2025, arXiv 2503.02812).

    A query head's direction is the first right singular vector of its queries on training texts, with the sign that
    makes their sum along it positive.
    """

    site = "keys"
    static = True
    fits = True
    needs_queries = True

    def fit(self, seen, free, key):
        """Directions (J, K)."""
        query = jnp.moveaxis(seen.queries, 1, 0)
        heads, *_, width = query.shape
        query = query.reshape(heads, -1, width)
        direction = jnp.linalg.eigh(jnp.einsum("hnk,hnl->hkl", query, query))[1][..., -1]
        direction = direction * jnp.sign(jnp.einsum("hk,hnk->h", direction, query))[:, None]
        return jnp.mean(direction.reshape(seen.heads, -1, width), axis=1)

    def score(self, params, seen, attention, key):
        """See ``Policy``."""
        return jnp.einsum("bjnk,jk->bjn", seen.turned, params)
