"""Read noise of the analog scorer: keyed by original position; jit, eager and vmap over chips agree."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scoring_reference import (
    QUICK_TO_COMPILE,
    TOKENS,
    context_for,
    gaussian_projection,
    key,
    quick_jit,
    random_design,
    spec_for,
    tokens_for,
)

from atis_jax.circuits import Environment, get_preset, nominal_chip, sample_chip, with_fields
from atis_jax.scoring.atis.analog import Analog

NOMINAL = get_preset("nominal")
SPEC = spec_for("grouped")
CHIPS = 4

score = Analog(SPEC, NOMINAL).score


@pytest.fixture(scope="module")
def design():
    return random_design(1, SPEC.groups, gaussian_projection(8))


@pytest.fixture(scope="module")
def chips():
    """CHIPS chips and environments, leading axis."""
    keys = jax.random.split(key(9), CHIPS)
    draw = jax.jit(jax.vmap(lambda k: sample_chip(k, NOMINAL, SPEC.geometry)), compiler_options=QUICK_TO_COMPILE)
    drawn = draw(keys)
    return drawn, Environment(jnp.linspace(280.0, 340.0, CHIPS), jnp.full(CHIPS, NOMINAL.supply_v))


def one_chip(chips, number=0):
    return jax.tree.map(lambda leaf: leaf[number], chips)


@functools.partial(jax.jit, compiler_options=QUICK_TO_COMPILE)
def jitted(design, chip, environment, tokens, index, noise_key):
    context = context_for(SPEC.groups, tokens=tokens.shape[0], position=index, full=TOKENS - 1)
    return score(design, chip, environment, tokens, context, noise_key)[0]


@pytest.mark.slow
def test_a_token_gets_the_same_noise_whether_or_not_others_were_removed(design, chips):
    tokens, chip = tokens_for(2), one_chip(chips)
    full = jitted(design, *chip, tokens, jnp.arange(TOKENS), key(1))
    index = np.array([0, 2, 3, 7, 9])
    short = jitted(design, *chip, tokens[index], jnp.asarray(index), key(1))
    silent = jitted(design, *chip, tokens, jnp.arange(TOKENS), None)
    noise = np.asarray(full.voltage - silent.voltage)
    # The comparator's 0.5 mV and the node's own are there, and equal to rounding for the tokens left.
    assert 2e-4 < noise.std() < 2e-2
    np.testing.assert_allclose(short.voltage, np.asarray(full.voltage)[index], atol=1e-6)
    np.testing.assert_allclose(short.keep_probability, np.asarray(full.keep_probability)[index], atol=1e-4)
    moved = jitted(design, *chip, tokens[index], jnp.arange(5), key(1))
    assert np.abs(np.asarray(moved.voltage - short.voltage)[1:]).min() > 1e-6  # other positions, other noise


def test_noise_is_one_draw_a_token_and_score_and_none_without_a_key(design, chips):
    same = jnp.tile(tokens_for(3, 1), (TOKENS, 1))
    silent = np.asarray(jitted(design, *one_chip(chips), same, jnp.arange(TOKENS), None).voltage)
    np.testing.assert_allclose(silent, silent[:1].repeat(TOKENS, 0), atol=1e-7)  # vector lanes round apart
    first, second = (
        np.asarray(jitted(design, *one_chip(chips), same, jnp.arange(TOKENS), key(seed)).voltage) for seed in (1, 2)
    )
    drawn = np.concatenate([first, second]).ravel()
    # A draw shared by two tokens, scores or keys would show as two equal voltages of one score.
    for score in range(SPEC.groups):
        assert len(np.unique(drawn[score :: SPEC.groups])) == 2 * TOKENS
    between_scores = (first - silent)[:, 0] - (first - silent)[:, 1]
    assert np.abs(between_scores).min() > 1e-7


@pytest.mark.slow
def test_comparator_noise_moves_the_decision_but_is_averaged_in_the_probability(design):
    """Without any noise before the comparator the probability does not depend on the draw, the voltage does."""
    quiet = with_fields(get_preset("ideal"), {"comparator.noise_v": 1e-3})
    scorer = jax.jit(lambda *args: Analog(SPEC, quiet).score(*args)[0], compiler_options=QUICK_TO_COMPILE)
    chip = nominal_chip(quiet, SPEC.geometry)
    environment, context = Environment(300.15, 1.0), context_for(SPEC.groups)
    drawn = [scorer(design, chip, environment, tokens_for(4), context, noise) for noise in (None, key(1), key(2))]
    np.testing.assert_array_equal(drawn[0].keep_probability, drawn[1].keep_probability)
    np.testing.assert_array_equal(drawn[1].keep_probability, drawn[2].keep_probability)
    step = np.asarray(drawn[1].voltage - drawn[0].voltage)
    # 30 draws of 1 mV: the sample deviation is within 5 / sqrt(60) of it.
    assert abs(step.std() / 1e-3 - 1) < 0.65
    assert np.abs(np.asarray(drawn[2].voltage - drawn[1].voltage)).min() > 0


@pytest.mark.slow
def test_jit_eager_and_vmap_over_chips_agree(design, chips):
    """Voltages of tenths of a volt to 2e-6 V; codes of converters on an edge would show as millivolts."""
    tokens, index = tokens_for(5), jnp.arange(TOKENS)
    over_chips = jax.vmap(jitted.__wrapped__, in_axes=(None, 0, 0, None, None, None))
    batched = quick_jit(over_chips)(design, *chips, tokens, index, key(3))
    for number in range(CHIPS):
        single = jitted(design, *one_chip(chips, number), tokens, index, key(3))
        np.testing.assert_allclose(single.voltage, batched.voltage[number], atol=2e-6)
        np.testing.assert_allclose(single.keep_probability, batched.keep_probability[number], atol=1e-3)
    eager = jitted.__wrapped__(design, *one_chip(chips), tokens, index, key(3))
    np.testing.assert_allclose(eager.voltage, batched.voltage[0], atol=2e-6)
    assert np.ptp(np.asarray(batched.voltage), axis=0).max() > 1e-3  # the chips differ
