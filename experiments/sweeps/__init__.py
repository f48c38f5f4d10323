"""Sweeps over trainings: which points, how they are run, and the table and page that collect them."""

from experiments.sweeps.space import choice, crossed, integers, log_uniform, product, random, uniform, zipped

__all__ = ["choice", "crossed", "integers", "log_uniform", "product", "random", "uniform", "zipped"]
