"""Spreads of a population: what they are, and that their intervals hold the truth as often as they say."""

import numpy as np
import pytest

from atis_jax.circuits import get_preset, with_fields
from atis_jax.fitting.ota import FittedOta
from atis_jax.fitting.spread import Spread, correlation, pooled_fields, sigma, spread_of
from atis_jax.validation import SettingError

POPULATIONS = 400
FIELDS = {"log_current_sigma": 0.07, "kappa_sigma": 0.003, "offset_sigma_v": 4e-3, "additive_sigma": 0.02}
CORRELATIONS = {"log_current_kappa_correlation": -0.9, "offset_additive_correlation": 0.4}


def devices(rng, count, bias_a=1e-8, celsius=27.0):
    """Fits of OTAs with the true spreads and correlations above."""
    current, kappa = correlated(rng, count, -0.9)
    offset, additive = correlated(rng, count, 0.4)
    return [
        FittedOta(
            f"{k}", bias_a, celsius, bias_a * 1.05 * np.exp(0.07 * current[k]), 0.69 * np.exp(0.003 * kappa[k]),
            1e-3 + 4e-3 * offset[k], 0.01 + 0.02 * additive[k], 0.0, 0.0
        )
        for k in range(count)
    ]  # fmt: skip


def correlated(rng, count, rho):
    first, other = rng.normal(size=(2, count))
    return first, rho * first + np.sqrt(1 - rho**2) * other


def hit_bounds(confidence):
    """Of the number of 400 intervals that hold: binomial, 4 standard errors either way."""
    error = np.sqrt(POPULATIONS * confidence * (1 - confidence))
    return POPULATIONS * confidence - 4 * error, min(POPULATIONS - 1, POPULATIONS * confidence + 4 * error)


@pytest.mark.parametrize(("confidence", "count"), [(0.95, 8), (0.95, 60), (0.8, 20)])
def test_the_interval_of_a_sigma_holds_the_truth_as_often_as_it_says(confidence, count):
    rng = np.random.default_rng(1)
    hits = sum(sigma(rng.normal(5.0, 0.3, count), confidence).holds(0.3) for _ in range(POPULATIONS))
    low, high = hit_bounds(confidence)
    assert low < hits < high


@pytest.mark.parametrize(("confidence", "count", "rho"), [(0.95, 30, -0.6), (0.95, 200, 0.9), (0.8, 30, 0.0)])
def test_the_interval_of_a_correlation_holds_the_truth_as_often_as_it_says(confidence, count, rho):
    rng = np.random.default_rng(2)
    hits = sum(correlation(*correlated(rng, count, rho), confidence).holds(rho) for _ in range(POPULATIONS))
    low, high = hit_bounds(confidence)
    assert low < hits < high


def test_the_interval_of_200_is_that_of_the_tables():
    """chi-square with 199 degrees of freedom: 161.826 and 239.960 hold 95 %."""
    values = np.random.default_rng(3).normal(size=200)
    found = sigma(values)
    assert found.value == pytest.approx(np.sqrt(np.sum((values - values.mean()) ** 2) / 199))
    assert found.low == pytest.approx(found.value * np.sqrt(199 / 239.960), rel=1e-5)
    assert found.high == pytest.approx(found.value * np.sqrt(199 / 161.826), rel=1e-5)
    assert found.devices == 200


def test_the_spreads_of_a_population_are_those_it_was_made_with():
    """5000 devices: each interval of 99.99 % holds its truth, under the name of its field, and is narrow."""
    found = spread_of(devices(np.random.default_rng(4), 5000), confidence=0.9999)
    assert sorted(found) == sorted(FIELDS | CORRELATIONS)
    for name, true in (FIELDS | CORRELATIONS).items():
        assert found[name].holds(true), name
        assert found[name].high - found[name].low < 0.1 * (1.0 if name in CORRELATIONS else true)
    with_fields(get_preset("nominal"), pooled_fields([found]))


def test_a_perfect_correlation_has_an_interval():
    values = np.arange(20.0)
    for sign in (-1.0, 1.0):
        found = correlation(values, sign * values)
        assert found.value == pytest.approx(sign)
        assert -1 <= found.low <= found.high <= 1


def test_spreads_at_several_biases_are_pooled():
    def group(spread, rho):
        one = Spread(spread, 0.0, 1.0, 50)
        return dict.fromkeys(FIELDS, one) | dict.fromkeys(CORRELATIONS, Spread(rho, -1.0, 1.0, 50))

    fields = pooled_fields([group(0.03, -0.9), group(0.04, -0.5)])
    assert {name.removeprefix("ota.") for name in fields} == set(FIELDS | CORRELATIONS)
    for name in FIELDS:
        assert fields[f"ota.{name}"] == pytest.approx(np.sqrt((0.03**2 + 0.04**2) / 2))
    for name in CORRELATIONS:
        assert fields[f"ota.{name}"] == pytest.approx(-0.7)
    assert pooled_fields([]) == {}


def test_too_few_devices_are_refused():
    rng = np.random.default_rng(5)
    assert len(spread_of(devices(rng, 8))) == 6
    with pytest.raises(SettingError, match="a spread needs 8 devices or more, there are 7"):
        spread_of(devices(rng, 7))


@pytest.mark.parametrize("other", [{"bias_a": 1e-9}, {"celsius": 60.0}])
def test_devices_of_several_biases_or_temperatures_are_refused(other):
    rng = np.random.default_rng(6)
    with pytest.raises(SettingError, match="at one bias and temperature; sort them first"):
        spread_of(devices(rng, 8) + devices(rng, 8, **other))
