"""SpAtten (Wang et al. 2021, arXiv 2012.09852), its token pruning: a share of the tokens, by attention received.

Two forms. The rule that LTP's authors compare with (kssteven418/LTP, commit 8ab31a6): the tokens that receive most
attention in their layer, in the sum over heads and rows of tokens that are there, round(rate n) of them, half to even.
And the paper's, whose importance adds up over the layers (``accumulates``). Its pruning of heads, of values in a layer,
and its quantisation are not here.

Rates are those of ``pruning.kept``, or that code's: the first max(3, ceil(0.15 L)) layers keep all, from there they
fall linearly to the last of ``pruning.kept``. Deviation: protected tokens stay and are not counted; there any may go.

Shape suffixes: n tokens, L layers, B examples, N tokens.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.ledger import Ledger
from atis_jax.pruning.stream import Stream
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Survey
from atis_jax.scoring.rivals.ltp import importance
from atis_jax.scoring.rivals.share import Ranking, sorting
from atis_jax.scoring.types import Context
from atis_jax.typing import Key
from atis_jax.validation import check_settings, choose, setting

FIRST, FIRST_SHARE = 3, 0.15
"""Layers that keep all: the larger of the number and of that share of them."""
LEAST_RATE = 0.01
PUBLISHED = {"wanted": False, "published": True}
"""Whether rates are the original code's."""


@dataclasses.dataclass(frozen=True)
class SpattenSpec:
    """What is ranked, and how many stay."""

    kind: str = setting("spatten", doc="which scorer decides")
    accumulates: bool = setting(False, doc="attention received adds up over the layers, as in the paper")
    rates: str = setting("wanted", choices=tuple(PUBLISHED), doc="pruning.kept's, or a linear fall to the last of them")

    def __post_init__(self):
        check_settings(self, "scorer")


class Spatten(Ranking):
    """The tokens that receive most attention, as many as a rate says; the design is the rate."""

    Spec = SpattenSpec
    needs = frozenset({"received"})
    site = "before_mlp"

    def begin(self, key: Key, survey: Survey, kept: Float[Array, "L"]) -> tuple[Any, Any]:
        """Every layer's rate; no memory."""
        return self._rates(jnp.asarray(kept)), ()

    def scheduled(self, design: Any, kept: Float[Array, "L"]) -> Any:
        """The rates that are wanted now."""
        return self._rates(jax.lax.stop_gradient(kept))

    def along(self, stream: Stream) -> Any:
        """What each has received so far, if it adds up."""
        return jnp.zeros((1, stream.x.shape[1])) if self.spec.accumulates else None

    def measure(self, tokens: Float[Array, "n D"], context: Context) -> tuple[Float[Array, "n"], Any]:
        """Attention received, a share of all that the full sequence has to give."""
        assert context.attended is not None and context.attended.received is not None
        present = jnp.ones_like(context.counted) if context.present is None else context.present
        received = importance(context.attended.received, jnp.sum(present), context.full)
        if not self.spec.accumulates:
            return received, None
        total = context.along + received
        return total, total

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Any, state: Any) -> Ledger:
        """The network, with MLPs of fewer tokens than its attention.

        A layer of n tokens: H n^2 additions (``score``) and n log2 n comparisons (``comparator``); adding up over
        layers n additions more, and n numbers in and out of memory.
        """
        prices, network = costs.energy.prices(), costs.network
        n = costs.tokens(kept, self.site).scored + network.protected
        running = jnp.sum(costs.has_scorer * n) * float(self.spec.accumulates)
        return costs.scored(
            kept,
            self.site,
            scorer_memory_j=2.0 * running * costs.number_j,
            score_j=(jnp.sum(costs.has_scorer * network.heads * n**2) + running) * prices.score_add_j,
            comparator_j=jnp.sum(costs.has_scorer * sorting(n)) * prices.compare_j,
        )

    def _rates(self, kept: Float[Array, "L"]) -> Float[Array, "L"]:
        published = choose(PUBLISHED, self.spec.rates, "scorer.rates")
        return falling_rates(kept[-1], len(kept)) if published else kept


def falling_rates(last: Float[Array, ""] | float, layers: int) -> Float[Array, "L"]:
    """All in the first max(3, ceil(0.15 L)) layers, then linear to ``last``, at least ``LEAST_RATE``."""
    first = max(FIRST, math.ceil(FIRST_SHARE * layers))
    step = jnp.clip(jnp.arange(layers) - (first - 1), 0) / max(layers - first, 1)
    return jnp.maximum(1.0 - step * (1.0 - last), LEAST_RATE)
