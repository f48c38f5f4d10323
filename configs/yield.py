"""Yield: which share of fabricated chips keeps its accuracy from 0 to 85 C, before and after calibration.

    python launch.py --config=configs/yield.py
    python launch.py --config=configs/yield.py:robust
    python launch.py --config=configs/yield.py:cifar10
    python launch.py --config=configs/yield.py:thousand

The first measures the quickstart's design: 200 chips, 0, 27 and 85 C, 5,000 inputs, as fabricated and after each
calibration. `:robust` measures the designs trained on the perfect chip and on the worst chips of each step in the same
way (configs/robust_quickstart.py:plain and :cvar; the quickstart itself is trained on drawn chips). `:cifar10` is 100
chips on 10,000 images with the design of configs/vit_cifar10.py:0.7, at three supplies too, thresholds set on each
chip: hours. `:thousand` is 1,000 chips x 5 temperatures x 512 inputs as fabricated, within 10 minutes on two cores.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from atis_jax.validation import check_choice
from experiments.montecarlo.yields_settings import YieldSettings

VARIANTS = ("calibrated", "robust", "cifar10", "thousand")
CALIBRATIONS = ("none", "threshold", "currents+threshold", "threshold+offset+table")


def get_config(variant: str = "calibrated") -> ConfigDict:
    """The run described above."""
    check_choice(variant, VARIANTS, "the part after yield.py:")
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
    config.calibrations = CALIBRATIONS
    config.calibration.chamber_temperatures_c = (0.0, 42.0, 85.0)
    if variant == "robust":
        config.checkpoints = ("runs/robust_quickstart-plain", "runs/robust_quickstart-cvar")
        config.calibrations = (CALIBRATIONS[0], CALIBRATIONS[-1])
    elif variant == "cifar10":
        config.checkpoints = ("runs/vit_cifar10-0.7-s0",)
        config.montecarlo.chips = 100
        config.montecarlo.examples = 10_000
        config.supply = (0.9, 1.0, 1.1)
        config.calibrations = ("threshold+offset",)
    return config
