"""Noise sweep of the quickstart's design: which imperfection costs most, each alone and all together.

    python launch.py --config=configs/noise_sweep.py

Needs runs/quickstart (python launch.py --config=configs/quickstart.py).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from experiments.montecarlo.noise_sweep import NoiseSweepSettings


def get_config() -> ConfigDict:
    """The run described above."""
    config = to_config_dict(NoiseSweepSettings)
    config.montecarlo.chips = 32
    config.montecarlo.temperature_c = (27.0,)
    config.montecarlo.examples = 1000
    return config
