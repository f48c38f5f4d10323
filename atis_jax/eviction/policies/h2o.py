"""H2O: words that received most attention so far."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from atis_jax.eviction.policy import Policy, by_key_head
from atis_jax.validation import check_settings, setting


@dataclasses.dataclass(frozen=True)
class H2O(Policy):
    """Sum over all query rows of the attention that a word receives (Zhang et al. 2023, arXiv 2306.14048).

    Every row's weights have to be read. An early word is seen by more rows; ``aged`` divides by their number.

    Attributes:
        per: a score for each key head, or one a layer.
        aged: mean over the rows that see a word, not their sum.
    """

    per: str = setting("head", choices=("head", "layer"), doc="a score for each key head, or one a layer")
    aged: bool = setting(False, doc="mean over the rows that see a word, not their sum")
    site = "attention"

    def __post_init__(self):
        check_settings(self, "policy")

    def rows(self, prefix, words):
        """Every row of the prefix."""
        return (jnp.arange(words) < prefix).astype(jnp.float32)

    def score(self, params, seen, attention, key):
        """See ``Policy``."""
        received = by_key_head(attention, {"head": seen.heads, "layer": 1}[self.per])
        return received / jnp.arange(seen.words, 0, -1) if self.aged else received
