"""DTEM (Lee and Hong 2024, arXiv 2412.10569): tokens are merged by an embedding learned for that alone.

    m = W x + b, x as queries and keys are made of it; no gradient goes from m into the network's tokens.

Evaluated it is ToMe with m for the keys. In training a merge is relaxed, so that m has a gradient: each token of half A
looks at the ``NEAREST`` of half B with the largest cosines; r times over, a softmax over all these pairs takes one pair
softly, and what is taken counts less from then on (log(1 - taken) is added). What a token of A gives is taken off its
size and added to the other's (``pruning.reduce.merge_softly``), and attention weighs keys by size. All tokens stay; the
r of least size take no further part in merging, which is what ``alive`` says of them.

Definitions from DTEM's code as copies of it in public repositories have it (``patch_deit``, ``DTEMBlock``), read and
not run: no golden numbers. Of the paper the abstract alone was found, so its recipe of training is not here: rates and
steps are the run's, nearest and temperatures that code's defaults. Order among equal sizes is ours: half A first.

Shape suffixes: n tokens, D width, F numbers of an embedding, L layers, N tokens.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.energy.ledger import Ledger
from atis_jax.numerics import pytree, straight_through
from atis_jax.pruning.stream import Stream
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Method, Survey
from atis_jax.scoring.rivals.share import ranks
from atis_jax.scoring.rivals.tome import TomeSpec, match
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Key
from atis_jax.validation import check_settings, setting

NEAREST = 3
WIDE, WIDE_HEADS = 1024, 2
"""A network from that width on has an embedding as wide as so many heads; else as one."""
NOTHING = -1e9
"""Logit of a pair that there is not."""


@dataclasses.dataclass(frozen=True)
class DtemSpec(TomeSpec):
    """How many tokens are merged, and how softly in training."""

    kind: str = setting("dtem", doc="which scorer decides")
    pair_temperature: float = setting(0.1, low=0.0, exclusive_low=True, high=10.0, doc="that cosines are divided by")
    pick_temperature: float = setting(0.1, low=0.0, exclusive_low=True, high=10.0, doc="of the softmax over all pairs")

    def __post_init__(self):
        check_settings(self, "scorer")


@pytree
class DtemDesign:
    """A layer's.

    Attributes:
        merged: () r.
        weight: (D, F) W.
        bias: (F,) b.
    """

    merged: Float[Array, ""]
    weight: Float[Array, "D F"]
    bias: Float[Array, "F"]


class Dtem(Method):
    """Bipartite soft matching of a learned embedding."""

    Spec = DtemSpec
    needs = frozenset({"inputs"})
    surveys = frozenset({"keys"})
    site = "before_mlp"
    reduces = "merge"
    proportional = True
    relaxes = False

    def begin(self, key: Key, survey: Survey, kept: Float[Array, "L"]) -> tuple[DtemDesign, Any]:
        """Drawn uniformly within 1/sqrt(D), as the code's layers are; as wide as a head. No memory."""
        assert survey.attended.keys is not None
        layers, width = survey.seen.shape[0], survey.seen.shape[-1]
        features = survey.attended.keys.shape[-1] * (WIDE_HEADS if width >= WIDE else 1)
        of_weight, of_bias = jax.random.split(key)
        edge = width**-0.5
        weight = jax.random.uniform(of_weight, (layers, width, features), minval=-edge, maxval=edge)
        bias = jax.random.uniform(of_bias, (layers, features), minval=-edge, maxval=edge)
        return DtemDesign(self.spec.counts(survey, jnp.asarray(kept)), weight, bias), ()

    def realised(self, kept: Float[Array, "L"], tokens: int) -> Float[Array, "L"]:
        """See ``TomeSpec``."""
        return self.spec.realised(kept, tokens)

    def labels(self, design: DtemDesign) -> Any:
        """The embedding is trained."""
        return DtemDesign("frozen", "scorer", "scorer")  # type: ignore[arg-type]

    def along(self, stream: Stream) -> Int[Array, "1 N"]:
        """The order in which the tokens are dealt to the two halves: at first that of the sequence."""
        return jnp.arange(stream.x.shape[1])[None]

    def score(self, design: DtemDesign, chip, environment, tokens, context: Context, key: Key | None):
        """See ``Method``; ``voltage`` is the token's largest cosine with one that it could go into, its sign turned."""
        assert context.attended is not None and context.attended.inputs is not None and context.size is not None
        alive = context.alive[:, 0]
        protected = alive & ~context.counted
        made = jax.lax.stop_gradient(context.attended.inputs) @ design.weight + design.bias
        norm = jnp.sqrt(jnp.maximum(jnp.sum(made**2, axis=-1, keepdims=True), jnp.finfo(made.dtype).tiny))
        metric, size = made / norm, context.size

        count = self.spec.count(design.merged, context.full)
        into, order, best = match(metric, context.along, alive, protected, count)
        keep, unlike = into == jnp.arange(into.shape[0]), jnp.where(best > -1.5, -best, 1.0)
        if isinstance(context.smoothing, float) and context.smoothing == 0.0:  # known while compiled: nothing is soft
            probability = keep.astype(tokens.dtype)[:, None]
            return Decision(unlike[:, None], probability, keep[:, None], into, along=order), context.state

        def whole():
            share = jax.nn.one_hot(into, into.shape[0], dtype=metric.dtype)
            return jnp.where(keep[:, None], 0.0, share), order, keep, unlike

        def soft():
            most = max(self.spec.per_layer(2))
            return relaxed(metric, size, context.along, alive, protected, count, most, self.spec)

        share, order, keep, unlike = jax.lax.cond(jnp.asarray(context.smoothing) > 0, soft, whole)
        probability = keep.astype(tokens.dtype)[:, None]
        return Decision(unlike[:, None], probability, keep[:, None], share=share, along=order), context.state

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: DtemDesign, state: Any) -> Ledger:
        """The network, with MLPs of fewer tokens than its attention, embedding and matching.

        A layer of n tokens: d F multiply-accumulates a token for its embedding, (n/2)^2 cosines of F, 3 d for each
        token merged, and the sizes on n^2 H logits (``score``); 2 n F for the embeddings' lengths (``projection``);
        their roots and the sizes' logarithms, each n (``scorer_exponentials``); comparisons for the best partner and to
        sort the half (``comparator``); tokens, embeddings and what is merged in and out of memory, and W once a batch.
        """
        network, tokens = costs.network, costs.tokens(kept, self.site)
        n, merged = tokens.scored + network.protected, tokens.scored - tokens.in_mlp
        d, features, where = float(network.width), float(design.bias.shape[-1]), costs.has_scorer
        pairs = (0.5 * n) ** 2
        compared = pairs + 0.5 * n * jnp.log2(jnp.maximum(0.5 * n, 1.0))
        return costs.scored(
            kept,
            self.site,
            scorer_memory_j=costs.number_j * jnp.sum(where * (n * (d + 2.0 * features) + 3.0 * d * merged))
            + costs.weights_j(where * (d + 1.0) * features),
            projection_j=costs.mac_j * jnp.sum(where * 2.0 * n * features),
            score_j=costs.mac_j * jnp.sum(where * (n * d * features + pairs * features + 3.0 * d * merged))
            + costs.energy.prices().score_add_j * jnp.sum(where * network.heads * n**2),
            scorer_exponentials_j=costs.exponential_j * jnp.sum(where * 2.0 * n),
            comparator_j=costs.energy.prices().compare_j * jnp.sum(where * compared),
        )


