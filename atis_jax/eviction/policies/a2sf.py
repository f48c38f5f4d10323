"""A2SF: attention received, of which older rows are forgotten."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from atis_jax.eviction.policy import Policy, by_key_head
from atis_jax.validation import check_settings, setting


@dataclasses.dataclass(frozen=True)
class A2SF(Policy):
    """Sum over query rows q of f^(N - 1 - q) times the attention a word receives (Jo et al. 2024, arXiv 2407.20485).

    Every row's weights have to be read. 1 is H2O, 0 reads the last row alone.

    Attributes:
        forgetting: f, what a row's weight is multiplied by with each further row.
    """

    forgetting: float = setting(0.95, low=0.0, high=1.0, doc="factor of a row's weight with each further row")
    site = "attention"

    def __post_init__(self):
        check_settings(self, "policy")

    def rows(self, prefix, words):
        """Powers of the factor."""
        age = prefix - 1 - jnp.arange(words)
        return jnp.where(age >= 0, jnp.float32(self.forgetting) ** jnp.maximum(age, 0), 0.0)

    def score(self, params, seen, attention, key):
        """See ``Policy``."""
        return by_key_head(attention, seen.heads)
