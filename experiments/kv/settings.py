"""The settings of the comparison of policies that decide what a decoder's cache keeps."""

from __future__ import annotations

import dataclasses
from typing import Any

from atis_jax.data.registry import KINDS as DATA
from atis_jax.data.windows import WindowsSpec
from atis_jax.eviction.budget import Budget
from atis_jax.eviction.registry import POLICIES
from atis_jax.models.decoder import DecoderSpec
from atis_jax.models.registry import KINDS as NETWORKS
from atis_jax.validation import SettingError, check_settings, setting
from experiments.kv.budgets import check_budgets

LEAN = ("random", "h2o", "snapkv", "keydiff_hidden", "linear", "oracle")
"""A table of a few minutes."""


@dataclasses.dataclass(frozen=True)
class KvSettings:
    """Policies on the windows of a text: loss of a window's second part against what is kept of its first."""

    experiment: str = setting("kv_methods", choices=("kv_methods",), doc="name of the experiment")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of every random stream")
    policies: tuple[str, ...] = setting(
        LEAN,
        choices=tuple(POLICIES),
        distinct=True,
        least=1,
        doc="what is compared; the worst and the reference among them",
    )
    worst: str = setting("random", choices=tuple(POLICIES), doc="policy whose recovered share is 0")
    reference: str = setting("h2o", choices=tuple(POLICIES), doc="policy whose recovered share is 1")
    shares: tuple[float, ...] = setting(
        (0.25,),
        low=0.0,
        high=1.0,
        exclusive_low=True,
        distinct=True,
        least=1,
        doc="of a prefix that stays, protected included",
    )
    sinks: tuple[int, ...] = setting((4,), low=0, high=10_000, least=1, doc="first words that all keep, one a share")
    recent: tuple[int, ...] = setting(
        (16,), low=0, high=100_000, least=1, doc="last words of the prefix that all keep, likewise"
    )
    windows: int = setting(32, low=2, high=100_000, doc="evaluation windows")
    fit_windows: int = setting(
        40, low=2, high=100_000, doc="training windows that policies and thresholds are fitted to"
    )
    prefix: int = setting(128, low=2, high=2**20, doc="words of a window that may be evicted; the others are the loss")
    batch: int = setting(4, low=1, high=1024, doc="windows at a time; must divide both numbers of windows")
    gated: tuple[str, ...] = setting(
        (),
        choices=tuple(POLICIES),
        distinct=True,
        doc="static policies also measured by thresholds instead of ranks; empty: none",
    )
    checkpoint: str | None = setting(
        None, path=True, doc="folder of a run whose dense network reads, in the place of the section model"
    )
    data: Any = setting(WindowsSpec, kinds=DATA)
    model: Any = setting(DecoderSpec, kinds=NETWORKS)

    def __post_init__(self):
        check_settings(self, "config")
        for name in ("worst", "reference"):
            if getattr(self, name) not in self.policies:
                raise SettingError(
                    f"config.{name} = {getattr(self, name)!r} is not in config.policies = {self.policies}; add it"
                )
        check_budgets(self, ("sinks", "recent"), ("windows", "fit_windows"))
        for name in self.gated:
            if not POLICIES[name].static:
                raise SettingError(
                    f"config.gated names {name!r}, which scores words by others; only static policies have thresholds: "
                    f"{', '.join(known for known, policy in POLICIES.items() if policy.static)}"
                )

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """One for each share."""
        return tuple(Budget(*one) for one in zip(self.shares, self.sinks, self.recent, strict=True))
