"""Where ridge regression starts a prototype: its target, and each projection against NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scoring_reference import random_design

from atis_jax.circuits.presets import get_preset
from atis_jax.pruning.stream import Attended
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.design import inputs_of
from atis_jax.scoring.atis.projection import gaussian
from atis_jax.scoring.atis.prototype import trained_weights
from atis_jax.scoring.atis.regression import RIDGE, attention_target, fitted
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.method import Survey
from atis_jax.validation import SettingError

WIDTH, INPUTS, TOKENS = 24, 8, 4000


def data(groups: int, told: int = WIDTH):
    """Correlated tokens, a linear target of ``told`` of their dimensions with noise, some left out."""
    rng = np.random.default_rng(3)
    tokens = rng.normal(size=(TOKENS, WIDTH)) @ (np.eye(WIDTH) + 0.3 * rng.normal(size=(WIDTH, WIDTH)))
    vector = np.where(np.arange(WIDTH) < told, rng.normal(size=(groups, WIDTH)), 0.0)
    target = tokens @ vector.T + 0.1 * rng.normal(size=(TOKENS, groups)) + 5.0
    weight = (np.arange(TOKENS) < 3000).astype(float)
    target[3000:] = 100.0
    return (jnp.asarray(part, jnp.float32) for part in (tokens, target, weight))


def fit(projection: str, groups: int, told: int = WIDTH):
    """Weights, projection, and correlation of each group's linear score with its target."""
    tokens, target, weight = data(groups, told)
    design = random_design(0, groups, gaussian(jax.random.key(1), INPUTS, WIDTH))
    linear = jax.jit(lambda *given: fitted(design, projection, *given, share=inputs_of))
    found = linear(tokens, target, weight)
    score = inputs_of(found, tokens) @ trained_weights(found.prototype).T
    told_by = [np.corrcoef(score[:3000, g], target[:3000, g])[0, 1] for g in range(groups)]
    return np.asarray(trained_weights(found.prototype)), np.asarray(found.projection), told_by


@pytest.mark.parametrize("groups", [1, 3])
def test_a_learned_projection_holds_the_whole_regression(groups):
    """The target but for its noise; each input of unit variance, of a part of its own, currents of both signs."""
    weights, rows, told_by = fit("learned", groups)
    assert min(told_by) > 0.999
    np.testing.assert_allclose(np.abs(weights).max(axis=1), 0.95, rtol=1e-5)
    of_group = [rows[g::groups] for g in range(groups)]
    assert all(np.all((part != 0).sum(axis=0) == 1) for part in of_group)
    tokens = np.asarray(next(data(groups)))[:3000]
    np.testing.assert_allclose((tokens @ rows.T).std(axis=0), 1.0, rtol=0.02)
    if groups == 1:
        assert (weights > 0).sum() == (weights < 0).sum() == INPUTS // 2


def test_a_selection_finds_the_dimensions_that_tell():
    _, rows, told_by = fit("selection", 1, told=INPUTS)
    np.testing.assert_array_equal(rows, np.eye(WIDTH)[:INPUTS])
    assert told_by[0] > 0.999


def test_a_drawn_projection_stays_and_its_weights_are_those_of_ridge_regression():
    weights, rows, _ = fit("gaussian", 2)
    np.testing.assert_array_equal(rows, gaussian(jax.random.key(1), INPUTS, WIDTH))
    tokens, target, _ = (np.asarray(part, np.float64) for part in data(2))
    features = (tokens @ rows.T)[:3000] * inputs_of(random_design(0, 2, jnp.eye(1)), jnp.ones((1, 1)))[0, 0]
    covariance = np.cov(features.T, bias=True)
    ridge = RIDGE * np.diagonal(covariance).mean() * np.eye(INPUTS)
    centred = features - features.mean(axis=0)
    solved = np.linalg.solve(covariance + ridge, centred.T @ target[:3000] / 3000).T
    expected = 0.95 * solved / np.abs(solved).max(axis=1, keepdims=True)
    np.testing.assert_allclose(weights, expected, atol=1e-4)


def test_the_target_is_the_log_of_a_groups_attention_less_its_examples_mean():
    rng = np.random.default_rng(0)
    received = rng.uniform(0.01, 1.0, size=(2, 3, 4, 5))
    counted = np.arange(5) < np.array([[5], [3], [1]])
    found = attention_target(Attended(received=jnp.asarray(received)), "received", jnp.asarray(counted), 2)
    for layer, example, group in np.ndindex(2, 3, 2):
        real = counted[example]
        log = np.log(received[layer, example, 2 * group : 2 * group + 2].mean(axis=0)[real])
        np.testing.assert_allclose(found[layer, example, real, group], log - log.mean(), atol=1e-5)
    assert not np.any(np.asarray(found)[:, ~counted])


def test_a_start_onward_looks_at_the_mean_of_a_layer_and_all_behind_it():
    rng, begun = np.random.default_rng(0), {}
    received, seen = (
        rng.uniform(0.01, 1.0, size=(3, 2, 2, 40)),
        jnp.asarray(rng.normal(size=(3, 2, 40, 6)), jnp.float32),
    )
    for start, given in (
        ("received_onward", received),
        ("received", np.stack([received[layer:].mean(axis=0) for layer in range(3)])),
        ("received", received),
    ):
        method = Analog(ScorerSpec(inputs=4, start=start), get_preset("nominal"))
        told = Survey(seen, jnp.ones((2, 40), bool), Attended(received=jnp.asarray(given, jnp.float32)))
        design, _ = method.begin(jax.random.key(0), told, jnp.ones(3))
        begun[len(begun)] = np.asarray(design.projection)
    np.testing.assert_allclose(begun[0], begun[1], atol=1e-4)
    np.testing.assert_allclose(begun[0][-1], begun[2][-1], atol=1e-4)
    assert np.abs(begun[0][0] - begun[2][0]).max() > 0.1


def test_a_prototype_that_is_the_networks_query_starts_nowhere_else():
    with pytest.raises(SettingError, match=r"scorer.start = 'received' with scorer.prototype = 'ema'"):
        ScorerSpec(prototype="ema", start="received")
