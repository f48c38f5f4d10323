"""Intervals and paired differences against scipy.stats, closed forms, and the coverage that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from atis_jax.statistics import (
    accuracy_resolution,
    clopper_pearson_interval,
    discordant_counts,
    mean_estimate,
    paired_difference,
    paired_standard_error,
    wilson_interval,
)

INTERVALS = {"wilson": wilson_interval, "exact": clopper_pearson_interval}


@pytest.mark.parametrize("method", INTERVALS)
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("trials", [1, 2, 7, 64, 1000])
def test_intervals_of_a_proportion_are_scipys(method, level, trials):
    for successes in sorted({0, 1, trials // 3, trials - 1, trials}):
        expected = stats.binomtest(successes, trials).proportion_ci(level, method)
        found = INTERVALS[method](successes, trials, level)
        np.testing.assert_allclose(found, (expected.low, expected.high), rtol=1e-9, atol=1e-12)
        assert found.low <= successes / trials <= found.high


def test_all_of_n_pass_is_the_rule_of_three():
    """With no failure among n the 95 % upper end of the failures solves (1 - p)^n = 0.025, about 3.7/n."""
    low, high = clopper_pearson_interval(64, 64)
    assert high == 1.0 and low**64 == pytest.approx(0.025, rel=1e-9)


def coverage(interval, share, trials, level):
    """Exact, not simulated: the binomial weight of the counts whose interval holds ``share``."""
    counts = np.arange(trials + 1)
    hits = [low <= share <= high for low, high in (interval(int(k), trials, level) for k in counts)]
    return stats.binom.pmf(counts, trials, share) @ np.array(hits)


def test_the_exact_interval_covers_every_proportion_and_wilsons_does_on_average():
    """64 chips, 199 proportions. Wilson's is known to dip below its level near 0 and 1."""
    shares = np.linspace(0.005, 0.995, 199)
    exact = [coverage(clopper_pearson_interval, share, 64, 0.95) for share in shares]
    wilson = [coverage(wilson_interval, share, 64, 0.95) for share in shares]
    assert min(exact) >= 0.95
    assert np.mean(wilson) == pytest.approx(0.95, abs=0.01) and min(wilson) < 0.95
    widths = [np.diff(interval(50, 64)) for interval in (wilson_interval, clopper_pearson_interval)]
    assert widths[0] < widths[1]


@pytest.mark.parametrize("interval", INTERVALS.values())
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0), "trials = 0 must be 1 or more"),
        ((-1, 4), "successes = -1 must be between 0 and trials = 4"),
        ((5, 4), "successes = 5 must be between 0 and trials = 4"),
        ((1, 4, 95), "level = 95 must be between 0 and 1, such as 0.95"),
    ],
)
def test_counts_that_cannot_be_are_refused(interval, arguments, message):
    with pytest.raises(ValueError, match=message):
        interval(*arguments)


def test_the_students_interval_is_scipys():
    values = np.random.default_rng(0).normal(0.8, 0.02, 17)
    found = mean_estimate(values, 0.9)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    np.testing.assert_allclose(found.interval, expected, rtol=1e-10)
    np.testing.assert_allclose(found.standard_error, stats.sem(values), rtol=1e-12)
    assert found.mean == pytest.approx(values.mean()) and found.samples == 17


def test_the_bootstrap_is_the_percentile_interval_of_scipy():
    """A skewed sample of 40; both draw 20,000 means: an end's error is below 1.5 % of the width (4.5 sigma).

    The density of the means at the 2.5 % quantile is 0.058/se, so the error of that quantile is
    sqrt(0.025 * 0.975 / 20000) / 0.058 = 0.019 se each, 0.027 se of the difference, of a width of 3.9 se; 4.5 of them
    are 3.1 % of the width.
    """
    values = np.random.default_rng(1).exponential(1.0, 40)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    found = mean_estimate(values, kind="bootstrap", resamples=20_000, seed=3)
    width = expected.high - expected.low
    np.testing.assert_allclose(found.interval, expected, atol=4.5 * 0.027 / 3.9 * width)
    assert found == mean_estimate(values, kind="bootstrap", resamples=20_000, seed=3)
    assert found.interval != mean_estimate(values, kind="bootstrap", resamples=20_000, seed=4).interval


