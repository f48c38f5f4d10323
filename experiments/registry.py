"""The experiments a config can name. Modules are imported when one is chosen, not before."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from atis_jax.validation import check_choice


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Where an experiment's code is.

    Attributes:
        settings: ``module:Class``, the frozen dataclass its config becomes.
        run: ``module:function``, called as ``run(settings, folder)``; returns the summary.
    """

    settings: str
    run: str


EXPERIMENTS: dict[str, Experiment] = {
    "codesign": Experiment("experiments.settings:CodesignSettings", "experiments.codesign:run"),
    "dense": Experiment("experiments.settings:CodesignSettings", "experiments.codesign:run_dense"),
    "yield": Experiment("experiments.montecarlo.yields_settings:YieldSettings", "experiments.montecarlo.yields:run"),
    "noise_sweep": Experiment(
        "experiments.montecarlo.noise_sweep:NoiseSweepSettings", "experiments.montecarlo.noise_sweep:run"
    ),
    "temperature_sweep": Experiment(
        "experiments.montecarlo.temperature_sweep:TemperatureSweepSettings",
        "experiments.montecarlo.temperature_sweep:run",
    ),
    "precision_sparsity": Experiment(
        "experiments.montecarlo.precision_sparsity:PrecisionSettings", "experiments.montecarlo.precision_sparsity:run"
    ),
    "scenarios": Experiment("experiments.energy.settings:ScenariosSettings", "experiments.energy.scenarios:run"),
    "spice_validation": Experiment("experiments.spice.settings:ValidationSettings", "experiments.spice.validation:run"),
    "fit": Experiment("experiments.spice.settings:FitSettings", "experiments.spice.fit:run"),
    "export": Experiment("experiments.export.settings:ExportSettings", "experiments.export.experiment:run"),
    "retarget": Experiment("experiments.export.settings:RetargetSettings", "experiments.export.retarget:run"),
    "drift": Experiment("experiments.drift.settings:DriftSettings", "experiments.drift.experiment:run"),
}


def find(name: Any) -> tuple[type, Callable[..., Any]]:
    """The settings class and the run function of the experiment ``name``.

    Raises:
        SettingError: no such experiment; lists those there are.
    """
    return load(entry(name))


def entry(name: Any) -> Experiment:
    """Where the code of the experiment ``name`` is.

    Raises:
        SettingError: no such experiment; lists those there are.
    """
    return EXPERIMENTS[check_choice(name, EXPERIMENTS, "config.experiment")]


def load(experiment: Experiment) -> tuple[type, Callable[..., Any]]:
    """The settings class and the run function of an entry; imports their modules."""
    return _resolve(experiment.settings), _resolve(experiment.run)


def _resolve(target: str) -> Any:
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)
