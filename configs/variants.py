"""Variants of the quickstart's scorer, one result each: prototypes, arrangements, projections, comparators, OTA laws.

    python launch.py --config=configs/quickstart.py
    python launch.py --config=configs/variants.py --sweep --workdir=runs/variants
    python -m experiments.table runs/variants

Every run is the quickstart's co-design from the dense network of runs/quickstart, on 32 chips at 0, 27 and 70 C,
without controls; the first is the quickstart's own. A law other than that of the preset is what the model says of such
an OTA, not a netlist of ours.
"""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from configs import quickstart


def get_config() -> ConfigDict:
    """One run: the quickstart's co-design on 32 chips."""
    config = quickstart.get_config()
    config.start_from = "runs/quickstart"
    config.compare = ()
    config.evaluation.chips = 32
    return config


def get_sweep() -> list[dict[str, Any]]:
    """Fourteen runs."""
    return [
        {"scorer.prototype": "static"},
        {"scorer.prototype": "ema"},
        {"scorer.prototype": "extracted"},
        {"scorer.arrangement": "grouped", "scorer.groups": 2},
        {"scorer.arrangement": "multiplexed", "scorer.groups": 2},
        {"scorer.projection": "gaussian"},
        {"scorer.projection": "sparse_sign"},
        {"scorer.projection": "selection"},
        {"scorer.hysteresis": True},
        {"scorer.differential": True},
        {"hardware.law": "linear"},
        {"hardware.law": "degenerated"},
        {"hardware.law": "attenuated", "hardware.attenuation": 0.3},
        {"hardware.law": "bump"},
    ]
