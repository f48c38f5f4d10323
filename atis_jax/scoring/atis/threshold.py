"""Decisions that depend on the tokens before them: adaptive threshold and hysteresis, as a scan over the stream.

Adaptive threshold (ATIS paper, 3.4): a low-passed comparator output ("average activity") moves the threshold,

    activity <- (1 - alpha) activity + alpha keep
    theta    <- theta + eta (activity - target)

so a stream that keeps too much raises the threshold. Hysteresis: the comparator switches up at theta + h/2 and down
at theta - h/2, with h a fraction of the score's span (a fraction of the threshold vanishes at theta = 0).
Tokens that an earlier layer pruned never reach the comparator: they leave the state as it was.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.scoring.types import ScorerState

TARGET_WITHOUT_CONTEXT = 0.5
"""Wanted activity of an adaptive threshold that was given no target."""
MIN_SMOOTHING = 1e-6
"""Least width of the soft comparator, over the half span: a comparator without noise has a probability too."""


def sequential_decisions(
    comparator_input_v: Float[Array, "n G"],
    threshold_v: Float[Array, "G"],
    alive: Bool[Array, "n G"],
    state: ScorerState,
    *,
    hysteresis_v: Float[Array, ""] | float,
    adaptive_rate_v: float,
    activity_rate: float,
    target: Float[Array, "G"] | float,
) -> tuple[Bool[Array, "n G"], Float[Array, "n G"], ScorerState]:
    """Hard decisions along the stream.

    Args:
        comparator_input_v: score with this use's comparator noise added, volts.
        threshold_v: the realised threshold before adaptive feedback, volts.
        alive: tokens that reach the comparator.
        state: what the comparator and the feedback remember.
        hysteresis_v: full width h of the dead band; 0 is none.
        adaptive_rate_v: eta, volts a token; 0 holds the threshold.
        activity_rate: alpha.
        target: wanted activity.

    Returns:
        keep (n, G), the threshold each token met (n, G), and the state after the last token.
    """

    def token(carry: ScorerState, xs):
        voltage, lives = xs
        theta = threshold_v + carry.threshold_shift_v
        band = jnp.where(carry.last_keep, -0.5, 0.5) * hysteresis_v
        keep = voltage > theta + band
        activity = (1.0 - activity_rate) * carry.activity + activity_rate * keep
        shift = carry.threshold_shift_v + adaptive_rate_v * (activity - target)
        after = ScorerState(
            query=carry.query,
            activity=jnp.where(lives, activity, carry.activity),
            threshold_shift_v=jnp.where(lives, shift, carry.threshold_shift_v),
            last_keep=jnp.where(lives, keep, carry.last_keep),
        )
        return after, (keep, theta)

    final, (keep, met) = jax.lax.scan(token, state, (comparator_input_v, alive))
    return keep, met, final
