"""The imperfections that a noise sweep scales, by name, and how large each is on a design."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax.circuits.array import shot_noise_a2
from atis_jax.circuits.dac import sampling_noise_v2
from atis_jax.circuits.hardware import Hardware, field, with_fields
from atis_jax.circuits.ota import effective_kappa, transfer_and_slope
from atis_jax.circuits.tia import noise_bandwidth_hz, thermal_noise_v2
from atis_jax.typing import Real
from atis_jax.units import thermal_voltage_v

_SPREADS: dict[str, tuple[str, ...]] = {
    "programming": ("floating_gate.error_sigma",),
    "offset": ("ota.offset_sigma_v",),
    "kappa": ("ota.kappa_sigma", "ota.kappa_chip_sigma"),
    "current": ("ota.log_current_sigma",),
    "additive": ("ota.additive_sigma",),
    "dac": ("dac.unit_sigma",),
    "comparator_offset": ("comparator.offset_sigma_v",),
    "comparator_noise": ("comparator.noise_v",),
    "tia_gain": ("tia.gain_sigma",),
    "tia_offset": ("tia.offset_sigma_v",),
    "drift": (
        "ota.offset_drift_sigma_v_per_k",
        "tia.offset_drift_sigma_v_per_k",
        "comparator.offset_drift_sigma_v_per_k",
    ),
    "lot": ("ota.offset_lot_sigma_v", "ota.kappa_lot_sigma"),
}
"""Standard deviations that a factor multiplies. ``read_noise``, a variance set by two other fields, is the last."""

IMPERFECTIONS = (*_SPREADS, "read_noise")
"""Names, in the order of a vector of factors.

