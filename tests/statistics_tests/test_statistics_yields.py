"""Yields by hand, verdicts that a finite test set leaves open, and causes that are known because they were put in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from atis_jax.statistics import (
    clopper_pearson_interval,
    correlation,
    linear_attribution,
    wilson_interval,
    yield_estimate,
)

DELTAS = np.array([[0.00, -0.005], [-0.01, 0.01], [-0.02, 0.00], [0.00, -0.011], [-0.03, -0.03]])
"""Five chips at two temperatures; one point allowed: the first two pass at both."""


def test_a_chip_has_to_pass_at_every_temperature():
    found = yield_estimate(DELTAS, 0.01)
    assert (found.passes, found.chips, found.fraction) == (2, 5, 0.4)
    assert found.interval == clopper_pearson_interval(2, 5)
    assert found.unresolved is None and found.resolved is None
    assert yield_estimate(DELTAS, 0.01, interval="wilson", level=0.9).interval == wilson_interval(2, 5, 0.9)


def test_each_temperature_has_a_yield_of_its_own():
    cold, warm = yield_estimate(DELTAS, 0.01, "each")
    assert (cold.passes, warm.passes) == (3, 3)
    assert yield_estimate(DELTAS[:, 0], 0.01) == cold
    # All temperatures together never yield more than the worst of them.
    assert yield_estimate(DELTAS, 0.01).passes <= min(cold.passes, warm.passes)


@pytest.mark.parametrize(
    ("before", "after", "limit"), [(0.96, 0.95, 0.01), (0.87, 0.86, 0.01), (345 / 360, 342 / 360, 3 / 360)]
)
def test_a_loss_of_exactly_the_limit_passes_however_it_rounds(before, after, limit):
    assert yield_estimate([after - before], limit).passes == 1
    assert yield_estimate([after - before - 1e-6], limit).passes == 0


def test_open_verdicts_are_those_within_their_own_error():
    """Error 0.004, limit 0.01. By hand: the second temperature of chip 0 is 0.005 inside: sure. Chip 1 is on the limit
    at one temperature: open. Chips 2 and 4 are 0.01 and 0.02 beyond: sure. Chip 3 is 0.001 beyond at the second: open.
    """
    found = yield_estimate(DELTAS, 0.01, standard_errors=0.004)
    assert (found.passes, found.unresolved, found.resolved) == (2, 2, False)
    cold, warm = yield_estimate(DELTAS, 0.01, "each", standard_errors=0.004)
    assert (cold.unresolved, warm.unresolved) == (1, 1)
    # At 0.011 the first chip's margin and the third's are within the error too; the fifth stays beyond it.
    assert yield_estimate(DELTAS, 0.01, standard_errors=0.011).unresolved == 4
    # Errors of their own for each delta, and none at all: on the limit is then a pass.
    errors = np.zeros((5, 2))
    assert yield_estimate(DELTAS, 0.01, standard_errors=errors).resolved
    errors[3, 1] = 0.002
    assert yield_estimate(DELTAS, 0.01, standard_errors=errors).unresolved == 1
    assert yield_estimate(DELTAS[:, 1], 0.01, standard_errors=errors[:, 1]).unresolved == 1


def test_the_interval_covers_the_yield_of_the_population():
    """1,000 lots of 32 chips whose deltas are normal: Phi(1) of them pass; the exact interval holds it in 95 % or more.

    Error of the share 0.7 %, bound 4.5 of them.
    """
    draws = np.random.default_rng(0).normal(0.0, 0.01, (1000, 32))
    hits = 0
    for deltas in draws:
        low, high = yield_estimate(deltas, 0.01).interval
        hits += low <= stats.norm.cdf(1.0) <= high
    assert hits / 1000 > 0.95 - 4.5 * np.sqrt(0.05 * 0.95 / 1000)


@pytest.mark.parametrize(
    ("deltas", "options", "message"),
    [
        (np.zeros((0, 2)), {}, r"deltas has shape \(0, 2\); give \(chips, temperatures\)"),
        (np.zeros((2, 2, 2)), {}, r"deltas has shape \(2, 2, 2\)"),
        ([0.0, np.nan], {}, "deltas has 1 values that are not finite"),
        ([0.0], dict(spec=-0.01), "spec = -0.01 must be zero or more; it is the largest fall allowed"),
        ([0.0], dict(kind="any"), "kind = 'any' is not one of: all temperatures, each"),
        ([0.0], dict(interval="wald"), "interval = 'wald' is not one of: clopper_pearson, wilson"),
        ([0.0], dict(standard_errors=-0.1), "standard_errors must be zero or more"),
        ([0.0], dict(standard_errors=[0.1, 0.2]), r"standard_errors has shape \(2,\), which does not broadcast"),
    ],
)
def test_what_cannot_be_is_refused(deltas, options, message):
    with pytest.raises(ValueError, match=message):
        yield_estimate(deltas, **({"spec": 0.01} | options))


def parameters(chips, seed=0):
    """Independent standard normal parameters of ``chips`` chips, in units of their own."""
    rng = np.random.default_rng(seed)
    return {
        "offset": 4e-3 * rng.normal(size=chips),
        "gain": 1.0 + 0.01 * rng.normal(size=chips),
        "idle": rng.normal(size=chips),
        "current": np.full(chips, 0.0),
    }


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
@pytest.mark.parametrize("ties", [False, True])
def test_correlation_is_scipys(kind, ties):
    rng = np.random.default_rng(3)
    x = rng.normal(size=24)
    y = 0.6 * x + rng.normal(size=24)
    if ties:
        x, y = np.round(x), np.round(2 * y)
    expected = (stats.pearsonr if kind == "pearson" else stats.spearmanr)(x, y)
    found = correlation(x, y, kind, 0.9)
    assert found.value == pytest.approx(expected.statistic, rel=1e-10)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-8)
    if kind == "pearson":
        np.testing.assert_allclose(found.interval, expected.confidence_interval(0.9), rtol=1e-10)


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_intervals_of_a_correlation_cover_what_they_say(kind):
    """3,000 samples of 40 normal pairs of correlation 0.6: error of the share 0.4 %, bound 4.5 of them.

    Spearman's is then (6/pi) asin(0.3), in large samples; its interval is an approximation, and a point is allowed
    for it.
    """
    truth = 0.6 if kind == "pearson" else 6 / np.pi * np.arcsin(0.3)
    pairs = np.random.default_rng(4).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], (3000, 40))
    hits = sum(low <= truth <= high for low, high in (correlation(*pair.T, kind).interval for pair in pairs))
    slack = 0.0 if kind == "pearson" else 0.01
    assert hits / 3000 == pytest.approx(0.95, abs=4.5 * np.sqrt(0.05 * 0.95 / 3000) + slack)


def test_a_perfect_correlation_and_a_curved_one():
    x = np.linspace(1, 2, 9)
    assert correlation(x, np.exp(5 * x), "spearman")[:3] == (1.0, (1.0, 1.0), 0.0)
    assert correlation(x, np.exp(5 * x)).value < 0.95
    assert correlation(x, -x, "spearman").value == -1.0


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (np.zeros(5), np.arange(5), {}, "x is 0.0 on every chip; a constant has no correlation"),
        (np.arange(5), np.ones(5), {}, "y is 1.0 on every chip"),
        (np.arange(5), np.arange(4), {}, "x has 5 chips and y 4"),
        (np.arange(3), np.arange(3), {}, "give a vector of at least 4 numbers"),
        (np.arange(5), np.arange(5), dict(kind="kendall"), "kind = 'kendall' is not one of: pearson, spearman"),
    ],
)
def test_correlations_that_cannot_be_are_refused(x, y, options, message):
    with pytest.raises(ValueError, match=message):
        correlation(x, y, **options)


def test_attribution_finds_the_shares_that_were_put_in():
    """2,000 chips, y = 3 offset - 1 gain + 1 noise in standard units: shares 9/11, 1/11, 0 and a rest of 1/11.

    A squared correlation rho^2 has a standard error of 2 rho (1 - rho^2)/sqrt(n) at most 0.017 here; bound 4.5 of
    the largest, 0.077 for any rho, taken as 0.035 with the correlations at hand (0.905, 0.302, 0).
    """
    drawn = parameters(2000)
    noise = np.random.default_rng(9).normal(size=2000)
    y = 3 * drawn["offset"] / 4e-3 - (drawn["gain"] - 1.0) / 0.01 + noise
    found = linear_attribution(drawn, 0.002 * y - 5)
    bounds = {rho: 4.5 * 2 * rho * (1 - rho**2) / np.sqrt(2000) for rho in (0.905, 0.302)}
    for shares in (found.alone, found.unique):
        assert shares["offset"] == pytest.approx(9 / 11, abs=bounds[0.905])
        assert shares["gain"] == pytest.approx(1 / 11, abs=bounds[0.302])
        assert shares["idle"] < 4.5**2 / 2000
    assert found.r_squared == pytest.approx(10 / 11, abs=bounds[0.905])
    assert found.slope["offset"] > 0 > found.slope["gain"]
    assert found.slope["gain"] ** 2 == pytest.approx(found.unique["gain"], rel=0.05)
    assert found.constant == ("current",) and found.samples == 2000
    assert found.slope["current"] == found.alone["current"] == found.unique["current"] == 0.0


def test_attribution_is_the_regression_of_scipy_with_one_parameter():
    x, y = np.random.default_rng(1).normal(size=(2, 12))
    fit, found = stats.linregress(x, y), linear_attribution({"x": x}, y)
    assert found.r_squared == pytest.approx(fit.rvalue**2, rel=1e-10) == found.alone["x"] == found.unique["x"]
    assert found.slope["x"] == pytest.approx(fit.rvalue, rel=1e-10)
    assert found.adjusted_r_squared == pytest.approx(1 - (1 - fit.rvalue**2) * 11 / 10, rel=1e-10)


def test_what_two_parameters_share_is_nobodys_own():
    x, noise = np.random.default_rng(2).normal(size=(2, 400))
    found = linear_attribution({"first": x, "copy": 2 * x + 1}, x + noise)
    assert found.alone["first"] == pytest.approx(found.alone["copy"]) == pytest.approx(found.r_squared)
    assert max(found.unique.values()) < 1e-9


def test_unrelated_parameters_explain_nothing_once_adjusted():
    """500 data sets of 30 chips and 6 idle parameters: R^2 is beta(3, 11.5), mean 6/29; adjusted its mean is 0.

    sigma of one adjusted value: 29/23 of beta's 0.103, so 0.0058 of the mean; bound 4.5 of them.
    """
    rng = np.random.default_rng(6)
    found = [
        linear_attribution({str(i): row for i, row in enumerate(rng.normal(size=(6, 30)))}, rng.normal(size=30))
        for _ in range(500)
    ]
    spread = stats.beta(3, 11.5).std() / np.sqrt(500)
    assert np.mean([one.r_squared for one in found]) == pytest.approx(6 / 29, abs=4.5 * spread)
    assert np.mean([one.adjusted_r_squared for one in found]) == pytest.approx(0.0, abs=4.5 * spread * 29 / 23)


@pytest.mark.parametrize(
    ("given", "response", "message"),
    [
        ({}, np.arange(5.0), "5 chips cannot tell 0 parameters apart"),
        ({"a": np.arange(3.0), "b": np.ones(3)}, np.arange(3.0), "3 chips cannot tell 2 parameters apart"),
        ({"a": np.arange(4.0)}, np.arange(5.0), "a has 4 chips and the response 5"),
        ({"a": np.arange(5.0)}, np.ones(5), "the response is 1.0 on every chip; there is nothing to explain"),
    ],
)
def test_attributions_that_cannot_be_are_refused(given, response, message):
    with pytest.raises(ValueError, match=message):
        linear_attribution(given, response)


def test_parameters_that_are_all_constant_explain_nothing():
    found = linear_attribution({"a": np.ones(5)}, np.arange(5.0))
    assert (found.r_squared, found.adjusted_r_squared, found.constant) == (0.0, 0.0, ("a",))
