"""A camera in front: pixels read, converted and moved, all or those of patches kept; and what is sent at the end."""

from __future__ import annotations

from jaxtyping import Array, Float

from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import NetworkShape
from atis_jax.typing import Real

PIXEL_BITS = 8
"""Of a conversion at ``adc_j``."""
PIXEL_BYTES = PIXEL_BITS / 8


def read_j(preset: EnergyPreset, network: NetworkShape) -> float:
    """Reading every pixel as a voltage, whoever scores it, J an example."""
    return preset.pixel_j * network.pixel_values * network.tokens


def conversion_j(preset: EnergyPreset, network: NetworkShape, converted: Float[Array, ""]) -> Float[Array, ""]:
    """The sensor's own analog-to-digital conversions for the share ``converted`` of the patches, J an example."""
    return preset.adc_j * network.pixel_values * network.tokens * converted


def bits_j(preset: EnergyPreset, bits: int) -> Real:
    """One conversion of a pixel to ``bits`` bits, J: adc_j g^(b - 8), straight in log(energy) against bits."""
    return preset.adc_j * preset.adc_growth ** (bits - PIXEL_BITS)


def coarse_j(preset: EnergyPreset, network: NetworkShape, numbers: Real, bits: int) -> Real:
    """Converting ``numbers`` pixels of every patch to few bits, for a score, J an example."""
    return bits_j(preset, bits) * numbers * network.tokens


def held_j(preset: EnergyPreset, supply_v: Real, inputs: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Holding the pixels of a patch until it is scored, J: C V^2 each, charged anew from the supply."""
    return inputs * preset.pixel_hold_f * supply_v**2


def link_j(preset: EnergyPreset, network: NetworkShape, moved: Float[Array, ""]) -> Float[Array, ""]:
    """Moving the share ``moved`` of the patches off the sensor, J an example."""
    return preset.link_j_per_byte * PIXEL_BYTES * network.pixel_values * network.tokens * moved


def uplink_j(preset: EnergyPreset, network: NetworkShape) -> float:
    """Sending the result over the air, whoever made it, J an example."""
    return preset.uplink_j_per_byte * network.sent_bytes
