"""Export: a finished run's design as a bundle, for SPICE, RASP and AN231E04, each read back, run and compared.

    python launch.py --config=configs/export.py --config.checkpoint=runs/quickstart --config.target=spice

Targets: bundle, spice, rasp, an231e04, all. SPICE plays 256 real tokens of each layer through the exported netlist of
transistors (ngspice and the models as for configs/spice_validation.py; --config.simulate=False writes it only).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from experiments.export.settings import ExportSettings


def get_config() -> ConfigDict:
    """The quickstart's design, every target."""
    return to_config_dict(ExportSettings)
