"""KeyDiff: words least like the average word."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.eviction.policy import Policy
from atis_jax.validation import check_settings, setting


@dataclasses.dataclass(frozen=True)
class KeyDiff(Policy):
    """-cos(k, mean of k / |k|) over the prefix (Park et al. 2025, arXiv 2504.15364).

    Attributes:
        of: keys, a score for each key head; or the hidden state in front of them, one a layer.
    """

    of: str = setting("keys", choices=("keys", "hidden"), doc="keys, or the hidden state in front of them")

    def __post_init__(self):
        check_settings(self, "policy")

    @property
    def site(self):  # type: ignore[override]
        """See ``Policy``."""
        return self.of

    def score(self, params, seen, attention, key):
        """See ``Policy``."""
        return unlike_mean({"keys": seen.turned, "hidden": seen.hidden[:, None]}[self.of])


def unlike_mean(vectors: Float[Array, "B G N K"]) -> Float[Array, "B G N"]:
    """-cos(v, mean of v / |v| over N)."""
    unit = vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=-1, keepdims=True), jnp.finfo(vectors.dtype).tiny)
    anchor = jnp.mean(unit, axis=-2, keepdims=True)
    length = jnp.maximum(jnp.linalg.norm(anchor, axis=-1), jnp.finfo(vectors.dtype).tiny)
    return -jnp.sum(unit * anchor, axis=-1) / length
