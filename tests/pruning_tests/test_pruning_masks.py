"""Masks: what cascades, who is protected, and the gate that training puts in their place."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atis_jax.pruning.masks import (
    at_fixed_rate,
    cascade,
    kept_fraction,
    kept_tokens,
    protect,
    top_fraction,
    training_gate,
)

LAYERS, EXAMPLES, TOKENS, GROUPS = 4, 2, 7, 2  # one shape, one compilation
PROTECTED = np.isin(np.arange(TOKENS), (0, TOKENS - 1))
"""The first token and the last: CLS, and what a language model is at."""
decisions = hnp.arrays(bool, (LAYERS, EXAMPLES, TOKENS, GROUPS))


def cascaded(keep):
    alive = jnp.ones((EXAMPLES, TOKENS, GROUPS), bool)
    trail = []
    for layer in range(LAYERS):
        alive = cascade(jnp.asarray(keep[layer]), alive, PROTECTED[None])
        trail.append(np.asarray(alive))
    return np.stack(trail)


@settings(max_examples=60)
@given(decisions)
def test_a_pruned_token_never_comes_back_and_a_protected_one_never_goes(keep):
    alive = cascaded(keep)
    assert alive[:, :, PROTECTED].all()
    for layer in range(LAYERS):
        # By the definition: alive after a layer means kept by it and by every one before.
        expected = keep[: layer + 1, :, ~PROTECTED].all(axis=0)
        np.testing.assert_array_equal(alive[layer][:, ~PROTECTED], expected)


@settings(max_examples=60)
@given(decisions, hnp.arrays(bool, (EXAMPLES, TOKENS)))
def test_counts_are_of_counted_tokens_that_any_group_keeps(keep, counted):
    """Of unprotected ones, in examples of different length."""
    counted[:, 1], counted[:, PROTECTED] = True, False
    alive = cascaded(keep)[-1]
    expected = [[any(alive[i, t]) for t in range(TOKENS) if counted[i, t]] for i in range(EXAMPLES)]
    np.testing.assert_array_equal(kept_tokens(jnp.asarray(alive), counted), [sum(one) for one in expected])
    np.testing.assert_allclose(kept_fraction(jnp.asarray(alive), counted), np.mean(sum(expected, [])), rtol=1e-6)


def test_what_is_counted_may_be_one_row_for_all_examples():
    alive = np.random.default_rng(0).random((EXAMPLES, TOKENS, GROUPS)) < 0.4
    one, all_ = ~PROTECTED[None], np.tile(~PROTECTED, (EXAMPLES, 1))
    np.testing.assert_array_equal(kept_tokens(alive, one), kept_tokens(alive, all_))
    assert float(kept_fraction(alive, one)) == float(kept_fraction(alive, all_))


def test_protecting_sets_one_and_stops_the_gradient_there_only():
    gate = jnp.full((1, TOKENS, GROUPS), 0.3)
    protected = protect(gate, PROTECTED[None])
    np.testing.assert_array_equal(protected[:, PROTECTED], 1.0)
    np.testing.assert_array_equal(protected[:, ~PROTECTED], gate[:, ~PROTECTED])
    gradient = jax.grad(lambda g: jnp.sum(protect(g, PROTECTED[None])))(gate)
    np.testing.assert_array_equal(gradient[:, PROTECTED], 0.0)
    np.testing.assert_array_equal(gradient[:, ~PROTECTED], 1.0)


@settings(max_examples=40)
@given(
    hnp.arrays(np.float32, (6,), elements=st.floats(0, 1, width=32)),
    hnp.arrays(bool, (6,)),
    st.sampled_from([0.0, 0.25, 1.0]),
)
def test_the_training_gate_blends_soft_and_hard_with_the_gradient_of_the_soft(probability, keep, hardness):
    def gate(p):
        return training_gate(p[None, :, None], jnp.asarray(keep)[None, :, None], hardness)[0, :, 0]

    value, slope = jax.jvp(gate, (jnp.asarray(probability),), (jnp.ones(6),))
    np.testing.assert_allclose(value, (1 - hardness) * probability + hardness * keep, atol=1e-6)
    if hardness == 1.0:
        np.testing.assert_array_equal(value, keep.astype(np.float32))
    np.testing.assert_array_equal(slope, 1.0)  # of p, at any hardness


@pytest.mark.slow
def test_at_fixed_rate_is_the_gradient_beside_a_threshold_that_holds_the_kept_sum():
    """Against SciPy: solve for the threshold that restores sum(p) after each score's step, and difference."""
    rng, width, h = np.random.default_rng(0), 0.4, 1e-4
    voltage, pull = rng.normal(0, 0.5, (EXAMPLES, TOKENS)), rng.normal(size=(EXAMPLES, TOKENS))
    counted = rng.random((EXAMPLES, TOKENS)) < 0.7
    counted[:, PROTECTED] = False

    def probability(v, threshold):
        return scipy.stats.norm.cdf((v - threshold) / width)

    wanted = probability(voltage, 0.1)[counted].sum()

    def loss(v):
        threshold = scipy.optimize.brentq(lambda t: probability(v, t)[counted].sum() - wanted, -5, 5, xtol=1e-13)
        return np.sum(pull * probability(v, threshold) * counted)

    def loss_jax(v, threshold):
        p = at_fixed_rate(jax.scipy.stats.norm.cdf((v - threshold) / width)[..., None], jnp.asarray(counted)[..., None])
        return jnp.sum(pull * p[..., 0] * counted)

    with jax.enable_x64():
        value, (found, of_threshold) = jax.value_and_grad(loss_jax, (0, 1))(jnp.asarray(voltage), 0.1)
    np.testing.assert_allclose(value, loss(voltage), rtol=1e-9)
    for place in np.argwhere(counted):
        step = np.zeros_like(voltage)
        step[tuple(place)] = h
        expected = (loss(voltage + step) - loss(voltage - step)) / (2 * h)
        np.testing.assert_allclose(found[tuple(place)], expected, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(found[~counted], 0.0)  # the loss does not look at them
    assert abs(float(of_threshold)) < 1e-12  # it is no longer the loss's to move


@pytest.mark.slow
def test_at_fixed_rate_is_finite_where_every_decision_is_certain():
    certain = jnp.asarray([0.0, 1.0, 1.0, 0.0])[None, :, None]

    def total(p):
        return jnp.sum(jnp.arange(4.0)[None, :, None] * at_fixed_rate(p, jnp.ones((1, 4, 1), bool)))

    value, gradient = jax.value_and_grad(total)(certain)
    assert float(value) == 3.0
    assert np.all(np.isfinite(gradient))


# Normal numbers only: XLA on CPU flushes the others to zero and NumPy does not, so that two of them, or one and zero,
# are equal scores there and different ones in the reference's order.
@pytest.mark.slow
@settings(max_examples=60)
@given(
    hnp.arrays(np.float32, (TOKENS,), elements=st.floats(-5, 5, width=32, allow_subnormal=False), unique=True),
    hnp.arrays(bool, (TOKENS,)),
    st.integers(0, TOKENS - PROTECTED.sum()),
)
def test_top_fraction_is_the_count_best_alive_and_the_protected(score, alive, count):
    alive[PROTECTED] = True
    chosen = np.asarray(top_fraction(jnp.asarray(score)[None], jnp.asarray(alive)[None], count, PROTECTED[None]))[0]
    order = sorted((t for t in np.flatnonzero(~PROTECTED) if alive[t]), key=lambda t: -score[t])
    assert set(np.flatnonzero(chosen)) == set(np.flatnonzero(PROTECTED)) | set(order[:count])