def relaxed(
    metric: Float[Array, "n F"],
    size: Float[Array, "n"],
    order: Int[Array, "n"],
    alive: Bool[Array, "n"],
    protected: Bool[Array, "n"],
    merged: Float[Array, ""] | int,
    most: int,
    spec: DtemSpec,
) -> tuple[Float[Array, "n n"], Int[Array, "n"], Bool[Array, "n"], Float[Array, "n"]]:
    """Soft merging of the tokens that take part.

    Args:
        metric: of unit length.
        size: of each.
        order: the halves are dealt by: the first to A, the second to B, and so on; protected ones left out.
        alive: tokens that take part, and protected ones.
        protected: those that do not.
        merged: r.
        most: the largest r that there can be.
        spec: temperatures.

    Returns:
        Share of each that goes into each other; the order afterwards, by falling size; who takes part from here on;
        the largest cosine with one of the other half, its sign turned, 1 for a token of B.
    """
    among = alive & ~protected
    count = jnp.sum(among)
    place = ranks(order, among)
    in_a, in_b = among & (place % 2 == 0), among & (place % 2 == 1)
    pair = in_a[:, None] & in_b
    cosine = jnp.where(pair, metric @ metric.T, NOTHING)
    near, at = jax.lax.top_k(cosine, min(NEAREST, cosine.shape[1]))
    there = near > NOTHING / 2
    taken = picked(
        jnp.where(there, near / spec.pair_temperature, NOTHING),
        there,
        jnp.minimum(merged, count // 2),
        most,
        spec.pick_temperature,
    )
    share = jnp.zeros_like(cosine).at[jnp.arange(at.shape[0])[:, None], at].add(taken)
    left = 1.0 - jnp.sum(share, axis=1)
    later = size * straight_through(jnp.clip(left, 0.0, 1.0), left) + share.T @ size
    listed = jnp.where(in_a, 0, 1) * place.shape[0] + place
    ahead = (later > later[:, None]) | ((later == later[:, None]) & (listed < listed[:, None]))
    rank = jnp.sum(ahead & among, axis=1)
    keep = among & (rank < count - jnp.minimum(merged, count // 2))
    unlike = jnp.where(jnp.any(pair, axis=1), -jnp.max(cosine, axis=1), 1.0)
    return share, jnp.where(among, 1 + rank, 0), keep | protected, jax.lax.stop_gradient(unlike)


def picked(
    logits: Float[Array, "n k"],
    there: Bool[Array, "n k"],
    times: Float[Array, ""] | int,
    most: int,
    temperature: float,
) -> Float[Array, "n k"]:
    """A pair taken softly, ``times`` over; a token gives itself once at most.

    Each time softmax(logits / temperature) over all pairs is taken, and log(1 - what its token gave this time) is
    added to the logits of each pair (Xie and Ermon 2019, arXiv 1901.10517).
    """
    least = jnp.finfo(logits.dtype).eps

    def once(carried, number):
        logits, total = carried
        now = jax.nn.softmax(logits.reshape(-1) / temperature).reshape(logits.shape)
        now = jnp.where(there & (number < times), now, 0.0)
        given = jnp.sum(now, axis=1, keepdims=True)
        return (logits + jnp.log(jnp.maximum(1.0 - given, least)), total + now), None

    (_, total), _ = jax.lax.scan(once, (logits, jnp.zeros_like(logits)), jnp.arange(most))
    beyond = jax.lax.stop_gradient(jnp.maximum(jnp.sum(total, axis=1, keepdims=True) - 1.0, 0.0))
    return total / (1.0 + beyond)
