"""ToMe (Bolya et al. 2023, arXiv 2210.09461): the tokens most alike are merged, between attention and MLP.

Definitions from the paper and from what the authors' code does (facebookresearch/ToMe, commit af95e4b). Two deviations.
Tokens keep their place in the sequence: where each would stand in the original, which lists the kept half and then the
other, travels along as an order, since the next layer's halves go by it. And without a protected token the original
lists the kept ones by falling score; here they keep their order, as they do there with one.

Shape suffixes: n tokens, K head width, L layers, B examples, N tokens.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.energy.ledger import Ledger
from atis_jax.pruning.gather import pack
from atis_jax.pruning.stream import Stream
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Method, Survey
from atis_jax.scoring.rivals.share import ranks
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Key
from atis_jax.validation import check_settings, setting

NO_PAIR = -2.0
"""Below every cosine: of tokens that may not be merged."""


@dataclasses.dataclass(frozen=True)
class TomeSpec:
    """How many tokens are merged, and in which layers most."""

    kind: str = setting("tome", doc="which scorer decides")
    merged: int | None = setting(
        4,
        low=0,
        doc="r, tokens merged in a layer on average, at most half of those left; None: by pruning.kept",
    )
    inflection: float = setting(
        0.0, low=-1.0, high=1.0, doc="0: as many in every layer; -1: falling from twice that to none; 1: rising"
    )

    def __post_init__(self):
        check_settings(self, "scorer")

    def counts(self, survey: Survey, kept: Float[Array, "L"]) -> Float[Array, "L"]:
        """What every layer merges: tokens (``per_layer``); or by ``pruning.kept``, as a share of an example's own.

        The shares are those of the longest surveyed.
        """
        if self.merged is not None:
            return jnp.asarray(self.per_layer(len(kept)), float)
        left = self.realised(kept, jnp.max(jnp.sum(survey.counted, axis=-1)).astype(float))
        return jnp.concatenate([jnp.ones(1), left[:-1]]) - left

    def count(self, design: Float[Array, ""], full: Float[Array, ""] | Int[Array, ""]) -> Float[Array, ""]:
        """Tokens that a layer merges of an example that had ``full``; ``design`` is the layer's of ``counts``."""
        return design if self.merged is not None else jnp.round(design * full)

    def realised(self, kept: Float[Array, "L"], tokens: Float[Array, ""] | int) -> Float[Array, "L"]:
        """Whole tokens, at most half of those that reach a layer."""
        before, left = jnp.asarray(tokens, float), []
        for wanted in jnp.round(kept * tokens):
            before = jnp.maximum(wanted, before - before // 2)
            left.append(before)
        return jnp.stack(left) / tokens

    def per_layer(self, depth: int) -> tuple[int, ...]:
        """Tokens merged in every layer: linear from r (1 - inflection) to r (1 + inflection), rounded down."""
        assert self.merged is not None
        first = int(self.merged * (1.0 - self.inflection))
        last = 2 * self.merged - first
        return tuple(int(first + layer * (last - first) / max(depth - 1, 1)) for layer in range(depth))


class Tome(Method):
    """Bipartite soft matching of the keys; the design is what each layer merges (``TomeSpec.counts``), not trained."""

    Spec = TomeSpec
    needs = frozenset({"keys"})
    site = "before_mlp"
    reduces = "merge"
    proportional = True
    relaxes = False

    def begin(self, key: Key, survey: Survey, kept: Float[Array, "L"]) -> tuple[Float[Array, "L"], Any]:
        """How many merge in every layer; no memory."""
        return self.spec.counts(survey, jnp.asarray(kept)), ()

    def realised(self, kept: Float[Array, "L"], tokens: int) -> Float[Array, "L"]:
        """See ``TomeSpec``."""
        return self.spec.realised(kept, tokens)

    def labels(self, design: Any) -> Any:
        """Nothing is trained."""
        return "frozen"

    def along(self, stream: Stream) -> Int[Array, "1 N"]:
        """The order in which the tokens are dealt to the two halves: at first that of the sequence."""
        return jnp.arange(stream.x.shape[1])[None]

    def score(self, design: Float[Array, ""], chip, environment, tokens, context: Context, key: Key | None):
        """See ``Method``; ``voltage`` is the token's largest cosine with one that it could go into, its sign turned."""
        assert context.attended is not None and context.attended.keys is not None
        alive = context.alive[:, 0]
        metric = jax.lax.stop_gradient(jnp.mean(context.attended.keys, axis=0))
        count = self.spec.count(design, context.full)
        into, order, best = match(metric, context.along, alive, alive & ~context.counted, count)
        keep = (into == jnp.arange(into.shape[0]))[:, None]
        unlike = -jnp.where(best > NO_PAIR, best, -1.0)[:, None]
        return Decision(unlike, keep.astype(tokens.dtype), keep, into, along=order), context.state

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Any, state: Any) -> Ledger:
        """The network, with MLPs of fewer tokens than its attention, and the matching.

        A layer of n tokens: the mean of the keys over H heads, n (d - K) additions, and its length, 2 n K
        multiply-accumulates (``projection``); (n/2)^2 cosines of K, the sizes on n^2 H logits, which the first layer
        could do without, and 3 d for each token merged (``score``); a root for a key's length and the logarithm of a
        size, each n (``scorer_exponentials``); comparisons for the best partner and to sort the half (``comparator``);
        keys, their mean, and tokens merged in and out of memory.
        """
        prices, network, tokens = costs.energy.prices(), costs.network, costs.tokens(kept, self.site)
        n, merged = tokens.scored + network.protected, tokens.scored - tokens.in_mlp
        d, head = float(network.width), network.width / network.heads
        pairs, where = (0.5 * n) ** 2, costs.has_scorer

        def over_layers(count: Float[Array, "L"]) -> Float[Array, ""]:
            return jnp.sum(where * count)

        compared = pairs + 0.5 * n * jnp.log2(jnp.maximum(0.5 * n, 1.0))
        return costs.scored(
            kept,
            self.site,
            scorer_memory_j=costs.number_j * over_layers(n * (d + 2.0 * head) + 3.0 * d * merged),
            projection_j=over_layers(n * (d - head)) * prices.score_add_j + over_layers(2.0 * n * head) * costs.mac_j,
            score_j=over_layers(pairs * head + 3.0 * d * merged) * costs.mac_j
            + over_layers(network.heads * n**2) * prices.score_add_j,
            scorer_exponentials_j=over_layers(2.0 * n) * costs.exponential_j,
            comparator_j=over_layers(compared) * prices.compare_j,
        )


