"""What policies learn from training texts, layer by layer.

Shape suffixes: L layers, B texts, W words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from atis_jax.eviction.budget import Budget
from atis_jax.eviction.policy import Policy
from atis_jax.eviction.seen import FUTURE, Seen, future_rows, see
from atis_jax.models.decoder import Decoder
from atis_jax.numerics import layer_of, stack
from atis_jax.typing import Key, PyTree


def read_texts(
    model: Decoder,
    params: PyTree,
    token: Int[np.ndarray, "B W"],
    prefix: int,
    rows: Mapping[str, Float[Array, "W"]],
    batch: int,
    queries: bool = False,
) -> Seen:
    """``see`` of many texts, some at a time, on the host; those that fill no batch are left out.

    Args:
        model: the network.
        params: its parameters.
        token: the texts.
        prefix: words that may be evicted.
        rows: as of ``see``.
        batch: texts at a time.
        queries: whether queries are shown.
    """
    starts = range(0, len(token) - batch + 1, batch)
    parts = []
    for start in starts:
        seen, _ = see(model, params, jnp.asarray(token[start : start + batch]), prefix, rows, queries)
        parts.append(jax.tree.map(np.asarray, seen))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *parts)


def fit_policies(
    model: Decoder,
    params: PyTree,
    token: Int[np.ndarray, "B W"],
    prefix: int,
    policies: Mapping[str, Policy],
    budget: Budget,
    batch: int,
    key: Key,
) -> dict[str, PyTree]:
    """What each policy learned, leaves (L, ...); of those that learn nothing an empty tree.

    Args:
        model: the network.
        params: its parameters.
        token: training texts.
        prefix: words that may be evicted; the others are the future that scores are fitted to.
        policies: by name.
        budget: its protected words are left out.
        batch: texts that are read at a time.
        key: for what is drawn; each policy and layer has its own.
    """
    fitted = {name: policy for name, policy in policies.items() if policy.fits}
    learned: dict[str, PyTree] = {name: () for name in policies}
    if not fitted:
        return learned
    queries = any(policy.needs_queries for policy in fitted.values())
    rows = {FUTURE: future_rows(prefix, token.shape[1])}
    seen = read_texts(model, params, token, prefix, rows, batch, queries)
    free = ~budget.protected(prefix)
    for number, (name, policy) in enumerate(fitted.items()):
        keys = jax.random.split(jax.random.fold_in(key, number), model.depth)
        parts = dataclasses.replace(seen, queries=seen.queries if policy.needs_queries else None)
        learned[name] = stack([_fit(policy, layer_of(parts, layer), free, keys[layer]) for layer in range(model.depth)])
    return learned


@partial(jax.jit, static_argnames="policy")
def _fit(policy: Policy, seen: Seen, free: Bool[Array, "N"], key: Key) -> PyTree:
    """One layer of one policy."""
    return policy.fit(seen, free, key)
