"""Accuracy of a network that is trained no further, as tokens are removed by one score after another (docs/rivals.md).

    python launch.py --config=configs/sst2.py:dense --config.data.data_dir=FOLDER
    python launch.py --config=configs/zero_shot.py:sst2
    python launch.py --config=configs/vit_pretrained.py:dense --config.data.data_dir=FOLDER
    python launch.py --config=configs/zero_shot.py:vit
    python -m experiments.zero_shot.compare runs/zero_shot-sst2 runs/zero_shot-vit --names MiniLM ViT \
        --out docs/zero_shot.svg

`:sst2` and `:vit` take the dense network of that run; `:quickstart` that of the main job. Of another run name the
folder: `--config.checkpoint=FOLDER`.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from atis_jax.validation import check_choice
from experiments.zero_shot.settings import ZeroShotSettings

CHECKPOINTS = {"sst2": "runs/sst2-dense", "vit": "runs/vit_pretrained-dense", "quickstart": "runs/quickstart"}
"""Whose dense network, by what stands behind the colon."""


def get_config(variant: str = "sst2") -> ConfigDict:
    """The run for a network."""
    check_choice(variant, tuple(CHECKPOINTS), "the part after zero_shot.py:")
    config = to_config_dict(ZeroShotSettings)
    config.checkpoint = CHECKPOINTS[variant]
    config.hardware.preset = "sky130_fg"
    return config
