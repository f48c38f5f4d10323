"""Every way to choose tokens on one network, at equal operations: ATIS, its digital twin, and its rivals.

    python launch.py --config=configs/quickstart.py
    python launch.py --config=configs/rivals.py --sweep --workdir=runs/rivals
    python -m experiments.rivals runs/rivals

Each run starts from the dense network of runs/quickstart and trains the same steps on the same batches. `pruning.kept`
is set so that the network and the method's own products together do a half of the dense network's multiply-accumulates
(`:0.7`, `:0.35` for other shares); who cannot reach the share is left out by name. LTP's thresholds follow it, where
its paper tries weights of its loss. Every method has its paper's losses and schedule, scaled to our steps; those of
ATIS have the quickstart's.

`:sst2-0.5`, `:vit-0.5` and `:cifar10-0.5` are the same from the dense networks of configs/sst2.py, vit_pretrained.py
and vit_cifar10.py (`:dense` of each first), with some of the methods. TFDS_DATA_DIR names the folder of the data sets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from atis_jax.validation import SettingError, check_choice
from configs import quickstart, sst2, vit_cifar10, vit_pretrained
from experiments.command_line import set_kinds
from experiments.ledgers import kept_for

SHARES = ("0.7", "0.5", "0.35")
PLAIN = {"loss.attention": 0.0, "loss.energy": 0.0, "loss.swing": 0.0}
"""Without the terms that shape an analog score."""
MERGED = {"scorer.merged": None}
"""As many as are wanted; a layer merges at most half of what reaches it."""
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
"""What differs from the network's own config, by ``scorer.kind``. Controls are measured beside ATIS."""


class Network(NamedTuple):
    """What the methods are compared on.

    Attributes:
        config: of ATIS on it.
        dense: folder of the run whose dense network all start from.
        methods: that are compared.
    """

    config: Callable[[], ConfigDict]
    dense: str
    methods: tuple[str, ...] = tuple(METHODS)


FEW = ("analog", "evit", "spatten", "tome", "zerotprune")
"""On networks that take long to train."""
NETWORKS = {
    "digits": Network(quickstart.get_config, "runs/quickstart"),
    "cifar10": Network(vit_cifar10.get_config, "runs/vit_cifar10-dense"),
    "sst2": Network(sst2.get_config, "runs/sst2-dense", (*FEW, "linear")),
    "vit": Network(vit_pretrained.get_config, "runs/vit_pretrained-dense", FEW),
}
"""By what stands in front of the share; none is the digits."""


def network_and_share(variant: str) -> tuple[Network, float]:
    """What a variant names."""
    name, _, share = variant.rpartition("-")
    check_choice(name or "digits", NETWORKS, "the network after rivals.py:")
    return NETWORKS[name or "digits"], float(check_choice(share, SHARES, "the share after rivals.py:"))


def get_config(variant: str = "0.5") -> ConfigDict:
    """The run of ATIS."""
    network, _ = network_and_share(variant)
    config = network.config()
    config.start_from = network.dense
    config.compare = ()
    config.evaluation.chips = 8
    return config


def get_sweep(variant: str = "0.5") -> list[dict[str, Any]]:
    """A run a method."""
    network, share = network_and_share(variant)
    points = []
    for kind in network.methods:
        overrides = {"scorer.kind": kind} | METHODS[kind]
        config = get_config(variant)
        set_kinds(config, overrides)
        config.update_from_flattened_dict(METHODS[kind])
        if METHODS[kind].get("scorer.merged", 0) is None:
            config.pruning.kept = halves(config)
        try:
            overrides["pruning.kept"] = kept_for(config, share)
        except SettingError as error:
            print(f"note: left out: {error}", file=sys.stderr)
            continue
        points.append(overrides)
    return points


def halves(config: ConfigDict) -> tuple[float, ...]:
    """Half of what reaches each layer that decides: the cascade's form for methods that can go no further."""
    return tuple(0.5 ** (layer + 1) for layer in range(len(config.pruning.kept)))
