"""Fit: I(V) curves of a laboratory or of ngspice to a hardware preset that any config can name."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from atis_jax.circuits.hardware import with_fields
from atis_jax.circuits.presets import get_preset
from atis_jax.fitting.curves import curves_csv, read_curves
from atis_jax.fitting.law import predicted_a
from atis_jax.fitting.ota import FittedOta
from atis_jax.fitting.preset import populations_of
from atis_jax.fitting.preset_file import preset_json
from atis_jax.fitting.spread import Spread, pooled_fields, spread_of
from atis_jax.report import write_report
from atis_jax.spice.models import find_process
from atis_jax.spice.simulator import find_ngspice, ngspice_version
from experiments.files import write_arrays_atomically, write_text_atomically
from experiments.rundir import RunFolder
from experiments.spice.characterise import combined, mismatched, typical_curves
from experiments.spice.contents import FIT
from experiments.spice.settings import FitSettings

PRESET, CURVES = "hardware.json", "curves.csv"
NOMINAL_C = 27.0
SHOWN = 6
"""Curves in the figure."""


def run(settings: FitSettings, folder: RunFolder) -> dict[str, Any]:
    """Run the experiment; writes hardware.json, curves.csv (of a simulation), artifacts.npz, summary.json, the report.

    Raises:
        CurveError: the file of curves cannot be used.
        SpiceError: no file was given, and ngspice or its models are missing or fail.
    """
    started = time.time()
    if settings.curves is not None:
        curves, source, generic = read_curves(settings.curves), f"file {settings.curves}", False
        populations = populations_of(curves, settings.law)
    else:
        process = find_process(settings.process.name, settings.process.corner)
        find_ngspice()
        folder.begin()
        spec = settings.process
        curves = list(typical_curves(process, spec.biases_a, spec.temperatures_c, spec.supplies_v))
        source = f"{ngspice_version()}, {process.name}"
        write_text_atomically(folder.path / CURVES, curves_csv(curves))
        populations = [
            mismatched(
                process, bias_a, NOMINAL_C, settings.devices, settings.seed * len(settings.spread_biases_a) + number
            )
            for number, bias_a in enumerate(settings.spread_biases_a if settings.devices else ())
        ]
        generic = process.generic
    spreads = [spread_of(population) for population in populations]
    base = get_preset(settings.base)
    fitted = combined(source, curves, base, settings.law, additive=settings.additive)
    fields = {"ota.law": settings.law, **fitted.law.fields, **pooled_fields(spreads)}
    hardware = with_fields(base, {"name": settings.name, **fields})
    folder.begin()  # curves of a file are fitted before: nothing is left of a run that could not
    worst_fit, worst_law = max(fit.rms for fit in fitted.fits), max(fitted.residuals)
    provenance = {
        "source": source,
        "curves": len(curves),
        "worst_rms_of_a_fit": worst_fit,
        "worst_rms_of_the_law": worst_law,
        "left_by_the_law": fitted.law.rms,
        "devices": [next(iter(spread.values())).devices for spread in spreads],
    }
    write_text_atomically(folder.path / PRESET, preset_json(settings.base, settings.name, fields, provenance))
    drawn = [curves[index] for index in np.unique(np.linspace(0, len(curves) - 1, SHOWN).round().astype(int))]
    grid_v = drawn[0].voltage_v
    if not all(np.array_equal(one.voltage_v, grid_v) for one in drawn):  # else lines between points would be residuals
        low_v, high_v = max(one.voltage_v[0] for one in drawn), min(one.voltage_v[-1] for one in drawn)
        grid_v = np.linspace(low_v, high_v, 201)
    arrays = {
        "fit_v": grid_v,
        "fit_bias_a": np.array([one.bias_a for one in drawn]),
        "fit_c": np.array([one.temperature_c for one in drawn]),
        "fit_curve": np.stack([np.interp(grid_v, one.voltage_v, one.current_a) / one.bias_a for one in drawn]),
        "fit_model": np.stack(
            [predicted_a(hardware, one.bias_a, one.temperature_c, grid_v, one.supply_v) / one.bias_a for one in drawn]
        ),
        "fit_residual": np.array([[fit.rms, left] for fit, left in zip(fitted.fits, fitted.residuals, strict=True)]),
    }
    write_arrays_atomically(folder.path / "artifacts.npz", arrays)
    summary = {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "fit": {
            "preset": PRESET,
            **provenance,
            "parameters": [_row(fit, left) for fit, left in zip(fitted.fits, fitted.residuals, strict=True)],
            "generic": generic,
            "spread": [_group(one[0], spread) for one, spread in zip(populations, spreads, strict=True)],
            "fields": {name: value for name, value in fields.items() if isinstance(value, float)},
        },
        "timing": {"seconds": time.time() - started},
    }
    folder.write_summary(summary)
    write_report(folder.path, FIT)
    print(f"use it with --config.hardware.preset={folder.path / PRESET}", flush=True)
    return summary


def _row(fit: FittedOta, left: float) -> dict[str, Any]:
    return {
        "device": fit.device,
        "bias_a": fit.bias_a,
        "temperature_c": fit.temperature_c,
        "supply_v": fit.supply_v,
        "current_a": fit.current_a,
        "kappa": fit.kappa,
        "offset_v": fit.offset_v,
        "additive": fit.additive,
        "rms": fit.rms,
        "law_rms": left,
    }


def _group(device: FittedOta, spread: dict[str, Spread]) -> dict[str, Any]:
    """Devices at one bias and temperature, and each spread with its interval."""
    return {
        "bias_a": device.bias_a,
        "temperature_c": device.temperature_c,
        "devices": next(iter(spread.values())).devices,
        "spread": {name: {"value": one.value, "low": one.low, "high": one.high} for name, one in spread.items()},
    }
