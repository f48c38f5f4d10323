"""Effective number of bits of a measured quantity, against what it should be."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

CENTRAL = 0.99
"""Share of the values that the range spans: a single outlying token would add a tenth of a bit."""
MOST = 24.0
"""Bits of float32: no agreement is told beyond."""


class EffectiveBits(NamedTuple):
    """ENOB = log2(range / (sqrt(12) error)): that of a b-bit quantiser over the range is b.

    IEEE Std 1241-2010, with the range that ``CENTRAL`` of the wanted values span in the place of the full scale and
    their own distribution in that of a sine.

    Attributes:
        fitted: error about the best straight line through the measured values, referred to the wanted ones: gain and
            offset do not count (the standard's definition). Zero where the line does not rise.
        raw: error as it is.
    """

    fitted: Float[Array, ""]
    raw: Float[Array, ""]


def effective_bits(wanted: Float[Array, "n"], measured: Float[Array, "n"]) -> EffectiveBits:
    """ENOB of ``measured`` against ``wanted``, between 0 and ``MOST``; 0 if the wanted values have no range.

    Args:
        wanted: values without error.
        measured: the same values measured, in the same unit.
    """
    tail = (1.0 - CENTRAL) / 2.0
    low, high = jnp.quantile(wanted, jnp.asarray([tail, 1.0 - tail]))
    span = high - low

    def bits(error: Float[Array, "n"], exists) -> Float[Array, ""]:
        rms = jnp.sqrt(jnp.mean(error * error))
        found = jnp.log2(span) - jnp.log2(jnp.sqrt(12.0) * rms)
        return jnp.where(exists & (span > 0), jnp.clip(found, 0.0, MOST), 0.0)

    centred = wanted - jnp.mean(wanted)
    power = jnp.sum(centred * centred)
    gain = jnp.sum(centred * measured) / jnp.where(power > 0, power, 1.0)
    rises = gain > 0
    left = (measured - jnp.mean(measured)) / jnp.where(rises, gain, 1.0) - centred
    return EffectiveBits(fitted=bits(left, rises), raw=bits(measured - wanted, True))
