"""Fitted OTAs at several biases and temperatures to the fields of a hardware preset, and how well those predict."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.chip import ArrayGeometry, Environment, nominal_chip
from atis_jax.circuits.frontend import Program, ota_curves_a, realise
from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.circuits.systematic import MAX_POWER, NONE, Polynomial, Systematic
from atis_jax.fitting.curves import Curve
from atis_jax.fitting.ota import FittedOta
from atis_jax.units import celsius_to_kelvin
from atis_jax.validation import SettingError

MAX_TEMPERATURE_POWER = 2
SMALLEST_RATIO = 1e-3
"""A fitted bias current so many times the wanted one is no current."""


@dataclasses.dataclass(frozen=True)
class FittedLaw:
    """How an OTA depends on bias and temperature.

    Attributes:
        fields: dotted fields of ``Hardware`` and their values, for ``with_fields``.
        rms: of what the polynomials leave of the fitted parameters, by name: log_current, kappa, offset_v, additive.
    """

    fields: dict[str, Any]
    rms: dict[str, float]


def fit_law(found: Sequence[FittedOta], hardware: Hardware) -> FittedLaw:
    """Polynomials in log10(I) and T through fitted OTAs; several devices at one bias and temperature are averaged.

    The powers are as many as the data determine: up to 3 in log10(I / I_0) and 2 in T - T_0, fewer where there are
    fewer biases or temperatures. Slopes at (I_0, T_0) go to ``ota.kappa_per_k``, ``ota.kappa_per_decade`` and
    ``thermal.current_per_k``, the rest to ``ota.systematic``. The bias is taken as a constant current that mirrors
    copy, so ``thermal.bias`` becomes ``constant``.

    Args:
        found: fits of one law, all with or all without additive term.
        hardware: gives I_0 (``ota.kappa_current_a``) and T_0 (``thermal.nominal_temperature_k``).

    Raises:
        SettingError: no fits, or one of an OTA that is dead or whose current falls with its input.
    """
    if not found:
        raise SettingError("there are no curves to fit a law to; give one or more")
    for one in found:
        if not one.current_a > SMALLEST_RATIO * one.bias_a:
            raise SettingError(
                f"the fit of {one.device!r} at {one.bias_a:g} A and {one.temperature_c:g} C found a bias current of "
                f"{one.current_a:g} A: leave the OTA out if it is dead; exchange its inputs if its current falls"
            )
    groups: dict[tuple[float, float], list[FittedOta]] = {}
    for one in found:
        groups.setdefault((one.bias_a, one.temperature_c), []).append(one)
    reference_a, nominal_k = float(hardware.ota.kappa_current_a), float(hardware.thermal.nominal_temperature_k)

    def mean(name: str) -> np.ndarray:
        return np.array([np.mean([getattr(one, name) for one in group]) for group in groups.values()])

    bias_a = np.array([bias for bias, _ in groups])
    change_k = np.array([float(celsius_to_kelvin(celsius)) - nominal_k for _, celsius in groups])
    log_ratio = np.log(mean("current_a") / bias_a)
    wanted, flowing = np.log10(bias_a / reference_a), np.log10(mean("current_a") / reference_a)
    powers = min(MAX_POWER, len(set(bias_a)) - 1), min(MAX_TEMPERATURE_POWER, len(set(change_k)) - 1)
    current_per_k = _polynomial_fit(wanted, change_k, log_ratio, powers)[0][0][1:2] or (0.0,)
    left = log_ratio - np.log1p(current_per_k[0] * change_k)
    log_current, log_current_rms = _polynomial_fit(wanted, change_k, left, powers)
    kappa, kappa_rms = _polynomial_fit(flowing, change_k, mean("kappa"), powers)
    offset_v, offset_rms = _polynomial_fit(flowing, change_k, mean("offset_v"), powers)
    additive, additive_rms = _polynomial_fit(flowing, change_k, mean("additive"), powers)
    rest = [list(row) for row in kappa]
    stated = rest[0][0], rest[0][1] if len(rest[0]) > 1 else 0.0, rest[1][0] if len(rest) > 1 else 0.0
    rest[0][: len(rest[0][:2])] = [0.0] * len(rest[0][:2])
    if len(rest) > 1:
        rest[1][0] = 0.0
    fitted_additive = additive if any(map(any, additive)) else NONE
    systematic = Systematic(log_current, tuple(map(tuple, rest)), offset_v, fitted_additive)
    fields = {
        "ota.kappa": stated[0],
        "ota.kappa_per_k": stated[1],
        "ota.kappa_per_decade": stated[2],
        "ota.systematic": systematic,
        "thermal.bias": "constant",
        "thermal.current_per_k": current_per_k[0],
    }
    rms = {"log_current": log_current_rms, "kappa": kappa_rms, "offset_v": offset_rms, "additive": additive_rms}
    return FittedLaw(fields, rms)


def _polynomial_fit(
    decades: np.ndarray, change_k: np.ndarray, values: np.ndarray, powers: tuple[int, int]
) -> tuple[Polynomial, float]:
    """Least-squares coefficients c[p][q] up to ``powers``, and the RMS of what they leave."""
    in_current, in_temperature = powers
    scale_k = max(1.0, float(np.max(np.abs(change_k))))
    columns = [
        (p, q, decades**p * (change_k / scale_k) ** q) for p in range(in_current + 1) for q in range(in_temperature + 1)
    ]
    # Biases measured at one temperature only determine no cross terms.
    while len(columns) > len(values):
        columns.remove(max(columns, key=lambda column: (column[0] + column[1], column[0])))
    matrix = np.stack([column for _, _, column in columns], axis=1)
    solved, *_ = np.linalg.lstsq(matrix, values, rcond=1e-12)
    table = np.zeros((in_current + 1, in_temperature + 1))
    for (p, q, _), value in zip(columns, solved.tolist(), strict=True):
        table[p, q] = value / scale_k**q
    left = values - matrix @ solved
    return tuple(tuple(row) for row in table.tolist()), math.sqrt(float(np.mean(left**2)))


def predicted_a(hardware: Hardware, bias_a: float, temperature_c: float, voltage_v: np.ndarray) -> np.ndarray:
    """The transfer curve that ``hardware`` predicts for an OTA asked for ``bias_a``, A, in float64.

    Args:
        hardware: a continuous current is taken, whatever its programming grid.
        bias_a: wanted bias current, A.
        temperature_c: degrees Celsius.
        voltage_v: (n,) differential input, V.
    """
    with jax.enable_x64(True):
        free = with_fields(
            hardware,
            {
                "floating_gate.bits": None,
                "floating_gate.used_bits": None,
                "floating_gate.min_current_a": 0.0,
                "floating_gate.max_current_a": math.inf,
            },
        )
        program = Program(jnp.full((1, 1), bias_a), jnp.full((1,), 1e6), jnp.zeros(1))
        environment = Environment(celsius_to_kelvin(temperature_c), hardware.supply_v)
        realised = realise(program, free, nominal_chip(free, ArrayGeometry(1)), environment)
        return np.asarray(ota_curves_a(realised, jnp.asarray(voltage_v)))[0, 0]


def law_residual(hardware: Hardware, curve: Curve) -> tuple[float, float]:
    """RMS and largest deviation of ``predicted_a`` from a curve, over its bias: nothing is fitted to it."""
    left = (predicted_a(hardware, curve.bias_a, curve.temperature_c, curve.voltage_v) - curve.current_a) / curve.bias_a
    return float(np.sqrt(np.mean(left**2))), float(np.max(np.abs(left)))
