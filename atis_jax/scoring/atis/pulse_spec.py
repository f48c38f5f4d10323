"""What a scorer with pulse-width inputs is built from, and what of the other sections has no meaning for it."""

from __future__ import annotations

import dataclasses

from atis_jax.cells.pulse import LATCH_OFFSET_SIGMA_V, STEP_S, SWITCH_OFFSET_SIGMA_V, Timing
from atis_jax.energy.spec import EnergySpec
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.method import Place
from atis_jax.validation import SettingError, check_settings, choose, setting

PULSE_WIDTH = "pulse_width"
_SLOTS = {"slots": True, "counter": False}
_NO_USE = {
    "source": "a pixel is a voltage, and nothing here makes a pulse of one",
    "reads": "the threshold is a branch on the lines, and a pair of lines has one latch",
    "prototype": "weights are floating gates, which no sequence rewrites",
    "arrangement": "currents are not switched from prototype to prototype",
    "hysteresis": "the latch is reset before each token",
    "adaptive_rate_v": "the threshold is a floating gate, which no token moves",
    "differential": "both signs have a line of their own already",
    "trainable_bits": "there is no converter",
    "trainable_full_scale": "there is no converter",
}
"""Fields of other circuits, and why this one has no use for them."""
_ALLOWED = {"prototype": ("static", "extracted"), "arrangement": ("consensus", "grouped")}
"""What a field of ``_NO_USE`` may be beside its default."""
_NO_HARDWARE = {
    "dac_bits": "the bits of a pulse are scorer.bits",
    "imperfections": "latch and switches have spreads of their own, scorer.latch_offset_sigma_v and "
    "scorer.switch_offset_sigma_v",
    "token_time_s": "lines are charged anew for each token, which leaves nothing for the next",
    "readout": "there is no amplifier",
}
_NO_ENERGY = {
    "token_time_s": "a token takes as long as its pulses, scorer.bits and scorer.step_s",
    "dac": "pulse generators stand in its place",
    "converters": "there are none",
    "core": "a token takes as long as its pulses, scorer.bits and scorer.step_s",
    "circuit": "its circuit is cells.pulse",
    "reference_bits": "thresholds are held by floating gates",
}


@dataclasses.dataclass(frozen=True)
class PulseScorerSpec(ScorerSpec):
    """A scorer whose inputs are pulse widths (``cells.pulse``); fields of other circuits are refused."""

    kind: str = setting(PULSE_WIDTH, choices=(PULSE_WIDTH,), doc="which scorer decides")
    bits: int = setting(6, low=2, high=10, doc="of an input, its sign one of them")
    step_s: float = setting(STEP_S, low=1e-10, high=1e-6, doc="of the clock that times the pulses, s")
    windows: str = setting(
        "slots",
        choices=tuple(_SLOTS),
        doc="an input's bits open windows of 16, 8, 4, 2, 1 steps each, or a counter closes one",
    )
    latch_offset_sigma_v: float = setting(
        LATCH_OFFSET_SIGMA_V, low=0.0, high=1.0, doc="spread of the latch's offset, V"
    )
    switch_offset_sigma_v: float = setting(
        SWITCH_OFFSET_SIGMA_V, low=0.0, high=1.0, doc="spread of what the switches leave on the lines, V"
    )

    def __post_init__(self):
        check_settings(self, "scorer")
        _check_unused(self, ScorerSpec(), _NO_USE, "config.scorer")
        super().__post_init__()

    @property
    def timing(self) -> Timing:
        """When a token's phases are."""
        return Timing(bits=self.bits, step_s=self.step_s, slots=choose(_SLOTS, self.windows, "scorer.windows"))


def check_other_sections(place: Place) -> None:
    """Refuse fields of ``hardware`` and ``energy`` that say something of another circuit.

    Raises:
        SettingError: names the field, its value and the remedy.
    """
    _check_unused(place.hardware, type(place.hardware)(), _NO_HARDWARE, "config.hardware")
    _check_unused(place.energy, EnergySpec(preset=place.energy.preset), _NO_ENERGY, "config.energy")


def _check_unused(given: object, default: object, reasons: dict[str, str], path: str) -> None:
    """Refuse a field of ``reasons`` that is not at its default."""
    for name, why in reasons.items():
        value, left_out = getattr(given, name), getattr(default, name)
        if value != left_out and value not in _ALLOWED.get(name, ()):
            raise SettingError(
                f"{path}.{name} = {value!r} with config.scorer.kind = {PULSE_WIDTH!r}: {why}; set {name} = "
                f"{left_out!r}, or scorer.kind = 'analog'"
            )
