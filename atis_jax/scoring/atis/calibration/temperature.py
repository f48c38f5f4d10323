"""Temperature: thresholds from a table read with an on-chip sensor, or measured again from time to time."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.numerics import pytree
from atis_jax.scoring.atis.calibration.bench import Measure
from atis_jax.scoring.atis.calibration.spec import SensorSpec
from atis_jax.scoring.atis.calibration.trim import Calibrated
from atis_jax.typing import Int, Key, Real

MeasureAt = Callable[[Real], Measure]
"""The same chip's bench in a chamber at a temperature, K."""
Method = Callable[[Measure, Key | None], Calibrated]
"""A calibration of thresholds with all but bench and key given, as ``functools.partial`` makes it."""


@pytree
class TrimTable:
    """Threshold trims of one layer of one chip by temperature.

    Attributes:
        temperatures_k: (K,) where they were measured, ascending, K.
        threshold_v: (K, G) as in ``Trim``, V.
    """

    temperatures_k: Float[Array, "K"]
    threshold_v: Float[Array, "K G"]


def temperature_table(
    measure_at: MeasureAt, calibrate: Method, temperatures_k: Float[Array, "K"], key: Key | None
) -> tuple[TrimTable, Int[Array, ""]]:
    """Run a threshold calibration in the chamber at each temperature.

    Args:
        measure_at: the chip's bench at a temperature; it is traced, once for all temperatures.
        calibrate: ``threshold_code``, or it and ``offset_trim``.
        temperatures_k: ascending, K.
        key: read noise; None for none.

    Returns:
        The table, and the measurements it took: those of one calibration times K.
    """
    keys = None if key is None else jax.random.split(key, len(temperatures_k))

    def at(temperature_k, one_key):
        found = calibrate(measure_at(temperature_k), one_key)
        return found.trim.threshold_v, found.measurements

    threshold_v, measurements = jax.vmap(at, in_axes=(0, None if keys is None else 0))(temperatures_k, keys)
    return TrimTable(temperatures_k, threshold_v), jnp.sum(measurements)


def look_up(table: TrimTable, sensed_temperature_k: Float[Array, ""]) -> Float[Array, "G"]:
    """The threshold trim at a temperature: linear between entries, the end entry beyond them, V.

    It costs a reading of the sensor and one interpolation in digital; the reference rounds what comes out.
    """
    entries_k = table.temperatures_k
    above = jnp.clip(jnp.searchsorted(entries_k, sensed_temperature_k), 1, len(entries_k) - 1)
    below_k, above_k = entries_k[above - 1], entries_k[above]
    part = jnp.clip((sensed_temperature_k - below_k) / (above_k - below_k), 0.0, 1.0)
    # Both products, so that either entry comes out to the bit.
    return (1.0 - part) * table.threshold_v[above - 1] + part * table.threshold_v[above]


def sense(key: Key | None, temperature_k: Float[Array, ""], sensor: SensorSpec) -> Float[Array, ""]:
    """One reading of the sensor: the temperature plus N(0, sigma^2), rounded to the resolution, K.

    Args:
        key: one typed key a reading; None for a sensor without noise, which still rounds.
        temperature_k: of the chip, K.
        sensor: resolution and noise.
    """
    noise = 0.0 if key is None else jax.random.normal(key, jnp.shape(temperature_k))
    reading_k = temperature_k + sensor.sigma_k * noise
    return jnp.round(reading_k / sensor.resolution_k) * sensor.resolution_k


def last_calibrated_s(time_s: Float[Array, ""], interval_s: Real) -> Float[Array, ""]:
    """When a chip that calibrates itself every ``interval_s`` from time zero on last did so, s."""
    return jnp.floor(time_s / interval_s) * interval_s


def periodic(
    measure_at: MeasureAt,
    calibrate: Method,
    temperature_at: Callable[[Float[Array, ""]], Float[Array, ""]],
    time_s: Float[Array, ""],
    interval_s: Real,
    key: Key | None,
) -> tuple[Calibrated, Float[Array, ""]]:
    """Auto-calibration in the field: the calibration in force at a time, made at the temperature of its own hour.

    Args:
        measure_at: the chip's bench at a temperature.
        calibrate: a calibration of thresholds against the known tokens.
        temperature_at: the chip's temperature at a time, K.
        time_s: now, s.
        interval_s: time between calibrations, s.
        key: read noise of that calibration; None for none.

    Returns:
        What is in force, with the measurements of one calibration, and the temperature's drift since then, K.
    """
    calibrated_at_k = temperature_at(last_calibrated_s(time_s, interval_s))
    found = calibrate(measure_at(calibrated_at_k), key)
    return found, temperature_at(time_s) - calibrated_at_k
