"""Precision against sparsity: DAC bits 1-8 x programming bits 2-10 x array size 8-64 x pruned fraction.

    python launch.py --config=configs/quickstart.py
    python launch.py --config=configs/precision_designs.py --sweep --sweep.parallel=2
    python launch.py --config=configs/precision_sparsity.py
    python launch.py --config=configs/precision_sparsity.py:cifar10

Twelve designs, each on a chip without errors and on four nominal chips at 27 C, 1,000 inputs: do 4 to 6 effective bits
suffice? `:cifar10` asks the same of the three designs of configs/vit_cifar10.py (64 inputs), on fewer programming bits.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from atis_jax.validation import check_choice
from experiments.montecarlo.precision_sparsity import PrecisionSettings


def get_config(variant: str = "digits") -> ConfigDict:
    """The run described above."""
    check_choice(variant, ("digits", "cifar10"), "the part after precision_sparsity.py:")
    config = to_config_dict(PrecisionSettings)  # chips and inputs are its defaults
    if variant == "cifar10":
        config.checkpoints = ("runs/vit_cifar10-0.3-s0", "runs/vit_cifar10-0.5-s0", "runs/vit_cifar10-0.7-s0")
        config.programming_bits = (2, 4, 6, 8, 10)
    return config
