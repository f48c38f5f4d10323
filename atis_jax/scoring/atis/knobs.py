"""Hardware that co-design may choose: which array inputs are built, and the converters' bits and full scale.

Each is a leaf of the ``Design`` that is there only if the spec asks for it; where it does not, the hardware's own
number holds. A whole number goes straight through: the network sees what would be built, the gradient is that of its
relaxation (Bengio et al. 2013, arXiv 1308.3432). All functions take one layer's design; ``vmap`` them over layers.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.numerics import Bounded, straight_through
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.typing import Real

KNOBS = ("input_gate", "dac_bits", "full_scale")
"""The leaves of a design that this module reads."""
FULL_SCALE_V = Bounded(0.02, 0.3, log=True)
"""Full scale of the converters, V: from a quarter of the OTA's linear range (72 mV) to four times it."""
GATE_START = (0.55, 0.85)
"""Where the relaxed gates start, from the input that contributes least to the one that contributes most: on, all of
them, and apart. Adam moves what the energy alone drives at one speed; inputs that started level would all close within
the same few steps, before the fewer that are left could show what they are needed for."""


def input_gates(design: Design, spec: ScorerSpec) -> Float[Array, "N"] | None:
    """1 for an input that is built, 0 for one that is not; None where every input is (``spec.input_gates`` False).

    On where raw > 0, and the input of the largest raw whatever it is: an array without inputs scores nothing. The
    gradient is that of sigmoid(raw).

    Raises:
        ValueError: the spec asks for gates and the design has none.
    """
    if not spec.input_gates:
        return None
    raw = _leaf(design, "input_gate", "input_gates")
    on = (raw > 0) | (jnp.arange(raw.shape[-1]) == jnp.argmax(raw))
    return straight_through(on.astype(raw.dtype), jax.nn.sigmoid(raw))


def active_inputs(design: Design, spec: ScorerSpec) -> Float[Array, ""]:
    """How many inputs are built, 1 to N: a whole number, with the gradient of the sum of sigmoids."""
    gates = input_gates(design, spec)
    return jnp.asarray(float(spec.inputs)) if gates is None else jnp.sum(gates)


def bits_range(hardware: Hardware) -> Bounded:
    """Range of the relaxed bits: half a bit beyond 1 and beyond those of the built converter, which can then start.

    Raises:
        ValueError: a converter without a resolution.
    """
    if hardware.dac.bits is None:
        raise ValueError(
            f"hardware {hardware.name!r} has dac.bits = None, a continuous converter, and scorer.trainable_bits = True "
            "has no bits to choose from; set trainable_bits = False, or give the converter bits"
        )
    return Bounded(0.5, hardware.dac.bits + 0.5)


def dac_bits(design: Design, spec: ScorerSpec, hardware: Hardware) -> Real | None:
    """Bits of the layer's converters: a whole number from 1 to ``hardware.dac.bits``, the gradient that of the relaxed.

    Those that the hardware has in force where the spec does not train them: None for a continuous converter.

    Raises:
        ValueError: bits are trained, and the design has none or the converter is continuous.
    """
    if not spec.trainable_bits:
        return hardware.dac.resolution
    relaxed = bits_range(hardware).forward(_leaf(design, "dac_bits", "trainable_bits"))
    return straight_through(jnp.clip(jnp.round(relaxed), 1.0, hardware.dac.bits), relaxed)


def full_scale_v(design: Design, spec: ScorerSpec, hardware: Hardware) -> Real:
    """Differential voltage of the layer's converters at an input of 1, V, within ``FULL_SCALE_V`` if it is trained.

    Raises:
        ValueError: it is trained, and the design has none.
    """
    if not spec.trainable_full_scale:
        return hardware.dac.full_scale_v
    return FULL_SCALE_V.forward(_leaf(design, "full_scale", "trainable_full_scale"))


def designed_hardware(design: Design, spec: ScorerSpec, hardware: Hardware) -> Hardware:
    """The hardware with this layer's own converters: ``hardware`` itself where the spec trains nothing of them."""
    if not (spec.trainable_bits or spec.trainable_full_scale):
        return hardware
    used_bits = dac_bits(design, spec, hardware) if spec.trainable_bits else hardware.dac.used_bits
    converter = dataclasses.replace(
        hardware.dac, used_bits=used_bits, full_scale_v=full_scale_v(design, spec, hardware)
    )
    return dataclasses.replace(hardware, dac=converter)


def initial_knobs(spec: ScorerSpec, hardware: Hardware) -> dict[str, Any]:
    """The leaves of a design that the spec asks for: every input on, the hardware's own bits and full scale.

    Raises:
        ValueError: bits of a continuous converter.
    """
    leaves: dict[str, Any] = {}
    if spec.input_gates:
        leaves["input_gate"] = gates_in_order(jnp.zeros(spec.inputs))
    if spec.trainable_bits:
        leaves["dac_bits"] = bits_range(hardware).inverse(float(hardware.dac.bits or 0))
    if spec.trainable_full_scale:
        leaves["full_scale"] = FULL_SCALE_V.inverse(hardware.dac.full_scale_v)
    return leaves


def knobs_detached(design: Design) -> Design:
    """The same design, its knobs without a gradient."""
    leaves = {name: getattr(design, name) for name in KNOBS}
    return dataclasses.replace(design, **jax.lax.stop_gradient(leaves))


def gates_in_order(contribution: Float[Array, "N"]) -> Float[Array, "N"]:
    """Raw gates, all on, that start in the order of what the inputs contribute; ties in order of position."""
    low, high = GATE_START
    rank = jnp.argsort(jnp.argsort(contribution))
    return Bounded(0.0, 1.0).inverse(low + (high - low) * rank / max(1, contribution.shape[-1] - 1))


def _leaf(design: Design, name: str, field: str) -> Array:
    """The design's leaf ``name``, which the spec's ``field`` asks for."""
    leaf = getattr(design, name)
    if leaf is None:
        raise ValueError(
            f"scorer.{field} = True, but the design has no {name}: it was made for another spec; make it with "
            f"initial_design, or set scorer.{field} = False"
        )
    return leaf
