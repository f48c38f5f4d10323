"""The control that looks at no token at all: which stay is a matter of their place in the sequence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from atis_jax.energy.ledger import Ledger
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.rivals.share import Ranking
from atis_jax.scoring.types import Context
from atis_jax.validation import check_settings, choose, setting

GOLDEN = 40503
"""Over ``CIRCLE`` the golden ratio's fractional part: its multiples are as evenly spread as any (Weyl's sequence)."""
CIRCLE = 2**16


def spread(position: Int[Array, "n"]) -> Float[Array, "n"]:
    """Larger for a place that stays longer; whatever the share, those that stay are nearly evenly spread."""
    return -((position.astype(jnp.uint32) * GOLDEN) % CIRCLE).astype(jnp.float32)


ORDERS: dict[str, Callable[[Int[Array, "n"]], Float[Array, "n"]]] = {
    "spread": spread,
    "first": lambda position: -position.astype(jnp.float32),
    "last": lambda position: position.astype(jnp.float32),
}
"""What tokens are ranked by, largest first, from their places."""


@dataclasses.dataclass(frozen=True)
class PositionSpec:
    """Which places stay."""

    kind: str = setting("position", doc="which scorer decides")
    keeps: str = setting("spread", choices=tuple(ORDERS), doc="tokens evenly spread over the sequence, or at one end")

    def __post_init__(self):
        check_settings(self, "scorer")


class Position(Ranking):
    """A share of the tokens by where they stand; the design is that share."""

    Spec = PositionSpec

    def measure(self, tokens: Float[Array, "n D"], context: Context) -> tuple[Float[Array, "n"], Any]:
        """Larger for a place that stays longer."""
        return choose(ORDERS, self.spec.keeps, "scorer.keeps")(context.position), None

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Any, state: Any) -> Ledger:
        """The network, and one comparison a token: the order is known beforehand."""
        n = jnp.sum(costs.has_scorer * costs.tokens(kept, self.site).scored)
        return costs.scored(kept, self.site, comparator_j=n * costs.energy.prices().compare_j)
