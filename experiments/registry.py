"""The experiments a config can name. Modules are imported when one is chosen, not before."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from atis_jax.validation import check_choice

if TYPE_CHECKING:
    from atis_jax.report.contents import Contents


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Where an experiment's code is.

    Attributes:
        settings: ``module:Class``, the frozen dataclass its config becomes.
        run: ``module:function``, called as ``run(settings, folder)``; returns the summary.
        contents: ``module:name``, the ``report.contents.Contents`` of its runs' pages; those of a run that trained a
            network where it has none of its own.
    """

    settings: str
    run: str
    contents: str = "experiments.codesign_report.contents:CODESIGN"


EXPERIMENTS: dict[str, Experiment] = {
    "codesign": Experiment(
        "experiments.settings:CodesignSettings",
        "experiments.codesign:run",
        "experiments.codesign_report.contents:CODESIGN",
    ),
    "dense": Experiment(
        "experiments.settings:CodesignSettings",
        "experiments.codesign:run_dense",
        "experiments.codesign_report.contents:DENSE",
    ),
    "yield": Experiment(
        "experiments.montecarlo.yields_settings:YieldSettings",
        "experiments.montecarlo.yields:run",
        "experiments.montecarlo.contents:YIELD",
    ),
    "noise_sweep": Experiment(
        "experiments.montecarlo.noise_sweep:NoiseSweepSettings",
        "experiments.montecarlo.noise_sweep:run",
        "experiments.montecarlo.contents:NOISE",
    ),
    "temperature_sweep": Experiment(
        "experiments.montecarlo.temperature_sweep:TemperatureSweepSettings",
        "experiments.montecarlo.temperature_sweep:run",
        "experiments.montecarlo.contents:TEMPERATURE",
    ),
    "precision_sparsity": Experiment(
        "experiments.montecarlo.precision_sparsity:PrecisionSettings",
        "experiments.montecarlo.precision_sparsity:run",
        "experiments.montecarlo.contents:PRECISION",
    ),
    "scenarios": Experiment(
        "experiments.energy.settings:ScenariosSettings",
        "experiments.energy.scenarios:run",
        "experiments.energy.contents:SCENARIOS",
    ),
    "spice_validation": Experiment(
        "experiments.spice.settings:ValidationSettings",
        "experiments.spice.validation:run",
        "experiments.spice.contents:VALIDATION",
    ),
    "fit": Experiment(
        "experiments.spice.settings:FitSettings", "experiments.spice.fit:run", "experiments.spice.contents:FIT"
    ),
    "export": Experiment(
        "experiments.export.settings:ExportSettings",
        "experiments.export.experiment:run",
        "experiments.export.contents:EXPORT",
    ),
    "retarget": Experiment(
        "experiments.export.settings:RetargetSettings",
        "experiments.export.retarget:run",
        "experiments.export.contents:RETARGET",
    ),
    "drift": Experiment(
        "experiments.drift.settings:DriftSettings",
        "experiments.drift.experiment:run",
        "experiments.drift.contents:DRIFT",
    ),
    "pretrained_attention": Experiment(
        "experiments.attention.settings:AttentionSettings",
        "experiments.attention.experiment:run",
        "experiments.attention.contents:ATTENTION",
    ),
    "kv_methods": Experiment(
        "experiments.kv.settings:KvSettings",
        "experiments.kv.experiment:run",
        "experiments.kv.contents:KV",
    ),
    "kv_gate": Experiment(
        "experiments.kv_gate.settings:KvGateSettings",
        "experiments.kv_gate.experiment:run",
        "experiments.kv_gate.contents:KV_GATE",
    ),
    "zero_shot": Experiment(
        "experiments.zero_shot.settings:ZeroShotSettings",
        "experiments.zero_shot.experiment:run",
        "experiments.zero_shot.contents:ZERO_SHOT",
    ),
    "saliency": Experiment(
        "experiments.saliency.settings:SaliencySettings",
        "experiments.saliency.experiment:run",
        "experiments.saliency.contents:SALIENCY",
    ),
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


def contents_of(name: str) -> Contents:
    """What the pages of an experiment's runs hold; of a name that is none, those of a run that trained a network."""
    return _resolve(EXPERIMENTS[name].contents if name in EXPERIMENTS else Experiment.contents)


def _resolve(target: str) -> Any:
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)
