"""Prototypes: the EMA's closed form, its head groups, and how an extracted one correlates with x . q."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scoring_reference import random_design

from atis_jax.scoring.atis.design import inputs_of
from atis_jax.scoring.atis.program import signed_weights, with_extracted_prototype
from atis_jax.scoring.atis.projection import gaussian, selection
from atis_jax.scoring.atis.prototype import query_weights, update_query
from atis_jax.scoring.atis.spec import ScorerSpec


def test_moving_average_is_the_closed_form_over_batches():
    """q_n = (1-r)^n q_0 + r sum_k (1-r)^(n-k) m_k, with m_k the mean over batch and the group's heads."""
    rng, rate, groups, heads = np.random.default_rng(0), 0.2, 2, 6
    first = rng.normal(size=(groups, 5))
    batches = rng.normal(size=(9, 4, heads, 5))
    query = jnp.asarray(first, jnp.float32)
    for batch in batches:
        query = update_query(query, jnp.asarray(batch, jnp.float32), rate)
    # Head h belongs to group floor(h G / H): the first three heads to group 0.
    means = np.stack([batches[:, :, :3].mean((1, 2)), batches[:, :, 3:].mean((1, 2))], axis=1)
    age = np.arange(len(batches))[::-1]
    expected = (1 - rate) ** len(batches) * first + rate * np.einsum("k,kgd->gd", (1 - rate) ** age, means)
    np.testing.assert_allclose(query, expected, atol=1e-6)


def test_rates_of_zero_and_one_hold_and_follow():
    query, recent = jnp.ones((1, 3)), jnp.full((2, 2, 3), 4.0)
    np.testing.assert_array_equal(update_query(query, recent, 0.0), query)
    np.testing.assert_array_equal(update_query(query, recent, 1.0), 4.0 * query)


def test_the_average_sends_no_gradient_into_the_network():
    gradient = jax.grad(lambda recent: jnp.sum(update_query(jnp.ones((1, 3)), recent, 0.5)))(jnp.ones((2, 2, 3)))
    np.testing.assert_array_equal(gradient, 0.0)


def test_a_query_never_seen_programs_nothing_with_a_finite_gradient():
    projection = gaussian(jax.random.key(0), 6, 8)
    np.testing.assert_array_equal(query_weights(jnp.zeros((2, 8)), projection), 0.0)
    gradient = jax.jit(jax.grad(lambda *args: jnp.sum(query_weights(*args)), argnums=(0, 1)))
    assert all(np.all(np.isfinite(part)) for part in gradient(jnp.zeros((2, 8)), projection))


def test_the_largest_weight_of_each_prototype_is_095():
    weights = query_weights(jax.random.normal(jax.random.key(1), (3, 8)), gaussian(jax.random.key(0), 6, 8))
    np.testing.assert_allclose(np.abs(weights).max(-1), 0.95, rtol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "selection"])
def test_extracted_prototype_scores_correlate_with_x_dot_q(kind):
    """Score u . w against x . q over white tokens; the correlation is q'P'Pq / (|q| |P'Pq|), 1 if P'P = 1.

    4000 tokens: the sample correlation has a standard error of (1 - rho^2) / sqrt(4000).
    """
    rng, width, inputs, count = np.random.default_rng(2), 24, {"gaussian": 96, "selection": 24}[kind], 4000
    matrix = gaussian(jax.random.key(3), inputs, width) if kind == "gaussian" else selection(jnp.ones(width), width)
    query = rng.normal(size=(1, width))
    design = random_design(0, 1, matrix)
    design = with_extracted_prototype(design, jnp.asarray(query, jnp.float32))
    spec = ScorerSpec(inputs=inputs, prototype="extracted")
    tokens = rng.normal(size=(count, width))
    weights = np.asarray(signed_weights(design, spec, jnp.zeros((1, width))), np.float64)
    score = np.asarray(inputs_of(design, jnp.asarray(tokens, jnp.float32)), np.float64) @ weights[0]

    wide, q = np.asarray(matrix, np.float64), query[0]
    through = wide.T @ wide @ q
    rho = q @ through / np.linalg.norm(q) / np.linalg.norm(through)
    assert rho > 0.85
    measured = np.corrcoef(score, tokens @ q)[0, 1]
    assert abs(measured - rho) < 5 * (1 - rho**2) / np.sqrt(count) + 1e-5


def test_each_spec_takes_its_prototype_from_its_own_place():
    design = random_design(0, 1, gaussian(jax.random.key(4), 12, 24))
    query = jax.random.normal(jax.random.key(5), (1, 24))
    ema = ScorerSpec(inputs=12, prototype="ema")
    np.testing.assert_array_equal(signed_weights(design, ema, query), query_weights(query, design.projection))
    for prototype in ("static", "extracted"):
        weights = signed_weights(design, ScorerSpec(inputs=12, prototype=prototype), query)
        np.testing.assert_allclose(weights, np.tanh(np.asarray(design.prototype, np.float64)), rtol=2e-6)