@pytest.mark.parametrize(("kind", "expected"), [("student", 0.95), ("bootstrap", 0.9386)])
def test_intervals_of_a_mean_cover_what_they_say(kind, expected):
    """2,000 samples of 20 normal values: the share covered has an error of 0.5 %, bound 4.5 of them.

    The bootstrap's interval is 1.96 s sqrt(19/20) / sqrt(20) wide each way: P(|t_19| < 1.96 sqrt(19/20)) = 0.929 of
    it, and skewness and drawing of the ends change that by less than a percent.
    """
    draws = np.random.default_rng(5).normal(3.0, 2.0, (2000, 20))
    hits = 0
    for number, values in enumerate(draws):
        low, high = mean_estimate(values, kind=kind, resamples=400, seed=number).interval
        hits += low <= 3.0 <= high
    if kind == "bootstrap":
        expected = 2 * stats.t.cdf(1.96 * np.sqrt(19 / 20), 19) - 1
    slack = 0.0 if kind == "student" else 0.01
    assert hits / 2000 == pytest.approx(expected, abs=4.5 * np.sqrt(0.05 * 0.95 / 2000) + slack)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1.0], {}, r"values has shape \(1,\); give a vector of at least 2 numbers"),
        ([[1.0, 2.0]], {}, r"values has shape \(1, 2\)"),
        ([1.0, np.nan, np.inf], {}, "values has 2 values that are not finite"),
        ([1.0, 2.0], dict(kind="normall"), "kind = 'normall' is not one of: student, bootstrap"),
        ([1.0, 2.0], dict(kind="bootstrap", resamples=0), "resamples = 0 must be 1 or more"),
    ],
)
def test_samples_that_cannot_be_are_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        mean_estimate(values, **options)


def test_counts_of_two_classifiers():
    first = np.array([True, True, False, False, True])
    second = np.array([True, False, True, True, False])
    assert discordant_counts(first, second) == (2, 2, 5)
    assert discordant_counts(second, first & second) == (0, 2, 5)
    with pytest.raises(ValueError, match=r"first_right \(5,\) and second_right \(4,\) must be vectors of the same"):
        discordant_counts(first, second[:4])


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 5), (12, 4), (3, 30), (40, 0)])
def test_mcnemars_p_is_scipys_binomial_test(gained, lost):
    found = paired_difference(gained, lost, 100).p_value
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert found == pytest.approx(expected, rel=1e-10)


def test_the_standard_error_is_that_of_the_mean_of_the_differences():
    """The definition: each input counts +1, 0 or -1, and the error of their mean is std / sqrt(n)."""
    gained, lost, inputs = 12, 31, 500
    each = np.repeat([1.0, -1.0, 0.0], [gained, lost, inputs - gained - lost])
    found = paired_difference(gained, lost, inputs)
    assert found.difference == pytest.approx(each.mean())
    assert found.standard_error == pytest.approx(each.std() / np.sqrt(inputs), rel=1e-12)
    assert found.standard_error == paired_standard_error(43 / 500, 500, -19 / 500)
    assert found.interval.low < found.difference < found.interval.high
    assert paired_standard_error(0.02, 1000) == pytest.approx(0.0045, abs=5e-5)  # as its docstring says
    assert accuracy_resolution(360) == 1 / 360


def test_no_disagreement_is_not_certainty():
    """Of 100 inputs judged alike, a true difference of 1 % would go unseen with probability 0.99^100 = 0.37."""
    found = paired_difference(0, 0, 100)
    assert found.difference == found.standard_error == 0.0
    assert found.interval.low < -0.01 and found.interval.high > 0.01


