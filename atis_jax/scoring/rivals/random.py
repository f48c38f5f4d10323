"""The control: random pruning at given per-layer fractions. Any scorer worth its energy beats it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jaxtyping import Array, Float

from atis_jax.energy.ledger import Ledger
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Place
from atis_jax.scoring.rivals.share import Share, first_by
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Key
from atis_jax.validation import SettingError, check_settings, setting


@dataclasses.dataclass(frozen=True)
class RandomSpec:
    """Nothing to choose."""

    kind: str = setting("random", doc="which scorer decides")

    def __post_init__(self):
        check_settings(self, "scorer")


class Random(Share):
    """Keep a given share of the full sequence, drawn uniformly from the tokens alive; the design is that share."""

    Spec = RandomSpec

    def check(self, place: Place) -> None:
        """A control cannot be what is designed.

        Raises:
            SettingError: always.
        """
        raise SettingError(
            "config.scorer.kind = 'random' has nothing to design; it is a control: put 'random' into config.compare"
        )

    def score(self, design: Float[Array, ""], chip, environment, tokens, context: Context, key: Key | None):
        """See ``Method``; ``voltage`` is the draw, 0 to 1.

        Raises:
            ValueError: there is no key.
        """
        if key is None:
            raise ValueError("the random scorer needs a key: it has nothing but chance to go by")
        one_more, of_tokens = jax.random.split(key)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(of_tokens, context.position)
        voltage = jax.vmap(jax.random.uniform)(keys)
        keep = first_by(voltage, design, context, one_more)
        return Decision(voltage[:, None], keep.astype(tokens.dtype)[:, None], keep[:, None]), context.state

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Any, state: Any) -> Ledger:
        """The network alone: choosing by chance costs nothing here."""
        return costs.unscored(kept)
