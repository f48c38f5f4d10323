"""What temperature does: kappa, and a bias current under fixed charge, constant, PTAT and CTAT references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax.numerics import pytree, static
from atis_jax.typing import Real
from atis_jax.units import ZERO_CELSIUS_K, thermal_voltage_v
from atis_jax.validation import SettingError, choose

MODEL_LOW_C, MODEL_HIGH_C = -55.0, 150.0
"""Where the model is stated to hold, degrees Celsius: the widest range that parts are sold for (-55 C of the military
range to 150 C of AEC-Q100 grade 0). Compared with SPICE from 0 to 85 C (tests/data/spice); beyond, the laws are
extrapolated, and above 150 C the junctions' leakage, which they leave out, is no longer small beside nanoamperes."""


@pytree
class ThermalSpec:
    """How the bias currents are made and how they move with temperature.

    Attributes:
        bias: ``fixed_charge`` (a floating gate holds V_GS), ``constant``, ``ptat`` or ``ctat`` (a reference
            whose current the array scales). Static.
        nominal_temperature_k: temperature at which currents and kappa are stated, K.
        current_per_k: relative drift of the mirrored current on top of an ideal reference, 1/K. Unused by
            ``fixed_charge``.
        specific_current_a: I_s of the device that holds the charge, A. With it the fixed-charge law is right
            into moderate inversion.
        mobility_exponent: m in mu ~ T^-m, so that I_s ~ T^(2-m).
        threshold_fall_v_per_k: -dV_T0/dT, V/K.
        junction_v: V_BE at the nominal temperature, V; the CTAT reference is V_BE(T)/R.
        junction_fall_v_per_k: -dV_BE/dT, V/K.
    """

    bias: str = static()
    nominal_temperature_k: Real
    current_per_k: Real
    specific_current_a: Real
    mobility_exponent: Real
    threshold_fall_v_per_k: Real
    junction_v: Real
    junction_fall_v_per_k: Real

    def __post_init__(self):
        if self.bias not in BIAS_KINDS:
            raise ValueError(f"thermal.bias = {self.bias!r} is not one of {', '.join(BIAS_KINDS)}")


def check_temperature_c(values: Any, name: str = "temperature_c") -> tuple[float, ...]:
    """``values`` as a tuple of floats, once all lie between ``MODEL_LOW_C`` and ``MODEL_HIGH_C``.

    Args:
        values: a temperature or several, degrees Celsius, concrete.
        name: what they are called, for the message.

    Raises:
        SettingError: (a ValueError) not a number, below absolute zero, or outside the model's range; names the
            value and the bound.
    """
    if isinstance(values, jax.core.Tracer):
        raise SettingError(f"{name} is traced; check temperatures where they are still numbers")
    found = []
    for value in np.ravel(np.asarray(values, np.float64)).tolist():
        if not value >= -ZERO_CELSIUS_K:
            below = f"below absolute zero, -{ZERO_CELSIUS_K} C" if value < 0 else "not a number"
            raise SettingError(
                f"{name} = {value} is {below}; give degrees Celsius from {MODEL_LOW_C} to {MODEL_HIGH_C}"
            )
        if not MODEL_LOW_C <= value <= MODEL_HIGH_C:
            kelvin = f"; {value} K would be {value - ZERO_CELSIUS_K:g} C" if value > MODEL_HIGH_C else ""
            raise SettingError(
                f"{name} = {value} is outside {MODEL_LOW_C}..{MODEL_HIGH_C} C, where the circuit model holds{kelvin}"
            )
        found.append(value)
    return tuple(found)


def kappa_at(kappa: Real, kappa_per_k: Real, temperature_k: Real, nominal_temperature_k: Real) -> Float[Array, "*s"]:
    """kappa(T) = kappa + kappa' (T - T_0).

    Args:
        kappa: gate coupling at the nominal temperature, any shape.
        kappa_per_k: absolute slope, 1/K (sky130: +1.1e-4 to 1.6e-4).
        temperature_k: K.
        nominal_temperature_k: K.
    """
    return jnp.asarray(kappa + kappa_per_k * (temperature_k - nominal_temperature_k))


