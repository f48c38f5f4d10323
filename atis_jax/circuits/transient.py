"""What a token leaves for the next: the array, its amplifier and the comparator followed through a token's time.

Three things remember. The mirror of an OTA carries the current I_1 of one side of its pair to the other, late:

    dI_m / dt = (kappa / C U_T) I_m (I_1 - I_m)

which for a token's constant I_1 is the logistic curve, in closed form, faster for larger currents and slow to fall. The
other side arrives at once. The amplifier has one pole. The comparator's output node has one pole too, and stops at its
rails. A token's inputs stand for the whole of its time: what is sampled and held is not modelled.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.library import (
    COMPARATOR_INPUT_F,
    COMPARATOR_RANGE_V,
    COMPARATOR_TIME_S,
    OP_AMP,
    OTA_OUTPUT_F,
    op_amp_current_a,
)
from atis_jax.circuits.frontend import Realised, converted_v
from atis_jax.circuits.hardware import Hardware
from atis_jax.circuits.ota import mirror_capacitance_f, transfer
from atis_jax.circuits.tia import has_amplifier, soft_rails
from atis_jax.numerics import pytree
from atis_jax.typing import Real

STEPS = 16
"""Equal steps of a token in which amplifier and comparator are followed; the mirrors are exact at any time."""
_LEAST_SHARE = 1e-6
"""Of the bias current in a mirror: a logistic that starts from nothing would stay there."""


@pytree
class Transient:
    """Rates of one layer's circuit.

    Attributes:
        token_s: time of a token, s.
        mirror_per_s: kappa I_b / (C U_T) of each OTA, 1/s.
        amplifier_s: time constant of each row's read-out: feedback, and the op-amp's gain-bandwidth; or the node's, s.
        comparator_s: of the comparator's output node, s.
        comparator_range_v: how far that node is from its trip point at a rail, referred to the input, V.
        comparator_slope_per_v: kappa / 2U_T of its pair, 1/V.
    """

    token_s: Real
    mirror_per_s: Float[Array, "g n"]
    amplifier_s: Float[Array, "g"]
    comparator_s: Real
    comparator_range_v: Real
    comparator_slope_per_v: Real


@pytree
class Residue:
    """What the circuit holds between two tokens.

    Attributes:
        mirror: current in each OTA's mirror over its bias current.
        node_v: each TIA's output before its rails, V.
    """

    mirror: Float[Array, "g n"]
    node_v: Float[Array, "g"]


def transient_of(realised: Realised, hardware: Hardware) -> Transient:
    """Rates of a circuit as programmed, at ``hardware.token_time_s`` a token.

    The op-amp's pole is C_c / gm at the current its array's size gives it (``cells.op_amp_current_a``), gm that of its
    pair in weak inversion; a resistor's is with the outputs of the OTAs that are built and the comparator's input.
    """
    current_a = realised.bias_current_a
    slope_per_v = realised.slope_per_v
    flows = current_a > 0
    capacitance_f = mirror_capacitance_f(jnp.where(flows, current_a, hardware.ota.kappa_current_a), hardware.ota)
    mirror_per_s = 2.0 * slope_per_v * current_a / capacitance_f
    if has_amplifier(hardware.tia.readout):
        op_amp_gm_s = op_amp_current_a(jnp.sum(current_a, axis=-1)) * jnp.mean(slope_per_v, axis=-1)
        amplifier_s = 1.0 / (2.0 * jnp.pi * hardware.tia.bandwidth_hz) + OP_AMP.capacitance_f / op_amp_gm_s
    else:
        volts_per_a = jnp.sum(jnp.abs(realised.weight_v), axis=-1) / jnp.sum(current_a, axis=-1)
        amplifier_s = volts_per_a * (COMPARATOR_INPUT_F + jnp.sum(flows, axis=-1) * OTA_OUTPUT_F)
    return Transient(
        token_s=hardware.token_time_s,
        mirror_per_s=mirror_per_s,
        amplifier_s=amplifier_s,
        comparator_s=COMPARATOR_TIME_S,
        comparator_range_v=COMPARATOR_RANGE_V,
        comparator_slope_per_v=jnp.mean(slope_per_v),
    )


def at_rest(realised: Realised) -> Residue:
    """A circuit whose inputs have been zero for long: what the first token of a sequence meets."""
    settled = settled_at(realised, jnp.zeros(realised.weight_v.shape[1]))
    return Residue(mirror=settled.side, node_v=settled.node_v)


@pytree
class Settled:
    """What one token's inputs make of the circuit in the end.

    Attributes:
        side: current on the mirror's side of each pair over the bias current, (1 + f) / 2 with f of the OTA as wired.
        node_v: each TIA's output before its rails, V.
    """

    side: Float[Array, "g n"]
    node_v: Float[Array, "g"]


def settled_at(realised: Realised, inputs: Float[Array, "n"]) -> Settled:
    """``Settled`` for inputs of +-1 full scale."""
    x = realised.slope_per_v * converted_v(realised, inputs) - realised.input_offset
    transferred = transfer(realised.law, x, realised.inversion)
    # Swapped inputs turn the signal round in front of the pair.
    side = 0.5 * (1.0 + jnp.sign(realised.weight_v) * transferred)
    node_v = jnp.sum(realised.weight_v * transferred, axis=-1) + realised.node_offset_v
    return Settled(jnp.clip(side, _LEAST_SHARE, 1.0), node_v)


def follow_array(
    realised: Realised, transient: Transient, residue: Residue, settled: Settled
) -> tuple[Float[Array, "k g"], Residue]:
    """One token through mirrors and amplifiers.

    Args:
        realised: the circuit as programmed.
        transient: its rates.
        residue: of the token before.
        settled: of this token.

    Returns:
        (``STEPS``, g) the TIAs' outputs behind their rails at the end of each step, V; and what is left behind.
    """
    time_s = (jnp.arange(STEPS) + 0.5) * (transient.token_s / STEPS)
    mirror = jax.vmap(lambda t: _logistic(residue.mirror, settled.side, transient.mirror_per_s * t))(time_s)
    # The other side is there at once, the mirror's is not: no pair is turned round behind its mirror.
    arriving_v = settled.node_v + jnp.sum(jnp.abs(realised.weight_v) * (mirror - settled.side), axis=-1)
    left = jnp.exp(-transient.token_s / STEPS / transient.amplifier_s)

    def step(node_v, into_v):
        node_v = into_v + (node_v - into_v) * left
        return node_v, node_v

    node_v, path_v = jax.lax.scan(step, residue.node_v, arriving_v)
    after = Residue(_logistic(residue.mirror, settled.side, transient.mirror_per_s * transient.token_s), node_v)
    return soft_rails(path_v, realised.swing_v, realised.rail_sharpness), after


def _logistic(before, target, rate_time):
    """The solution of ds/dt = r s (target - s) after r t = ``rate_time``."""
    return jnp.maximum(target / (1.0 + (target / before - 1.0) * jnp.exp(-rate_time * target)), _LEAST_SHARE)


def follow_comparator(
    transient: Transient,
    before_v: Float[Array, "g"],
    overdrive_v: Float[Array, "k g"],
) -> Float[Array, "g"]:
    """The comparator's output node after one token, referred to its input, V: above zero is keep.

    One pole towards the overdrive, which its pair limits as an OTA's tanh does; the node stops at its rails.

    Args:
        transient: its rates.
        before_v: the node before the token.
        overdrive_v: score less threshold at the end of each step.
    """
    left = jnp.exp(-transient.token_s / len(overdrive_v) / transient.comparator_s)
    limit_v, slope_per_v = transient.comparator_range_v, transient.comparator_slope_per_v

    def step(node_v, over_v):
        wanted_v = jnp.tanh(over_v * slope_per_v) / slope_per_v
        return jnp.clip(wanted_v + (node_v - wanted_v) * left, -limit_v, limit_v), None

    return jax.lax.scan(step, before_v, overdrive_v)[0]
