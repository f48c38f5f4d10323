"""A process characterised cell by cell: what our model is told of it before it predicts anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.circuits.presets import get_preset
from atis_jax.fitting.curves import Curve
from atis_jax.fitting.law import FittedLaw, fit_law, law_residual
from atis_jax.fitting.ota import FittedOta, fit_curve
from atis_jax.fitting.spread import Spread, spread_of
from atis_jax.spice import benches
from atis_jax.spice.models import Process, find_process
from experiments.spice.settings import ProcessSpec


@dataclasses.dataclass(frozen=True)
class FittedCurves:
    """Transfer curves and the hardware that they make.

    Attributes:
        curves: at every bias, temperature and supply.
        fits: of each curve by itself.
        law: through all of them.
        hardware: the base preset with the law's fields.
        residuals: of each curve against that hardware, RMS over the bias: nothing refitted.
    """

    curves: tuple[Curve, ...]
    fits: tuple[FittedOta, ...]
    law: FittedLaw
    hardware: Hardware
    residuals: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Characterised(FittedCurves):
    """The OTA of a process.

    Attributes:
        process: whose transistors.
    """

    process: Process


def characterise(spec: ProcessSpec, also_biases_a: Sequence[float] = (), also_c: Sequence[float] = ()) -> Characterised:
    """Simulate, fit and combine the OTAs of a process.

    Args:
        spec: process, biases, temperatures and supplies.
        also_biases_a: further biases at the same temperatures.
        also_c: further temperatures.

    Raises:
        SpiceError: no ngspice, no models, or a failed simulation.
    """
    process = find_process(spec.name, spec.corner)
    biases_a = sorted({*spec.biases_a, *also_biases_a})
    curves = typical_curves(process, biases_a, sorted({*spec.temperatures_c, *also_c}), spec.supplies_v)
    made = combined(process.name, curves, get_preset(spec.base), "tanh", additive=True)
    return Characterised(
        **{field.name: getattr(made, field.name) for field in dataclasses.fields(made)}, process=process
    )


def typical_curves(
    process: Process, biases_a: Sequence[float], temperatures_c: Sequence[float], supplies_v: Sequence[float]
) -> tuple[Curve, ...]:
    """Transfer curves of the OTA at every bias, temperature and supply."""
    return tuple(
        Curve("typical", *one, supply_v=supply_v)
        for supply_v in supplies_v
        for one in benches.ota_curves(process, biases_a, temperatures_c, supply_v=supply_v)
    )


def combined(name: str, curves: Sequence[Curve], base: Hardware, law: str, *, additive: bool) -> FittedCurves:
    """Fits of ``curves``, the law through them, and ``base`` with its fields."""
    specific_a = float(base.ota.specific_current_a)
    fits = tuple(fit_curve(one, law=law, additive=additive, specific_current_a=specific_a) for one in curves)
    fitted = fit_law(fits, base)
    hardware = with_fields(base, {"name": f"fitted to {name}", "ota.law": law, **fitted.fields})
    residuals = tuple(law_residual(hardware, one)[0] for one in curves)
    return FittedCurves(tuple(curves), fits, fitted, hardware, residuals)


def mismatched(process: Process, bias_a: float, temperature_c: float, devices: int, seed: int) -> list[FittedOta]:
    """Fits, additive term included, of OTAs that each drew their own mismatch."""
    voltage_v, current_a = benches.mismatched_otas(process, bias_a, temperature_c, devices, seed)
    return [
        fit_curve(Curve(f"device{number}", bias_a, temperature_c, voltage_v, one), additive=True)
        for number, one in enumerate(current_a)
    ]


def population(fits: Sequence[FittedOta], confidence: float = 0.95) -> tuple[dict[str, Spread], np.ndarray]:
    """Spreads of a population, and what its figure shows: (devices, 2) of offset in V and ln current."""
    shown = np.array([(one.offset_v, np.log(one.current_a / one.bias_a)) for one in fits])
    return spread_of(fits, confidence), shown
