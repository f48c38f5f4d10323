"""Fitted OTAs at biases, temperatures and supplies to the fields of a hardware preset, and how well those predict."""

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
MAX_SUPPLY_POWERS = 2, 1
"""Of decades and temperature, in what a volt of supply changes."""
SMALLEST_RATIO = 1e-3
"""A fitted bias current so many times the wanted one is no current."""


@dataclasses.dataclass(frozen=True)
class FittedLaw:
    """How an OTA depends on bias, temperature and supply.

    Attributes:
        fields: dotted fields of ``Hardware`` and their values, for ``with_fields``.
        rms: of what the polynomials leave of the fitted parameters, by name: log_current, kappa, offset_v, additive.
    """

    fields: dict[str, Any]
    rms: dict[str, float]


def fit_law(found: Sequence[FittedOta], hardware: Hardware) -> FittedLaw:
    """Polynomials in log10(I) and T through fitted OTAs; devices at one bias, temperature and supply are averaged.

    The powers are as many as the data determine: up to 3 in log10(I / I_0) and 2 in T - T_0, fewer where there are
    fewer biases or temperatures. Where there are several supplies, a second polynomial of each quantity, up to 2 and 1,
    is its change with the supply, taken as linear. Slopes at (I_0, T_0) go to ``ota.kappa_per_k``,
    ``ota.kappa_per_decade`` and ``thermal.current_per_k``, the rest to ``ota.systematic``. The bias is taken as a
    constant current that mirrors copy, so ``thermal.bias`` becomes ``constant``.

    Args:
        found: fits of one law, all with or all without additive term.
        hardware: gives I_0 (``ota.kappa_current_a``), T_0 (``thermal.nominal_temperature_k``) and the nominal supply.

    Raises:
        SettingError: no fits, one of an OTA that is dead or whose current falls with its input, or several supplies
            that do not enclose the nominal one.
    """
    if not found:
        raise SettingError("there are no curves to fit a law to; give one or more")
    for one in found:
        if not one.current_a > SMALLEST_RATIO * one.bias_a:
            raise SettingError(
                f"the fit of {one.device!r} at {one.bias_a:g} A and {one.temperature_c:g} C found a bias current of "
                f"{one.current_a:g} A: leave the OTA out if it is dead; exchange its inputs if its current falls"
            )
    groups: dict[tuple[float, float, float], list[FittedOta]] = {}
    nominal_v = float(hardware.supply_v)
    for one in found:
        supply_v = nominal_v if one.supply_v is None else one.supply_v
        groups.setdefault((one.bias_a, one.temperature_c, supply_v), []).append(one)
    reference_a, nominal_k = float(hardware.ota.kappa_current_a), float(hardware.thermal.nominal_temperature_k)

    def mean(name: str) -> np.ndarray:
        return np.array([np.mean([getattr(one, name) for one in group]) for group in groups.values()])

    bias_a = np.array([bias for bias, _, _ in groups])
    change_k = np.array([float(celsius_to_kelvin(celsius)) - nominal_k for _, celsius, _ in groups])
    change_v = _supply_changes_v([supply_v for _, _, supply_v in groups], hardware)
    log_ratio = np.log(mean("current_a") / bias_a)
    wanted, flowing = np.log10(bias_a / reference_a), np.log10(mean("current_a") / reference_a)
    most = len(set(bias_a)) - 1, len(set(change_k)) - 1
    powers = min(MAX_POWER, most[0]), min(MAX_TEMPERATURE_POWER, most[1])

    def fit(decades: np.ndarray, values: np.ndarray) -> _Fit:
        return _polynomial_fit(decades, change_k, change_v, values, powers)

    current_per_k = fit(wanted, log_ratio).nominal[0][1:2] or (0.0,)
    log_current = fit(wanted, log_ratio - np.log1p(current_per_k[0] * change_k))
    kappa, offset_v, additive = (fit(flowing, mean(name)) for name in ("kappa", "offset_v", "additive"))
    rest = [list(row) for row in kappa.nominal]
    stated = rest[0][0], rest[0][1] if len(rest[0]) > 1 else 0.0, rest[1][0] if len(rest) > 1 else 0.0
    rest[0][: len(rest[0][:2])] = [0.0] * len(rest[0][:2])
    if len(rest) > 1:
        rest[1][0] = 0.0
    systematic = Systematic(
        log_current=log_current.nominal,
        kappa=tuple(map(tuple, rest)),
        offset_v=offset_v.nominal,
        additive=_unless_zero(additive.nominal),
        log_current_per_v=log_current.per_v,
        kappa_per_v=kappa.per_v,
        offset_v_per_v=offset_v.per_v,
        additive_per_v=_unless_zero(additive.per_v),
    )
    fields = {
        "ota.kappa": stated[0],
        "ota.kappa_per_k": stated[1],
        "ota.kappa_per_decade": stated[2],
        "ota.systematic": systematic,
        "thermal.bias": "constant",
        "thermal.current_per_k": current_per_k[0],
    }
    parts = {"log_current": log_current, "kappa": kappa, "offset_v": offset_v, "additive": additive}
    return FittedLaw(fields, {name: part.rms for name, part in parts.items()})


