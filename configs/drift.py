"""Drift: a trained design on a sequence of images while temperature or images change, with and without feedback.

    python launch.py --config=configs/drift.py --config.checkpoint=runs/quickstart

The checkpoint is a finished co-design run. What it gave: docs/sequences.md.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from experiments.drift.settings import DriftSettings


def get_config() -> ConfigDict:
    """The run described above."""
    return to_config_dict(DriftSettings)
