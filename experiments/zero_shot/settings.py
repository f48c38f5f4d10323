"""The settings of the curves of a network that is pruned without being trained for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from atis_jax.fitting.spec import HardwareSpec
from atis_jax.validation import check_settings, setting
from experiments.zero_shot.arms import ARMS


@dataclasses.dataclass(frozen=True)
class ZeroShotSettings:
    """A finished run's dense network, its tokens removed by one score after another."""

    experiment: str = setting("zero_shot", choices=("zero_shot",), doc="name of the experiment")
    checkpoint: str = setting("runs/quickstart", path=True, doc="folder of a run that trained a dense network")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of every random stream")
    arms: tuple[str, ...] = setting(tuple(ARMS), choices=tuple(ARMS), distinct=True, least=1, doc="what chooses tokens")
    pruned: tuple[float, ...] = setting(
        (0.3, 0.5, 0.7),
        low=0.0,
        high=0.9,
        exclusive_low=True,
        least=1,
        distinct=True,
        doc="shares of the tokens removed, mean of layers; each layer keeps the same share of what reaches it",
    )
    fit_examples: int = setting(
        128, low=2, high=10_000, doc="training examples that prototypes and thresholds are fitted to"
    )
    examples: int = setting(128, low=2, high=10_000, doc="evaluation examples whose attention scores are compared with")
    chips: int = setting(3, low=1, high=10_000, doc="chips sampled for the arm ``chips``, at the nominal temperature")
    inputs: int = setting(64, low=1, high=4096, doc="array inputs of the design with a matrix in front")
    selection_inputs: int = setting(16, low=1, high=4096, doc="array inputs of the design that selects dimensions")
    hardware: HardwareSpec = setting(HardwareSpec)

    def __post_init__(self):
        check_settings(self, "config")


def kept_by(
    pruned: float, depth: int, realised: Callable[[np.ndarray], np.ndarray] = lambda kept: kept
) -> tuple[float, ...]:
    """Share of the tokens wanted after each layer: r, r^2, ... such that the mean of what is left is 1 - ``pruned``.

    Args:
        pruned: share removed, mean of layers.
        depth: layers.
        realised: from the wanted shares to those that a method comes to.
    """
    powers = np.arange(1, depth + 1)
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if np.mean(realised(middle**powers)) < 1.0 - pruned else (low, middle)
    return tuple(float(one) for one in high**powers)
