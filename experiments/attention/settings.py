"""The settings of the comparison of scores with a network's attention."""

from __future__ import annotations

import dataclasses
from typing import Any

from atis_jax.data.registry import KINDS as DATA
from atis_jax.fitting.spec import HardwareSpec
from atis_jax.models.registry import KINDS as NETWORKS
from atis_jax.validation import SettingError, check_settings, setting


@dataclasses.dataclass(frozen=True)
class AttentionSettings:
    """Scores of tokens against the attention they get, in every layer of a network that is trained no further."""

    experiment: str = setting("pretrained_attention", choices=("pretrained_attention",), doc="name of the experiment")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of every random stream")
    examples: int = setting(96, low=2, high=10_000, doc="evaluation examples that scores are compared on")
    fit_examples: int = setting(
        512, low=2, high=10_000, doc="training examples that regressions and designs start from"
    )
    kept: float = setting(0.5, low=0.0, high=1.0, exclusive_low=True, doc="share of the tokens that recall is taken at")
    top_keys: float = setting(
        0.2, low=0.0, high=1.0, exclusive_low=True, doc="share of a row's keys whose attention is its concentration"
    )
    groups: tuple[int, ...] = setting(
        (2, 4), low=2, high=64, distinct=True, doc="head groups compared with one score; empty: none"
    )
    inputs: int = setting(64, low=1, high=4096, doc="array inputs of the designs with a matrix in front")
    selection_inputs: int = setting(16, low=1, high=4096, doc="array inputs of the design that selects dimensions")
    data: Any = setting(DATA.sections[DATA.default], kinds=DATA)
    model: Any = setting(NETWORKS.sections[NETWORKS.default], kinds=NETWORKS)
    hardware: HardwareSpec = setting(HardwareSpec)

    def __post_init__(self):
        check_settings(self, "config")
        for groups in self.groups:
            if self.model.heads % groups:
                raise SettingError(
                    f"config.groups = {self.groups}: {groups} does not divide config.model.heads = {self.model.heads}; "
                    "give numbers of groups that do"
                )
        for name in ("inputs", "selection_inputs"):
            if getattr(self, name) > self.model.width:
                raise SettingError(
                    f"config.{name} = {getattr(self, name)} exceeds config.model.width = {self.model.width}; lower it"
                )
