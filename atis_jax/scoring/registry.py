"""Methods by name; one that is not of this package by ``package.module:Class``."""

from __future__ import annotations

from typing import Any

from jaxtyping import Array, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.digital import Digital
from atis_jax.scoring.method import Method
from atis_jax.scoring.rivals.ltp import Ltp
from atis_jax.scoring.rivals.random import Random
from atis_jax.scoring.rivals.tome import Tome
from atis_jax.validation import choose

METHODS: dict[str, type[Method]] = {
    "analog": Analog,
    "digital": Digital,
    "random": Random,
    "ltp": Ltp,
    "tome": Tome,
}


def make_method(spec: Any, hardware: Hardware, target: Float[Array, "L"] | None = None) -> Method:
    """The method that ``spec.kind`` names.

    Args:
        spec: its section of the config, of the class ``Method.Spec``.
        hardware: preset that its chips are sampled from.
        target: (L,) wanted share of incoming tokens kept, for those that steer to it.

    Raises:
        SettingError: no method has that name.
    """
    return choose(METHODS, spec.kind, "scorer.kind")(spec, hardware, target)
