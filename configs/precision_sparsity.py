"""Precision against sparsity: DAC bits 1-8 x programming bits 2-10 x array size 8-64 x pruned fraction.

    python launch.py --config=configs/quickstart.py
    python launch.py --config=configs/precision_designs.py --sweep --sweep.parallel=2
    python launch.py --config=configs/precision_sparsity.py

Twelve designs, each on a chip without errors and on six nominal chips at 27 C, 500 inputs: do 4 to 6 effective bits
suffice?
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from experiments.montecarlo.precision_sparsity import PrecisionSettings


def get_config() -> ConfigDict:
    """The run described above."""
    return to_config_dict(PrecisionSettings)
