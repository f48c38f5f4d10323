"""Policies by name."""

from __future__ import annotations

from atis_jax.eviction.policies.a2sf import A2SF
from atis_jax.eviction.policies.future import Oracle
from atis_jax.eviction.policies.h2o import H2O
from atis_jax.eviction.policies.key_norm import KeyNorm
from atis_jax.eviction.policies.keydiff import KeyDiff
from atis_jax.eviction.policies.linear import Linear
from atis_jax.eviction.policies.q_filters import QFilters
from atis_jax.eviction.policies.random import Random
from atis_jax.eviction.policies.snapkv import SnapKV
from atis_jax.eviction.policies.streaming import Streaming
from atis_jax.eviction.policies.token_table import TokenTable
from atis_jax.eviction.policies.tova import Tova
from atis_jax.eviction.policies.two_layer import TwoLayer
from atis_jax.eviction.policy import Policy
from atis_jax.validation import choose

POLICIES: dict[str, Policy] = {
    "random": Random(),
    "streaming": Streaming(),
    "h2o": H2O(),
    "h2o_aged": H2O(aged=True),
    "h2o_layer": H2O(per="layer"),
    "a2sf": A2SF(),
    "tova": Tova(),
    "snapkv": SnapKV(),
    "snapkv_unpooled": SnapKV(kernel=1),
    "key_norm": KeyNorm(),
    "keydiff": KeyDiff(),
    "keydiff_hidden": KeyDiff(of="hidden"),
    "q_filters": QFilters(),
    "token_table": TokenTable(),
    "linear": Linear(),
    "linear_heads": Linear(per="head"),
    "two_layer": TwoLayer(),
    "two_layer_heads": TwoLayer(per="head"),
    "oracle": Oracle(),
    "oracle_layer": Oracle(per="layer"),
}
"""As a table of methods has them."""


def make_policy(name: str) -> Policy:
    """The policy ``name``.

    Raises:
        SettingError: there is none of that name; lists those there are.
    """
    return choose(POLICIES, name, "policy")
