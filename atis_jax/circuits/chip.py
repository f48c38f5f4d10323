"""One fabricated chip, drawn from one key, and the environment it works in."""

from __future__ import annotations

import math
import zlib

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.numerics import pytree, static
from atis_jax.typing import Key, Real


@pytree
class ArrayGeometry:
    """How many OTAs, for how many scores.

    Attributes:
        inputs: N, OTAs in one array. Static.
        prototypes: G, scores a token. Static.
        shared: one physical array reprogrammed for each prototype in turn (time-multiplexed): the DACs, OTAs,
            TIA and comparator are common, the error of programming is not. Otherwise G arrays behind one set
            of DACs. Static.
    """

    inputs: int = static()
    prototypes: int = static(default=1)
    shared: bool = static(default=False)


@pytree
class Chip:
    """Everything fixed at fabrication and programming for one layer's scorer.

    All zero is the design itself. Errors in ln are relative to the design, so that a gradient still reaches
    the design's own kappa and currents.

    Attributes:
        dac_element_error: error of the elements of each bit, in unit elements (``dac.bit_weights``).
        log_current_error: of fabrication, ln(I_b / wanted), correlated with ``log_kappa_error``.
        log_program_error: of programming, ln(I_b / wanted), independent.
        log_kappa_error: ln(kappa / design).
        offset_v: V_os at the nominal temperature, V, correlated with ``additive``.
        additive: a, fraction of I_b.
        tia_log_gain_error: ln(R_f / wanted).
        tia_offset_v: of the op-amp, V.
        comparator_offset_v: V.
        offset_drift_v_per_k: change of ``offset_v`` with temperature, V/K.
        tia_offset_drift_v_per_k: of ``tia_offset_v``, V/K.
        comparator_offset_drift_v_per_k: of ``comparator_offset_v``, V/K.
    """

    dac_element_error: Float[Array, "n bits"]
    log_current_error: Float[Array, "g n"]
    log_program_error: Float[Array, "g n"]
    log_kappa_error: Float[Array, "g n"]
    offset_v: Float[Array, "g n"]
    additive: Float[Array, "g n"]
    tia_log_gain_error: Float[Array, "g"]
    tia_offset_v: Float[Array, "g"]
    comparator_offset_v: Float[Array, "g"]
    offset_drift_v_per_k: Float[Array, "g n"]
    tia_offset_drift_v_per_k: Float[Array, "g"]
    comparator_offset_drift_v_per_k: Float[Array, "g"]


@pytree
class Environment:
    """Where the chip is used.

    Attributes:
        temperature_k: K.
        supply_v: V. It moves the TIA's rails in proportion, and the OTAs as ``ota.systematic`` says.
    """

    temperature_k: Real
    supply_v: Real


def nominal_environment(hardware: Hardware) -> Environment:
    """The temperature and supply at which the design is stated."""
    return Environment(temperature_k=hardware.thermal.nominal_temperature_k, supply_v=hardware.supply_v)


def check_geometry(hardware: Hardware, geometry: ArrayGeometry) -> None:
    """Raise ValueError unless the array exists on this hardware."""
    if not 1 <= geometry.inputs <= hardware.max_inputs:
        raise ValueError(
            f"array inputs = {geometry.inputs} is outside 1..{hardware.max_inputs}, the size of an array on "
            f"hardware {hardware.name!r}; project to fewer inputs or choose a larger preset"
        )
    if geometry.prototypes < 1:
        raise ValueError(f"array prototypes = {geometry.prototypes} must be 1 or more")


def nominal_chip(hardware: Hardware, geometry: ArrayGeometry) -> Chip:
    """The chip without any error.

    Raises:
        ValueError: more inputs than the hardware has.
    """
    check_geometry(hardware, geometry)
    each, one = jnp.zeros((geometry.prototypes, geometry.inputs)), jnp.zeros(geometry.prototypes)
    return Chip(
        dac_element_error=jnp.zeros((geometry.inputs, hardware.dac.bits or 0)),
        log_current_error=each,
        log_program_error=each,
        log_kappa_error=each,
        offset_v=each,
        additive=each,
        tia_log_gain_error=one,
        tia_offset_v=one,
        comparator_offset_v=one,
        offset_drift_v_per_k=each,
        tia_offset_drift_v_per_k=one,
        comparator_offset_drift_v_per_k=one,
    )


