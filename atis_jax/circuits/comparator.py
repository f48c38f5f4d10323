"""The comparator: finite reference, noise; soft, straight-through, hard and hysteretic decisions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.numerics import pytree, static, straight_through
from atis_jax.typing import Real


@pytree
class ComparatorSpec:
    """A comparator and the DAC that makes its reference.

    Attributes:
        reference_bits: resolution of the reference over its span, or None for a continuous one. Static.
        reference_span_v: width of the reference's range, centred on zero, V.
        offset_sigma_v: spread of the input offset, V.
        noise_v: RMS input noise of one decision, V.
        hysteresis_fraction: width of the dead band over ``reference_span_v``. The paper says 5-10 % of the
            threshold, which vanishes at a threshold of zero; the span is what stays.
    """

    reference_bits: int | None = static()
    reference_span_v: Real
    offset_sigma_v: Real
    noise_v: Real
    hysteresis_fraction: Real

    def __post_init__(self):
        if self.reference_bits is not None and not 1 <= self.reference_bits <= 16:
            raise ValueError(
                f"comparator.reference_bits = {self.reference_bits} is outside 1..16; "
                "a continuous reference is None, not 0"
            )


def reference_v(threshold_v: Float[Array, "*s"], spec: ComparatorSpec) -> Float[Array, "*s"]:
    """The reference nearest to ``threshold_v``: a grid of 2^bits levels from -span/2 to span/2, V.

    A threshold outside the span clips to it. Gradient one inside the span and zero outside. A continuous
    reference passes any threshold.
    """
    if spec.reference_bits is None:
        return threshold_v
    half = 0.5 * spec.reference_span_v
    limited = jnp.clip(threshold_v, -half, half)
    step = spec.reference_span_v / (2**spec.reference_bits - 1)
    return straight_through(jnp.round((limited + half) / step) * step - half, limited)


def keep_probability(
    voltage: Float[Array, ""], threshold_v: Real, noise_v: Real, smoothing_v: Real
) -> Float[Array, ""]:
    """P(keep) = Phi((V - theta) / sqrt(noise^2 + smoothing^2)).

    Args:
        voltage: V.
        threshold_v: V.
        noise_v: the comparator's own noise, V.
        smoothing_v: extra width for training, V (its annealed temperature). At least one of the two must be
            positive: with both zero the value is 0, 1 or NaN and the gradient is not defined.
    """
    width = jnp.sqrt(jnp.square(noise_v) + jnp.square(smoothing_v))
    return jax.scipy.stats.norm.cdf((voltage - threshold_v) / width)


def keep(voltage: Float[Array, ""], threshold_v: Real, noise_v: Real = 0.0, noise: Real = 0.0) -> Bool[Array, ""]:
    """The bit itself: V + noise_v * noise > theta, with ``noise`` one standard normal draw a decision."""
    return voltage + noise_v * noise > threshold_v


def keep_straight_through(
    voltage: Float[Array, ""], threshold_v: Real, noise_v: Real, smoothing_v: Real, noise: Real = 0.0
) -> Float[Array, ""]:
    """The value of ``keep`` (0.0 or 1.0) with the gradient of ``keep_probability``."""
    hard = keep(voltage, threshold_v, noise_v, noise).astype(jnp.result_type(voltage))
    return straight_through(hard, keep_probability(voltage, threshold_v, noise_v, smoothing_v))


def keep_hysteresis(
    voltage: Float[Array, "n"],
    threshold_v: Real,
    hysteresis_v: Real,
    noise_v: Real = 0.0,
    noise: Float[Array, "n"] | None = None,
    initial: Bool[Array, ""] | bool = False,
) -> Bool[Array, "n"]:
    """A comparator with memory over a stream of tokens: theta -+ h/2 while its output is 1 / 0.

    Each decision depends on the one before it, so the tokens' order matters; a comparator reset before each
    token is ``keep``.

    Args:
        voltage: the stream, in time order, V.
        threshold_v: V.
        hysteresis_v: full width h of the dead band, V.
        noise_v: RMS noise, V.
        noise: standard normal draws, one a decision.
        initial: the output before the first token.
    """
    noisy = voltage if noise is None else voltage + noise_v * noise

    def step(state, one_v):
        state = one_v > threshold_v + jnp.where(state, -0.5, 0.5) * hysteresis_v
        return state, state

    return jax.lax.scan(step, jnp.asarray(initial), noisy)[1]


def keep_hysteresis_straight_through(
    voltage: Float[Array, "n"],
    threshold_v: Real,
    hysteresis_v: Real,
    noise_v: Real,
    smoothing_v: Real,
    noise: Float[Array, "n"] | None = None,
    initial: Bool[Array, ""] | bool = False,
) -> Float[Array, "n"]:
    """The value of ``keep_hysteresis`` with the gradient of Phi around the threshold in force at each token.

    The memory itself carries no gradient: a token is charged for its own decision only.
    """
    kept = keep_hysteresis(voltage, threshold_v, hysteresis_v, noise_v, noise, initial)
    before = jnp.concatenate([jnp.asarray(initial)[None], kept[:-1]])
    in_force = threshold_v + jnp.where(before, -0.5, 0.5) * hysteresis_v
    soft = keep_probability(voltage, in_force, noise_v, smoothing_v)
    return straight_through(kept.astype(soft.dtype), soft)
