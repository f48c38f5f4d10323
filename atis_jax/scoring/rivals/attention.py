"""The oracle that sees Q and K: a given share of the tokens stays, those that receive most attention in their layer.

The signal of LTP (Kim et al. 2022, arXiv 2107.00910) and SpAtten (Wang et al. 2021, arXiv 2012.09852) with an exact
count in place of thresholds. It is no rival that saves Q, K and V: what it prunes has been through the attention.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.ledger import Ledger
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Place
from atis_jax.scoring.rivals.share import Share, first_by, sorting
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Key
from atis_jax.validation import SettingError, check_settings, setting


@dataclasses.dataclass(frozen=True)
class AttentionSpec:
    """Nothing to choose."""

    kind: str = setting("attention_received", doc="which scorer decides")

    def __post_init__(self):
        check_settings(self, "scorer")


class AttentionReceived(Share):
    """Keep a given share of the full sequence by attention received, averaged over heads and rows; the design is it."""

    Spec = AttentionSpec
    needs = frozenset({"received"})
    site = "before_mlp"

    def check(self, place: Place) -> None:
        """A control cannot be what is designed.

        Raises:
            SettingError: always.
        """
        raise SettingError(
            "config.scorer.kind = 'attention_received' has nothing to design; it is a control: put "
            "'attention_received' into config.compare, or take 'spatten', which keeps whole tokens"
        )

    def score(self, design: Float[Array, ""], chip, environment, tokens, context: Context, key: Key | None):
        """See ``Method``; ``voltage`` is the share of all attention that a token receives.

        Raises:
            ValueError: there is no key.
        """
        if key is None:
            raise ValueError("a share of a token that is not whole is met by chance, which needs a key")
        assert context.attended is not None and context.attended.received is not None
        received = jnp.mean(context.attended.received, axis=0)
        keep = first_by(received, design, context, key)
        return Decision(received[:, None], keep.astype(tokens.dtype)[:, None], keep[:, None]), context.state

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Any, state: Any) -> Ledger:
        """The network, with MLPs of fewer tokens than its attention; H n^2 additions, n log2 n comparisons a layer."""
        return received_bill(costs, kept, self.site, sorting)


def received_bill(
    costs: Bill, kept: Float[Array, "L"], site: str, compared: Callable[[Float[Array, "L"]], Float[Array, "L"]]
) -> Ledger:
    """Adding up what each of n tokens receives over heads and rows, and ``compared(n)`` comparisons a layer."""
    prices, network = costs.energy.prices(), costs.network
    n = costs.tokens(kept, site).scored + network.protected
    return costs.scored(
        kept,
        site,
        score_j=jnp.sum(costs.has_scorer * network.heads * n**2) * prices.score_add_j,
        comparator_j=jnp.sum(costs.has_scorer * compared(n)) * prices.compare_j,
    )
