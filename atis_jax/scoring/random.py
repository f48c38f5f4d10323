"""The control: random pruning at given per-layer fractions. Any scorer worth its energy beats it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.scoring.types import Context, Decision, Scorer, ScorerState
from atis_jax.typing import Key


def random_scorer(protected: int = 1) -> Scorer:
    """Keep a given number of tokens drawn uniformly from those alive; the design is that number.

    The design is a scalar, the wanted number of unprotected tokens; a fraction is met on average (one more token
    with that probability). The count is exact for each image, which is the strongest form of the control.
    """

    def score(
        design: Float[Array, ""], chip, environment, tokens: Float[Array, "n D"], context: Context, key: Key | None
    ) -> tuple[Decision, ScorerState]:
        del chip, environment
        if key is None:
            raise ValueError("the random scorer needs a key: it has nothing but chance to go by")
        one_more, of_tokens = jax.random.split(key)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(of_tokens, context.token_index)
        voltage = jax.vmap(jax.random.uniform)(keys)
        # Not floor(design + draw): rounding to float32 would now and then carry a whole number to the next.
        whole = jnp.floor(design)
        count = whole + (jax.random.uniform(one_more) < design - whole)
        alive = context.alive[:, 0] & (context.token_index >= protected)
        # Two of 64 float32 draws are equal in one image of 4000; the token in front goes first.
        index = context.token_index
        ahead = (voltage > voltage[:, None]) | ((voltage == voltage[:, None]) & (index < index[:, None]))
        rank = jnp.sum(ahead & alive, axis=1)
        keep = (rank < count) & alive
        return (
            Decision(voltage[:, None], keep.astype(tokens.dtype)[:, None], keep[:, None]),
            context.state,
        )

    return score
