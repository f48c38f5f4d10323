"""The control that looks at nothing but a token's length: the longest tokens stay, or the shortest."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.ledger import Ledger
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.rivals.share import Ranking, sorting
from atis_jax.scoring.types import Context
from atis_jax.validation import check_settings, choose, setting

SIGN = {"largest": 1.0, "smallest": -1.0}


@dataclasses.dataclass(frozen=True)
class NormSpec:
    """Which end stays."""

    kind: str = setting("norm", doc="which scorer decides")
    keeps: str = setting("largest", choices=tuple(SIGN), doc="which tokens stay, by their norm")

    def __post_init__(self):
        check_settings(self, "scorer")


class Norm(Ranking):
    """A share of the tokens by their Euclidean norm in front of the block; the design is that share."""

    Spec = NormSpec

    def measure(self, tokens: Float[Array, "n D"], context: Context) -> tuple[Float[Array, "n"], Any]:
        """The norm's square, its sign turned where the smallest stay."""
        return choose(SIGN, self.spec.keeps, "scorer.keeps") * jnp.einsum("nd,nd->n", tokens, tokens), None

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Any, state: Any) -> Ledger:
        """The network, and for each of n tokens d multiply-accumulates and its d numbers; n log2 n comparisons."""
        n, width = costs.has_scorer * costs.tokens(kept, self.site).scored, float(costs.network.width)
        return costs.scored(
            kept,
            self.site,
            scorer_memory_j=jnp.sum(n) * width * costs.number_j,
            score_j=jnp.sum(n) * width * costs.mac_j,
            comparator_j=jnp.sum(sorting(n)) * costs.energy.prices().compare_j,
        )
