"""EViT (Liang et al. 2022, arXiv 2202.07800): the tokens that the class token attends to stay, the rest become one.

Definitions from what the authors' code does (youweiliang/evit, commit 5ca95a7). Between attention and MLP the
K = ceil(rate n) of the n tokens with most attention from the class token stay; the others leave one token in their
place, sum_i a_i x_i over them, their weights a_i not made to add up to one. The next layer takes it for a token as any
other, so it counts among what is kept. There the rate is a layer's own; here it is what ``pruning.kept`` asks of that
layer, over what it asks of the one before. The keep rate's course over training is ``pruning.ramp``'s.

Two deviations. The fused token stands where the most attended of its parts stood, not at the end. A count within
``ROUNDING`` above a whole number is that number, so that float32 changes none.

Shape suffixes: n tokens, H heads, L layers.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.energy.ledger import Ledger
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Method, Survey
from atis_jax.scoring.rivals.share import ROUNDING, ranks, sorting
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Key
from atis_jax.validation import check_settings, setting


@dataclasses.dataclass(frozen=True)
class EvitSpec:
    """Whether what leaves is fused into one token."""

    kind: str = setting("evit", doc="which scorer decides")
    fuse: bool = setting(True, doc="tokens that leave become one, the sum of them by attention; else they are gone")

    def __post_init__(self):
        check_settings(self, "scorer")


class Evit(Method):
    """The share of the incoming tokens that stays, by attention from the class token; the design is that share."""

    Spec = EvitSpec
    needs = frozenset({"cls_row"})
    site = "before_mlp"
    relaxes = False

    def __init__(self, spec: EvitSpec, hardware, target: Float[Array, "L"] | None = None):
        self.reduces = "merge" if spec.fuse else "prune"
        super().__init__(spec, hardware, target)

    def begin(self, key: Key, survey: Survey, kept: Float[Array, "L"]) -> tuple[Float[Array, "L"], Any]:
        """The wanted share of every layer; no memory."""
        return rates(jnp.asarray(kept)), ()

    def labels(self, design: Any) -> Any:
        """Nothing is trained."""
        return "frozen"

    def realised(self, kept: Float[Array, "L"], tokens: int) -> Float[Array, "L"]:
        """Whole tokens, and the fused one."""
        count, left = jnp.asarray(float(tokens)), []
        for rate in rates(kept):
            stays = jnp.ceil(rate * count - ROUNDING)
            count = jnp.where(stays < count, stays + self.spec.fuse, count)
            left.append(count)
        return jnp.stack(left) / tokens

    def scheduled(self, design: Any, kept: Float[Array, "L"]) -> Any:
        """The share that is wanted now."""
        return rates(jax.lax.stop_gradient(kept))

    def score(self, design: Float[Array, ""], chip, environment, tokens, context: Context, key: Key | None):
        """See ``Method``; ``voltage`` is the attention from the class token, in the mean over heads."""
        assert context.attended is not None and context.attended.cls_row is not None
        attention = jnp.mean(context.attended.cls_row, axis=0)
        stays, into = choose_most(attention, context.alive[:, 0] & context.counted, design)
        if not self.spec.fuse:
            return Decision(attention[:, None], stays.astype(tokens.dtype)[:, None], stays[:, None]), context.state
        itself = jnp.arange(into.shape[0])
        keep = (into == itself)[:, None]
        weight = jnp.where(context.alive[:, 0] & context.counted & ~stays, attention, 1.0)
        return Decision(attention[:, None], keep.astype(tokens.dtype), keep, into, weight), context.state

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Any, state: Any) -> Ledger:
        """The network, with MLPs of fewer tokens than its attention, and the choice where tokens leave.

        A layer of n tokens: H n additions for the mean over heads, and d multiply-accumulates for each token fused
        (``score``); n log2 n comparisons to sort them (``comparator``); what is fused, and the fused token, in and out
        of memory.
        """
        prices, network, tokens = costs.energy.prices(), costs.network, costs.tokens(kept, self.site)
        n, gone = tokens.scored, tokens.scored - tokens.in_mlp
        chooses = costs.has_scorer * (gone > 0)
        fused = (chooses * (gone + 1.0)) if self.spec.fuse else jnp.zeros_like(gone)
        return costs.scored(
            kept,
            self.site,
            scorer_memory_j=costs.number_j * jnp.sum(network.width * (fused + (fused > 0))),
            score_j=jnp.sum(chooses * network.heads * n) * prices.score_add_j
            + jnp.sum(network.width * fused) * costs.mac_j,
            comparator_j=jnp.sum(chooses * sorting(n)) * prices.compare_j,
        )


def rates(kept: Float[Array, "L"]) -> Float[Array, "L"]:
    """Share of the incoming tokens that each layer keeps, from the shares of the full sequence after each."""
    before = jnp.concatenate([jnp.ones_like(kept[:1]), kept[:-1]])
    return jnp.where(before > 0, kept / jnp.where(before > 0, before, 1.0), 1.0)


def choose_most(
    attention: Float[Array, "n"], among: Bool[Array, "n"], rate: Float[Array, ""] | float
) -> tuple[Bool[Array, "n"], Int[Array, "n"]]:
    """Those of most attention, ceil(rate n) of the n; of equal ones the first.

    Args:
        attention: of each token.
        among: which of them there are to choose from.
        rate: share that stays.

    Returns:
        Which stay, and where each goes if the others are fused: to the most attended of them; itself for one that
        stays.
    """
    place = ranks(-attention, among)
    count = jnp.ceil(rate * jnp.sum(among) - ROUNDING)
    fused = jnp.argmax(among & (place == count))
    leaves = among & (place >= count)
    return among & ~leaves, jnp.where(leaves, fused, jnp.arange(attention.shape[0]))
