"""Thresholds from counted bits: the reference code, and a trim finer than its step."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from atis_jax.circuits.comparator import reference_v, trim_steps_v
from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.atis.calibration.bench import Measure
from atis_jax.scoring.atis.calibration.converter import comparisons, convert, reference_levels_v
from atis_jax.scoring.atis.calibration.tokens import CalibrationTokens
from atis_jax.scoring.atis.calibration.trim import Calibrated, Trim, trimmed
from atis_jax.scoring.atis.design import Design, threshold_range
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.typing import Key


def threshold_code(
    measure: Measure,
    design: Design,
    trim: Trim,
    tokens: CalibrationTokens,
    spec: ScorerSpec,
    hardware: Hardware,
    key: Key | None,
) -> Calibrated:
    """The reference code at which the chip keeps the wanted share of the known tokens.

    Every token is converted once; the share kept at a code is the share of tokens whose score exceeds it. Of codes that
    come equally near, the middle one. This undoes all that moves a chip's scores alike (offsets of OTAs, op-amp and
    comparator) and, for this one share, a common gain; it does not restore the order of the tokens.

    Args:
        measure: the bench; one layer of one chip in one environment.
        design: what all chips are meant to hold.
        trim: what has been calibrated before; its currents are programmed, its threshold is replaced.
        tokens: known inputs and the wanted share.
        spec: structure of the scorer.
        hardware: gives the reference's levels.
        key: read noise; None for none.

    Returns:
        The trim with its new threshold; n (B + 1) measurements for n tokens and a reference of B bits.
    """
    levels_v = jnp.tile(reference_levels_v(hardware.comparator)[:, None], spec.groups)
    return _nearest_level(measure, design, trim, tokens, spec, hardware, levels_v, key)


def offset_trim(
    measure: Measure,
    design: Design,
    trim: Trim,
    tokens: CalibrationTokens,
    spec: ScorerSpec,
    hardware: Hardware,
    key: Key | None,
) -> Calibrated:
    """The code of the trim DAC at which the chip keeps the wanted share, its reference code as it is.

    The trim DAC adds to the comparator's reference, which is the same as taking from the summing node: what
    ``threshold_code`` leaves below a step of the reference. Arguments as there.

    Returns:
        The trim with its new threshold; n (B + 1) measurements for n tokens and a trim DAC of B bits.

    Raises:
        ValueError: the hardware has no trim DAC, see ``with_trim_dac``.
    """
    if hardware.comparator.trim_bits is None:
        raise ValueError(
            f"hardware {hardware.name!r} has no trim DAC (comparator.trim_bits = None); "
            "make the chip in with_trim_dac(hardware, calibration)"
        )
    threshold_v = threshold_range(hardware).forward(trimmed(design, trim, spec, hardware).threshold)
    coarse_v = reference_v(threshold_v, dataclasses.replace(hardware.comparator, trim_bits=None))
    levels_v = coarse_v + trim_steps_v(hardware.comparator)[:, None]
    return _nearest_level(measure, design, trim, tokens, spec, hardware, levels_v, key)


def _nearest_level(
    measure: Measure,
    design: Design,
    trim: Trim,
    tokens: CalibrationTokens,
    spec: ScorerSpec,
    hardware: Hardware,
    levels_v: Float[Array, "K G"],
    key: Key | None,
) -> Calibrated:
    """The trim whose threshold is the level of nearest kept share."""
    found = convert(measure, trimmed(design, trim, spec, hardware), tokens.inputs, levels_v, key)
    code = jax.vmap(nearest_code, in_axes=(1, None, 0))(found, len(levels_v), tokens.kept_fraction)
    chosen_v = jnp.take_along_axis(levels_v, code[None], axis=0)[0]
    threshold_v = chosen_v - threshold_range(hardware).forward(design.threshold)
    measurements = jnp.asarray(len(tokens.inputs) * comparisons(len(levels_v)), jnp.int32)
    return Calibrated(dataclasses.replace(trim, threshold_v=threshold_v), measurements)


def nearest_code(found: Int[Array, "n"], levels: int, wanted: Float[Array, ""]) -> Int[Array, ""]:
    """The level at which the share of tokens above it is nearest to ``wanted``; the middle one of several.

    Args:
        found: how many levels each token exceeds (``convert``).
        levels: how many there are.
        wanted: share of tokens, 0 to 1.
    """
    count = found.shape[0]
    kept = count - jnp.searchsorted(jnp.sort(found), jnp.arange(levels), side="right")
    distance = jnp.abs(kept - wanted * count)
    first, last = jnp.argmin(distance), levels - 1 - jnp.argmin(distance[::-1])
    return (first + last) // 2
