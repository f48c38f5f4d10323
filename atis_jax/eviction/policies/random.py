"""Chance: the control."""

from __future__ import annotations

import dataclasses

import jax

from atis_jax.eviction.policy import Policy
from atis_jax.validation import check_settings, setting


@dataclasses.dataclass(frozen=True)
class Random(Policy):
    """Uniform.

    Attributes:
        per: a draw for each key head, or one a layer.
    """

    per: str = setting("head", choices=("head", "layer"), doc="a draw for each key head, or one a layer")
    site = "none"
    static = True

    def __post_init__(self):
        check_settings(self, "policy")

    def score(self, params, seen, attention, key):
        """See ``Policy``."""
        groups = {"head": seen.heads, "layer": 1}[self.per]
        return jax.random.uniform(key, (len(seen.hidden), groups, seen.words))
