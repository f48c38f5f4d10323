"""What calibration is made of, as plain numbers and names."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.circuits.thermal import MODEL_HIGH_C, MODEL_LOW_C
from atis_jax.numerics import pytree
from atis_jax.typing import Real
from atis_jax.units import celsius_to_kelvin
from atis_jax.validation import SettingError, check_settings, setting

METHODS = ("currents", "threshold", "offset", "table", "periodic")


@pytree
class SensorSpec:
    """A temperature sensor on the chip.

    Attributes:
        resolution_k: step of its reading, K.
        sigma_k: standard deviation of a reading before rounding, K.
    """

    resolution_k: Real
    sigma_k: Real


@dataclasses.dataclass(frozen=True)
class CalibrationSpec:
    """What is measured on a chip after fabrication, and what is set from it (ATIS paper, section 5.3)."""

    methods: tuple[str, ...] = setting(
        ("threshold",), choices=METHODS, least=1, distinct=True, doc="what is calibrated, in that order"
    )
    tokens: int = setting(256, low=2, high=65536, doc="known tokens a layer is measured with")
    trim_bits: int = setting(4, low=1, high=16, doc="bits of the trim DAC beside the reference, for 'offset'")
    trim_span_steps: float = setting(2.0, low=1.0, high=64.0, doc="range of the trim DAC in steps of the reference")
    current_repeats: int = setting(8, low=1, high=4096, doc="reads averaged at each input, for 'currents'")
    current_iterations: int = setting(2, low=1, high=16, doc="rounds of measuring and programming, for 'currents'")
    temperature_c: float = setting(
        27.0, low=MODEL_LOW_C, high=MODEL_HIGH_C, doc="where currents, and a single threshold, are set"
    )
    chamber_temperatures_c: tuple[float, ...] = setting(
        (0.0, 35.0, 70.0),
        low=MODEL_LOW_C,
        high=MODEL_HIGH_C,
        least=2,
        ascending=True,
        doc="where the entries of 'table' are measured, ascending",
    )
    sensor_resolution_k: float = setting(0.5, low=0.0, exclusive_low=True, high=50.0, doc="step of the sensor, K")
    sensor_sigma_k: float = setting(0.5, low=0.0, high=50.0, doc="standard deviation of a reading, K")

    def __post_init__(self):
        check_settings(self, "calibration")
        methods = self.methods
        dependent = [name for name in ("offset", "table", "periodic") if name in methods]
        if dependent and "threshold" not in methods:
            raise SettingError(f"calibration.methods = {methods}: {dependent[0]!r} needs 'threshold' too; add it")
        if "table" in methods and "periodic" in methods:
            raise SettingError(
                f"calibration.methods = {methods}: a threshold is looked up ('table') or measured anew ('periodic'); "
                "leave one out"
            )

    @property
    def sensor(self) -> SensorSpec:
        """The sensor that 'table' is read with."""
        return SensorSpec(self.sensor_resolution_k, self.sensor_sigma_k)

    @property
    def temperature_k(self) -> float:
        """Where currents and a single threshold are set, K."""
        return celsius_to_kelvin(self.temperature_c)

    @property
    def chamber_temperatures_k(self):
        """(K,) where the entries of the table are measured, K."""
        return jnp.asarray([celsius_to_kelvin(t) for t in self.chamber_temperatures_c])


def with_trim_dac(hardware: Hardware, calibration: CalibrationSpec) -> Hardware:
    """The hardware a calibrated chip is made in: with the trim DAC if 'offset' is among the methods, else itself.

    Raises:
        SettingError: the reference is continuous, so there is no step for a trim DAC to divide.
    """
    if "offset" not in calibration.methods:
        return hardware
    bits = hardware.comparator.reference_bits
    if bits is None:
        raise SettingError(
            f"calibration.methods has 'offset', but the reference of hardware {hardware.name!r} is continuous: a trim "
            "DAC has no step to divide; leave 'offset' out"
        )
    span_v = calibration.trim_span_steps * hardware.comparator.reference_span_v / (2**bits - 1)
    return with_fields(hardware, {"comparator.trim_bits": calibration.trim_bits, "comparator.trim_span_v": span_v})
