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
        trim_bits: resolution of a second, finer DAC that adds to the reference, or None for no such DAC. Static.
        trim_span_v: its range, V: 2^trim_bits steps, about as many below zero as above.
        offset_drift_sigma_v_per_k: spread of the change of the input offset with temperature, V/K.
    """

    reference_bits: int | None = static()
    reference_span_v: Real
    offset_sigma_v: Real
    noise_v: Real
    hysteresis_fraction: Real
    trim_bits: int | None = static(default=None)
    trim_span_v: Real = 0.0
    offset_drift_sigma_v_per_k: Real = 0.0

    def __post_init__(self):
        if self.reference_bits is not None and not 1 <= self.reference_bits <= 16:
            raise ValueError(
                f"comparator.reference_bits = {self.reference_bits} is outside 1..16; "
                "a continuous reference is None, not 0"
            )
        if self.trim_bits is not None and not 1 <= self.trim_bits <= 16:
            raise ValueError(
                f"comparator.trim_bits = {self.trim_bits} is outside 1..16; a comparator without trim is None, not 0"
            )


def reference_v(threshold_v: Float[Array, "*s"], spec: ComparatorSpec) -> Float[Array, "*s"]:
    """The reference nearest to ``threshold_v``: a grid of 2^bits levels from -span/2 to span/2, V.

    A trim DAC adds the multiple of its step trim_span / 2^trim_bits, from -trim_span/2 to one step below
    trim_span/2, that comes nearest to what the grid leaves. A threshold outside the span clips to it. Gradient
    one inside the span and zero outside. A continuous reference passes any threshold.
    """
    if spec.reference_bits is None:
        return threshold_v
    half = 0.5 * spec.reference_span_v
    limited = jnp.clip(threshold_v, -half, half)
    step = spec.reference_span_v / (2**spec.reference_bits - 1)
    level = jnp.round((limited + half) / step) * step - half
    return straight_through(level + _trim_v(limited - level, spec), limited)


def trim_steps_v(spec: ComparatorSpec) -> Float[Array, "codes"]:
    """What each code of the trim DAC adds to the reference, ascending, V; a single zero without one."""
    if spec.trim_bits is None:
        return jnp.zeros(1)
    codes = 2**spec.trim_bits
    return (jnp.arange(codes) - codes // 2) * (spec.trim_span_v / codes)


def _trim_v(left_v: Float[Array, "*s"], spec: ComparatorSpec) -> Float[Array, "*s"]:
    """The trim DAC's output nearest to ``left_v``, V; zero without one."""
    if spec.trim_bits is None:
        return jnp.zeros_like(left_v)
    codes = 2**spec.trim_bits
    # A span of zero, as of a sweep's first point, must not divide.
    step = jnp.where(jnp.asarray(spec.trim_span_v) > 0, spec.trim_span_v, 1.0) / codes
    code = jnp.clip(jnp.round(left_v / step), -(codes // 2), codes // 2 - 1)
    return jnp.where(jnp.asarray(spec.trim_span_v) > 0, code * step, 0.0)


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
