"""A loop of matrix updates, for the tests of the launcher."""

from tiny_experiment import TinySettings

from atis_jax.config import to_config_dict


def get_config(variant: str = ""):
    config = to_config_dict(TinySettings)
    if variant == "fast":
        config.training.steps = 2
    if variant == "misspelt":
        config.trainnig.steps = 2
    return config
