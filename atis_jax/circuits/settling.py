"""How long an array takes to settle: every OTA by the pole of its own current, weighed by what it contributes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.typing import Real

_NEWTON_STEPS = 24


def settling_current_a(current_a: Float[Array, "n"], bits: Real) -> Float[Array, ""]:
    """Bias current of the one OTA that settles to half an LSB of ``bits`` in the time that the array needs, A.

    What OTA j lacks at time t is I_j exp(-gm_j t / C), gm_j in proportion to I_j. The array has settled when the root
    of the sum of squares has fallen to 2^-(bits+1) of what it was:

        sum_j I_j^2 exp(-2 I_j x) = 4^-(bits+1) sum_j I_j^2,    I = (bits + 1) ln 2 / x

    with x = kappa t / 2 U_T C. A weight of a tenth settles ten times as slowly and lacks a tenth as much: the mean
    current is too strict where few weights are large, and too kind where all are nearly the same but a few.

    Args:
        current_a: magnitudes of the bias currents, A; at least one above zero.
        bits: B.

    Returns:
        A, between the smallest and the largest; differentiable.
    """
    largest_a = jax.lax.stop_gradient(jnp.max(current_a))
    share = current_a / largest_a
    wanted = (jnp.asarray(bits, share.dtype) + 1.0) * jnp.log(2.0)

    def excess(x, share):
        """Ln of what is lacking over what may be, and its slope: convex and falling in x."""
        lacking = 2.0 * jnp.log(jnp.where(share > 0, share, 1.0)) - 2.0 * share * x
        lacking = jnp.where(share > 0, lacking, -jnp.inf)
        total = jnp.log(jnp.sum(jnp.square(share)))
        return 0.5 * (jax.nn.logsumexp(lacking) - total) + wanted, -jnp.sum(jax.nn.softmax(lacking) * share)

    def step(_, x):
        value, slope = excess(x, jax.lax.stop_gradient(share))
        return x - value / slope

    # From the left of the root of a convex falling function Newton's steps never overshoot.
    found = jax.lax.fori_loop(0, _NEWTON_STEPS, step, jax.lax.stop_gradient(wanted))
    # One more, with gradients: the implicit derivative at the root.
    found = jax.lax.stop_gradient(found)
    value, slope = excess(found, share)
    found = found - value / jax.lax.stop_gradient(slope)
    return wanted / found * largest_a
