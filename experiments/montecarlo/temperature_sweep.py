"""Temperature sweep: accuracy, kept fraction and transconductance over temperature, for each bias and compensation."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.circuits.ota import effective_kappa
from atis_jax.circuits.thermal import BIAS_KINDS, bias_scale, kappa_at
from atis_jax.report import write_report
from atis_jax.scoring.atis.calibration import CalibrationSpec
from atis_jax.units import celsius_to_kelvin, thermal_voltage_v
from atis_jax.validation import SettingError, check_settings, setting
from experiments import measure
from experiments.files import write_arrays_atomically
from experiments.inputs import check_inputs
from experiments.montecarlo import arms
from experiments.montecarlo.arms import Evaluated
from experiments.montecarlo.calibration import calibrated
from experiments.montecarlo.contents import TEMPERATURE
from experiments.montecarlo.engine import Arm
from experiments.montecarlo.settings import MonteCarloSpec
from experiments.montecarlo.verdicts import mean_change
from experiments.rundir import RunFolder

UNCOMPENSATED = "none"
COMPENSATIONS = (UNCOMPENSATED, "threshold", "table", "periodic")
CURRENTS_A = (1e-9, 10e-9, 100e-9)
"""Bias currents at which the change of gm is stated, as in PHYSICS of the OTA's fits."""


@dataclasses.dataclass(frozen=True)
class TemperatureSweepSettings:
    """How the bias against temperature, and what compensates it, decide accuracy and kept tokens."""

    experiment: str = setting("temperature_sweep", choices=("temperature_sweep",), doc="temperature_sweep")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of chips, noise and measurements")
    checkpoint: str = setting("runs/quickstart", path=True, doc="folder of a finished co-design run")
    biases: tuple[str, ...] = setting(
        BIAS_KINDS, choices=BIAS_KINDS, least=1, distinct=True, doc="bias against temperature"
    )
    compensations: tuple[str, ...] = setting(
        COMPENSATIONS,
        choices=COMPENSATIONS,
        least=1,
        distinct=True,
        doc="none; threshold set once; looked up by a sensor; measured anew at each temperature",
    )
    confidence: float = setting(0.95, low=0.5, high=0.9999, doc="of the intervals")
    montecarlo: MonteCarloSpec = setting(MonteCarloSpec)
    calibration: CalibrationSpec = setting(
        CalibrationSpec, doc="`methods` is not read here: `config.compensations` says what is done."
    )

    def __post_init__(self):
        check_settings(self, "config")
        if self.montecarlo.chips < 2:
            raise SettingError("config.montecarlo.chips = 1: the interval of a mean takes two; give at least 2")

    def method(self, compensation: str) -> CalibrationSpec | None:
        """The calibration that a compensation is; None for none."""
        methods = {"threshold": ("threshold",), "table": ("threshold", "table"), "periodic": ("threshold", "periodic")}
        if compensation == UNCOMPENSATED:
            return None
        return dataclasses.replace(self.calibration, methods=methods[compensation])


def run(settings: TemperatureSweepSettings, folder: RunFolder) -> dict[str, Any]:
    """Run or go on with the experiment; returns what it wrote to ``summary.json``."""
    started = time.time()
    arms.one_device_a_core()
    trained = arms.load_run(settings.checkpoint)
    inputs, key = arms.inputs_of(trained, settings.montecarlo), arms.fabrication_key(settings.seed)
    folder.begin()
    check_inputs(folder, {trained.folder.name: trained.as_input()})
    rows = arms.chip_rows(settings.montecarlo)
    made = []
    for bias in settings.biases:
        hardware = with_fields(trained.trained.evaluator.hardware, {"thermal.bias": bias})
        for compensation in settings.compensations:
            arm = arms.make_arm(trained, {"bias": bias, "compensation": compensation}, rows, hardware)
            method = settings.method(compensation)
            if method is not None:
                arm = calibrated(arm, method, trained, key, folder)
            made.append(arm)
    evaluated = arms.evaluate(made, settings.montecarlo, folder, key, inputs)
    summary, arrays = summarise(settings, made, evaluated)
    gm, law = gm_changes(settings, trained.trained.evaluator.hardware)
    summary |= {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "dataset": measure.dataset_summary(trained.settings, trained.test) | {"examples": settings.montecarlo.examples},
        "gm_change_per_10c": law,
        "montecarlo": evaluated.account.summary(settings.montecarlo),
        "timing": {"seconds": time.time() - started},
    }
    write_arrays_atomically(folder.path / "artifacts.npz", arrays | gm)
    folder.write_summary(summary)
    write_report(folder.path, TEMPERATURE)
    return summary


