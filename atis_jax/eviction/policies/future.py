"""What a word will be attended to: the oracle that knows it, and the target that others are fitted to."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.eviction.policy import Policy, by_key_head
from atis_jax.eviction.seen import FUTURE, Seen, future_rows
from atis_jax.validation import check_settings, choose, setting

SMALLEST_ATTENTION = 1e-8
"""Attention below it counts as it; of a thousand words an even share is a hundred thousand times as much."""
PER = ("layer", "head")
"""One score for all key heads, or one for each."""


@dataclasses.dataclass(frozen=True)
class Oracle(Policy):
    """Mean attention from the words behind the prefix, which no decoder knows: a bound on what ranking can do.

    Attributes:
        per: a score for each key head, or one a layer.
    """

    per: str = setting("head", choices=PER, doc="a score for each key head, or one a layer")
    site = "future"

    def __post_init__(self):
        check_settings(self, "policy")

    def rows(self, prefix, words):
        """Those behind the prefix."""
        return future_rows(prefix, words)

    def score(self, params, seen, attention, key):
        """See ``Policy``."""
        return by_key_head(attention, groups_of(self.per, seen.heads))


def groups_of(per: str, heads: int) -> int:
    """G, scores of a word."""
    return choose({"head": heads, "layer": 1}, per, "policy.per")


def log_future(seen: Seen, free: Bool[Array, "N"], per: str) -> Float[Array, "B G N"]:
    """Log of the mean attention from later words, less its mean over the text's free words; 0 for the others.

    Args:
        seen: one layer, with ``attention["future"]``.
        free: words that are not protected.
        per: as of ``Oracle``.
    """
    groups = groups_of(per, seen.heads)
    mean = by_key_head(seen.attention[FUTURE], groups) / (seen.attention[FUTURE].shape[1] // groups)
    log = jnp.log(jnp.maximum(mean, SMALLEST_ATTENTION))
    return jnp.where(free, log - jnp.mean(log, axis=-1, where=free, keepdims=True), 0.0)
