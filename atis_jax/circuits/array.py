"""An array of OTAs on one node: Kirchhoff's sum, output conductance, shot noise. In amperes, for reference.

``frontend.read`` computes the same sum in volts, with what does not depend on the token taken out; the two
are compared in the tests.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.ota import ota_current_a
from atis_jax.typing import Real
from atis_jax.units import ELEMENTARY_CHARGE_C


def swapped_ota_current_a(
    voltage_v: Float[Array, ""],
    signed_current_a: Float[Array, ""],
    kappa: Real,
    offset_v: Real,
    additive: Real,
    temperature_k: Real,
    **law: Any,
) -> Float[Array, ""]:
    """One OTA whose inputs are swapped when ``signed_current_a`` is negative, A.

    The swap turns the input voltage round, not the OTA's own offset nor its additive current.
    """
    sign = jnp.where(signed_current_a < 0, -1.0, 1.0)
    return ota_current_a(sign * voltage_v, jnp.abs(signed_current_a), kappa, offset_v, additive, temperature_k, **law)


def array_current_a(
    voltage_v: Float[Array, "n"],
    signed_current_a: Float[Array, "n"],
    kappa: Float[Array, "n"],
    offset_v: Float[Array, "n"],
    additive: Float[Array, "n"],
    temperature_k: Real,
    **law: Any,
) -> Float[Array, ""]:
    """Current into the summing node held at the common mode, A: sum_j of ``swapped_ota_current_a``.

    Args:
        voltage_v: differential inputs, V.
        signed_current_a: bias currents, sign = swapped inputs, A.
        kappa: gate couplings.
        offset_v: V_os, V.
        additive: a, fraction of I_b.
        temperature_k: K.
        **law: ``law``, ``specific_current_a``, ``attenuation`` of ``ota_current_a``, common to the array.

    Source: Kirchhoff's current law; blind against a four-OTA ngspice sum in
    tests/circuits/test_circuits_spice.py.
    """

    def cell(voltage_v, signed_current_a, kappa, offset_v, additive):
        return swapped_ota_current_a(voltage_v, signed_current_a, kappa, offset_v, additive, temperature_k, **law)

    return jnp.sum(jax.vmap(cell)(voltage_v, signed_current_a, kappa, offset_v, additive))


def output_conductance_s(current_a: Float[Array, "*s"], early_voltage_v: Real) -> Float[Array, "*s"]:
    """g_o = (I_b/2) / V_A of one OTA at balance, S: each output device carries half the tail current."""
    return 0.5 * current_a / early_voltage_v


def shot_noise_a2(current_a: Float[Array, "*s"], noise_bandwidth_hz: Real) -> Float[Array, "*s"]:
    """4 q I_b B of one OTA, A^2.

    The four devices of the balanced pair and mirror carry I_b/2 each and make 2 q I_b/2 each. Taken at
    balance for every input (a saturated pair makes less); ngspice finds 1.06-1.12 of it.
    """
    return 4.0 * ELEMENTARY_CHARGE_C * current_a * noise_bandwidth_hz
