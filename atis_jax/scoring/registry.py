"""Scorers by name."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Array, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.analog import analog
from atis_jax.scoring.digital import digital
from atis_jax.scoring.random import random_scorer
from atis_jax.scoring.spec import ScorerSpec
from atis_jax.scoring.types import Scorer
from atis_jax.validation import choose

_SCORERS: dict[str, Callable[[ScorerSpec, Hardware, Float[Array, "L"] | None], Scorer]] = {
    "analog": analog,
    "digital": digital,
    "random": lambda spec, hardware, target: random_scorer(),
}


def make_scorer(spec: ScorerSpec, hardware: Hardware, target: Float[Array, "L"] | None = None) -> Scorer:
    """The scorer ``spec.kind`` names, as a pure function with the signature of ``scoring.types.Scorer``.

    Raises:
        SettingError: no scorer has that name.
    """
    return choose(_SCORERS, spec.kind, "scorer.kind")(spec, hardware, target)