def _supply_changes_v(supplies_v: Sequence[float], hardware: Hardware) -> np.ndarray:
    """Supplies less the nominal one, V; zeros where there is one supply, which is then taken for it."""
    nominal_v = float(hardware.supply_v)
    if len(set(supplies_v)) == 1:
        return np.zeros(len(supplies_v))
    if not min(supplies_v) <= nominal_v <= max(supplies_v):
        raise SettingError(
            f"the curves are at supplies of {min(supplies_v):g} to {max(supplies_v):g} V, which do not enclose the "
            f"{nominal_v:g} V of hardware {hardware.name!r}; measure at that too, or start from another preset"
        )
    return np.asarray(supplies_v) - nominal_v


def _unless_zero(coefficients: Polynomial) -> Polynomial:
    return coefficients if any(map(any, coefficients)) else NONE


@dataclasses.dataclass(frozen=True)
class _Fit:
    """Coefficients at the nominal supply, their change for a volt of it, and the RMS of what they leave."""

    nominal: Polynomial
    per_v: Polynomial
    rms: float


def _polynomial_fit(
    decades: np.ndarray, change_k: np.ndarray, change_v: np.ndarray, values: np.ndarray, powers: tuple[int, int]
) -> _Fit:
    """Least-squares coefficients c[p][q] up to ``powers``, and where the supply changes, those of its slope."""
    scale_k = max(1.0, float(np.max(np.abs(change_k))))
    scale_v = float(np.max(np.abs(change_v)))
    # A bend in the supply is fitted where it can be and left out, or it would move what is said of the nominal one.
    slopes = min(len(set(change_v.tolist())) - 1, 2)
    slope_powers = [tuple(map(min, powers, MAX_SUPPLY_POWERS)) if s < slopes else (-1, -1) for s in range(2)]
    columns = [
        (s, p, q, decades**p * (change_k / scale_k) ** q * (change_v / (scale_v or 1.0)) ** s)
        for s, (in_current, in_temperature) in enumerate((powers, *slope_powers))
        for p in range(in_current + 1)
        for q in range(in_temperature + 1)
    ]
    # Biases measured at one temperature only determine no cross terms.
    while len(columns) > len(values):
        columns.remove(max(columns, key=lambda column: (sum(column[:3]), column[1])))
    matrix = np.stack([column[3] for column in columns], axis=1)
    solved, *_ = np.linalg.lstsq(matrix, values, rcond=1e-12)
    tables = [np.zeros((p + 1, q + 1)) for p, q in (powers, *slope_powers)]
    for (s, p, q, _), value in zip(columns, solved.tolist(), strict=True):
        tables[s][p, q] = value / scale_k**q / (scale_v or 1.0) ** s
    used = np.array([column[0] < 2 for column in columns])
    left = values - matrix[:, used] @ solved[used]
    nominal, per_v, _ = (tuple(tuple(row) for row in table.tolist()) for table in tables)
    return _Fit(nominal, per_v, math.sqrt(float(np.mean(left**2))))


def predicted_a(
    hardware: Hardware, bias_a: float, temperature_c: float, voltage_v: np.ndarray, supply_v: float | None = None
) -> np.ndarray:
    """The transfer curve that ``hardware`` predicts for an OTA asked for ``bias_a``, A, in float64.

    Args:
        hardware: a continuous current is taken, whatever its programming grid.
        bias_a: wanted bias current, A.
        temperature_c: degrees Celsius.
        voltage_v: (n,) differential input, V.
        supply_v: V; None for the nominal.
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
        environment = Environment(celsius_to_kelvin(temperature_c), hardware.supply_v if supply_v is None else supply_v)
        realised = realise(program, free, nominal_chip(free, ArrayGeometry(1)), environment)
        return np.asarray(ota_curves_a(realised, jnp.asarray(voltage_v)))[0, 0]


def law_residual(hardware: Hardware, curve: Curve) -> tuple[float, float]:
    """RMS and largest deviation of ``predicted_a`` from a curve, over its bias: nothing is fitted to it."""
    predicted = predicted_a(hardware, curve.bias_a, curve.temperature_c, curve.voltage_v, curve.supply_v)
    left = (predicted - curve.current_a) / curve.bias_a
    return float(np.sqrt(np.mean(left**2))), float(np.max(np.abs(left)))
