"""Zero-TPrune (Wang et al. 2024, CVPR, arXiv 2305.17328): tokens vote for one another by attention, alike ones leave.

Behind a block, from its attention A (rows are queries) and keys, without training:

1. Before: s_h <- A_h^T s_h once, from a uniform start; nothing leaves.
2. Similarity: of the tokens ranked by it the lower half is A, the upper B; each of A finds the one of B whose key has
   the largest cosine with its own, and the r of A that find the most alike leave.
3. Importance: s_h <- A_h^T s_h again, protected tokens starting at sqrt(N) times the others; the highest stay.

Heads are joined as s_i = sqrt(mean_h s_hi^2) over those whose variance over tokens lies in [0.01, 0.7].

There is no official code. The abstract was read; equations, order of stages, constants and rounds a layer (30 to 50 in
the first three layers, 5 to 10 between, 1 in the last three) are those of others' summaries of the paper. Not found,
and so chosen here: s has mean 1 over tokens; step 1 starts as step 3 does and joins heads alike; where no head passes
the filter all count; keys of all heads stand side by side; rows of A are not scaled anew for what step 2 removes; which
share of those that leave does so for its likeness.

Shape suffixes: n tokens, H heads, K head width, L layers.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.energy.ledger import Ledger
from atis_jax.numerics import pytree
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Survey
from atis_jax.scoring.rivals.share import Share, highest, ranks, sorting
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Key
from atis_jax.validation import SettingError, check_settings, setting

LEAST_VARIANCE, MOST_VARIANCE = 0.01, 0.7
EDGE = 3
"""Layers that count as the first, and as the last."""
UNLIKE = -2.0
"""Below every cosine."""


@dataclasses.dataclass(frozen=True)
class ZeroTPruneSpec:
    """How often tokens vote, and how many leave for their likeness."""

    kind: str = setting("zerotprune", doc="which scorer decides")
    votes: tuple[int, ...] = setting(
        (30, 5, 1),
        low=1,
        high=1000,
        least=3,
        doc="rounds in the first three layers, in those between and in the last three",
    )
    alike: float = setting(0.5, low=0.0, high=1.0, doc="share of those that leave that does so for its likeness")

    def __post_init__(self):
        check_settings(self, "scorer")
        if len(self.votes) != 3:
            raise SettingError(f"scorer.votes = {self.votes} has {len(self.votes)} numbers; give three")


@pytree
class ZeroTPruneDesign:
    """A layer's; nothing is trained.

    Attributes:
        share: () of the full sequence's tokens that are left after it.
        votes: () rounds; a number with a gradient, as all of a design.
    """

    share: Float[Array, ""]
    votes: Float[Array, ""]


class ZeroTPrune(Share):
    """Importance by weighted page rank, after those most like a more important one have left."""

    Spec = ZeroTPruneSpec
    needs = frozenset({"full", "keys"})
    site = "after_feed"
    chance = False

    def begin(self, key: Key, survey: Survey, kept: Float[Array, "L"]) -> tuple[ZeroTPruneDesign, Any]:
        """The wanted share of every layer, and its rounds; no memory."""
        return ZeroTPruneDesign(jnp.asarray(kept), rounds(self.spec.votes, len(kept))), ()

    def scheduled(self, design: ZeroTPruneDesign, kept: Float[Array, "L"]) -> ZeroTPruneDesign:
        """The share that is wanted now."""
        return dataclasses.replace(design, share=jax.lax.stop_gradient(kept))

    def score(self, design: ZeroTPruneDesign, chip, environment, tokens, context: Context, key: Key | None):
        """See ``Method``; ``voltage`` is the importance of step 3, whatever leaves in step 2."""
        attended = jax.lax.stop_gradient(context.attended)
        assert attended is not None and attended.full is not None and attended.keys is not None
        alive = context.alive[:, 0]
        judged, protected = alive & context.counted, alive & ~context.counted
        count = jnp.round(design.share * context.full)
        leaving = jnp.maximum(jnp.sum(judged) - count, 0.0)
        before = joined(voted(attended.full, alive, protected, 1), alive)
        keys = jnp.moveaxis(attended.keys, 0, 1).reshape(tokens.shape[0], -1)
        alike = most_alike(keys, before, judged, jnp.round(self.spec.alike * leaving))
        left = alive & ~alike
        importance = joined(voted(attended.full, left, protected, design.votes), left)
        keep = highest(importance, left & judged, count)
        return Decision(importance[:, None], keep.astype(tokens.dtype)[:, None], keep[:, None]), context.state

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: ZeroTPruneDesign, state: Any) -> Ledger:
        """The network, whose blocks every token that enters goes through, and the stages where tokens leave.

        A layer of n tokens with v rounds: (v + 1) H n^2 multiply-accumulates of the votes, (n/2)^2 d of the cosines
        (``score``); n d for the keys' lengths, 4 H n for two times heads' variances and squares (``projection``); roots
        of these lengths and of two means over heads, 3 n (``scorer_exponentials``); comparisons to rank twice and for
        the best partner; A written once and read v + 1 times, since it has to be there as a whole, and the keys.
        """
        network, tokens = costs.network, costs.tokens(kept, self.site)
        count = kept * tokens.scored[0]
        chooses = costs.has_scorer * (tokens.scored - count > 0)
        n, heads, width = tokens.scored + network.protected, network.heads, float(network.width)
        times = design.votes + 1.0
        return costs.scored(
            kept,
            self.site,
            scorer_memory_j=costs.number_j * jnp.sum(chooses * (heads * n**2 * (times + 1.0) + n * width)),
            projection_j=costs.mac_j * jnp.sum(chooses * n * (width + 4.0 * heads)),
            score_j=costs.mac_j * jnp.sum(chooses * (times * heads * n**2 + (0.5 * n) ** 2 * width)),
            scorer_exponentials_j=costs.exponential_j * jnp.sum(chooses * 3.0 * n),
            comparator_j=jnp.sum(chooses * (2.0 * sorting(n) + (0.5 * n) ** 2)) * costs.energy.prices().compare_j,
        )


def rounds(votes: tuple[int, ...], layers: int) -> Float[Array, "L"]:
    """Of each layer: those of the first, of the last that are not among the first, and of those between."""
    layer = jnp.arange(layers)
    count = jnp.where(layer < EDGE, votes[0], jnp.where(layer >= layers - EDGE, votes[2], votes[1]))
    return count.astype(float)


def voted(
    attention: Float[Array, "H n n"],
    alive: Bool[Array, "n"],
    protected: Bool[Array, "n"],
    times: Float[Array, ""] | int,
) -> Float[Array, "H n"]:
    """S <- A^T s, ``times`` over, of the tokens alive; scaled to a mean of 1.

    Args:
        attention: A, rows are queries.
        alive: those that vote and are voted for.
        protected: those that start at sqrt(N) times the others.
        times: rounds.
    """
    total = jnp.sum(alive)
    start = jnp.where(alive, jnp.where(protected, jnp.sqrt(total.astype(attention.dtype)), 1.0), 0.0)

    def scaled(s):
        return s * total / jnp.sum(s, axis=-1, keepdims=True)

    def vote(_, s):
        return scaled(jnp.where(alive, jnp.einsum("hqk,hq->hk", attention, s), 0.0))

    first = jnp.broadcast_to(start, attention.shape[:2])
    return jax.lax.fori_loop(0, jnp.asarray(times).astype(int), vote, scaled(first))


def joined(s: Float[Array, "H n"], alive: Bool[Array, "n"]) -> Float[Array, "n"]:
    """Root mean square over the heads whose variance over tokens lies within bounds; over all if none does."""
    variance = jnp.sum(jnp.where(alive, (s - 1.0) ** 2, 0.0), axis=-1) / jnp.maximum(jnp.sum(alive), 1)
    passes = (variance >= LEAST_VARIANCE) & (variance <= MOST_VARIANCE)
    weight = jnp.where(jnp.any(passes), passes, True).astype(s.dtype)
    return jnp.sqrt(jnp.sum(weight[:, None] * s**2, axis=0) / jnp.sum(weight))


def most_alike(
    keys: Float[Array, "n D"], importance: Float[Array, "n"], among: Bool[Array, "n"], count: Float[Array, ""] | int
) -> Bool[Array, "n"]:
    """Of the less important half those that are most like one of the other, ``count`` of them at most."""
    lower = among & (ranks(importance, among) < jnp.sum(among) // 2)
    upper = among & ~lower
    unit = keys / jnp.maximum(jnp.linalg.norm(keys, axis=-1, keepdims=True), jnp.finfo(keys.dtype).tiny)
    cosine = jnp.where(upper, unit @ unit.T, UNLIKE)
    return highest(jnp.max(cosine, axis=1), lower, count)
