"""Sweeps over the tiny experiment, for the tests of sweeps."""

import tiny_config

from experiments.sweeps import product, zipped


def get_config(variant: str = ""):
    return tiny_config.get_config()


def get_sweep(variant: str = ""):
    if variant == "seeds":
        return product({"seed": [0, 1]})
    if variant == "healthy":
        return product({"seed": [0, 1, 2], "training.rate": [0.05, 0.1]})
    good = zipped({"seed": [1, 2], "training.rate": [0.05, 0.1]})
    return [*good, {"seed": 7, "training.fail_step": 5}, {"seed": 8, "training.kill_step": 5}]
