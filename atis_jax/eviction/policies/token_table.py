"""A table by token: what a word's number alone tells."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from atis_jax.eviction.policies.future import log_future
from atis_jax.eviction.policy import Policy
from atis_jax.validation import check_settings, setting


@dataclasses.dataclass(frozen=True)
class TokenTable(Policy):
    """Mean of ``log_future`` over a word's occurrences in training texts, shrunk to 0 where they are few.

    Attributes:
        size: entries of the table; higher numbers score 0.
        prior: occurrences at 0 that are added to each.
    """

    size: int = setting(65536, low=1, high=2**24, doc="entries of the table")
    prior: float = setting(2.0, low=0.0, high=1e6, exclusive_low=True, doc="occurrences at 0 added to each word's")
    site = "token"
    static = True
    fits = True

    def __post_init__(self):
        check_settings(self, "policy")

    def fit(self, seen, free, key):
        """(size,) scores."""
        target = log_future(seen, free, "layer")[:, 0]
        count = jnp.zeros(self.size).at[seen.token].add(jnp.broadcast_to(free, seen.token.shape), mode="drop")
        return jnp.zeros(self.size).at[seen.token].add(target, mode="drop") / (count + self.prior)

    def score(self, params, seen, attention, key):
        """See ``Policy``."""
        return params.at[seen.token].get(mode="fill", fill_value=0.0)[:, None]
