"""One operational transconductance amplifier (OTA): normalised transfer laws, output current, settling."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.timing import mirror_f
from atis_jax.circuits.systematic import Systematic
from atis_jax.numerics import pytree, static
from atis_jax.typing import Real
from atis_jax.units import thermal_voltage_v
from atis_jax.validation import choose

_TINY_INVERSION = 1e-12
_NEWTON_STEPS = 5


@pytree
class OtaSpec:
    """An OTA design and its spread. Voltages are differential and referred to the input of the whole cell.

    Attributes:
        law: one of ``LAWS``. Static.
        kappa: gate coupling at the nominal temperature and at ``kappa_current_a``.
        kappa_per_k: absolute drift of kappa, 1/K.
        kappa_per_decade: change of kappa for each decade of bias current (the fitted kappa of a tanh falls
            towards moderate inversion). Zero for ``ekv``, which has it by construction.
        kappa_current_a: bias current at which ``kappa`` is stated, A.
        kappa_sigma: relative spread of kappa from OTA to OTA on one chip.
        kappa_chip_sigma: relative spread of kappa from chip to chip, common to every OTA of a chip.
        offset_sigma_v: spread of the input offset V_os, V. For a linearised law it is that of the whole cell:
            input attenuation by C_in/C_T multiplies a gate-referred offset by C_T/C_in.
        additive_sigma: spread of the additive output term a, fraction of I_b.
        log_current_sigma: spread of ln I_b left by fabrication (zero when programming trims it).
        log_current_kappa_correlation: between the ln I_b and kappa errors of one OTA.
        offset_additive_correlation: between V_os and a of one OTA.
        early_voltage_v: V_A of the output, V; infinite for none.
        specific_current_a: I_s of the input pair, A. Law ``ekv`` only.
        attenuation: C_in / C_T. Law ``attenuated`` only.
        capacitance_f: what one OTA settles, F: the capacitance at its mirror, at ``kappa_current_a``.
        offset_drift_sigma_v_per_k: spread of the change of V_os with temperature, V/K, independent of V_os.
        offset_lot_sigma_v: spread of the offset common to every OTA of a lot, V.
        kappa_lot_sigma: relative spread of kappa from lot to lot.
        capacitance_per_decade: relative change of ``capacitance_f`` for each decade of bias current (gates fill with
            charge towards moderate inversion).
        systematic: what a fit to curves found beside the law, the same for every OTA and chip; None for nothing.
    """

    law: str = static()
    kappa: Real
    kappa_per_k: Real
    kappa_per_decade: Real
    kappa_current_a: Real
    kappa_sigma: Real
    kappa_chip_sigma: Real
    offset_sigma_v: Real
    additive_sigma: Real
    log_current_sigma: Real
    log_current_kappa_correlation: Real
    offset_additive_correlation: Real
    early_voltage_v: Real
    specific_current_a: Real
    attenuation: Real
    capacitance_f: Real
    offset_drift_sigma_v_per_k: Real = 0.0
    offset_lot_sigma_v: Real = 0.0
    kappa_lot_sigma: Real = 0.0
    systematic: Systematic | None = None
    capacitance_per_decade: Real = 0.0

    def __post_init__(self):
        if self.law not in LAWS:
            raise ValueError(f"ota.law = {self.law!r} is not one of {', '.join(LAWS)}")


def effective_kappa(law: str, kappa: Float[Array, "*s"], attenuation: Real = 1.0) -> Float[Array, "*s"]:
    """The kappa that scales the input of ``law``.

    attenuated: kappa C_in/C_T. degenerated (one diode below each device): kappa^2/(1 + kappa), from
    kappa V_G = (1 + 1/kappa) U_T ln I + ...  Others: kappa. Derived.
    """
    return choose(_LAWS, law, "ota.law").kappa(kappa, attenuation)


def transfer(law: str, x: Float[Array, "*s"], inversion: Real = _TINY_INVERSION) -> Float[Array, "*s"]:
    """I / I_b against x = kappa_eff (V - V_os) / 2U_T.

    linear: x. tanh, attenuated, degenerated: tanh x. bump: sinh 2x / (2 + cosh 2x), no cubic term, slope 2/3.
    ekv: see ``ekv_transfer``.

    Args:
        law: one of ``LAWS``.
        x: normalised input, any shape.
        inversion: I_b / I_s, positive, broadcast against ``x``; ``ekv`` only.

    Raises:
        SettingError: no such law.
    """
    return choose(_LAWS, law, "ota.law").transfer(x, inversion)


def transfer_and_slope(
    law: str, x: Float[Array, "*s"], inversion: Real = _TINY_INVERSION
) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """``transfer`` and its derivative with respect to ``x``, sharing what they have in common."""
    return choose(_LAWS, law, "ota.law").with_slope(x, inversion)


def _tanh_and_slope(x):
    t = jnp.tanh(x)
    return t, 1.0 - t * t


def _bump(x):
    t = jnp.tanh(x)
    # sinh 2x = 2t/(1-t^2) and cosh 2x = (1+t^2)/(1-t^2): nothing to overflow.
    return 2.0 * t / (3.0 - t * t)


def _bump_and_slope(x):
    t = jnp.tanh(x)
    square = t * t
    return 2.0 * t / (3.0 - square), 2.0 * (1.0 - square) * (3.0 + square) / (3.0 - square) ** 2


def ekv_transfer(x: Float[Array, "*s"], inversion: Real) -> Float[Array, "*s"]:
    """All-region differential pair, (I_1 - I_2) / I_b.

    I_1,2 = I_s ln^2(1 + exp(s +- x/2)) with the common-mode s solving I_1 + I_2 = I_b. Tends to tanh x for
    I_b << I_s; slope at zero (1 - e^-sqrt(IC)) / sqrt(IC), IC = I_b / 2I_s.

    Args:
        x: kappa (V - V_os) / 2U_T.
        inversion: I_b / I_s, positive.

    Source: Enz, Krummenacher and Vittoz, Analog Integr. Circuits Signal Process. 8 (1995) (recalled).
    """
    return _ekv(x, inversion)[0]


def _ekv(x, inversion):
    x, inversion = jnp.broadcast_arrays(jnp.asarray(x), jnp.asarray(inversion, jnp.result_type(x)))
    common = _common_mode(x, inversion)
    upper, lower = jax.nn.softplus(common + 0.5 * x), jax.nn.softplus(common - 0.5 * x)
    half_upper = upper * jax.nn.sigmoid(common + 0.5 * x)
    half_lower = lower * jax.nn.sigmoid(common - 0.5 * x)
    # Divided by the sum, which is I_b/I_s: a rounding error in s cancels between numerator and denominator.
    total = upper**2 + lower**2
    transferred = (upper - lower) * (upper + lower) / total
    return transferred, 4.0 * half_upper * half_lower / ((half_upper + half_lower) * total)


@jax.custom_jvp
def _common_mode(x, inversion):
    """The s with softplus(s + x/2)^2 + softplus(s - x/2)^2 = inversion.

    Newton on the logarithm of the sum, which is straight in weak inversion and nearly so in strong: five
    steps from the start below reach rounding for 1e-9 < inversion < 1e4, |x| < 40 (tested against bisection).
    """
    root = jnp.sqrt(inversion)
    common = root + jnp.log(-jnp.expm1(-root)) - 0.5 * jnp.logaddexp(x, -x)
    target = jnp.log(inversion)

    def newton(_, common):
        upper, lower = jax.nn.softplus(common + 0.5 * x), jax.nn.softplus(common - 0.5 * x)
        slope = upper * jax.nn.sigmoid(common + 0.5 * x) + lower * jax.nn.sigmoid(common - 0.5 * x)
        total = upper**2 + lower**2
        return common - (jnp.log(total) - target) * total / (2.0 * slope)

    return jax.lax.fori_loop(0, _NEWTON_STEPS, newton, common)


@_common_mode.defjvp
def _common_mode_jvp(primals, tangents):
    # Implicit differentiation: exact at the solution, whatever the iterations did, and differentiable again.
    x, inversion = primals
    common = _common_mode(x, inversion)
    upper = jax.nn.softplus(common + 0.5 * x) * jax.nn.sigmoid(common + 0.5 * x)
    lower = jax.nn.softplus(common - 0.5 * x) * jax.nn.sigmoid(common - 0.5 * x)
    change = (tangents[1] - (upper - lower) * tangents[0]) / (2.0 * (upper + lower))
    return common, change


class _Law(NamedTuple):
    """A transfer law in the terms of ``transfer``, ``transfer_and_slope`` and ``effective_kappa``."""

    transfer: Callable
    with_slope: Callable
    kappa: Callable = lambda kappa, attenuation: kappa


_TANH = _Law(lambda x, inversion: jnp.tanh(x), lambda x, inversion: _tanh_and_slope(x))
_LAWS = {
    "linear": _Law(lambda x, inversion: x, lambda x, inversion: (x, jnp.ones_like(x))),
    "tanh": _TANH,
    "ekv": _Law(ekv_transfer, _ekv),
    "attenuated": _TANH._replace(kappa=lambda kappa, attenuation: kappa * attenuation),
    "degenerated": _TANH._replace(kappa=lambda kappa, attenuation: kappa**2 / (1.0 + kappa)),
    "bump": _Law(lambda x, inversion: _bump(x), lambda x, inversion: _bump_and_slope(x)),
}
LAWS = tuple(_LAWS)


def ota_current_a(
    voltage_v: Float[Array, ""],
    current_a: Real,
    kappa: Real,
    offset_v: Real,
    additive: Real,
    temperature_k: Real,
    *,
    law: str = "tanh",
    specific_current_a: Real = 1e-6,
    attenuation: Real = 1.0,
) -> Float[Array, ""]:
    """Output current of one OTA, A: I = I_b f(kappa_eff (V - V_os) / 2U_T) + a I_b.

    Args:
        voltage_v: differential input, V.
        current_a: bias I_b, A, >= 0.
        kappa: gate coupling.
        offset_v: V_os, V.
        additive: a, fraction of I_b.
        temperature_k: K.
        law: one of ``LAWS``.
        specific_current_a: I_s, A (``ekv``).
        attenuation: C_in/C_T (``attenuated``).

    Source: weak inversion, Vittoz and Fellrath 1977 (recalled); offset and additive terms as fitted to
    ngspice in tests/circuits/test_circuits_spice.py.
    """
    scale = effective_kappa(law, jnp.asarray(kappa), attenuation) / (2.0 * thermal_voltage_v(temperature_k))
    inversion = jnp.maximum(current_a / specific_current_a, _TINY_INVERSION)
    return current_a * (transfer(law, scale * (voltage_v - offset_v), inversion) + additive)


def mirror_capacitance_f(current_a: Float[Array, "*s"] | float, ota: OtaSpec) -> Float[Array, "*s"]:
    """``cells.timing.mirror_f`` with the numbers of an OTA's specification, F; ``current_a`` above zero, A."""
    return mirror_f(current_a, ota.capacitance_f, ota.capacitance_per_decade, ota.kappa_current_a)


def settling_time_s(transconductance_s: Float[Array, "*s"], capacitance_f: Real, bits: int) -> Float[Array, "*s"]:
    """Time to settle to half an LSB of ``bits``: (C/gm) ln 2^(bits+1), s (one pole)."""
    return capacitance_f / transconductance_s * ((bits + 1) * jnp.log(2.0))
