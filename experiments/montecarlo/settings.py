"""Settings that every Monte-Carlo experiment shares."""

from __future__ import annotations

import dataclasses

from atis_jax.circuits.thermal import MODEL_HIGH_C, MODEL_LOW_C
from atis_jax.validation import check_settings, setting


@dataclasses.dataclass(frozen=True)
class MonteCarloSpec:
    """How many chips and inputs, and in what portions."""

    chips: int = setting(200, low=1, high=1_000_000, doc="chips sampled")
    temperature_c: tuple[float, ...] = setting(
        (0.0, 27.0, 85.0),
        low=MODEL_LOW_C,
        high=MODEL_HIGH_C,
        least=1,
        distinct=True,
        doc="temperatures, each chip at every one",
    )
    examples: int = setting(500, low=1, high=10_000_000, doc="test inputs, the same for every cell")
    batch_size: int = setting(128, low=1, high=100_000, doc="inputs at a time")
    chunk: int = setting(64, low=1, high=100_000, affects_result=False, doc="cells between two writes of the table")
    width: int | None = setting(
        None, low=1, high=100_000, affects_result=False, doc="cells at once; None: the fastest here that fits"
    )
    memory_mb: int = setting(
        4096, low=256, affects_result=False, doc="resident memory the process may take, MiB; bounds the width"
    )

    def __post_init__(self):
        check_settings(self, "montecarlo")