def match(
    metric: Float[Array, "n K"],
    order: Int[Array, "n"],
    alive: Bool[Array, "n"],
    protected: Bool[Array, "n"],
    merged: Float[Array, ""] | int,
) -> tuple[Int[Array, "n"], Int[Array, "n"], Float[Array, "n"]]:
    """Bipartite soft matching of the tokens alive.

    Dealt in turn to halves A and B, each of A looks for the one of B with the largest cosine; those of A that find the
    most alike go into theirs, ``merged`` of them and at most half of what is not protected. Equal ones: the first.

    Args:
        metric: what is compared.
        order: the halves are dealt by; any numbers that differ.
        alive: tokens that take part.
        protected: those that neither go nor receive.
        merged: r.

    Returns:
        Where each goes, by place in ``metric``; itself for one that stays. The order afterwards: what is protected,
        the rest of A, then B. The best cosine, ``NO_PAIR`` for a token that cannot go.
    """
    tokens = order.shape[0]
    place = ranks(order, alive)
    in_a, in_b = alive & ~protected & (place % 2 == 0), alive & ~protected & (place % 2 == 1)
    unit = metric / jnp.maximum(jnp.linalg.norm(metric, axis=-1, keepdims=True), jnp.finfo(metric.dtype).tiny)
    # Each half packed into half the room: a quarter of the cosines of all tokens with all.
    (a, is_a, _), (b, is_b, _) = pack(in_a, (tokens + 1) // 2), pack(in_b, max(tokens // 2, 1))
    cosine = jnp.where(is_a[:, None] & is_b, unit[a] @ unit[b].T, NO_PAIR)
    at = jnp.where(is_a, a, tokens)
    best = jnp.full(tokens, NO_PAIR, metric.dtype).at[at].set(jnp.max(cosine, axis=1), mode="drop")
    partner = jnp.arange(tokens).at[at].set(b[jnp.argmax(cosine, axis=1)], mode="drop")
    can_go = in_a & jnp.any(in_b)
    count = jnp.minimum(merged, jnp.sum(alive & ~protected) // 2)
    goes = can_go & (ranks(-best, can_go) < count)
    into = jnp.where(goes, partner, jnp.arange(tokens))
    listed = jnp.where(protected, 0, jnp.where(alive & (place % 2 == 0), 1, 2)) * tokens + place
    return into, jnp.where(count > 0, listed, place), best
