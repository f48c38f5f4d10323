"""Front: accuracy against scoring energy of 23 scorers, the paper's point (64 inputs, 6 bits, learned) among them.

    python launch.py --config=configs/quickstart.py
    python launch.py --config=configs/codesign_front.py --sweep --sweep.parallel=2 --workdir=runs/codesign_front

Each run is the quickstart's co-design from the dense network of runs/quickstart, on 32 chips at 0, 27 and 70 C. Twelve
have a given projection and array size at 6 bits, three fewer bits; in eight co-design itself chooses how many of 64
inputs are built and the converters' bits and full scale, under a heavier energy term. Every array is charged until it
has settled.
"""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from configs import quickstart
from experiments.sweeps import product

PAPER = {"scorer.projection": "learned", "scorer.inputs": 64}


def get_config() -> ConfigDict:
    """One run: the paper's point."""
    config = quickstart.get_config()
    config.start_from = "runs/quickstart"
    config.compare = ()
    config.scorer.inputs = 64
    config.hardware.dac_bits = 6
    config.energy.core = "settling"
    config.energy.weights = "sram_1m"
    config.energy.tokens = "sram_32k"
    # Hardware that is chosen while it trains prunes, for some steps, what everything depends on.
    config.codesign.gate_gradient = "secant"
    config.evaluation.chips = 32
    return config


def get_sweep() -> list[dict[str, Any]]:
    """Twenty-three runs."""
    given = product({"scorer.projection": ["learned", "sparse_sign", "selection"], "scorer.inputs": [64, 32, 16, 8]})
    fewer_bits = product({"scorer.projection": ["selection"], "scorer.inputs": [16], "hardware.dac_bits": [4, 3, 2]})
    trained = {
        "scorer.input_gates": [True],
        "scorer.trainable_bits": [True],
        "scorer.trainable_full_scale": [True],
    }
    chosen = product({"scorer.projection": ["learned", "selection"], **trained, "loss.energy": [30.0, 100.0, 300.0]})
    shared = product(
        {"scorer.projection": ["learned", "selection"], "scorer.shared": [True], **trained, "loss.energy": [100.0]}
    )
    return [*given, *fewer_bits, *chosen, *shared]


def get_front() -> dict[str, Any]:
    """Accuracy against scoring energy, projection and memory included; half a point counts as equal."""
    return {"reference": PAPER, "cost": "energy.scoring_j", "value": "accuracy.hardware_mean", "tolerance": 0.005}
