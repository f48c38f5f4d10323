"""KVzap's linear form: one vector for each score."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.eviction.policies.future import PER, log_future
from atis_jax.eviction.policy import Policy
from atis_jax.eviction.seen import Seen
from atis_jax.validation import check_settings, setting


@dataclasses.dataclass(frozen=True)
class Linear(Policy):
    """w . h of the normalised hidden state, before keys and values exist (Jegou and Jeblick 2026, arXiv 2601.07891).

    The paper fits to KVzip+'s scores; here w is the ridge regression of ``log_future`` on training texts, hidden states
    less their text's mean like the target.

    Attributes:
        per: one vector a layer, or one for each key head.
        ridge: added to the covariance's diagonal, over each dimension's own variance.
    """

    per: str = setting("layer", choices=PER, doc="one vector a layer, or one for each key head")
    ridge: float = setting(0.1, low=0.0, high=1e6, exclusive_low=True, doc="over each dimension's own variance")
    static = True
    fits = True

    def __post_init__(self):
        check_settings(self, "policy")

    def fit(self, seen, free, key):
        """Vectors (G, D)."""
        deviation, target = demeaned(seen, free), log_future(seen, free, self.per)
        gram = jnp.einsum("bnd,bne->de", deviation, deviation)
        covariance = jnp.einsum("bnd,bgn->dg", deviation, target)
        scale = jnp.sqrt(jnp.maximum(jnp.diagonal(gram), jnp.finfo(gram.dtype).tiny))
        ridged = gram / scale[:, None] / scale + self.ridge * jnp.eye(len(gram))
        return (jnp.linalg.solve(ridged, covariance / scale[:, None]) / scale[:, None]).T

    def score(self, params, seen, attention, key):
        """See ``Policy``."""
        return jnp.einsum("bnd,gd->bgn", seen.hidden, params)


def demeaned(seen: Seen, free: Bool[Array, "N"]) -> Float[Array, "B N D"]:
    """Hidden states less their mean over the text's free words; 0 for the others."""
    chosen = free[:, None]
    return jnp.where(chosen, seen.hidden - jnp.mean(seen.hidden, axis=1, where=chosen, keepdims=True), 0.0)
