"""An export read back into a design, so that it can be run like the one it was made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.hardware import Hardware
from atis_jax.export.bundle import Bundle
from atis_jax.export.errors import ExportError
from atis_jax.export.quantities import Achieved, calibrated_layer
from atis_jax.scoring.atis.design import FEEDBACK_OHM, LARGEST_BIAS_A, Design, threshold_range
from atis_jax.scoring.atis.prototype import raw_from_weights

EDGE = 1e-6
"""Share of a range that a quantity stays away from its ends, where the inverse of its map is infinite."""
HEADROOM = 1.05
"""The largest bias of an imported layer, over its largest current."""


def imported_design(bundle: Bundle, found: Mapping[int, Achieved], hardware: Hardware) -> Design:
    """The bundle's design with the currents, resistors and thresholds that an export holds; leaves (L, ...).

    Projection, input gain and converters are digital or in front of the export, and stay the bundle's.

    Args:
        bundle: the design that was exported.
        found: what was read back, by layer from 0; others stay as they are.
        hardware: it will run on; gives the range of thresholds.

    Raises:
        ExportError: a current, a resistor or a threshold is beyond what a design can hold.
    """
    layers = [
        _layer(calibrated_layer(bundle, layer), found[layer], hardware, layer)
        if layer in found
        else calibrated_layer(bundle, layer)
        for layer in range(bundle.layers)
    ]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)


def _layer(design: Design, found: Achieved, hardware: Hardware, layer: int) -> Design:
    largest = float(np.max(np.abs(found.signed_current_a)))
    if not 0 < largest <= LARGEST_BIAS_A.high * (1 + 1e-5):
        raise ExportError(
            f"layer {layer + 1}: the largest bias current read back is {largest:g} A; a design holds more than zero "
            f"and at most {LARGEST_BIAS_A.high:g} A"
        )
    span = threshold_range(hardware)
    for name, values, low, high in (
        ("feedback, ohm", found.feedback_ohm, FEEDBACK_OHM.low, FEEDBACK_OHM.high),
        ("threshold, V", found.threshold_v, span.low * (1 + EDGE), span.high * (1 + EDGE)),
    ):
        if np.any(values < low) or np.any(values > high):
            raise ExportError(f"layer {layer + 1}: {name} = {values.tolist()} read back is outside {low:g} to {high:g}")
    bound = np.clip(HEADROOM * largest, LARGEST_BIAS_A.low * (1 + EDGE), LARGEST_BIAS_A.high * (1 - EDGE))
    weights = np.clip(found.signed_current_a / bound, -1 + EDGE, 1 - EDGE)
    margin = EDGE * (span.high - span.low)
    return dataclasses.replace(
        design,
        prototype=raw_from_weights(jnp.asarray(weights, jnp.float32)),
        bias_scale=jnp.asarray(LARGEST_BIAS_A.inverse(float(bound)), jnp.float32),
        feedback=jnp.asarray(FEEDBACK_OHM.inverse(jnp.asarray(found.feedback_ohm)), jnp.float32),
        threshold=jnp.asarray(
            span.inverse(jnp.clip(jnp.asarray(found.threshold_v), span.low + margin, span.high - margin)), jnp.float32
        ),
    )
