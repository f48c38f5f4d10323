"""The random control: exact counts for each example, a fractional mean, uniform choice among those alive."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scoring_reference import context_for, key

from atis_jax.circuits import get_preset
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.rivals.random import Random, RandomSpec
from atis_jax.validation import SettingError

TOKENS, EXAMPLES = 17, 4000  # CLS and 16 others
scorer = make_method(RandomSpec(), get_preset("nominal")).score


def share(count):
    """The design that asks for ``count`` tokens of the full sequence; exact, 16 being a power of two."""
    return count / (TOKENS - 1)


@jax.jit
def decide(count, alive, noise_key):
    """Keep decisions of EXAMPLES examples (EXAMPLES, TOKENS)."""

    def one(example_key):
        context = context_for(1, tokens=TOKENS, alive=alive[:, None])
        return scorer(share(count), None, None, jnp.zeros((TOKENS, 1)), context, example_key)[0].keep[:, 0]

    return jax.vmap(one)(jax.random.split(noise_key, EXAMPLES))


def test_whole_counts_are_met_by_every_example():
    for count in (0.0, 5.0, 16.0):
        keep = np.asarray(decide(count, jnp.ones(TOKENS, bool), key(0)))
        assert not keep[:, 0].any()  # CLS is never among the counted; cascade protects it
        np.testing.assert_array_equal(keep.sum(1), count)


def test_a_fraction_is_the_count_below_or_above_and_met_on_average():
    counts = np.asarray(decide(5.3, jnp.ones(TOKENS, bool), key(1))).sum(1)
    assert set(counts) == {5, 6}
    assert abs(counts.mean() - 5.3) < 5 * np.sqrt(0.3 * 0.7 / EXAMPLES)


def test_choice_is_uniform_and_pairs_are_independent_of_position():
    """Each of 16 tokens is kept with probability 5/16; each pair together with 5/16 4/15."""
    keep = np.asarray(decide(5.0, jnp.ones(TOKENS, bool), key(2)))[:, 1:].astype(float)
    for found, p in ((keep.mean(0), 5 / 16), ((keep.T @ keep / EXAMPLES)[np.triu_indices(16, 1)], 5 / 16 * 4 / 15)):
        assert np.abs(found - p).max() < 5 * np.sqrt(p * (1 - p) / EXAMPLES)
    # Chi-squared of the marginal counts: 15 degrees of freedom, scaled by 1 - 1/16 of sampling without replacement.
    statistic = np.sum((keep.sum(0) - EXAMPLES * 5 / 16) ** 2 / (EXAMPLES * 5 / 16 * 11 / 16)) * 15 / 16
    assert 2.5 < statistic < 44  # 1e-4 either side


def test_only_tokens_alive_are_chosen_and_all_when_they_are_few():
    alive = np.arange(TOKENS) % 3 == 0  # CLS and 5 others
    keep = np.asarray(decide(4.0, jnp.asarray(alive), key(3)))
    assert not keep[:, ~alive].any()
    np.testing.assert_array_equal(keep.sum(1), 4)
    found = keep[:, alive][:, 1:].mean(0)
    assert np.abs(found - 4 / 5).max() < 5 * np.sqrt(0.8 * 0.2 / EXAMPLES)
    np.testing.assert_array_equal(np.asarray(decide(9.0, jnp.asarray(alive), key(4))).sum(1), 5)


@pytest.mark.slow
@pytest.mark.parametrize("draws", ["largest", "tied"])
def test_counts_are_exact_for_the_rarest_draws_too(monkeypatch, draws):
    """The largest float32 below one would round 15 + u up to 16; equal draws would share a rank."""
    drawn = jnp.asarray(_draws(draws))

    def uniform(place):
        """A token's draw by its position, which stands for its key; the last for the key of one token more."""
        return drawn[-1] if jnp.issubdtype(place.dtype, jax.dtypes.prng_key) else drawn[place]

    monkeypatch.setattr(jax.random, "fold_in", lambda _, place: place)
    monkeypatch.setattr(jax.random, "uniform", uniform)
    for count in range(TOKENS):
        context = context_for(1, tokens=TOKENS)
        decision, _ = scorer(jnp.float32(share(count)), None, None, jnp.zeros((TOKENS, 1)), context, key(0))
        assert int(decision.keep.sum()) == count


def _draws(draws):
    drawn = np.random.default_rng(0).random(TOKENS + 1).astype(np.float32)
    if draws == "largest":
        drawn[-1] = np.nextafter(np.float32(1), np.float32(0))
    else:
        drawn[:-1] = np.round(drawn[:-1] * 3) / 3
    return drawn


def test_removed_tokens_do_not_change_the_draw_of_the_others():
    alive = np.random.default_rng(1).random(TOKENS) < 0.6
    alive[0] = True
    packed = np.flatnonzero(alive)

    @jax.jit
    def score(mask, index, example_key):
        more = dict(alive=mask[:, None], position=index, counted=index > 0, full=TOKENS - 1)
        context = context_for(1, tokens=index.shape[0], **more)
        return scorer(share(4.6), None, None, jnp.zeros((index.shape[0], 1)), context, example_key)[0]

    for seed in range(20):
        full = score(jnp.asarray(alive), jnp.arange(TOKENS), key(seed))
        short = score(jnp.ones(len(packed), bool), jnp.asarray(packed), key(seed))
        np.testing.assert_array_equal(np.asarray(full.keep)[packed], short.keep)
        np.testing.assert_array_equal(np.asarray(full.voltage)[packed], short.voltage)


def test_without_a_key_it_says_what_it_needs():
    with pytest.raises(ValueError, match="random scorer needs a key"):
        scorer(share(4.0), None, None, jnp.zeros((TOKENS, 1)), context_for(1, tokens=TOKENS), None)


def test_a_method_that_asks_for_a_part_no_attention_has_is_refused():
    class Misspelt(Random):
        needs = frozenset({"recieved"})

    with pytest.raises(SettingError, match="method.needs = 'recieved' is not one of: received.*did you mean"):
        Misspelt(RandomSpec(), get_preset("ideal"))
