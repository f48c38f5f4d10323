"""One transfer curve to the four numbers of an OTA, by least squares through the model itself."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import least_squares

from atis_jax.circuits.ota import LAWS, ota_current_a
from atis_jax.fitting.curves import Curve
from atis_jax.units import celsius_to_kelvin
from atis_jax.validation import check_choice

START_KAPPA = 0.7
_MILLI = 1e-3


@dataclasses.dataclass(frozen=True)
class FittedOta:
    """I = I_b f(kappa (V - V_os) / 2U_T) + a I_b of one curve.

    Attributes:
        device: which OTA.
        bias_a: wanted bias current, A.
        temperature_c: degrees Celsius.
        current_a: fitted I_b, A.
        kappa: fitted.
        offset_v: fitted V_os, V.
        additive: fitted a, fraction of I_b; zero where it was not fitted.
        rms: of the residual, over the wanted bias current.
        largest: residual, over the wanted bias current.
        supply_v: V; None is the nominal supply.
    """

    device: str
    bias_a: float
    temperature_c: float
    current_a: float
    kappa: float
    offset_v: float
    additive: float
    rms: float
    largest: float
    supply_v: float | None = None


@functools.cache
def _model(law: str, specific_current_a: float) -> tuple[Callable, Callable]:
    """The curve over the bias for (ratio, kappa, offset in mV, additive), and its Jacobian, jitted once a law."""

    def curve(parameters, voltage_v, bias_a, temperature_k):
        ratio, kappa, offset_mv, additive = parameters
        current_a = ratio * bias_a

        def cell(volts):
            return ota_current_a(
                volts,
                current_a,
                kappa,
                _MILLI * offset_mv,
                additive,
                temperature_k,
                law=law,
                specific_current_a=specific_current_a,
            )

        return jax.vmap(cell)(voltage_v) / bias_a

    return jax.jit(curve), jax.jit(jax.jacfwd(curve))


def fit_curve(
    curve: Curve, *, law: str = "tanh", additive: bool = False, specific_current_a: float = 1e-6
) -> FittedOta:
    """Least squares of the law to one curve, in float64.

    Args:
        curve: one OTA at one bias and temperature.
        law: one of ``circuits.ota.LAWS``; ``linear`` needs a curve near zero.
        additive: whether a is fitted too (single-ended drive and mismatch need it, differential drive does not).
        specific_current_a: I_s, A; law ``ekv`` only.

    Raises:
        SettingError: no such law.
    """
    check_choice(law, LAWS, "law")
    with jax.enable_x64(True):
        predict, jacobian = _model(law, specific_current_a)
        wanted = jnp.asarray(curve.current_a / curve.bias_a)
        constants = jnp.asarray(curve.voltage_v), jnp.asarray(curve.bias_a), celsius_to_kelvin(curve.temperature_c)
        free = 4 if additive else 3

        def full(found):
            return jnp.asarray([*found, *[0.0] * (4 - free)])

        fit = least_squares(
            lambda found: np.asarray(predict(full(found), *constants) - wanted),
            [1.0, START_KAPPA, 0.0, 0.0][:free],
            jac=lambda found: np.asarray(jacobian(full(found), *constants))[:, :free],
            x_scale=[0.1, 0.1, 1.0, 0.01][:free],
            xtol=1e-12,
            ftol=1e-14,
        )
    ratio, kappa, offset_mv, a = np.append(fit.x, np.zeros(4 - free)).tolist()
    return FittedOta(
        device=curve.device,
        bias_a=curve.bias_a,
        temperature_c=curve.temperature_c,
        current_a=ratio * curve.bias_a,
        kappa=kappa,
        offset_v=_MILLI * offset_mv,
        additive=a,
        rms=float(np.sqrt(np.mean(fit.fun**2))),
        largest=float(np.max(np.abs(fit.fun))),
        supply_v=curve.supply_v,
    )
