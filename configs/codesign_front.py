"""Front: accuracy against scoring energy, the paper's point (64 inputs, 6 bits, learned) among many scorers.

    python launch.py --config=configs/quickstart.py
    python launch.py --config=configs/codesign_front.py --sweep --sweep.parallel=2 --workdir=runs/codesign_front
    python launch.py --config=configs/codesign_front.py:seeds --sweep --sweep.parallel=2

Each of the 23 runs is the quickstart's co-design from the dense network of runs/quickstart, on 32 chips at 0, 27 and
70 C. Twelve have a given projection and array size at 6 bits, three fewer bits; in eight co-design itself chooses how
many of 64 inputs are built and the converters' bits and full scale, under a heavier energy term. Every array is charged
until it has settled. `:seeds` repeats the paper's point and two that co-design chooses; `:cifar10` is a small front
from runs/vit_cifar10-dense (configs/vit_cifar10.py) at 50 % pruned.
"""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from atis_jax.validation import check_choice
from configs import quickstart, vit_cifar10
from experiments.sweeps import product

VARIANTS = ("quickstart", "seeds", "cifar10")

PAPER = {"scorer.projection": ["learned"], "scorer.inputs": [64]}
CHOSEN = {"scorer.input_gates": [True], "scorer.trainable_bits": [True], "scorer.trainable_full_scale": [True]}
"""How many inputs are built, and their converters, are co-design's to choose."""


def get_config(variant: str = "quickstart") -> ConfigDict:
    """One run: the paper's point."""
    check_choice(variant, VARIANTS, "the part after codesign_front.py:")
    if variant == "cifar10":
        config = vit_cifar10.get_config("0.5")
        config.scorer.differential = False
    else:
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


def get_sweep(variant: str = "quickstart") -> list[dict[str, Any]]:
    """Twenty-three runs, or those of the variant."""
    projections = {"scorer.projection": ["learned", "selection"]}
    selected = {"scorer.projection": ["selection"]} | CHOSEN
    if variant == "seeds":
        seeds = {"seed": [0, 1, 2]}
        return [*product(PAPER | seeds), *product(selected | {"loss.energy": [100.0, 300.0]} | seeds)]
    if variant == "cifar10":
        given = product({"scorer.projection": ["learned"], "scorer.inputs": [64, 8]})
        return [*given, *product(selected | {"loss.energy": [3.0, 30.0]})]
    given = product({"scorer.projection": ["learned", "sparse_sign", "selection"], "scorer.inputs": [64, 32, 16, 8]})
    fewer_bits = product({"scorer.projection": ["selection"], "scorer.inputs": [16], "hardware.dac_bits": [4, 3, 2]})
    chosen = product(projections | CHOSEN | {"loss.energy": [30.0, 100.0, 300.0]})
    shared = product(projections | {"scorer.shared": [True]} | CHOSEN | {"loss.energy": [100.0]})
    return [*given, *fewer_bits, *chosen, *shared]


def get_front(variant: str = "quickstart") -> dict[str, Any] | None:
    """Accuracy against scoring energy, projection and memory included; half a point counts as equal.

    None of repeats: the best of several single runs is what they are there to correct.
    """
    if variant == "seeds":
        return None
    reference = product(PAPER)[0]
    return {"reference": reference, "cost": "energy.scoring_j", "value": "accuracy.hardware_mean", "tolerance": 0.005}
