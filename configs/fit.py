"""Fit: a hardware preset from I(V) curves, of a laboratory (a CSV file) or of ngspice, for use in any config.

    python launch.py --config=configs/fit.py
    python launch.py --config=configs/fit.py --config.curves=lab.csv --config.name=lab --workdir=runs/fit-lab

The first simulates sky130 OTAs (ngspice and the models as for configs/spice_validation.py) at biases, temperatures and
supplies, a minute. The second needs no simulator: columns device, bias_A, temperature_C, voltage_V, current_A and, if
it was changed, supply_V, or in other units that their names say (bias_nA, current_nA, voltage_mV, temperature_K).
Either writes hardware.json: --config.hardware.preset=runs/fit/hardware.json.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from experiments.spice.settings import FitSettings


def get_config() -> ConfigDict:
    """Curves of ngspice, unless a file is given."""
    config = to_config_dict(FitSettings)
    config.process.name = "sky130"
    config.base = "sky130_130nm"
    config.additive = True
    return config
