"""Settings of the yield experiment."""

from __future__ import annotations

import dataclasses

from atis_jax.scoring.atis.calibration import CalibrationSpec
from atis_jax.validation import SettingError, check_settings, setting
from experiments.montecarlo.settings import MonteCarloSpec

UNCALIBRATED = "none"


@dataclasses.dataclass(frozen=True)
class YieldSettings:
    """What share of fabricated chips meets the specification, before and after calibration."""

    experiment: str = setting("yield", choices=("yield",), doc="yield")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of chips, noise and measurements")
    checkpoints: tuple[str, ...] = setting(
        ("runs/quickstart",), path=True, least=1, distinct=True, doc="folders of finished co-design runs"
    )
    limit: float = setting(
        0.01, low=0.0, high=1.0, doc="a chip passes within this accuracy of the perfect chip of its design"
    )
    confidence: float = setting(0.95, low=0.5, high=0.9999, doc="of the intervals")
    calibrations: tuple[str, ...] = setting(
        (UNCALIBRATED, "threshold"),
        least=1,
        distinct=True,
        doc="'none', or methods of config.calibration joined by '+'; each is an arm",
    )
    supply: tuple[float, ...] = setting(
        (1.0,),
        low=0.5,
        high=1.5,
        least=1,
        distinct=True,
        doc="supplies over the nominal one, each chip at every temperature with every one; calibrated at the nominal",
    )
    montecarlo: MonteCarloSpec = setting(MonteCarloSpec)
    calibration: CalibrationSpec = setting(
        CalibrationSpec, doc="`methods` is not read here: `config.calibrations` says what is done."
    )

    def __post_init__(self):
        check_settings(self, "config")
        for name in self.calibrations:
            self.method(name)

    @property
    def conditions(self) -> tuple[dict[str, float], ...]:
        """Temperature and, where it is varied, supply that each chip meets, as cells have them."""
        temperatures = self.montecarlo.temperature_c
        if self.supply == (1.0,):
            return tuple({"temperature_c": t} for t in temperatures)
        return tuple({"temperature_c": t, "supply": supply} for supply in self.supply for t in temperatures)

    def method(self, name: str) -> CalibrationSpec | None:
        """The calibration of an arm; None for chips as fabricated.

        Raises:
            SettingError: a method that does not exist or cannot stand alone.
        """
        if name == UNCALIBRATED:
            return None
        try:
            return dataclasses.replace(self.calibration, methods=tuple(name.split("+")))
        except SettingError as error:
            raise SettingError(f"config.calibrations: {name!r}: {error}") from error
