"""CIFAR-10: a 0.26 M-parameter transformer; train `:dense` once, then co-design `:0.3`, `:0.5` or `:0.7` pruned.

The array is differential: what temperature and supply do to both halves cancels (docs/cifar10.md).

    python launch.py --config=configs/vit_cifar10.py:dense
    python launch.py --config=configs/vit_cifar10.py:0.5 --config.seed=1 --workdir=runs/vit_cifar10-0.5-1

Give --config.data.data_dir if CIFAR-10 is not in TFDS's default folder.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from atis_jax.validation import check_choice
from experiments.settings import CodesignSettings

KEPT = {
    "0.3": (0.80, 0.67, 0.63),
    "0.5": (0.60, 0.47, 0.43),
    "0.7": (0.40, 0.27, 0.23),
}
"""Kept fraction after each of the three layers; the mean is one minus the pruned fraction."""


def get_config(variant: str = "0.5") -> ConfigDict:
    """The run for an average pruned fraction, or ``dense`` for the network that they all start from."""
    check_choice(variant, ("dense", *KEPT), "the part after vit_cifar10.py:")
    config = to_config_dict(CodesignSettings)
    config.data.name = "cifar10"
    config.data.augmentation = "flip_crop"
    config.data.batch_size = 64
    config.data.eval_batch_size = 500
    config.model.width = 96
    config.model.depth = 3
    config.model.heads = 3
    config.model.mlp_width = 192
    config.scorer.inputs = 64
    config.scorer.differential = True
    config.dense.optimiser = "muon"
    config.dense.steps = 16 * 781
    config.dense.learning_rate = 4e-3
    config.tune.optimiser = "muon"
    config.tune.steps = 700
    config.tune.learning_rate = 5e-4
    config.loss.distill = 1.0
    config.loss.attention = 0.3
    config.hardware.preset = "sky130_fg"
    config.energy.preset = "horowitz_45nm"
    config.codesign.temperature_c = (0.0, 85.0)
    config.codesign.detach_network = True
    config.evaluation.chips = 36
    config.evaluation.temperature_c = (0.0, 27.0, 85.0)
    config.evaluation.supply = (1.0, 0.9, 1.1)
    config.evaluation.calibration = ("threshold", "offset")
    config.checkpoint_every = 781
    if variant == "dense":
        config.experiment = "dense"
        return config
    config.start_from = "runs/vit_cifar10-dense"
    config.compare = ("dense", "digital", "random")
    config.pruning.kept = KEPT[variant]
    return config
