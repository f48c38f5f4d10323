"""What every policy offers: a score of each word of a prefix, in one layer.

Shape suffixes: B texts, N words of the prefix, W words read, H query heads, J key heads, G scores of a word: one, or
one a key head.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.eviction.seen import Seen
from atis_jax.typing import Key, PyTree

SITES = ("none", "token", "hidden", "keys", "attention", "future")
"""What a score is made from, in the order in which a decoder has it: nothing but the place, the word's number, the
normalised input of the attention, its keys, attention weights, and what no decoder has."""


@dataclasses.dataclass(frozen=True)
class Policy:
    """Frozen and hashable: programs are compiled for it. What it learned is an argument, ``params``.

    A subclass is one paper's; fields are its options.

    Attributes:
        site: what it reads, of ``SITES``.
        static: whether a word's score depends on nothing but this word, so that it can be refused before it is written.
        fits: whether it has to be fitted on training texts.
        needs_queries: whether the fit reads queries.
    """

    site: ClassVar[str] = "hidden"
    static: ClassVar[bool] = False
    fits: ClassVar[bool] = False
    needs_queries: ClassVar[bool] = False

    def rows(self, prefix: int, words: int) -> Float[Array, "W"] | None:
        """Weight of each query row in the sum of attention that it scores by; None: it reads no attention.

        Args:
            prefix: words that may be evicted.
            words: all that are read, those behind included; only an oracle weighs these.
        """
        del prefix, words
        return None

    def fit(self, seen: Seen, free: Bool[Array, "N"], key: Key) -> PyTree:
        """What it learns of one layer from training texts; their ``future`` is in ``seen.attention``.

        Args:
            seen: one layer.
            free: words that are not protected.
            key: for what is drawn.
        """
        del seen, free, key
        return ()

    def score(
        self, params: PyTree, seen: Seen, attention: Float[Array, "B H N"] | None, key: Key
    ) -> Float[Array, "B G N"]:
        """The higher, the sooner a word is kept.

        Args:
            params: this layer's, as fitted.
            seen: one layer.
            attention: the sum over ``rows``; None where it asks for none.
            key: for what is drawn.
        """
        raise NotImplementedError


def by_key_head(values: Float[Array, "B H N"], heads: int) -> Float[Array, "B J N"]:
    """Sum over the query heads that share a key head."""
    batch, _, words = values.shape
    return jnp.sum(values.reshape(batch, heads, -1, words), axis=2)


def scores(policy: Policy, params: PyTree, seen: Seen, name: str, key: Key) -> Float[Array, "L B G N"]:
    """A policy's scores in every layer.

    Args:
        policy: the policy.
        params: what it learned, leaves (L, ...).
        seen: every layer.
        name: under which its rows were asked for.
        key: for what is drawn; each layer has its own.
    """
    keys = jax.random.split(key, len(seen.hidden))
    return jax.vmap(policy.score)(params, seen, seen.attention.get(name), keys)
