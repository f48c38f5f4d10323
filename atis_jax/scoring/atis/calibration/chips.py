"""Calibrating a layer with the methods that a ``CalibrationSpec`` names, and all layers of a fabricated chip."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.chip import Chip, Environment
from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.atis.calibration.bench import Measure, chip_bench
from atis_jax.scoring.atis.calibration.currents import program_currents
from atis_jax.scoring.atis.calibration.spec import CalibrationSpec
from atis_jax.scoring.atis.calibration.temperature import MeasureAt, look_up, sense, temperature_table
from atis_jax.scoring.atis.calibration.threshold import offset_trim, threshold_code
from atis_jax.scoring.atis.calibration.tokens import CalibrationTokens
from atis_jax.scoring.atis.calibration.trim import Calibrated, no_trim
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.typing import Key, Real
from atis_jax.validation import check_choice

_METHODS = ("currents", "threshold", "offset", "table", "periodic")
"""Those that ``calibrate_layer`` does."""
_CURRENTS, _THRESHOLD, _SENSOR = range(3)
"""Streams of one layer's key."""


def calibrate_layer(
    measure_at: MeasureAt,
    design: Design,
    tokens: CalibrationTokens,
    spec: ScorerSpec,
    hardware: Hardware,
    calibration: CalibrationSpec,
    temperature_k: Real,
    key: Key | None,
    field_key: Key | None = None,
) -> Calibrated:
    """What one layer of one chip is programmed with when it works at ``temperature_k``.

    Currents are programmed at ``calibration.temperature_k``, once. Thresholds are set there too, or measured at the
    working temperature (``periodic``; give the temperature of the last calibration if the chip has drifted since), or
    looked up with one reading of the sensor in a table measured in the chamber (``table``).

    Args:
        measure_at: the chip's bench at a temperature.
        design: what all chips are meant to hold.
        tokens: known inputs of this layer.
        spec: structure of the scorer.
        hardware: with the trim DAC if 'offset' is calibrated, see ``with_trim_dac``.
        calibration: the methods.
        temperature_k: where the chip works, K.
        key: of the noise of measurements and sensor; None for none.
        field_key: of those made where the chip works, the sensor's reading and ``periodic``; ``key`` unless given.
            Give one of its own to each temperature at which the same chip works.

    Returns:
        The trim in force, and the measurements of all methods together, the table's chamber included.

    Raises:
        SettingError: a method that nothing here does.
    """
    trim, measurements, methods = no_trim(spec), jnp.zeros((), jnp.int32), calibration.methods
    for method in methods:
        check_choice(method, _METHODS, "calibration.methods")
    if "currents" in methods:
        bench = measure_at(calibration.temperature_k)
        found = program_currents(bench, design, trim, spec, hardware, calibration, _stream(key, _CURRENTS))
        trim, measurements = found.trim, measurements + found.measurements

    def thresholds(measure: Measure, key: Key | None) -> Calibrated:
        found = threshold_code(measure, design, trim, tokens, spec, hardware, _stream(key, 0))
        if "offset" not in methods:
            return found
        finer = offset_trim(measure, design, found.trim, tokens, spec, hardware, _stream(key, 1))
        return Calibrated(finer.trim, found.measurements + finer.measurements)

    field_key = key if field_key is None else field_key
    if "table" in methods:
        table, taken = temperature_table(
            measure_at, thresholds, calibration.chamber_temperatures_k, _stream(key, _THRESHOLD)
        )
        sensed_k = sense(_stream(field_key, _SENSOR), jnp.asarray(temperature_k), calibration.sensor)
        trim, measurements = dataclasses.replace(trim, threshold_v=look_up(table, sensed_k)), measurements + taken
    elif "threshold" in methods:
        field = "periodic" in methods
        at_k, its_key = (temperature_k, field_key) if field else (calibration.temperature_k, key)
        found = thresholds(measure_at(at_k), _stream(its_key, _THRESHOLD))
        trim, measurements = found.trim, measurements + found.measurements
    return Calibrated(trim, measurements)


def calibrate_chip(
    design: Design,
    chip: Chip,
    environment: Environment,
    tokens: CalibrationTokens,
    spec: ScorerSpec,
    hardware: Hardware,
    calibration: CalibrationSpec,
    key: Key | None,
    query: Float[Array, "L G D"] | None = None,
    field_key: Key | None = None,
) -> Calibrated:
    """Put every layer of a fabricated chip on the bench and calibrate it; ``vmap`` over chips and environments.

    The chip goes into the benches and nowhere else. Each layer is in the same chamber and has a sensor reading of its
    own.

    Args:
        design: leaves (L, ...).
        chip: leaves (L, ...).
        environment: where it will work; its supply holds on the bench too.
        tokens: leaves (L, ...).
        spec: structure of the scorer.
        hardware: with the trim DAC if 'offset' is calibrated, see ``with_trim_dac``.
        calibration: the methods.
        key: one a chip; None for benches and sensors without noise.
        query: what ``ema`` prototypes hold meanwhile.
        field_key: one a chip and working temperature, as in ``calibrate_layer``; ``key`` unless given.

    Returns:
        Trims (L, ...), for ``trimmed``, and each layer's measurements (L,).
    """
    layers = len(design.threshold)
    keys, field_keys = (None if one is None else jax.random.split(one, layers) for one in (key, field_key))

    def layer(design, chip, tokens, query, key, field_key) -> Calibrated:
        def measure_at(temperature_k) -> Measure:
            return chip_bench(spec, hardware, chip, Environment(temperature_k, environment.supply_v), query)

        works_k = environment.temperature_k
        return calibrate_layer(measure_at, design, tokens, spec, hardware, calibration, works_k, key, field_key)

    in_axes = (0, 0, 0, *(None if one is None else 0 for one in (query, keys, field_keys)))
    return jax.vmap(layer, in_axes=in_axes)(design, chip, tokens, query, keys, field_keys)


def _stream(key: Key | None, number: int) -> Key | None:
    """The key of one purpose, or none where there is none."""
    return None if key is None else jax.random.fold_in(key, number)
