"""How well scores rank the tokens as attention does, and where attention goes.

Shape suffixes: L layers, B examples, N tokens, H heads, G head groups.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from atis_jax.training.agreement import attention_agreement, ranks


def share_of_groups(given: Float[np.ndarray, "L B H N"], groups: int) -> Float[np.ndarray, "L B N G"]:
    """Attention that each token gets from a group's heads on average."""
    depth, batch, heads, tokens = given.shape
    return np.moveaxis(given.reshape(depth, batch, groups, heads // groups, tokens).mean(axis=3), 2, -1)


def highest(
    score: Float[np.ndarray, "*s N"], counted: Bool[np.ndarray, "*#s N"], share: float
) -> Bool[np.ndarray, "*s N"]:
    """The ``share`` of the counted tokens that score highest, rounded, one at least."""
    counted = np.broadcast_to(counted, score.shape)
    wanted = np.maximum(np.round(share * counted.sum(axis=-1, keepdims=True)), 1)
    return counted & (ranks(np.where(counted, -score, np.inf)) < wanted)


def compared(
    score: Float[np.ndarray, "L B N G"],
    given: Float[np.ndarray, "L B N G"],
    counted: Bool[np.ndarray, "B N"],
    kept: float,
) -> dict[str, list[float]]:
    """Rank correlation and recall of every layer, means over examples and groups, and their standard errors.

    Args:
        score: of every token; one score stands for all groups.
        given: attention.
        counted: tokens that are a method's to judge; examples of fewer than two are left out.
        kept: share of them that recall is taken at.
    """
    several = counted.sum(axis=-1) > 1
    score, given = (np.moveaxis(part[:, several], -1, 2) for part in (np.broadcast_to(score, given.shape), given))
    among = counted[several][:, None]
    spearman, recall = attention_agreement(score, highest(score, among, kept), given, among)
    found = {}
    for name, each in (("spearman", spearman.mean(axis=-1)), ("recall", recall.mean(axis=-1))):
        found[name] = each.mean(axis=-1).tolist()
        found[f"{name}_se"] = (each.std(axis=-1, ddof=1) / np.sqrt(each.shape[-1])).tolist()
    return found


def concentration(full: Float[Array, "B H N N"], real: Bool[Array, "B N"], share: float) -> Float[Array, ""]:
    """Share of a query's attention on its most attended keys, mean over real queries, heads and examples.

    Args:
        full: every weight, rows are queries.
        real: no padding.
        share: of the real keys that count as the most attended, rounded up.
    """
    falling = -jnp.sort(-full, axis=-1)
    count = jnp.ceil(share * jnp.sum(real, axis=-1))
    top = jnp.sum(jnp.where(jnp.arange(full.shape[-1]) < count[:, None, None, None], falling, 0.0), axis=-1)
    weight = jnp.broadcast_to(real[:, None], top.shape).astype(full.dtype)
    return jnp.sum(top * weight) / jnp.sum(weight)


def chosen_rules(found: dict[str, dict[str, Any]]) -> list[tuple[str, float]]:
    """For each layer the rule that ranks most like attention, and its sign: of the comparisons by name."""
    names = list(found)
    spearman = np.array([found[name]["spearman"] for name in names])
    best = np.abs(spearman).argmax(axis=0)
    return [(names[rule], float(np.sign(spearman[rule, layer]) or 1.0)) for layer, rule in enumerate(best)]
