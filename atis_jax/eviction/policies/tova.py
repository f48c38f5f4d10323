"""TOVA: what the last word attends to."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from atis_jax.eviction.policy import Policy, by_key_head


@dataclasses.dataclass(frozen=True)
class Tova(Policy):
    """The last row's attention, mean over all heads of a layer (Oren et al. 2024, arXiv 2401.06104)."""

    site = "attention"

    def rows(self, prefix, words):
        """The last one of the prefix."""
        return (jnp.arange(words) == prefix - 1).astype(jnp.float32)

    def score(self, params, seen, attention, key):
        """See ``Policy``."""
        return by_key_head(attention, 1)
