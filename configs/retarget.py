"""Retarget: one FPAA, two models: the reprogramming list, its time and energy, and the chip's calibration carried over.

    python launch.py --config=configs/retarget.py --config.old=runs/quickstart --config.new=runs/mine

Sixteen sampled chips are calibrated with the old design and reprogrammed to the new one: as programmed, with the
calibration carried over, and calibrated anew. The second run here is configs/robust_quickstart.py:plain; any run of the
same structure will do. A minute and a half.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from experiments.export.settings import RetargetSettings


def get_config() -> ConfigDict:
    """From the quickstart's design to one trained on the perfect chip."""
    config = to_config_dict(RetargetSettings)
    config.calibration.methods = ("currents", "threshold")
    return config
