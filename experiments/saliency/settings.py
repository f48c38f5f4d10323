"""The settings of the comparison of a pruned network's saliency maps with the dense network's."""

from __future__ import annotations

import dataclasses

from atis_jax.data.images import ImagesSpec
from atis_jax.fitting.spec import HardwareSpec
from atis_jax.models.vit import ModelSpec
from atis_jax.scoring.atis.regression import FITTED
from atis_jax.validation import SettingError, check_settings, setting


@dataclasses.dataclass(frozen=True)
class SaliencySettings:
    """Maps of a pretrained network with patches pruned, against those with every patch."""

    experiment: str = setting("saliency", choices=("saliency",), doc="name of the experiment")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of every random stream")
    examples: int = setting(100, low=2, high=100_000, doc="evaluation images whose maps are compared")
    fit_examples: int = setting(96, low=2, high=100_000, doc="training images that prototypes and thresholds fit")
    batch: int = setting(50, low=1, high=100_000, doc="images computed together; must divide examples")
    pruned: tuple[float, ...] = setting(
        (0.1, 0.2, 0.35),
        low=0.0,
        high=0.5,
        exclusive_low=True,
        least=1,
        distinct=True,
        doc="shares of the patches pruned, mean of layers; what is left falls in a straight line",
    )
    chips: int = setting(3, low=1, high=10_000, doc="chips sampled, at the nominal temperature")
    inputs: int = setting(64, low=1, high=4096, doc="array inputs of the design")
    start: str = setting(
        "received",
        choices=[start for start, parts in FITTED.items() if parts],
        doc="part of the attention whose logarithm the prototypes are fitted to",
    )
    data: ImagesSpec = setting(ImagesSpec)
    model: ModelSpec = setting(ModelSpec)
    hardware: HardwareSpec = setting(HardwareSpec)

    def __post_init__(self):
        check_settings(self, "config")
        if self.examples % self.batch:
            raise SettingError(
                f"config.batch = {self.batch} does not divide config.examples = {self.examples}; choose a divisor"
            )
        if self.inputs > self.model.width:
            raise SettingError(
                f"config.inputs = {self.inputs} exceeds config.model.width = {self.model.width}; lower it"
            )


def kept_in_line(pruned: float, depth: int) -> tuple[float, ...]:
    """Share of the patches left after each layer: equal steps from all on, the mean of the layers 1 - ``pruned``."""
    return tuple(1.0 - 2.0 * pruned * (layer + 1) / (depth + 1) for layer in range(depth))
