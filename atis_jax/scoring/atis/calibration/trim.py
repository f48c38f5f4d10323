"""What calibration may change of one chip: its thresholds and its programmed currents."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from atis_jax.circuits.hardware import Hardware
from atis_jax.numerics import pytree
from atis_jax.scoring.atis.design import Design, threshold_range
from atis_jax.scoring.atis.prototype import MAX_WEIGHT, raw_from_weights, trained_weights
from atis_jax.scoring.atis.spec import ScorerSpec

EDGE = 1e-6
"""Share of a range that a trimmed quantity stays away from its ends, where the inverse of its map is infinite."""
LARGEST_LOG_CURRENT = 20.0
"""Beyond the eight decades that any current spans; a larger trim means off or full scale already."""


@pytree
class Trim:
    """What is added to one layer's design for one chip (leading axes of layers and chips when stacked).

    Attributes:
        threshold_v: (G,) added to the wanted threshold before the reference's resolution, V.
        log_current: (G, N) added to ln of the wanted currents before the programming grid.
    """

    threshold_v: Float[Array, "G"]
    log_current: Float[Array, "G N"]


@pytree
class Calibrated:
    """What a calibration found, and what it cost.

    Attributes:
        trim: to be programmed, see ``trimmed``.
        measurements: array reads with one decision of every comparator, each of one token time.
    """

    trim: Trim
    measurements: Int[Array, ""]


def no_trim(spec: ScorerSpec) -> Trim:
    """A chip left as it is."""
    return Trim(jnp.zeros(spec.groups), jnp.zeros((spec.groups, spec.inputs)))


def trimmed(design: Design, trim: Trim, spec: ScorerSpec, hardware: Hardware) -> Design:
    """The design that a calibrated chip is programmed from; one layer, ``vmap`` over layers and chips.

    theta <- theta + threshold_v, I <- I exp(log_current), each kept inside its range: the span of the reference
    (``threshold_range``) and the design's largest current (a weight of ``MAX_WEIGHT``), whatever the trim asks. Where a
    trim is zero the design's number is handed on to the bit. An OTA that is off stays off. The currents of an ``ema``
    prototype come from the query, not from the design: ``log_current`` has no effect there.

    Args:
        design: what all chips are meant to hold.
        trim: what calibration found for this one.
        spec: structure of the scorer.
        hardware: gives the reference's span.
    """
    span = threshold_range(hardware)
    margin = EDGE * (span.high - span.low)
    wanted_v = span.forward(design.threshold) + trim.threshold_v
    threshold = span.inverse(jnp.clip(wanted_v, span.low + margin, span.high - margin))
    threshold = jnp.where(trim.threshold_v == 0, design.threshold, threshold)
    if spec.prototype == "ema":
        return dataclasses.replace(design, threshold=threshold)
    largest = MAX_WEIGHT * (1.0 - EDGE)
    factor = jnp.exp(jnp.clip(trim.log_current, -LARGEST_LOG_CURRENT, LARGEST_LOG_CURRENT))
    weights = jnp.clip(trained_weights(design.prototype) * factor, -largest, largest)
    prototype = jnp.where(trim.log_current == 0, design.prototype, raw_from_weights(weights))
    return dataclasses.replace(design, threshold=threshold, prototype=prototype)
