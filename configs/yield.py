"""Yield of the quickstart's design: 200 chips at 0 to 85 C on 5,000 inputs, before and after calibration.

    python launch.py --config=configs/yield.py
    python launch.py --config=configs/yield.py:thousand

`:thousand` is 1,000 chips x 5 temperatures x 512 inputs as fabricated: 7.5 minutes on two cores, peak memory 1.35 GB
of a budget of 4 GiB; every chip passes (interval 99.6 to 100 %). Both need runs/quickstart
(python launch.py --config=configs/quickstart.py).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from atis_jax.validation import check_choice
from experiments.montecarlo.yields_settings import YieldSettings


def get_config(variant: str = "calibrated") -> ConfigDict:
    """The run described above."""
    check_choice(variant, ("calibrated", "thousand"), "the part after yield.py:")
    config = to_config_dict(YieldSettings)
    if variant == "thousand":
        config.montecarlo.chips = 1000
        config.montecarlo.temperature_c = (0.0, 21.0, 42.0, 64.0, 85.0)
        config.montecarlo.examples = 512
        config.calibrations = ("none",)
        return config
    config.montecarlo.chips = 200
    config.montecarlo.temperature_c = (0.0, 27.0, 85.0)
    config.montecarlo.examples = 5000
    config.calibrations = ("none", "threshold", "currents+threshold", "threshold+offset+table")
    config.calibration.chamber_temperatures_c = (0.0, 42.0, 85.0)
    return config
