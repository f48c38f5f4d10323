"""Temperature sweep of the quickstart's design: 0 to 85 C under four biases and each compensation.

    python launch.py --config=configs/temperature_sweep.py

Needs runs/quickstart (python launch.py --config=configs/quickstart.py).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from experiments.montecarlo.temperature_sweep import TemperatureSweepSettings


def get_config() -> ConfigDict:
    """The run described above."""
    config = to_config_dict(TemperatureSweepSettings)
    config.montecarlo.chips = 16
    config.montecarlo.temperature_c = (0.0, 17.0, 27.0, 37.0, 47.0, 66.0, 85.0)
    config.montecarlo.examples = 500
    config.calibration.chamber_temperatures_c = (0.0, 42.0, 85.0)
    return config
