"""The settings of ATIS as the gatekeeper of a decoder's cache."""

from __future__ import annotations

import dataclasses
from typing import Any

from atis_jax.data.registry import KINDS as DATA
from atis_jax.data.windows import CHARACTERS, WindowsSpec
from atis_jax.eviction.budget import Budget
from atis_jax.eviction.distil import Distillation
from atis_jax.eviction.policies.atis import AnalogGate
from atis_jax.eviction.registry import POLICIES
from atis_jax.models.decoder import DecoderSpec
from atis_jax.models.registry import KINDS as NETWORKS
from atis_jax.validation import SettingError, check_settings, setting
from experiments.kv.budgets import check_budgets

RIVALS = ("random", "h2o", "snapkv", "keydiff_hidden", "linear", "oracle")
"""What ATIS is compared with: nothing, what looks at attention, what looks at the hidden state, and the bound."""


@dataclasses.dataclass(frozen=True)
class KvGateSettings:
    """One gate in front of every layer, fitted to training windows, on chips, at thresholds set on training windows."""

    experiment: str = setting("kv_gate", choices=("kv_gate",), doc="name of the experiment")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of every random stream")
    rivals: tuple[str, ...] = setting(
        RIVALS, choices=tuple(POLICIES), distinct=True, doc="by rank, at the budget that the gate's thresholds keep"
    )
    worst: str = setting("random", choices=tuple(POLICIES), doc="rival whose recovered share is 0")
    reference: str = setting("h2o", choices=tuple(POLICIES), doc="rival whose recovered share is 1")
    shares: tuple[float, ...] = setting(
        (0.25,), low=0.0, high=1.0, exclusive_low=True, distinct=True, doc="of a prefix that stays, protected included"
    )
    sinks: tuple[int, ...] = setting((4,), low=0, high=10_000, doc="first words that all keep, one a share")
    recent: tuple[int, ...] = setting(
        (16,), low=0, high=100_000, doc="last words of the prefix that all keep, likewise"
    )
    chips: tuple[int, ...] = setting((32,), low=1, high=10_000, doc="chips, one number a share")
    chips_reading: tuple[int, ...] = setting(
        (0,), low=0, high=10_000, doc="of these, chips that also refuse words while the prefix is read, likewise"
    )
    temperature_c: tuple[float, ...] = setting(
        (27.0,), low=-55.0, high=150.0, distinct=True, least=1, doc="of the chips in turns, C"
    )
    local: int = setting(
        16, low=1, high=100_000, doc="words that see a refused one all the same while the prefix is read, itself one"
    )
    windows: int = setting(32, low=2, high=100_000, doc="evaluation windows")
    fit_windows: int = setting(40, low=2, high=100_000, doc="training windows that gates and rivals are fitted to")
    threshold_windows: int = setting(16, low=2, high=100_000, doc="of these, windows that thresholds are set on")
    prefix: int = setting(128, low=2, high=2**20, doc="words of a window that may be evicted; the others are the loss")
    batch: int = setting(4, low=1, high=1024, doc="windows at a time; must divide the numbers of windows")
    second_text: str | None = setting(
        None, path=True, doc="a text file that nothing is fitted to; measured on too, at the first share"
    )
    gate: AnalogGate = setting(AnalogGate, doc="the circuit")
    distillation: Distillation = setting(Distillation, doc="how the fitted gates are trained, at the first share")
    distillation_windows: int = setting(160, low=1, high=1_000_000, doc="training windows that they are trained on")
    checkpoint: str | None = setting(
        None, path=True, doc="folder of a run whose dense network reads, in the place of the section model"
    )
    data: Any = setting(WindowsSpec, kinds=DATA)
    model: Any = setting(DecoderSpec, kinds=NETWORKS)

    def __post_init__(self):
        check_settings(self, "config")
        if self.second_text is not None and self.data.tokenizer == CHARACTERS:
            raise SettingError(
                f"config.second_text = {self.second_text!r} with config.data.tokenizer = {CHARACTERS!r}, which numbers "
                "the characters of the first text alone; choose a tokenizer"
            )
        for name in ("worst", "reference"):
            if getattr(self, name) not in self.rivals:
                raise SettingError(
                    f"config.{name} = {getattr(self, name)!r} is not in config.rivals = {self.rivals}; add it"
                )
        of_each = "sinks", "recent", "chips", "chips_reading"
        check_budgets(self, of_each, ("windows", "fit_windows", "threshold_windows"))
        for number, (reading, chips) in enumerate(zip(self.chips_reading, self.chips, strict=True)):
            if reading > chips:
                raise SettingError(
                    f"config.chips_reading[{number}] = {reading} is above config.chips[{number}] = {chips}; lower it"
                )
        if self.threshold_windows > self.fit_windows:
            raise SettingError(
                f"config.threshold_windows = {self.threshold_windows} is above the config.fit_windows = "
                f"{self.fit_windows} of which they are; lower it"
            )

        if self.distillation.steps and self.distillation.batch > self.distillation_windows:
            raise SettingError(
                f"config.distillation.batch = {self.distillation.batch} is above the config.distillation_windows = "
                f"{self.distillation_windows}; lower it"
            )

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """One for each share."""
        return tuple(Budget(*one) for one in zip(self.shares, self.sinks, self.recent, strict=True))