def summarise(
    settings: TemperatureSweepSettings, made: Sequence[Arm], evaluated: Evaluated
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Mean over chips, with its interval, of the change of accuracy and of the kept fraction at each temperature."""
    temperature_c = settings.montecarlo.temperature_c
    depth = made[0].evaluator.model.depth
    shape = (len(made), settings.montecarlo.chips, len(temperature_c))

    def column(value) -> np.ndarray:
        return np.asarray([value(row) for row in evaluated.rows], float).reshape(shape)

    change = column(lambda row: (row["gained"] - row["lost"]) / row["examples"])
    discordant = column(lambda row: row["gained"] + row["lost"])
    kept = column(lambda row: np.mean([row[f"kept_{layer + 1}"] for layer in range(depth)]))
    found = []
    for i, arm in enumerate(made):
        for j, t in enumerate(temperature_c):
            estimate = mean_change(
                change[i, :, j], discordant[i, :, j], settings.montecarlo.examples, settings.confidence
            )
            found.append(
                {
                    **arm.labels,
                    "temperature_c": t,
                    "chips": settings.montecarlo.chips,
                    "change_mean": estimate.mean,
                    "change_low": estimate.interval.low,
                    "change_high": estimate.interval.high,
                    "change_worst": float(change[i, :, j].min()),
                    "kept_mean": float(kept[i, :, j].mean()),
                }
            )
    arrays = {
        "thermal_c": np.asarray(temperature_c),
        "thermal_change": change,
        "thermal_kept": kept,
        "thermal_ideal": np.asarray(evaluated.ideal),
    }
    return {"ideal_accuracy": evaluated.ideal[0], "temperature": found}, arrays


def gm_changes(
    settings: TemperatureSweepSettings, hardware: Hardware
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Transconductance of one OTA against temperature under each bias, over its value at the nominal temperature.

    gm = kappa(T, I_b) I_b(T) / 2U_T at three currents, kappa as ``realise`` has it; the summary tells the change
    from 20 to 30 C.
    """
    span_c = np.linspace(min(settings.montecarlo.temperature_c), max(settings.montecarlo.temperature_c), 86)

    def gm(bias: str, current_a: float, temperature_c) -> np.ndarray:
        thermal = dataclasses.replace(hardware.thermal, bias=bias)
        temperature_k = jnp.asarray(celsius_to_kelvin(temperature_c))
        ota, current = hardware.ota, jnp.full(temperature_k.shape, current_a)
        bias_a = current * bias_scale(current, ota.kappa, thermal, temperature_k)
        kappa = kappa_at(ota.kappa, ota.kappa_per_k, temperature_k, thermal.nominal_temperature_k)
        kappa = kappa + ota.kappa_per_decade * jnp.log10(bias_a / ota.kappa_current_a)
        return np.asarray(
            effective_kappa(ota.law, kappa, ota.attenuation) * bias_a / (2.0 * thermal_voltage_v(temperature_k))
        )

    nominal_c = np.asarray([float(hardware.thermal.nominal_temperature_k) - 273.15])
    curves = np.stack(
        [
            [gm(bias, current, span_c) / gm(bias, current, nominal_c) for current in CURRENTS_A]
            for bias in settings.biases
        ]
    )
    table = []
    for bias in settings.biases:
        for current in CURRENTS_A:
            low, high = gm(bias, current, np.asarray([20.0, 30.0]))
            table.append({"bias": bias, "current_a": current, "change": float(high / low - 1.0)})
    return {"gm_c": span_c, "gm_current_a": np.asarray(CURRENTS_A), "gm_ratio": curves}, table