_DRAWN = (
    "dac_element_error",
    "log_current_error",
    "log_program_error",
    "log_kappa_error",
    "log_kappa_chip_error",
    "offset_v",
    "additive",
    "tia_log_gain_error",
    "tia_offset_v",
    "comparator_offset_v",
    "offset_drift_v_per_k",
    "tia_offset_drift_v_per_k",
    "comparator_offset_drift_v_per_k",
)
"""What is drawn at fabrication, each from the stream of its name."""
_LOT_DRAWN = ("offset_lot_v", "log_kappa_lot_error")
"""What is drawn once a lot."""


def sample_chip(key: Key, hardware: Hardware, geometry: ArrayGeometry, lot: Key | None = None) -> Chip:
    """Draw a chip. The same key gives the same chip, and each quantity has its own stream.

    Every draw is a standard normal from ``fold_in(key, crc32(field))`` times the design's spread, so that
    scaling one spread, or changing the DAC's bits, leaves every other draw as it was. Within one OTA (ln I_b,
    ln kappa) and (V_os, a) are correlated as the hardware says; between OTAs all is independent but the
    kappa of the chip and what a lot has in common.

    Args:
        key: typed key.
        hardware: the design.
        geometry: the array.
        lot: typed key of the lot: chips of one lot share the offset and the kappa that its process makes. Without it
            each chip is its own lot.

    Raises:
        ValueError: more inputs than the hardware has.
    """
    check_geometry(hardware, geometry)
    ota = hardware.ota
    scores, inputs, bits = geometry.prototypes, geometry.inputs, hardware.dac.bits or 0
    arrays = 1 if geometry.shared else scores

    # One table of draws for all fields, a row a field: one random generator to compile instead of ten. Element i of
    # a row depends on its key and i alone, so a row read to any length is the same draw.
    longest = max(scores * inputs, inputs * bits)
    names = (*_DRAWN, *_LOT_DRAWN)
    keys = jnp.concatenate([_streams(key, _DRAWN), _streams(key if lot is None else lot, _LOT_DRAWN)])
    rows = jax.vmap(lambda stream: jax.random.normal(stream, (longest,)))(keys)

    def normal(name: str, *shape: int) -> Array:
        return rows[names.index(name), : math.prod(shape)].reshape(shape)

    def physical(name: str, *shape: int) -> Array:
        return jnp.broadcast_to(normal(name, arrays, *shape), (scores, *shape))

    current, kappa = physical("log_current_error", inputs), physical("log_kappa_error", inputs)
    offset, additive = physical("offset_v", inputs), physical("additive", inputs)
    return Chip(
        dac_element_error=hardware.dac.unit_sigma
        * jnp.sqrt(2.0 ** jnp.arange(bits))
        * normal("dac_element_error", inputs, bits),
        log_current_error=ota.log_current_sigma * current,
        log_program_error=hardware.floating_gate.error_sigma * normal("log_program_error", scores, inputs),
        log_kappa_error=ota.kappa_sigma * _correlate(current, kappa, ota.log_current_kappa_correlation)
        + ota.kappa_chip_sigma * normal("log_kappa_chip_error")
        + ota.kappa_lot_sigma * normal("log_kappa_lot_error"),
        offset_v=ota.offset_sigma_v * offset + ota.offset_lot_sigma_v * normal("offset_lot_v"),
        additive=ota.additive_sigma * _correlate(offset, additive, ota.offset_additive_correlation),
        tia_log_gain_error=hardware.tia.gain_sigma * physical("tia_log_gain_error"),
        tia_offset_v=hardware.tia.offset_sigma_v * physical("tia_offset_v"),
        comparator_offset_v=hardware.comparator.offset_sigma_v * physical("comparator_offset_v"),
        offset_drift_v_per_k=ota.offset_drift_sigma_v_per_k * physical("offset_drift_v_per_k", inputs),
        tia_offset_drift_v_per_k=hardware.tia.offset_drift_sigma_v_per_k * physical("tia_offset_drift_v_per_k"),
        comparator_offset_drift_v_per_k=hardware.comparator.offset_drift_sigma_v_per_k
        * physical("comparator_offset_drift_v_per_k"),
    )


def _streams(key: Key, names: tuple[str, ...]) -> Key:
    """A key for each name."""
    return jax.vmap(jax.random.fold_in, (None, 0))(
        key, jnp.asarray([zlib.crc32(name.encode()) for name in names], jnp.uint32)
    )


def _correlate(first: Array, independent: Array, correlation: Real) -> Array:
    """A standard normal with the given correlation to ``first``, made from an independent one."""
    return correlation * first + jnp.sqrt(1.0 - jnp.square(correlation)) * independent