programming: error of a floating gate's current. offset: of the OTAs' inputs. kappa: from OTA to OTA and from chip to
chip. current: left by fabrication in ln I_b. additive: output current of an OTA at balance. dac: mismatch of unit
elements, which is INL. comparator_offset, comparator_noise: of the decision. tia_gain: of R_f. tia_offset: of its
op-amp. drift: of the offsets of OTAs, op-amp and comparator with temperature. lot: offset and kappa that the chips of
a lot have in common. read_noise: shot and thermal noise at the TIA, kT/C of the converters. What is not random (finite
resolution, systematic offset, rails, output conductance, hysteresis) is none of them.
"""


def scale_imperfections(hardware: Hardware, factors: Float[Array, "K"] | Mapping[str, Real]) -> Hardware:
    """``hardware`` with each named imperfection s times as large, in RMS.

    Standard deviations are multiplied by s. Read noise: ``tia.bandwidth_hz`` is multiplied by s^2 and
    ``dac.unit_capacitance_f`` divided by it, so that every variance, 4 q I B, 4 k T R B and kT/C, grows by s^2. At
    s = 1 every number is the same to the bit; with all factors zero ``sample_chip`` draws the ``nominal_chip`` and a
    read is free of noise.

    Traced factors may be vmapped over; they are not checked.

    Args:
        hardware: the design.
        factors: (K,) one for each of ``IMPERFECTIONS`` in their order, or a mapping from some of them to factors.
            At least zero and finite.

    Raises:
        ValueError: an unknown name, another number of factors, or a factor out of bounds; or the scaled field leaves
            the bounds of ``check_hardware``.
    """
    values: dict[str, Any] = {}
    for name, factor in _by_name(factors).items():
        if name == "read_noise":
            values |= _scaled_read_noise(hardware, factor)
        else:
            values |= {path: field(hardware, path) * factor for path in _SPREADS[name]}
    return with_fields(hardware, values)


def _by_name(factors: Any) -> dict[str, Any]:
    """Factor by name; concrete numbers as Python floats, which promote nothing."""
    if not isinstance(factors, Mapping):
        shape = np.shape(factors)
        if shape != (len(IMPERFECTIONS),):
            raise ValueError(
                f"factors has shape {shape}; give ({len(IMPERFECTIONS)},), one for each of {', '.join(IMPERFECTIONS)}, "
                "or a mapping from names to factors"
            )
        factors = dict(zip(IMPERFECTIONS, factors, strict=True))
    checked = {}
    for name, factor in factors.items():
        if name not in IMPERFECTIONS:
            near = difflib.get_close_matches(str(name), IMPERFECTIONS, 1, 0.0)[0]
            raise ValueError(
                f"factors[{name!r}] = {factor} scales no imperfection; they are {', '.join(IMPERFECTIONS)}. "
                f"The nearest is {near!r}"
            )
        if not isinstance(factor, jax.core.Tracer):
            if not np.all((np.asarray(factor) >= 0) & np.isfinite(factor)):
                raise ValueError(f"factors[{name!r}] = {factor} must be zero or more, and finite")
            factor = float(factor) if np.ndim(factor) == 0 else factor
        checked[name] = factor
    return checked


def _scaled_read_noise(hardware: Hardware, factor: Any) -> dict[str, Any]:
    """Bandwidth and unit capacitance for ``factor`` times the RMS noise; at zero no bandwidth, infinite capacitance."""
    square, capacitance_f = factor * factor, hardware.dac.unit_capacitance_f
    if isinstance(square, float):
        scaled: Any = capacitance_f / square if square > 0 else math.inf
    else:
        noisy = square > 0
        # The gradient of the branch not taken must be finite too.
        scaled = jnp.where(noisy, capacitance_f / jnp.where(noisy, square, 1.0), jnp.inf)
    return {"tia.bandwidth_hz": hardware.tia.bandwidth_hz * square, "dac.unit_capacitance_f": scaled}


def magnitudes(hardware: Hardware) -> dict[str, tuple[float, str]]:
    """How large each imperfection is at factor 1: name -> (RMS value, unit); zero where the design has none.

    kappa: OTA and chip spreads together, sqrt(a^2 + b^2). dac: INL at the middle code, ``dac_inl_sigma_lsb``.
    drift: of an OTA's offset. lot: of the offset; its kappa is ``ota.kappa_lot_sigma``.
    read_noise: V at the TIA, for zero input on a full array of equal weights, ``full_array_noise_v``. Others: the
    field itself.

    Args:
        hardware: concrete, not traced.
    """
    units = {
        "programming": "of I_b",
        "offset": "V",
        "kappa": "of kappa",
        "current": "of I_b",
        "additive": "of I_b",
        "comparator_offset": "V",
        "comparator_noise": "V",
        "tia_gain": "of R_f",
        "tia_offset": "V",
        "drift": "V/K",
        "lot": "V",
    }
    paths = _SPREADS | {name: _SPREADS[name][:1] for name in ("drift", "lot")}  # of several units or devices, the OTA's
    found = {name: (math.hypot(*(float(field(hardware, p)) for p in paths[name])), units[name]) for name in units}
    found["dac"] = (dac_inl_sigma_lsb(hardware), "LSB")
    found["read_noise"] = (full_array_noise_v(hardware), "V")
    return {name: found[name] for name in IMPERFECTIONS}


def dac_inl_sigma_lsb(hardware: Hardware) -> float:
    """Spread of the integral nonlinearity at code c = 2^(B-1), where it is largest: sigma_u sqrt(c (M - c) / M), LSB.

    M = 2^B - 1 unit elements; the two end codes are exact (``dac.bit_weights``), so the error of c elements is that
    of their sum less its share c/M of the total. First order in sigma_u; derived. Zero for a continuous converter.
    """
    if hardware.dac.resolution is None:
        return 0.0
    bits = int(hardware.dac.resolution)
    units, code = 2**bits - 1, 2 ** (bits - 1)
    return float(hardware.dac.unit_sigma) * math.sqrt(code * (units - code) / units)


def full_array_noise_v(hardware: Hardware) -> float:
    """RMS noise of one read at the TIA, V: shot noise, R_f's thermal noise, and kT/C through every OTA.

    For a stated load, since noise depends on what is programmed: ``max_inputs`` OTAs at ``max_current_a`` each
    (``kappa_current_a`` where that is infinite), zero input, R_f = swing / sum I_b (1 V where there are no rails),
    nominal temperature and no loading by output conductance.
    """
    ota, tia, gate = hardware.ota, hardware.tia, hardware.floating_gate
    temperature_k = hardware.thermal.nominal_temperature_k
    current_a: Any = gate.max_current_a if math.isfinite(gate.max_current_a) else ota.kappa_current_a
    swing_v = tia.swing_v if math.isfinite(tia.swing_v) else 1.0
    inputs = hardware.max_inputs
    feedback_ohm: Any = swing_v / (inputs * current_a)
    decades = math.log10(current_a / ota.kappa_current_a)
    kappa: Any = effective_kappa(ota.law, ota.kappa + ota.kappa_per_decade * decades, ota.attenuation)  # type: ignore
    _, slope = transfer_and_slope(ota.law, jnp.zeros(()), current_a / ota.specific_current_a)
    each_v_per_v = swing_v / inputs * float(slope) * kappa / (2.0 * float(thermal_voltage_v(temperature_k)))
    shot_v2 = feedback_ohm**2 * inputs * float(shot_noise_a2(current_a, noise_bandwidth_hz(tia.bandwidth_hz)))
    return math.sqrt(
        tia.shot_noise_factor * shot_v2
        + float(thermal_noise_v2(feedback_ohm, temperature_k, tia.bandwidth_hz))
        + inputs * each_v_per_v**2 * float(sampling_noise_v2(hardware.dac, temperature_k))
    )
