"""Quickstart: cluttered digits, a 0.16 M-parameter transformer and an analog scorer, trained together in minutes."""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from experiments.settings import CodesignSettings


def get_config() -> ConfigDict:
    """The run described above."""
    config = to_config_dict(CodesignSettings)
    config.data.batch_size = 64
    config.model.heads = 2
    config.dense.steps = 60
    config.tune.steps = 60
    config.evaluation.chips = 4
    return config
