"""Calibration after fabrication: what a chip lets one set, from what one can measure on it (ATIS paper, 5.3).

The methods work on one layer of one chip in one environment and are given a bench (``Measure``), never the chip;
``vmap`` them over layers, chips and temperatures.
"""

from atis_jax.scoring.atis.calibration.bench import Measure, chip_bench
from atis_jax.scoring.atis.calibration.chips import calibrate_chip, calibrate_layer
from atis_jax.scoring.atis.calibration.currents import program_currents
from atis_jax.scoring.atis.calibration.spec import METHODS, CalibrationSpec, SensorSpec, with_trim_dac
from atis_jax.scoring.atis.calibration.temperature import (
    TrimTable,
    last_calibrated_s,
    look_up,
    periodic,
    sense,
    temperature_table,
)
from atis_jax.scoring.atis.calibration.threshold import offset_trim, threshold_code
from atis_jax.scoring.atis.calibration.tokens import CalibrationTokens
from atis_jax.scoring.atis.calibration.trim import Calibrated, Trim, no_trim, trimmed

__all__ = [
    "METHODS",
    "Calibrated",
    "CalibrationSpec",
    "CalibrationTokens",
    "Measure",
    "SensorSpec",
    "Trim",
    "TrimTable",
    "calibrate_chip",
    "calibrate_layer",
    "chip_bench",
    "last_calibrated_s",
    "look_up",
    "no_trim",
    "offset_trim",
    "periodic",
    "program_currents",
    "sense",
    "temperature_table",
    "threshold_code",
    "trimmed",
    "with_trim_dac",
]
