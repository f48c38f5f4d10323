"""Which chip a scorer is designed for: the section ``hardware`` of a config."""

from __future__ import annotations

import dataclasses

from atis_jax.circuits.dac import MAX_BITS
from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.circuits.imperfections import IMPERFECTIONS, scale_imperfections
from atis_jax.circuits.ota import LAWS
from atis_jax.circuits.presets import PRESETS
from atis_jax.circuits.thermal import BIAS_KINDS
from atis_jax.circuits.tia import READOUTS
from atis_jax.fitting.preset_file import named_hardware, preset_with_digest
from atis_jax.validation import SettingError, check_settings, setting


@dataclasses.dataclass(frozen=True)
class HardwareSpec:
    """Which chip the scorer is designed for."""

    preset: str = setting(
        "nominal", path=True, doc=f"hardware: {', '.join(PRESETS)}, or the file that configs/fit.py wrote"
    )
    bias: str | None = setting(None, choices=BIAS_KINDS, doc="bias against temperature; None keeps the preset's")
    dac_bits: int | None = setting(None, low=1, high=MAX_BITS, doc="of the converters; None keeps the preset's")
    programming_bits: int | None = setting(None, low=2, high=16, doc="of the currents; None keeps the preset's")
    imperfections: float = setting(
        1.0, low=0.0, high=1000.0, doc="factor on every imperfection of the preset: mismatch, offsets, noise"
    )

    token_time_s: float | None = setting(
        None,
        low=1e-8,
        high=1.0,
        doc="time given to a token, s, with what the token before leaves simulated; None: every token is read settled",
    )

    readout: str | None = setting(
        None, choices=READOUTS, doc="TIA, or a resistor without amplifier; None keeps the preset's"
    )

    law: str | None = setting(None, choices=LAWS, doc="transfer law of the OTAs; None keeps the preset's")
    attenuation: float | None = setting(
        None,
        low=0.0,
        exclusive_low=True,
        high=1.0,
        doc="C_in / C_T in front of each OTA, for law 'attenuated'; None keeps the preset's",
    )

    def __post_init__(self):
        check_settings(self, "hardware")
        object.__setattr__(self, "preset", preset_with_digest(self.preset))
        try:
            law = self.build().ota.law
        except ValueError as error:
            raise SettingError(f"config.hardware: {error}") from error
        if self.attenuation is not None and law != "attenuated":
            raise SettingError(
                f"config.hardware.attenuation = {self.attenuation} has no effect on OTAs of law {law!r}; set "
                "config.hardware.law = 'attenuated', or leave it None"
            )

    def build(self) -> Hardware:
        """The hardware itself."""
        wanted = {
            "thermal.bias": self.bias,
            "dac.bits": self.dac_bits,
            "floating_gate.bits": self.programming_bits,
            "token_time_s": self.token_time_s,
            "tia.readout": self.readout,
            "ota.law": self.law,
            "ota.attenuation": self.attenuation,
        }
        hardware = with_fields(named_hardware(self.preset), {path: v for path, v in wanted.items() if v is not None})
        try:
            return scale_imperfections(hardware, dict.fromkeys(IMPERFECTIONS, self.imperfections))
        except ValueError as error:
            raise ValueError(f"hardware.imperfections = {self.imperfections} is too large: {error}") from error
