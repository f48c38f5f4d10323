"""A whole co-design run in seconds: the finished one of many tests, which one of them stops, and runs like it."""

from atis_jax.config import to_config_dict
from experiments.settings import CodesignSettings


def get_config():
    config = to_config_dict(CodesignSettings)
    config.compare = ()
    config.checkpoint_every = 2
    config.data.batch_size = 8
    config.data.eval_batch_size = 20
    config.data.train_examples = 64
    config.data.eval_examples = 40
    config.model.width = 16
    config.model.depth = 1
    config.model.heads = 2
    config.model.mlp_width = 16
    config.model.patch = 8
    config.model.stem = "linear"
    config.energy.preset = "horowitz_45nm"
    config.scorer.inputs = 8
    config.scorer.prototype = "ema"  # a memory that moves; the finished run, which is stopped too, has none
    config.dense.steps = 5
    config.dense.warmup = 0.2
    config.tune.steps = 6
    config.tune.warmup = 0.2
    config.pruning.kept = (0.5,)
    config.codesign.temperature_c = (0.0, 70.0)
    config.evaluation.chips = 2
    config.evaluation.agreement_examples = 20
    config.evaluation.pictures = 1
    return config
