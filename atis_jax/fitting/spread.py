"""The spread of many OTAs of one kind: standard deviations and correlations, each with its confidence interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2, norm

from atis_jax.fitting.ota import FittedOta
from atis_jax.validation import SettingError

FEWEST_DEVICES = 8


@dataclasses.dataclass(frozen=True)
class Spread:
    """One number of a population with its two-sided confidence interval.

    Attributes:
        value: standard deviation, or correlation.
        low: of the interval.
        high: of the interval.
        devices: it was found from.
    """

    value: float
    low: float
    high: float
    devices: int

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies in the interval."""
        return self.low <= value <= self.high


def sigma(values: np.ndarray, confidence: float = 0.95) -> Spread:
    """Standard deviation of Gaussian ``values`` about their mean; interval from chi-square."""
    count = len(values)
    found = float(np.std(values, ddof=1))
    tail = 0.5 * (1.0 - confidence)
    low, high = (found * float(np.sqrt((count - 1) / chi2.ppf(p, count - 1))) for p in (1.0 - tail, tail))
    return Spread(found, low, high, count)


def correlation(first: np.ndarray, second: np.ndarray, confidence: float = 0.95) -> Spread:
    """Pearson's correlation; interval by Fisher's z."""
    found = float(np.corrcoef(first, second)[0, 1])
    half = float(norm.ppf(0.5 + 0.5 * confidence)) / np.sqrt(len(first) - 3)
    z = np.arctanh(np.clip(found, -1 + 1e-12, 1 - 1e-12))
    return Spread(found, float(np.tanh(z - half)), float(np.tanh(z + half)), len(first))


def spread_of(devices: Sequence[FittedOta], confidence: float = 0.95) -> dict[str, Spread]:
    """The spreads of OTAs of one bias, temperature and supply, under the names of the fields of ``OtaSpec``.

    Args:
        devices: their fits, additive term included.
        confidence: of each interval.

    Raises:
        SettingError: fewer than 8 devices, or of several biases, temperatures or supplies.
    """
    if len({(one.bias_a, one.temperature_c, one.supply_v) for one in devices}) > 1:
        raise SettingError("the spread is that of devices at one bias and temperature; sort them first")
    if len(devices) < FEWEST_DEVICES:
        raise SettingError(f"a spread needs {FEWEST_DEVICES} devices or more, there are {len(devices)}")
    log_current = np.log([one.current_a / one.bias_a for one in devices])
    log_kappa = np.log([one.kappa for one in devices])
    offset_v = np.array([one.offset_v for one in devices])
    additive = np.array([one.additive for one in devices])
    return {
        "log_current_sigma": sigma(log_current, confidence),
        "kappa_sigma": sigma(log_kappa, confidence),
        "offset_sigma_v": sigma(offset_v, confidence),
        "additive_sigma": sigma(additive, confidence),
        "log_current_kappa_correlation": correlation(log_current, log_kappa, confidence),
        "offset_additive_correlation": correlation(offset_v, additive, confidence),
    }


def pooled_fields(groups: Sequence[dict[str, Spread]]) -> dict[str, Any]:
    """Dotted fields of ``Hardware`` from the spreads at several biases: root mean square, mean of correlations."""
    fields: dict[str, Any] = {}
    for name in groups[0] if groups else ():
        values = np.array([group[name].value for group in groups])
        pooled = np.mean(values) if name.endswith("correlation") else np.sqrt(np.mean(values**2))
        fields[f"ota.{name}"] = float(pooled)
    return fields
