"""The settings of the export and retargeting experiments."""

from __future__ import annotations

import dataclasses

from atis_jax.circuits.thermal import MODEL_HIGH_C, MODEL_LOW_C
from atis_jax.scoring.atis.calibration.spec import CalibrationSpec
from atis_jax.validation import SettingError, check_settings, setting
from experiments.spice.settings import ProcessSpec

TARGETS = ("bundle", "spice", "rasp", "an231e04")


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """The design of a finished run as a bundle and for one target or all, each read back and measured."""

    experiment: str = setting("export", choices=("export",), doc="name of the experiment")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of every random stream: tokens, chips, noise")
    checkpoint: str = setting("runs/quickstart", path=True, doc="folder of the finished co-design run")
    target: str = setting(
        "all",
        choices=(*TARGETS, "all"),
        affects_result=False,
        doc="what to make now beside the bundle; earlier targets of the same folder stay",
    )
    chips: int = setting(32, low=1, high=10_000, doc="chips sampled for each target, at the nominal temperature")
    tokens: int = setting(256, low=2, high=4096, doc="real tokens of test examples that each layer's bench plays")
    token_images: int = setting(128, low=1, high=10_000, doc="test examples these tokens are drawn from")
    temperature_c: float = setting(27.0, low=MODEL_LOW_C, high=MODEL_HIGH_C, doc="of the SPICE benches, degrees C")
    transient_tokens: int = setting(
        32, low=0, high=4096, doc="of these, played in time as well, at the billed time, a half and a fifth; 0 for none"
    )
    token_s: float | None = setting(
        None, low=1e-8, high=1.0, doc="time of a token in the transient bench, s; None: what the ledger bills"
    )
    simulate: bool = setting(
        True, affects_result=False, doc="play the tokens through the exported netlist in ngspice; False without ngspice"
    )
    process: ProcessSpec = setting(ProcessSpec)

    def __post_init__(self):
        check_settings(self, "config")


@dataclasses.dataclass(frozen=True)
class RetargetSettings:
    """One FPAA, two models: what is reprogrammed, at which cost, what the chip's calibration is worth afterwards."""

    experiment: str = setting("retarget", choices=("retarget",), doc="name of the experiment")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of every random stream: chips, calibration, noise")
    old: str = setting("runs/quickstart", path=True, doc="folder of the run whose design the chip holds")
    new: str = setting("runs/robust_quickstart-plain", path=True, doc="folder of the run whose design it is to hold")
    chips: int = setting(16, low=1, high=1000, doc="chips calibrated with the old design and reprogrammed")
    tokens: int = setting(
        1024, low=2, high=65536, doc="tokens of a layer, of test examples, that decisions are compared on"
    )
    calibration: CalibrationSpec = setting(CalibrationSpec, doc="what is calibrated with the old design")

    def __post_init__(self):
        check_settings(self, "config")
        unknown = set(self.calibration.methods) - {"currents", "threshold"}
        if unknown:
            raise SettingError(
                f"config.calibration.methods = {self.calibration.methods!r}: a bundle carries the calibration of "
                f"currents and thresholds at one temperature, not {', '.join(sorted(unknown))}; leave it out"
            )
