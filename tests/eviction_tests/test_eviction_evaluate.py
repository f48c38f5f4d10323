"""What a text loses under eviction, against float64 NumPy that loops over words, and against a real cache."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpy_decoder
from numpy_decoder import lively_params, texts, tiny_decoder

from atis_jax.eviction.budget import Budget
from atis_jax.eviction.evaluate import compress, refuse
from atis_jax.eviction.loss import next_word_loss
from atis_jax.eviction.policies.key_norm import KeyNorm
from atis_jax.eviction.seen import see
from atis_jax.eviction.stepwise import Gate, HeavyHitters, Streamed
from atis_jax.models.decode import begin, step
from atis_jax.models.forward import dense_forward

MODEL = tiny_decoder()
TEXTS, PREFIX, WORDS = 2, 6, 10
NEAR = dict(rtol=2e-4, atol=2e-4)


@functools.cache
def case():
    """Parameters, words and the word behind each."""
    drawn = texts(4, TEXTS, WORDS + 1)
    return lively_params(MODEL, dtype="float32"), jnp.asarray(drawn[:, :-1]), jnp.asarray(drawn[:, 1:])


def numpy_losses(begin, sees):
    """Mean loss of what the words from ``begin`` on say; ``sees(b, layer, j, n, m)``."""
    params, token, label = case()
    losses = []
    for b in range(TEXTS):
        logits = numpy_decoder.forward(MODEL, params, token[b], sees=functools.partial(sees, b))
        said = logits[np.arange(WORDS), label[b]] - np.logaddexp.reduce(logits, axis=-1)
        losses.append(-said[begin:].mean())
    return losses


@functools.cache
def read_by_steps(eviction, slots: int):
    """Logits of every word, read one by one, and the cache behind the last."""

    @jax.jit
    def read(params, token, memory):
        def one(reading, word):
            logits, reading = step(MODEL, params, reading, word, eviction=eviction)
            return reading, logits

        reading, logits = jax.lax.scan(one, begin(MODEL, params, TEXTS, slots, memory), token.T)
        return jnp.moveaxis(logits, 0, 1), reading.cache

    return read


def test_a_prefix_that_loses_entries_is_numpy():
    params, token, label = case()
    keep = np.random.default_rng(0).random((MODEL.depth, TEXTS, MODEL.heads, PREFIX)) < 0.5
    seen, _ = see(MODEL, params, token, PREFIX, {})
    found = compress(MODEL, params, seen, jnp.asarray(keep), token[:, PREFIX:], label[:, PREFIX:])
    expected = numpy_losses(PREFIX, lambda b, layer, j, n, m: n < PREFIX or m >= PREFIX or keep[layer, b, j, m])
    np.testing.assert_allclose(found, expected, **NEAR)


def test_a_prefix_that_loses_nothing_is_the_dense_pass():
    params, token, label = case()
    seen, behind = see(MODEL, params, token, PREFIX, {})
    everything = jnp.ones((MODEL.depth, TEXTS, MODEL.heads, PREFIX), bool)
    found = compress(MODEL, params, seen, everything, token[:, PREFIX:], label[:, PREFIX:])
    np.testing.assert_allclose(found, next_word_loss(MODEL, params, behind, label[:, PREFIX:]), **NEAR)


def test_refusing_in_a_mask_is_never_writing_to_the_cache():
    """Mask, real cache word by word and NumPy; the cache has one slot more than any head writes."""
    params, token, label = case()
    policy, threshold = KeyNorm(), jnp.full((MODEL.depth, 1), -3.6)
    budget = Budget(0.5, sinks=1, recent=0)
    loss, keep = refuse(
        MODEL, params, token, label, policy, (), threshold, jax.random.key(3), budget=budget, prefix=WORDS
    )
    assert 0.3 < np.mean(keep) < 0.8
    keep = np.asarray(keep)
    np.testing.assert_allclose(loss, numpy_losses(0, lambda b, layer, j, n, m: keep[layer, b, j, m]), **NEAR)
    gate, slots = Gate(policy, sinks=1), int(keep.sum(-1).max()) + 1
    memory = gate.memory(MODEL, (), threshold, jax.random.key(3))
    logits, cache = read_by_steps(gate, slots)(params, token, memory)
    said = jnp.take_along_axis(jax.nn.log_softmax(logits), label[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(-said.mean(axis=-1), loss, **NEAR)
    assert not np.any(cache.lost)
    written = np.where(cache.written, cache.position, WORDS)
    np.testing.assert_array_equal(np.any(written[..., None] == np.arange(WORDS), axis=-2), keep)


def test_heavy_hitters_in_a_mask_are_those_of_a_cache_that_evicts():
    params, token, _ = case()
    eviction = HeavyHitters(heavy=2, recent=2, forgetting=0.7)
    kernel = Streamed(eviction, shared=MODEL.spec.heads // MODEL.heads)
    expected = jax.jit(lambda p, token: dense_forward(MODEL, p, {"token": token}, kernel=kernel)[0])(params, token)
    logits, cache = read_by_steps(eviction, eviction.slots)(params, token, eviction.memory(MODEL, TEXTS))
    np.testing.assert_allclose(logits, expected, **NEAR)
    assert np.all(np.sum(cache.written, axis=-1) == 4)
    assert not np.any(cache.lost)
