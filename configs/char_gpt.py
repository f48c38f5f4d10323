"""A character model of tiny_shakespeare: a decoder of 1.5 million parameters, trained in an hour on two cores.

    python launch.py --config=configs/char_gpt.py

Llama's layout: 4 layers of width 192, 4 query heads that share 2 key heads, windows of 256 characters. The text is read
as TFDS prepares `tiny_shakespeare`; name its folder with `--config.data.data_dir`, or a text file with
`--config.data.name`. Validation and test text are each the loss of a character, in nats, over all their windows.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from experiments.settings import CodesignSettings


def get_config() -> ConfigDict:
    """The run described above."""
    config = to_config_dict(CodesignSettings)
    config.experiment = "dense"
    config.data.kind = "windows"
    config.data.evaluation = "validation+test"
    config.data.batch_size = 8
    config.model.kind = "decoder"
    config.model.width = 192
    config.model.heads = 4
    config.model.kv_heads = 2
    config.model.mlp_width = 384
    config.model.norm_scale = True
    config.dense.optimiser = "muon"
    config.dense.steps = 1000  # two epochs
    config.dense.learning_rate = 1e-2
    config.dense.weight_decay = 0.1
    config.hardware.preset = "sky130_fg"
    config.energy.preset = "horowitz_45nm"
    config.checkpoint_every = 50
    return config
