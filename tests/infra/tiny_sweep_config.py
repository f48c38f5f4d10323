"""Sweeps over the tiny experiment, for the tests of sweeps."""

import tiny_config

from experiments.sweeps import product


def get_config(variant: str = ""):
    config = tiny_config.get_config()
    config.training.pause_s = {"slow": 0.5, "slower": 0.8}.get(variant, 0.0)
    return config


def get_sweep(variant: str = ""):
    if variant in ("slow", "slower"):
        return product({"seed": [0, 1]})
    if variant == "faults":
        return [{"seed": 0}, {"seed": 7, "training.fail_step": 5}, {"seed": 8, "training.kill_step": 5}]
    healthy = product({"seed": [0, 1, 2], "training.rate": [0.05, 0.1]})
    if variant == "healthy":
        return healthy
    return [*healthy, {"seed": 7, "training.fail_step": 5}, {"seed": 8, "training.kill_step": 5}]
