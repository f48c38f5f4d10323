"""Key norm: words whose keys are short."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from atis_jax.eviction.policy import Policy


@dataclasses.dataclass(frozen=True)
class KeyNorm(Policy):
    """-|k| of each key head (Devoto et al. 2024, arXiv 2406.11430)."""

    site = "keys"
    static = True

    def score(self, params, seen, attention, key):
        """See ``Policy``."""
        return -jnp.linalg.norm(seen.keys, axis=-1)
