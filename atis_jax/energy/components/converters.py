"""Input converters: joules and seconds to bring one token's N numbers to the array as voltages."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax.energy.front_end import FrontEnd
from atis_jax.energy.presets import EnergyPreset
from atis_jax.typing import Real
from atis_jax.validation import SettingError, choose

SAR_BITS = 8
"""Of the published converter behind ``sar_8b``."""


def conversion_j(preset: EnergyPreset, front_end: FrontEnd, bits: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """One conversion of ``bits`` bits, J, without the array's line behind it (``array.line_j``).

    per_bit: b e, linear in the bits (the paper's 1 pJ, or a published converter divided by its bits).
    capacitive: C_T V^2 / 6 with C_T = 2^b C_unit, the mean over codes of a binary-weighted capacitor array charged
    from reset to the supply V (derived). fabric: the same with the larger units of a routing fabric, whose
    line is part of C_T and not charged again. sar_8b: a published 8 bit converter, the same at fewer bits, with the
    bits beyond left unused. none: the signal is analog to begin with.

    Raises:
        SettingError: ``sar_8b`` with more than 8 bits, or a converter without a law.
    """
    return choose(_CONVERSION_J, front_end.dac, "front_end.dac")(preset, front_end, jnp.asarray(bits))


def _sar_j(preset: EnergyPreset, front_end: FrontEnd, bits: Float[Array, "*s"]) -> Float[Array, "*s"]:
    if not isinstance(bits, jax.core.Tracer) and np.any(np.asarray(bits) > SAR_BITS):
        raise SettingError(
            f"scorer.dac_bits = {bits} with front_end.dac = 'sar_8b', which is a published converter of {SAR_BITS} "
            f"bits; give at most {SAR_BITS} bits, or another dac"
        )
    return jnp.full_like(bits, SAR_BITS * preset.dac_j_per_bit)


def _capacitors_j(unit_f: Real, front_end: FrontEnd, bits: Float[Array, "*s"]) -> Float[Array, "*s"]:
    return 2.0**bits * unit_f * front_end.supply_v**2 / 6.0


_CONVERSION_J: dict[str, Callable[[EnergyPreset, FrontEnd, Float[Array, "*s"]], Float[Array, "*s"]]] = {
    "per_bit": lambda preset, front_end, bits: bits * preset.dac_j_per_bit,
    "capacitive": lambda preset, front_end, bits: _capacitors_j(preset.dac_unit_f, front_end, bits),
    "fabric": lambda preset, front_end, bits: _capacitors_j(preset.fabric_unit_f, front_end, bits),
    "sar_8b": _sar_j,
    "none": lambda preset, front_end, bits: jnp.zeros_like(bits),
}


def token_j(
    preset: EnergyPreset, front_end: FrontEnd, inputs: Float[Array, "*s"], bits: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """All N inputs of one token, J: N conversions whoever makes them, held for all prototypes.

    Fewer converters that take turns make as many conversions; each input then also charges a hold capacitor,
    C_hold V dV.
    """
    converted = inputs * conversion_j(preset, front_end, bits)
    if front_end.converters is None or front_end.dac == "none":
        return converted
    return converted + inputs * preset.hold_f * front_end.supply_v * front_end.full_scale_v


def token_time_s(front_end: FrontEnd, inputs: Float[Array, "*s"], conversion_s: float) -> Float[Array, "*s"]:
    """Seconds until the last input stands: one conversion, or as many turns as the converters need."""
    if front_end.dac == "none":
        return jnp.zeros_like(jnp.asarray(inputs))
    if front_end.converters is None:
        return jnp.full_like(jnp.asarray(inputs), conversion_s)
    return jnp.ceil(inputs / front_end.converters) * conversion_s
