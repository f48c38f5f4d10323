"""Known inputs that calibration plays, and what the design wants of them."""

from __future__ import annotations

from jaxtyping import Array, Float

from atis_jax.numerics import pytree


@pytree
class CalibrationTokens:
    """Array inputs recorded from the design itself on the perfect chip (leading axis of layers when stacked).

    All of it is known from the design: nothing here belongs to a chip.

    Attributes:
        inputs: (n, N) what the array is fed, +-1 full scale.
        score_v: (n, G) the perfect chip's scores, V.
        kept_fraction: (G,) share of these tokens that the perfect chip keeps.
    """

    inputs: Float[Array, "n N"]
    score_v: Float[Array, "n G"]
    kept_fraction: Float[Array, "G"]
