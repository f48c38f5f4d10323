"""Physical constants (CODATA 2018, exact) and the few conversions used at the edges. SI everywhere else."""

from __future__ import annotations

from jaxtyping import Array, Float

BOLTZMANN_J_PER_K = 1.380649e-23
ELEMENTARY_CHARGE_C = 1.602176634e-19
ZERO_CELSIUS_K = 273.15
NOMINAL_TEMPERATURE_K = 300.15
"""27 C: SPICE's default, and the temperature at which nominal values are stated."""

KILO, MILLI, MICRO, NANO, PICO, FEMTO = 1e3, 1e-3, 1e-6, 1e-9, 1e-12, 1e-15


def thermal_voltage_v(temperature_k: float | Float[Array, "..."]) -> Float[Array, "..."]:
    """U_T = k T / q in volts (25.86 mV at 27 C). ``temperature_k`` in kelvin, any shape."""
    return temperature_k * (BOLTZMANN_J_PER_K / ELEMENTARY_CHARGE_C)  # type: ignore[return-value]


def celsius_to_kelvin(temperature_c):
    """Kelvin from degrees Celsius."""
    return temperature_c + ZERO_CELSIUS_K


def kelvin_to_celsius(temperature_k):
    """Degrees Celsius from kelvin."""
    return temperature_k - ZERO_CELSIUS_K