def specific_current_at(thermal: ThermalSpec, temperature_k: Real) -> Float[Array, ""]:
    """I_s(T) = I_s(T_0) (T/T_0)^(2-m), A: I_s = 2 mu C_ox (W/L) U_T^2 / kappa with mu ~ T^-m."""
    ratio = temperature_k / thermal.nominal_temperature_k
    return jnp.asarray(thermal.specific_current_a * ratio ** (2.0 - thermal.mobility_exponent))


def bias_scale(
    current_a: Float[Array, "*s"], kappa: Real, thermal: ThermalSpec, temperature_k: Real
) -> Float[Array, "*s"]:
    """I(T) / I(T_0) of a current programmed to ``current_a`` at the nominal temperature.

    constant: 1 + c dT. ptat: (T/T_0)(1 + c dT). ctat: (V_BE(T)/V_BE(T_0))(1 + c dT). fixed_charge: the EKV
    drain current at a held gate voltage,

        I = I_s(T) ln^2(1 + exp(u/2)),  u(T) = u_0 T_0/T + kappa v' dT / U_T(T),

    where u_0 = kappa (V_GS - V_T0)/U_T at T_0 is what the current fixes. In weak inversion this is
    I(T) = common(T) * I(T_0)^(T_0/T): the exponent differs from one, so the ratios between weights change and
    no common gain or threshold restores them.

    Args:
        current_a: programmed current at the nominal temperature, A, >= 0. Zero (off) is given the scale of
            1e-18 I_s, finite, to multiply a zero.
        kappa: gate coupling of the holding device; broadcasts against ``current_a``. Fixed charge only.
        thermal: the bias specification.
        temperature_k: K.

    Returns:
        The ratio, in the shape of ``current_a``.

    Derived; fitted to ngspice sky130 NMOS at 1, 10 and 100 nA it recovers m = 1.50 and follows the current
    within 1.5 % from 0 to 60 C (tests/circuits/test_circuits_spice.py).
    """
    return choose(_SCALES, thermal.bias, "thermal.bias")(current_a, kappa, thermal, temperature_k)


def _charge_scale(
    current_a: Float[Array, "*s"], kappa: Real, thermal: ThermalSpec, temperature_k: Real
) -> Float[Array, "*s"]:
    change_k = temperature_k - thermal.nominal_temperature_k
    specific_ratio = specific_current_at(thermal, temperature_k) / thermal.specific_current_a
    inversion = jnp.maximum(current_a / thermal.specific_current_a, 1e-18)
    root = jnp.sqrt(inversion)
    nominal_overdrive = 2.0 * jnp.log(jnp.expm1(root))
    overdrive = nominal_overdrive * (thermal.nominal_temperature_k / temperature_k) + (
        kappa * thermal.threshold_fall_v_per_k * change_k / thermal_voltage_v(temperature_k)
    )
    # The ratio of the two softplus, not of the two currents: those are 1e-18 of I_s and underflow.
    return specific_ratio * jnp.square(jnp.logaddexp(0.0, 0.5 * overdrive) / root)


def _mirrored(reference: Callable[[Any, ThermalSpec, Real, Real], Any]) -> Callable[..., Float[Array, "*s"]]:
    """The scale of a current that mirrors copy.

    Args:
        reference: (mirrors' drift, thermal, temperature in K, its change from the nominal) to that drift with the
            reference's own.
    """

    def scale(current_a, kappa, thermal: ThermalSpec, temperature_k: Real):
        change_k = temperature_k - thermal.nominal_temperature_k
        drift = reference(1.0 + thermal.current_per_k * change_k, thermal, temperature_k, change_k)
        return jnp.broadcast_to(jnp.asarray(drift), jnp.shape(current_a))

    return scale


_SCALES: dict[str, Callable[..., Float[Array, "*s"]]] = {
    "fixed_charge": _charge_scale,
    "constant": _mirrored(lambda drift, thermal, at_k, change_k: drift),
    "ptat": _mirrored(lambda drift, thermal, at_k, change_k: drift * at_k / thermal.nominal_temperature_k),
    "ctat": _mirrored(
        lambda drift, thermal, at_k, change_k: (
            drift * (1.0 - thermal.junction_fall_v_per_k * change_k / thermal.junction_v)
        )
    ),
}
BIAS_KINDS = tuple(_SCALES)