def test_the_paired_interval_is_the_score_interval():
    """Each end solves the score equation with the chance of a loss that a search over the likelihood finds.

    With losses alone or nothing at all it is known in closed form: Wilson's interval of the losses, upper end negated.
    """
    gained, lost, inputs, z = 12, 31, 500, stats.norm.ppf(0.975)
    for end, sign in zip(paired_difference(gained, lost, inputs).interval, (1, -1), strict=True):
        loss = np.linspace(max(0.0, -end), (1 - end) / 2, 2_000_001)[1:-1]
        same = 1 - end - 2 * loss
        likelihood = gained * np.log(loss + end) + lost * np.log(loss) + (inputs - gained - lost) * np.log(same)
        likeliest = loss[np.argmax(likelihood)]
        score = (gained - lost - inputs * end) / np.sqrt(inputs * (2 * likeliest + end * (1 - end)))
        assert score == pytest.approx(sign * z, rel=1e-4)
    assert paired_difference(0, 0, 100).interval.high == pytest.approx(wilson_interval(0, 100).high, abs=1e-9)
    assert paired_difference(0, 9, 100).interval.low == pytest.approx(-wilson_interval(9, 100).high, abs=1e-9)
    mirrored = paired_difference(lost, gained, inputs).interval
    np.testing.assert_allclose(mirrored, [-end for end in paired_difference(gained, lost, inputs).interval[::-1]])


@pytest.mark.parametrize(("gain", "loss"), [(0.01, 0.01), (0.03, 0.005), (0.10, 0.05), (0.0, 0.02), (0.005, 0.04)])
def test_the_paired_interval_covers_what_it_says(gain, loss):
    """2,000 test sets of 400 inputs: error of the share 0.5 %, bound 4.5 of them; a point for whole counts."""
    draws = np.random.default_rng(7).multinomial(400, [gain, loss, 1 - gain - loss], 2000)
    counts, times = np.unique(draws[:, :2], axis=0, return_counts=True)
    ends = [paired_difference(int(gained), int(lost), 400).interval for gained, lost in counts]
    hits = sum(n for n, (low, high) in zip(times, ends, strict=True) if low <= gain - loss <= high)
    assert hits / 2000 == pytest.approx(0.95, abs=4.5 * np.sqrt(0.05 * 0.95 / 2000) + 0.01)


@pytest.mark.parametrize("counts", [(-1, 0, 10), (0, -1, 10), (6, 5, 10), (0, 0, 0)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="must be zero or more, together at most inputs"):
        paired_difference(*counts)


def test_impossible_fractions_are_refused():
    with pytest.raises(ValueError, match="discordant_fraction = 0.01 must be at most 1 and at least the size"):
        paired_standard_error(0.01, 100, -0.02)
    with pytest.raises(ValueError, match="inputs = 0 must be 1 or more"):
        accuracy_resolution(0)
    with pytest.raises(ValueError, match="inputs = 0 must be 1 or more"):
        paired_standard_error(0.1, 0)


def test_an_error_that_all_values_share_is_added_in_quadrature():
    values = [0.1, 0.2, 0.4]
    own, both = mean_estimate(values), mean_estimate(values, shared_error=0.3)
    assert both.mean == own.mean
    assert both.standard_error == pytest.approx(np.hypot(own.standard_error, 0.3))
    assert both.interval.high - both.mean == pytest.approx(np.hypot(own.interval.high - own.mean, 1.959964 * 0.3))
    alike = mean_estimate([0.5, 0.5], shared_error=0.1).interval
    assert (alike.low, alike.high) == pytest.approx((0.5 - 0.1959964, 0.5 + 0.1959964))
    for options in ({"shared_error": -0.1}, {"shared_error": 0.1, "kind": "bootstrap"}):
        with pytest.raises(ValueError, match="shared_error"):
            mean_estimate(values, **options)
