"""The linear scorer: fitted as by NumPy, thresholds at the wanted shares, a step that tracks them, its bill."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from rival_cases import BATCH, DEPTH, evaluated, keys, method_of, start, surveyed, tiny_bill
from rival_cases import batch as examples

from atis_jax.scoring.atis.regression import RIDGE
from atis_jax.scoring.rivals.linear import OPEN, LinearSpec, wanted_thresholds

METHOD = method_of(LinearSpec())


@pytest.mark.slow
def test_it_starts_as_ridge_regression_on_the_log_of_attention_received():
    """In float64; a score of mean 0 and deviation 1."""
    design = start(METHOD).design
    seen = np.asarray(surveyed().seen, np.float64)[:, :, 1:]
    x = (seen - seen.mean(-1, keepdims=True)) / np.sqrt(seen.var(-1, keepdims=True) + 1e-6)
    log = np.log(np.asarray(surveyed().attended.received, np.float64).mean(2))[..., 1:]
    target = log - log.mean(-1, keepdims=True)
    for layer in range(DEPTH):
        rows, wanted = x[layer].reshape(-1, x.shape[-1]), target[layer].reshape(-1)
        covariance = np.cov(rows.T, bias=True)
        ridge = RIDGE * np.diagonal(covariance).mean() * np.eye(len(covariance))
        vector = np.linalg.solve(covariance + ridge, (rows - rows.mean(0)).T @ wanted / len(rows))
        score = rows @ vector
        np.testing.assert_allclose(design.weight[layer], vector / score.std(), rtol=2e-3, atol=2e-4)
        np.testing.assert_allclose(design.bias[layer], -score.mean() / score.std(), rtol=2e-3, atol=2e-4)


def test_thresholds_let_the_wanted_share_pass_layer_after_layer():
    rng = np.random.default_rng(0)
    score, counted = rng.normal(size=(3, 4, 50)), np.arange(50) < np.array([[50], [40], [30], [20]])
    found = np.asarray(wanted_thresholds(jnp.asarray(score), jnp.asarray(counted), jnp.asarray([0.8, 0.8, 0.2])))
    alive = counted & (score[0] > found[0])
    assert alive.sum() == 0.8 * 140 and found[1] == OPEN
    assert (alive & (score[2] > found[2])).sum() == 0.2 * 140


@pytest.mark.slow
def test_untrained_it_keeps_about_what_is_wanted():
    """Its scores of pruned sequences are not those of the dense network that it was fitted to."""
    kept = jnp.asarray([0.6, 0.3])
    alive = np.asarray(evaluated(METHOD, start(METHOD, kept), examples(), keys()).alive)[:, :, 1:, 0]
    np.testing.assert_allclose(alive.mean((1, 2)), kept, atol=0.15)
    assert alive[0].sum() == round(0.6 * BATCH * 16)


def test_training_moves_the_map_or_its_threshold_alone():
    moving, fixed = (method_of(LinearSpec(trained=trained)).labels(None) for trained in (True, False))
    assert (moving.weight, moving.bias, moving.threshold) == ("scorer", "scorer", "threshold")
    assert (fixed.weight, fixed.bias, fixed.threshold) == ("frozen", "frozen", "threshold")


def test_it_is_charged_as_a_folded_score():
    """16, 8 and 4 words of 16 channels."""
    costs = tiny_bill("sram_32k")
    bill, prices = METHOD.bill(costs, jnp.asarray([0.5, 0.25, 0.25]), None, ()), costs.energy.prices()
    np.testing.assert_allclose(bill.score_j, 28 * 16 * prices.score_mac_j, rtol=1e-6)
    np.testing.assert_allclose(bill.comparator_j, 28 * prices.compare_j, rtol=1e-6)
    assert float(bill.projection_j) == 0.0
