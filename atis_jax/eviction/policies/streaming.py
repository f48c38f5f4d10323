"""StreamingLLM: the first words and the last."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from atis_jax.eviction.policy import Policy


@dataclasses.dataclass(frozen=True)
class Streaming(Policy):
    """The later, the better; the budget protects the first words (Xiao et al. 2023, arXiv 2309.17453)."""

    site = "none"

    def score(self, params, seen, attention, key):
        """See ``Policy``."""
        place = jnp.arange(seen.words, dtype=seen.hidden.dtype)
        return jnp.broadcast_to(place, (len(seen.hidden), 1, seen.words))
