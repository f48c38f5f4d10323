"""Gates trained on what the network says with a full cache: the decisions, what they weigh, and what training does."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_decoder import lively_params, texts, tiny_decoder

from atis_jax.eviction.budget import Budget, above, thresholds
from atis_jax.eviction.distil import Distillation, distilled, divergence, put, soft_gates, taken, weighed
from atis_jax.eviction.evaluate import compress
from atis_jax.eviction.fit import fit_policies
from atis_jax.eviction.loss import next_word_loss
from atis_jax.eviction.policies.atis import AnalogGate
from atis_jax.eviction.seen import see

MODEL = tiny_decoder()
TEXTS, PREFIX, WORDS = 3, 8, 12
BUDGET = Budget(0.5, sinks=1, recent=2)
GATE = AnalogGate(inputs=4)


@functools.cache
def case():
    """Parameters, texts, what is seen of them, the words behind as the full cache has them."""
    params, token = lively_params(MODEL, dtype="float32"), jnp.asarray(texts(5, TEXTS, WORDS))
    return params, token, *see(MODEL, params, token, PREFIX, {})


def test_a_gate_is_the_comparators_decision_with_the_gradient_of_a_soft_one():
    score = jax.random.normal(jax.random.key(1), (2, TEXTS, 1, PREFIX))
    gate = soft_gates(score, BUDGET, 0.5)
    np.testing.assert_array_equal(gate, above(score, thresholds(score, BUDGET), BUDGET))
    slope = jax.grad(lambda one: jnp.sum(soft_gates(one, BUDGET, 0.5)))(score)
    over = (np.asarray(score, np.float64) - np.asarray(thresholds(score, BUDGET))[:, None, :, None]) / (
        width := 0.5 * np.asarray(score, np.float64).std((1, 3), keepdims=True)
    )
    by_hand = 1 / (1 + np.exp(-over)) / (1 + np.exp(over)) / width
    np.testing.assert_allclose(slope, np.where(BUDGET.protected(PREFIX), 0.0, by_hand), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_shut_gates_are_entries_evicted_and_open_ones_a_full_cache():
    params, token, seen, full = case()
    behind, label = token[:, PREFIX:], jnp.asarray(texts(6, TEXTS, WORDS))[:, PREFIX:]
    keep = jax.random.bernoulli(jax.random.key(2), 0.5, (MODEL.depth, TEXTS, seen.heads, PREFIX)).at[..., 0].set(True)
    left = weighed(MODEL, params, seen, keep.astype(jnp.float32), behind)
    expected = compress(MODEL, params, seen, keep, behind, label)
    np.testing.assert_allclose(next_word_loss(MODEL, params, left, label), expected, rtol=1e-5)
    opened = weighed(MODEL, params, seen, jnp.ones((MODEL.depth, TEXTS, 1, PREFIX)), behind)
    np.testing.assert_allclose(opened, full, rtol=2e-4, atol=2e-4)


@pytest.mark.slow
def test_training_brings_gates_nearer_to_the_full_cache():
    """From weights turned round, which keep what matters least."""
    params, token, seen, full = case()
    fitted = fit_policies(MODEL, params, np.asarray(token), PREFIX, {"gate": GATE}, BUDGET, TEXTS, jax.random.key(0))[
        "gate"
    ]
    start = taken(fitted)
    wrong = put(fitted, type(start)(-start.prototype, start.shift, start.log_scale))
    settings = Distillation(steps=12, batch=TEXTS, learning_rate=0.2)
    trained, course = distilled(
        MODEL, params, GATE, wrong, np.asarray(token), PREFIX, BUDGET, settings, jax.random.key(3)
    )
    assert course.shape == (12,) and np.isfinite(course).all()
    assert course[-4:].mean() < 0.9 * course[:4].mean()
    assert not np.allclose(trained.shift, start.shift) and np.abs(trained.log_scale).max() > 0.01
    assert abs(float(divergence(MODEL, params, full, full))) < 1e-6
    np.testing.assert_array_equal(put(fitted, taken(fitted)).design.projection, fitted.design.projection)
