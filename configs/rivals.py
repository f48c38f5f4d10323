"""Every way to choose tokens on one network, at equal operations: ATIS, its digital twin, and its rivals.

    python launch.py --config=configs/quickstart.py
    python launch.py --config=configs/rivals.py --sweep --workdir=runs/rivals
    python -m experiments.rivals runs/rivals

Each run starts from the dense network of runs/quickstart and trains the same steps on the same batches. `pruning.kept`
is set so that the network and the method's own products together do a half of the dense network's multiply-accumulates
(`:0.7`, `:0.35` for other shares); who cannot reach the share is left out by name. LTP's thresholds follow it, where
its paper tries weights of its loss. Every method has its paper's losses and schedule, scaled to our steps; those of
ATIS have the quickstart's.
"""

from __future__ import annotations

import sys
from typing import Any

from ml_collections import ConfigDict

from atis_jax.validation import SettingError, check_choice
from configs import quickstart
from experiments.command_line import set_kinds
from experiments.ledgers import kept_for

SHARES = ("0.7", "0.5", "0.35")
PLAIN = {"loss.attention": 0.0, "loss.energy": 0.0, "loss.swing": 0.0}
"""Without the terms that shape an analog score."""
MERGED = {"scorer.merged": None, "pruning.kept": (0.5, 0.25, 0.125)}
"""A layer merges at most half of what reaches it."""
METHODS: dict[str, dict[str, Any]] = {
    "analog": {"compare": ("dense", "random")},
    "digital": {},
    "linear": PLAIN,
    "dynamicvit": PLAIN | {"pruning.ramp": 0.0, "loss.distill": 0.5},
    "evit": PLAIN,
    "tome": PLAIN | MERGED,
    "dtem": PLAIN | MERGED,
    "ltp": PLAIN | {"scorer.thresholds": "tracked", "pruning.hard_from": 0.5},
    "spatten": PLAIN,
    "zerotprune": PLAIN,
    "norm": PLAIN,
    "position": PLAIN,
}
"""What differs from the quickstart, by ``scorer.kind``. Controls are measured beside ATIS."""


def get_config(share: str = "0.5") -> ConfigDict:
    """The run of ATIS."""
    check_choice(share, SHARES, "the part after rivals.py:")
    config = quickstart.get_config()
    config.start_from = "runs/quickstart"
    config.compare = ()
    config.evaluation.chips = 8
    return config


def get_sweep(share: str = "0.5") -> list[dict[str, Any]]:
    """A run a method."""
    points = []
    for kind, fields in METHODS.items():
        overrides = {"scorer.kind": kind} | fields
        config = get_config(share)
        set_kinds(config, overrides)
        config.update_from_flattened_dict(fields)
        try:
            overrides["pruning.kept"] = kept_for(config, float(share))
        except SettingError as error:
            print(f"note: left out: {error}", file=sys.stderr)
            continue
        points.append(overrides)
    return points
