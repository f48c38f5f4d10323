"""Comparator and reference DAC together are a successive-approximation converter for the score."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from atis_jax.circuits.comparator import ComparatorSpec
from atis_jax.scoring.atis.calibration.bench import Measure
from atis_jax.scoring.atis.design import Design
from atis_jax.typing import Key

CONTINUOUS_BITS = 12
"""Resolution at which a reference without one is stepped."""


def reference_levels_v(comparator: ComparatorSpec) -> Float[Array, "K"]:
    """Every voltage of the reference DAC, ascending, V; a continuous one in 2^``CONTINUOUS_BITS`` steps."""
    half = 0.5 * comparator.reference_span_v
    return jnp.linspace(-half, half, 2 ** (comparator.reference_bits or CONTINUOUS_BITS))


def comparisons(levels: int) -> int:
    """Reads that one conversion takes: enough bits for the outcomes 0..levels."""
    return levels.bit_length()


def convert(
    measure: Measure,
    design: Design,
    inputs: Float[Array, "n N"],
    levels_v: Float[Array, "K G"],
    key: Key | None,
) -> Int[Array, "n G"]:
    """How many of the levels each input's score exceeds, 0 to K, by successive approximation.

    Every comparison is a new read with new noise; ``comparisons(K)`` of them make a conversion. Without noise the
    count is exact.

    Args:
        measure: the bench.
        design: what the chip is programmed from.
        inputs: array inputs, one conversion each.
        levels_v: ascending reference voltages of each comparator, V.
        key: read noise; None for none.
    """
    count, groups = levels_v.shape
    steps = comparisons(count)
    weights = jnp.asarray([2**bit for bit in reversed(range(steps))])
    column = jnp.arange(groups)

    def compare(found, step):
        weight, number = step
        # Not split outside and scanned over: batching such keys twice moves their axes, which counts as reuse.
        step_key = None if key is None else jax.random.fold_in(key, number)
        asked = found + weight
        within = asked <= count
        exceeds = measure(design, inputs, levels_v[jnp.where(within, asked, count) - 1, column], step_key)
        return jnp.where(exceeds & within, asked, found), None

    start = jnp.zeros((inputs.shape[0], groups), weights.dtype)
    return jax.lax.scan(compare, start, (weights, jnp.arange(steps)))[0]


def voltage_of(found: Int[Array, "*s"], levels_v: Float[Array, "K"]) -> Float[Array, "*s"]:
    """The score that a count stands for: midway between the level exceeded and the next, or the end level, V."""
    middle_v = 0.5 * (levels_v[1:] + levels_v[:-1])
    return jnp.concatenate([levels_v[:1], middle_v, levels_v[-1:]])[found]
