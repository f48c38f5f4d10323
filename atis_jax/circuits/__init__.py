"""The analog scorer's circuits: pure functions on frozen pytrees, in SI units, needing JAX alone."""

from atis_jax.circuits.array import array_current_a
from atis_jax.circuits.chip import (
    ArrayGeometry,
    Chip,
    Environment,
    nominal_chip,
    nominal_environment,
    sample_chip,
)
from atis_jax.circuits.comparator import (
    ComparatorSpec,
    keep,
    keep_hysteresis,
    keep_hysteresis_straight_through,
    keep_probability,
    keep_straight_through,
)
from atis_jax.circuits.dac import DacSpec, dac_levels_v
from atis_jax.circuits.floating_gate import FloatingGateSpec, program_current_a
from atis_jax.circuits.frontend import Program, Realised, ota_curves_a, read, read_exact, realise
from atis_jax.circuits.hardware import Hardware, check_hardware, scale_spreads, with_fields
from atis_jax.circuits.ota import OtaSpec, ota_current_a, settling_time_s
from atis_jax.circuits.presets import PRESETS, get_preset
from atis_jax.circuits.thermal import ThermalSpec
from atis_jax.circuits.tia import TiaSpec, feedback_for_swing_ohm

__all__ = [
    "PRESETS",
    "ArrayGeometry",
    "Chip",
    "ComparatorSpec",
    "DacSpec",
    "Environment",
    "FloatingGateSpec",
    "Hardware",
    "OtaSpec",
    "Program",
    "Realised",
    "ThermalSpec",
    "TiaSpec",
    "array_current_a",
    "check_hardware",
    "dac_levels_v",
    "feedback_for_swing_ohm",
    "get_preset",
    "keep",
    "keep_hysteresis",
    "keep_hysteresis_straight_through",
    "keep_probability",
    "keep_straight_through",
    "nominal_chip",
    "nominal_environment",
    "ota_current_a",
    "ota_curves_a",
    "program_current_a",
    "read",
    "read_exact",
    "realise",
    "sample_chip",
    "scale_spreads",
    "settling_time_s",
    "with_fields",
]
