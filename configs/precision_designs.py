"""Designs for the precision sweep: array of 8 to 64 inputs, half to four fifths of the tokens pruned, one network.

    python launch.py --config=configs/quickstart.py
    python launch.py --config=configs/precision_designs.py --sweep --sweep.parallel=2

Every run is the quickstart's co-design from the dense network of runs/quickstart, on the nominal hardware (6-bit
converters, 8-bit currents), without controls. configs/precision_sparsity.py measures what bits they need.
"""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from configs import quickstart
from experiments.sweeps import product


def get_config() -> ConfigDict:
    """One run."""
    config = quickstart.get_config()
    config.start_from = "runs/quickstart"
    config.compare = ()
    config.evaluation.chips = 16
    return config


def get_sweep() -> list[dict[str, Any]]:
    """Twelve runs: about 50, 71 and 80 % pruned, mean of the three layers."""
    return product(
        {
            "scorer.inputs": [8, 16, 32, 64],
            "pruning.kept": [(0.55, 0.5, 0.45), (0.35, 0.28, 0.25), (0.25, 0.19, 0.16)],
        }
    )
