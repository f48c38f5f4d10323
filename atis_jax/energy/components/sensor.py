"""A camera in front: pixels read, converted and moved, all or those of patches kept; and what is sent at the end."""

from __future__ import annotations

from jaxtyping import Array, Float

from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import NetworkShape

PIXEL_BYTES = 1.0
"""Pixels are converted to 8 bits."""


def read_j(preset: EnergyPreset, network: NetworkShape) -> float:
    """Reading every pixel as a voltage, whoever scores it, J an example."""
    return preset.pixel_j * network.pixel_values * network.tokens


def conversion_j(preset: EnergyPreset, network: NetworkShape, converted: Float[Array, ""]) -> Float[Array, ""]:
    """The sensor's own analog-to-digital conversions for the share ``converted`` of the patches, J an example."""
    return preset.adc_j * network.pixel_values * network.tokens * converted


def link_j(preset: EnergyPreset, network: NetworkShape, moved: Float[Array, ""]) -> Float[Array, ""]:
    """Moving the share ``moved`` of the patches off the sensor, J an example."""
    return preset.link_j_per_byte * PIXEL_BYTES * network.pixel_values * network.tokens * moved


def uplink_j(preset: EnergyPreset, network: NetworkShape) -> float:
    """Sending the result over the air, whoever made it, J an example."""
    return preset.uplink_j_per_byte * network.sent_bytes
