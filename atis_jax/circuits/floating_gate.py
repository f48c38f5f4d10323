"""Programming of a signed bias current: sign by swapped inputs, magnitude on a finite grid within a range."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.numerics import power_of_two, pytree, static, straight_through
from atis_jax.typing import Real


@pytree
class FloatingGateSpec:
    """Precision and range of a programmed current.

    Attributes:
        bits: the grid has 2^bits - 1 magnitudes, evenly spaced in ln I from ``min_current_a`` to
            ``max_current_a`` (injection and tunnelling move the gate charge, and so ln I), plus off. None for
            a continuous magnitude, in which case a zero minimum is allowed. Static.
        error_sigma: sigma of ln(I / I wanted) left after programming.
        min_current_a: smallest current that is on, A. Below half of it the cell programs to off.
        max_current_a: largest, A; may be infinite when ``bits`` is None.
        used_bits: takes the place of ``bits`` in the grid, as a number that may be traced: a sweep of the
            resolution is then one compiled program. None for ``bits`` itself.
    """

    bits: int | None = static()
    error_sigma: Real
    min_current_a: Real
    max_current_a: Real
    used_bits: Real | None = None

    def __post_init__(self):
        if self.bits is not None and not 1 < self.bits <= 16:
            raise ValueError(f"floating_gate.bits = {self.bits} is outside 2..16; the ideal cell is None, not 0")

    @property
    def resolution(self) -> Real | None:
        """Bits in force: ``used_bits`` where given, else ``bits``; None for a continuous magnitude."""
        return self.bits if self.bits is None or self.used_bits is None else self.used_bits


def program_current_a(signed_current_a: Float[Array, "*s"], spec: FloatingGateSpec) -> Float[Array, "*s"]:
    """The signed current that the cell is programmed to, before the error of programming, A.

    Magnitudes above the range clip, below half of the smallest go to zero, in between round to the nearest
    grid point in ln I. The gradient is one everywhere within +-``max_current_a``, the off band and rounding
    included, so that a weight can be switched on again; zero beyond.
    """
    magnitude = jnp.abs(signed_current_a)
    limited = jnp.clip(magnitude, spec.min_current_a, spec.max_current_a)
    if spec.resolution is not None:
        # Normalised before the logarithm: the differences are of numbers near one, not near ln 1e-9.
        log_range = jnp.log(spec.max_current_a / jnp.asarray(spec.min_current_a))
        steps = power_of_two(spec.resolution) - 2.0
        code = jnp.round(jnp.log(limited / spec.min_current_a) / log_range * steps)
        limited = spec.min_current_a * jnp.exp(code / steps * log_range)
    on = magnitude >= 0.5 * spec.min_current_a
    programmed = jnp.sign(signed_current_a) * jnp.where(on, limited, 0.0)
    within = jnp.clip(signed_current_a, -spec.max_current_a, spec.max_current_a)
    return straight_through(programmed, within)
