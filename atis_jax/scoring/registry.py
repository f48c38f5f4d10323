"""Scorers by name."""

from __future__ import annotations

from jaxtyping import Array, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.analog import analog
from atis_jax.scoring.digital import digital
from atis_jax.scoring.random import random_scorer
from atis_jax.scoring.spec import ScorerSpec
from atis_jax.scoring.types import Scorer


def make_scorer(spec: ScorerSpec, hardware: Hardware, target: Float[Array, "L"] | None = None) -> Scorer:
    """The scorer ``spec.kind`` names, as a pure function with the signature of ``scoring.types.Scorer``."""
    if spec.kind == "analog":
        return analog(spec, hardware, target)
    if spec.kind == "digital":
        return digital(spec, hardware, target)
    return random_scorer()
