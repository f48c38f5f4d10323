"""DTEM: soft merging against loops in NumPy, that it ends at ToMe's, training. Every rival's: test_scoring_rivals."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from rival_cases import method_of

from atis_jax.pruning.reduce import merge_into, merge_softly
from atis_jax.pruning.stream import Stream
from atis_jax.scoring.rivals.dtem import DtemDesign, DtemSpec, relaxed
from atis_jax.scoring.rivals.tome import match

TOKENS, WIDTH, MERGED = 12, 6, 3
SPEC = DtemSpec(merged=MERGED)
METHOD = method_of(SPEC)


def tokens(seed: int = 0):
    """Embeddings of unit length, tokens, sizes."""
    rng = np.random.default_rng(seed)
    metric = rng.normal(size=(TOKENS, WIDTH))
    return (
        metric / np.linalg.norm(metric, axis=1, keepdims=True),
        rng.normal(size=(TOKENS, 4)),
        rng.uniform(1, 3, TOKENS),
    )


def loops(metric, x, size, r, nearest=3, tau1=0.1, tau2=0.1):
    """Class token first, then pairs of halves; r soft picks; everything sorted by size."""
    a, b = np.arange(1, TOKENS, 2), np.arange(2, TOKENS, 2)
    cosine = metric[a] @ metric[b].T
    best = np.argsort(-cosine, axis=1)[:, :nearest]
    logits = np.take_along_axis(cosine, best, axis=1) / tau1
    taken = np.zeros_like(logits)
    for _ in range(r):
        weight = np.exp(logits / tau2 - (logits / tau2).max())
        weight /= weight.sum()
        taken += weight
        logits = logits + np.log(np.maximum(1 - weight.sum(1, keepdims=True), np.finfo(np.float32).eps))
    taken /= 1 + np.maximum(taken.sum(1, keepdims=True) - 1, 0)
    share = np.zeros((TOKENS, TOKENS))
    for i, row in enumerate(a):
        share[row, b[best[i]]] = taken[i]
    new, left = x.copy(), size.copy()
    for j in b:
        given = share[:, j] * size
        new[j] = (size[j] * x[j] + given @ x) / (size[j] + given.sum())
        left[j] = size[j] + given.sum()
    left[a] = size[a] * np.clip(1 - share[a].sum(1), 0, 1)
    return share, new, left


def stream_of(x, size) -> Stream:
    place = jnp.arange(TOKENS)[None]
    return Stream(jnp.asarray(x)[None], place, place < 1, size=jnp.asarray(size)[None]).opened(1, sized=True)


RELAXED = jax.jit(lambda *given: relaxed(*given, MERGED, SPEC))


def soft(metric, size, alive=None, order=None, merged=MERGED):
    alive = jnp.ones(TOKENS, bool) if alive is None else jnp.asarray(alive)
    order = jnp.arange(TOKENS) if order is None else order
    protected = jnp.arange(TOKENS) < 1
    return RELAXED(jnp.asarray(metric, jnp.float32), jnp.asarray(size, jnp.float32), order, alive, protected, merged)


def test_soft_merging_is_that_of_loops():
    metric, x, size = tokens()
    share, order, keep, _ = soft(metric, size)
    expected, new, left = loops(metric, x, size, MERGED)
    np.testing.assert_allclose(share, expected, rtol=1e-3, atol=1e-5)  # ten times ten the rounding of cosines
    out = jax.jit(merge_softly)(stream_of(x, size), share[None])
    np.testing.assert_allclose(out.x[0], new, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(out.size[0], left, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(jnp.sum(out.size), size.sum(), rtol=1e-6)
    # The class token first, then by falling size; the three least take part no longer.
    np.testing.assert_array_equal(np.argsort(order), [0, *(1 + np.argsort(-left[1:]))])
    np.testing.assert_array_equal(np.flatnonzero(~np.asarray(keep)), np.sort(1 + np.argsort(left[1:])[:MERGED]))


def test_who_takes_no_part_neither_gives_nor_receives():
    metric, _, size = tokens()
    alive = np.arange(TOKENS) % 4 != 3
    share, order, keep, _ = soft(metric, size, alive)
    assert not np.asarray(share)[~alive].any() and not np.asarray(share)[:, ~alive].any()
    assert not np.asarray(keep)[~alive].any() and int(keep.sum()) == alive.sum() - MERGED
    assert len(set(np.asarray(order)[alive])) == alive.sum()


def test_shares_of_nought_and_one_merge_as_whole_tokens_do():
    metric, x, size = tokens()

    @jax.jit
    def both(metric, stream):
        into, *_ = match(metric, jnp.arange(TOKENS), jnp.ones(TOKENS, bool), jnp.arange(TOKENS) < 1, MERGED)
        stays = into == jnp.arange(TOKENS)
        share = jnp.where(stays[:, None], 0.0, jax.nn.one_hot(into, TOKENS))
        return merge_into(stream, into[None]), merge_softly(stream, share[None]), stays

    whole, soft_, stays = both(jnp.asarray(metric, jnp.float32), stream_of(x, size))
    assert int(stays.sum()) == TOKENS - MERGED
    np.testing.assert_allclose(soft_.x[0, stays], whole.x[0, stays], rtol=1e-5)
    np.testing.assert_allclose(soft_.size, whole.size, rtol=1e-6)


def test_the_embedding_has_a_gradient_through_whom_it_merges():
    """Of one pick against central differences; of more, beyond one token's whole, the code's own law stops some."""
    metric, _, size = (jnp.asarray(part, jnp.float32) for part in tokens())
    rng = np.random.default_rng(1)
    weight, way = rng.normal(size=(TOKENS, TOKENS)), jnp.asarray(rng.normal(size=metric.shape), jnp.float32)

    def loss(metric, merged):
        return jnp.sum(weight * soft(metric, size, merged=merged)[0])

    step, slope_of = 1e-3, jax.jit(jax.grad(loss))
    slope = (loss(metric + step * way, 1) - loss(metric - step * way, 1)) / (2 * step)
    np.testing.assert_allclose(jnp.sum(slope_of(metric, 1) * way), slope, rtol=0.02)
    more = np.asarray(slope_of(metric, MERGED))
    assert np.isfinite(more).all() and np.abs(more).max() > 0.1 and abs(float(slope)) > 0.1


def test_the_embedding_is_trained_and_nothing_else():
    named = METHOD.labels(DtemDesign(jnp.zeros(2), jnp.zeros((2, 4, 2)), jnp.zeros((2, 2))))
    assert dataclasses.astuple(named) == ("frozen", "scorer", "scorer")
