"""Scoring on the sensor: cluttered digits whose patches are pruned by their raw pixels, before any converter.

    python launch.py --config=configs/sensor_quickstart.py

The array's sixteen inputs are the sixteen pixels of a patch, as voltages. What it prunes in front of the first layer is
never converted, moved or embedded; all layers work on what is left. Half the array has opposite weights
(`scorer.differential`), which takes off a good part of the offsets that shift the kept fraction of a chip.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from configs import quickstart


def get_config() -> ConfigDict:
    """The quickstart with patches that do not overlap, and one scorer, on their pixels."""
    config = quickstart.get_config()
    config.model.stem = "linear"
    config.dense.steps = 6000  # the linear stem is slower to learn than two convolutions
    config.tune.steps = 1500
    config.tune.learning_rate = 2e-3
    config.scorer.source = "pixels"
    config.scorer.projection = "selection"
    config.scorer.inputs = 16
    config.scorer.differential = True
    config.pruning.scored_layers = 1
    config.pruning.kept = (0.35,)
    config.energy.camera = True
    return config
