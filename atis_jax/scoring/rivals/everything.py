"""No method at all: every token stays. For runs in which a circuit for attention (``config.kernel``) stands alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.ledger import Ledger
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Method, Place, Survey
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Key
from atis_jax.validation import SettingError, check_settings, setting


@dataclasses.dataclass(frozen=True)
class EverythingSpec:
    """Nothing to choose: every token stays."""

    kind: str = setting("everything", doc="which scorer decides")

    def __post_init__(self):
        check_settings(self, "scorer")


class Everything(Method):
    """Keeps every token; nothing is scored, trained or charged beside the network."""

    Spec = EverythingSpec
    relaxes = False

    def check(self, place: Place) -> None:
        """Whether the run asks for no less.

        Raises:
            SettingError: its section ``pruning`` wants fewer tokens.
        """
        if any(share < 1.0 for share in place.pruning.kept):
            raise SettingError(
                f"config.scorer.kind = 'everything' keeps every token, and config.pruning.kept = {place.pruning.kept} "
                "wants fewer; set pruning.kept = (1.0,), or choose another scorer"
            )

    def begin(self, key: Key, survey: Survey, kept: Float[Array, "L"]) -> tuple[Any, Any]:
        """A design that nothing moves; no memory."""
        return jnp.ones_like(jnp.asarray(kept)), ()

    def labels(self, design: Any) -> Any:
        """Nothing is trained."""
        return "frozen"

    def score(self, design: Float[Array, ""], chip, environment, tokens, context: Context, key: Key | None):
        """See ``Method``; ``voltage`` is one of every token."""
        ones = jnp.ones(context.alive.shape, tokens.dtype)
        return Decision(ones, ones, ones.astype(bool)), context.state

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Any, state: Any) -> Ledger:
        """The network with every token."""
        return costs.unscored(jnp.ones_like(jnp.asarray(kept)))
