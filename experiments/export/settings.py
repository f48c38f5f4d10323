"""The settings of the export and retargeting experiments."""

from __future__ import annotations

import dataclasses

from atis_jax.circuits.thermal import MODEL_HIGH_C, MODEL_LOW_C
from atis_jax.validation import check_settings, setting
from experiments.spice.settings import ProcessSpec

TARGETS = ("bundle", "spice", "rasp", "an231e04")


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """The design of a finished run as a bundle and for one target or all, each read back and measured."""

    experiment: str = setting("export", choices=("export",), doc="name of the experiment")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of every random stream: tokens, chips, noise")
    checkpoint: str = setting("runs/quickstart", doc="folder of the finished co-design run")
    target: str = setting(
        "all",
        choices=(*TARGETS, "all"),
        affects_result=False,
        doc="what to make now beside the bundle; earlier targets of the same folder stay",
    )
    chips: int = setting(32, low=1, high=10_000, doc="chips sampled for each target, at the nominal temperature")
    tokens: int = setting(256, low=2, high=4096, doc="real tokens of test images that each layer's bench plays")
    token_images: int = setting(128, low=1, high=10_000, doc="test images these tokens are drawn from")
    temperature_c: float = setting(27.0, low=MODEL_LOW_C, high=MODEL_HIGH_C, doc="of the SPICE benches, degrees C")
    token_s: float = setting(1e-4, low=1e-7, high=1.0, doc="time of a token in the transient bench, s")
    simulate: bool = setting(
        True, affects_result=False, doc="play the tokens through the exported netlist in ngspice; False without ngspice"
    )
    process: ProcessSpec = setting(ProcessSpec)

    def __post_init__(self):
        check_settings(self, "config")
