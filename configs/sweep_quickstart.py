"""Sweep: array inputs, pruned fraction and seed of a short co-design, all from the quickstart's dense network.

    python launch.py --config=configs/quickstart.py
    python launch.py --config=configs/sweep_quickstart.py --sweep --sweep.parallel=2

With --config.start_from=None every run trains a dense network of its own.
"""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from configs import quickstart
from experiments.sweeps import product


def get_config() -> ConfigDict:
    """One run: the quickstart's co-design for 200 steps, without controls, on 16 chips."""
    config = quickstart.get_config()
    config.start_from = "runs/quickstart"
    config.compare = ()
    config.tune.steps = 200
    config.evaluation.chips = 16
    return config


def get_sweep() -> list[dict[str, Any]]:
    """Eight runs."""
    return product(
        {
            "scorer.inputs": [8, 32],
            "pruning.kept": [(0.65, 0.58, 0.55), (0.35, 0.28, 0.25)],
            "seed": [0, 1],
        }
    )
