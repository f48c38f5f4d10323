"""A scorer of a user's own, as small as one can be: a token stays if it is long enough."""

from __future__ import annotations

import dataclasses
import sys

import jax
import jax.numpy as jnp

from atis_jax.scoring.method import Method
from atis_jax.scoring.types import Decision
from atis_jax.validation import check_settings, setting


@dataclasses.dataclass(frozen=True)
class LengthSpec:
    kind: str = setting("own_method:Length", doc="which scorer decides")
    start: float = setting(0.0, low=-10.0, high=10.0, doc="threshold that training starts from")

    def __post_init__(self):
        check_settings(self, "scorer")


class Length(Method):
    """Keeps tokens whose mean square exceeds a trained threshold."""

    Spec = LengthSpec

    def begin(self, key, survey, kept):
        lengths = jnp.mean(survey.seen**2, axis=-1)
        return {"threshold": jnp.mean(lengths, axis=(1, 2)) + self.spec.start}, ()

    def score(self, design, chip, environment, tokens, context, key):
        over = jnp.mean(tokens**2, axis=-1, keepdims=True) - design["threshold"]
        return Decision(over, jax.nn.sigmoid(over / 0.1), over > 0), context.state

    def bill(self, costs, kept, design, state):
        return costs.unscored(kept)

    def loss(self, trail, weights):
        return {"loss_kept": jnp.mean((trail.kept - trail.target) ** 2)}


class NoMethod:
    """Nothing to do with scoring."""


def forget() -> None:
    """As in a process that has not imported this."""
    from atis_jax.scoring.registry import METHODS

    METHODS.pop("own_method:Length", None)
    sys.modules.pop("own_method", None)
