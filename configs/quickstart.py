"""Quickstart: cluttered digits, a 0.12 M-parameter transformer and an analog scorer, trained together in minutes."""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from experiments.settings import CodesignSettings


def get_config() -> ConfigDict:
    """The run described above."""
    config = to_config_dict(CodesignSettings)
    config.data.batch_size = 32
    config.model.depth = 3
    config.model.heads = 2
    config.dense.optimiser = "muon"
    config.dense.steps = 2000
    config.dense.learning_rate = 5e-3
    config.dense.label_smoothing = 0.1
    config.tune.optimiser = "muon"
    config.tune.steps = 500
    config.tune.learning_rate = 1e-3
    config.tune.label_smoothing = 0.1
    config.pruning.kept = (0.35, 0.28, 0.25)
    config.loss.attention = 0.3
    config.loss.energy = 0.1
    config.hardware.preset = "sky130_fg"
    config.energy.preset = "horowitz_45nm"
    config.codesign.temperature_c = (0.0, 70.0)
    config.codesign.detach_network = True
    config.evaluation.chips = 64
    config.evaluation.temperature_c = (0.0, 27.0, 70.0)
    return config
