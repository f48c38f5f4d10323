"""Keeping a given share of an example's tokens: those that come first by some measure."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.scoring.method import Method, Survey
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Key

ROUNDING = 1e-3
"""Of a token: a count that misses a whole number by less is that number, for rates times lengths of thousands."""


class Share(Method):
    """Keeps a given share of an example's tokens; the design is that share, and nothing of it is trained."""

    relaxes = False
    noise_stream = "random_scorer"
    chance = True

    def begin(self, key: Key, survey: Survey, kept: Float[Array, "L"]) -> tuple[Any, Any]:
        """The wanted share of every layer; no memory."""
        return jnp.asarray(kept), ()

    def labels(self, design: Any) -> Any:
        """Nothing is trained."""
        return "frozen"

    def scheduled(self, design: Any, kept: Float[Array, "L"]) -> Any:
        """The share that is wanted now."""
        return jax.lax.stop_gradient(kept)


class Ranking(Share):
    """Keeps the tokens of the largest ``measure``, round(share N) of the full sequence's N, half to even.

    Of equal measures the first stays. Nothing is left to chance. A method gives its ``measure`` and its ``bill``.
    """

    chance = False

    def measure(self, tokens: Float[Array, "n D"], context: Context) -> tuple[Float[Array, "n"], Any]:
        """What each token is ranked by, and what travels along from here on (``Decision.along``)."""
        raise NotImplementedError

    def score(self, design: Float[Array, ""], chip, environment, tokens, context: Context, key: Key | None):
        """See ``Method``; ``voltage`` is the measure."""
        measure, along = self.measure(tokens, context)
        keep = highest(measure, context.alive[:, 0] & context.counted, jnp.round(design * context.full))
        return Decision(measure[:, None], keep.astype(tokens.dtype)[:, None], keep[:, None], along=along), context.state


def highest(
    score: Float[Array, "n"], among: Bool[Array, "n"], count: Float[Array, ""] | Int[Array, ""] | float
) -> Bool[Array, "n"]:
    """Those of the highest score, ``count`` of them; of equal ones the first."""
    return (ranks(-score, among) < count) & among


def sorting(n: Float[Array, "L"]) -> Float[Array, "L"]:
    """Comparisons that put n numbers in order: n log2 n."""
    return n * jnp.log2(jnp.maximum(n, 1.0))


def first_by(measure: Float[Array, "n"], share: Float[Array, ""], context: Context, key: Key) -> Bool[Array, "n"]:
    """Whether a token is among those of largest measure, as many as ``share`` of the full sequence's counted tokens.

    A count that is not whole is met on average: one more token with that probability. It is exact for each example,
    which is the strongest form of a choice. Of equal measures the token in front comes first.

    Args:
        measure: of each token.
        share: of the counted tokens of the full sequence, whatever was removed since.
        context: says which tokens there are.
        key: draws whether there is one more.
    """
    wanted = share * context.full
    # Not floor(wanted + draw): rounding to float32 would now and then carry a whole number to the next.
    whole = jnp.floor(wanted)
    count = whole + (jax.random.uniform(key) < wanted - whole)
    alive = context.alive[:, 0] & context.counted
    return highest(measure, alive, count)


def ranks(values: Float[Array, "n"] | Int[Array, "n"], among: Bool[Array, "n"]) -> Int[Array, "n"]:
    """How many of ``among`` are smaller; of equal ones the first is."""
    order = jnp.argsort(values, stable=True)
    counted = jnp.asarray(among)[order].astype(int)
    return jnp.zeros_like(counted).at[order].set(jnp.cumsum(counted) - counted)
