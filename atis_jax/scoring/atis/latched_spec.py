"""What scorers whose sums end in a clocked latch have in common, and the fields that mean nothing to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from atis_jax.energy.spec import EnergySpec
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.method import Place
from atis_jax.validation import SettingError, check_settings

_ALLOWED = {"prototype": ("static", "extracted"), "arrangement": ("consensus", "grouped")}
"""What a field of another circuit may be beside its default."""
NO_SCORER = {
    "reads": "the threshold is a branch on the lines, and a pair of lines has one latch",
    "prototype": "weights are floating gates, which no sequence rewrites",
    "arrangement": "currents are not switched from prototype to prototype",
    "hysteresis": "the latch is reset before each token",
    "adaptive_rate_v": "the threshold is a floating gate, which no token moves",
    "differential": "both signs have a line of their own already",
}
NO_HARDWARE = {"readout": "there is no amplifier"}
NO_ENERGY = {"reference_bits": "thresholds are held by floating gates"}


@dataclasses.dataclass(frozen=True)
class LatchedScorerSpec(ScorerSpec):
    """A scorer whose sum meets a clocked latch; fields of other circuits are refused.

    Each kind has a field ``bits``, of an input, its sign one of them.
    """

    no_scorer: ClassVar[Mapping[str, str]] = NO_SCORER
    no_hardware: ClassVar[Mapping[str, str]] = NO_HARDWARE
    no_energy: ClassVar[Mapping[str, str]] = NO_ENERGY

    def __post_init__(self):
        check_settings(self, "scorer")
        self._check_unused(self, ScorerSpec(), self.no_scorer, "config.scorer")
        super().__post_init__()

    def check_other_sections(self, place: Place) -> None:
        """Refuse fields of ``hardware`` and ``energy`` that say something of another circuit.

        Raises:
            SettingError: names the field, its value and the remedy.
        """
        self._check_unused(place.hardware, type(place.hardware)(), self.no_hardware, "config.hardware")
        self._check_unused(place.energy, EnergySpec(preset=place.energy.preset), self.no_energy, "config.energy")

    def _check_unused(self, given: object, default: object, reasons: Mapping[str, str], path: str) -> None:
        for name, why in reasons.items():
            value, left_out = getattr(given, name), getattr(default, name)
            if value != left_out and value not in _ALLOWED.get(name, ()):
                raise SettingError(
                    f"{path}.{name} = {value!r} with config.scorer.kind = {self.kind!r}: {why}; set {name} = "
                    f"{left_out!r}, or scorer.kind = 'analog'"
                )
