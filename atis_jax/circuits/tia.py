"""The read-out: a transimpedance amplifier (TIA) on the summing node, or a resistor alone; soft rails."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.numerics import pytree, static
from atis_jax.typing import Real
from atis_jax.units import BOLTZMANN_J_PER_K
from atis_jax.validation import check_choice

READOUTS = ("amplifier", "resistor")
"""A TIA holds the node at the common mode; or R_f goes from the node to the common mode, and the comparator looks at
the node itself: no op-amp, no offset of one, and the OTAs' output conductance beside R_f."""


@pytree
class TiaSpec:
    """A transimpedance amplifier and its spread.

    Attributes:
        swing_v: output range is +-swing_v about the common mode at the nominal supply, V; infinite for none.
        rail_sharpness: p of the soft rail, 2, 4, 8 or 16. Static. Larger is closer to a hard clip.
        gain_sigma: spread of ln R_f.
        offset_sigma_v: spread of the op-amp's input offset, V.
        open_loop_gain: of the op-amp; infinite for an ideal virtual ground.
        bandwidth_hz: f_3dB of the one pole that limits noise, Hz. Zero switches shot and thermal noise off.
        shot_noise_factor: measured over 4 q I_b; 1 in theory.
        readout: one of ``READOUTS``. Static.
        offset_drift_sigma_v_per_k: spread of the change of the op-amp's offset with temperature, V/K.
    """

    rail_sharpness: int = static()
    swing_v: Real
    gain_sigma: Real
    offset_sigma_v: Real
    open_loop_gain: Real
    bandwidth_hz: Real
    shot_noise_factor: Real
    readout: str = static(default="amplifier")
    offset_drift_sigma_v_per_k: Real = 0.0

    def __post_init__(self):
        check_choice(self.readout, READOUTS, "tia.readout")
        if self.rail_sharpness not in (2, 4, 8, 16):
            raise ValueError(f"tia.rail_sharpness = {self.rail_sharpness} must be 2, 4, 8 or 16")


def loaded_gain(
    feedback_ohm: Real, node_conductance_s: Real, open_loop_gain: Real, readout: str = "amplifier"
) -> Float[Array, "*s"]:
    """Gain over R_f: 1 / (1 + (1 + R_f G_o) / A) of a TIA, 1 / (1 + R_f G_o) of a resistor.

    Nodal analysis: the input node sits at -V/A, so I = V/R_f (1 + 1/A) + G_o V/A; without amplifier at V.

    Args:
        feedback_ohm: R_f.
        node_conductance_s: G_o, the sum of the OTAs' output conductances.
        open_loop_gain: A.
        readout: one of ``READOUTS``.
    """
    if not has_amplifier(readout):
        return jnp.asarray(1.0 / (1.0 + feedback_ohm * node_conductance_s))
    return jnp.asarray(1.0 / (1.0 + (1.0 + feedback_ohm * node_conductance_s) / open_loop_gain))


def has_amplifier(readout: str) -> bool:
    """Whether a read-out has an op-amp.

    Raises:
        SettingError: no such read-out.
    """
    return check_choice(readout, READOUTS, "tia.readout") == "amplifier"


def soft_rails(voltage_v: Float[Array, "*s"], swing_v: Real, sharpness: int) -> Float[Array, "*s"]:
    """V / (1 + |V/swing|^p)^(1/p): unit slope at zero, +-swing far out, exactly V for an infinite swing.

    At half the swing it has lost 1/(p 2^p): 1.5 % for p = 4, 0.05 % for p = 8. A tanh would lose 7.6 %.
    """
    ratio = voltage_v / swing_v
    # From the smaller of ratio and 1/ratio, so that no power overflows; each branch sees a valid input.
    inside = jnp.abs(ratio) <= 1.0
    power = jnp.where(inside, ratio, 1.0 / jnp.where(inside, 1.0, ratio))
    # p is a power of two: squares and square roots are several times faster than a general power.
    doublings = sharpness.bit_length() - 1
    for _ in range(doublings):
        power = power * power
    root = 1.0 + power
    for _ in range(doublings):
        root = jnp.sqrt(root)
    return jnp.where(inside, voltage_v, jnp.sign(ratio) * jnp.where(inside, 1.0, swing_v)) / root


def feedback_for_swing_ohm(swing_v: Real, total_current_a: Real) -> Float[Array, "*s"]:
    """R_f = V_swing / sum I_b: no input can reach the rails (78 kohm for 0.5 V and 6.4 uA)."""
    return jnp.asarray(swing_v / total_current_a)


def thermal_noise_v2(feedback_ohm: Float[Array, "*s"], temperature_k: Real, bandwidth_hz: Real) -> Float[Array, "*s"]:
    """Johnson noise of R_f at the output, V^2: 4 k T R_f (pi/2) f_3dB, one pole."""
    return 4.0 * BOLTZMANN_J_PER_K * temperature_k * feedback_ohm * noise_bandwidth_hz(bandwidth_hz)


def noise_bandwidth_hz(bandwidth_hz: Real) -> Float[Array, ""]:
    """(pi/2) f_3dB, the white-noise bandwidth of a single pole, Hz."""
    return jnp.asarray(0.5 * jnp.pi * bandwidth_hz)
