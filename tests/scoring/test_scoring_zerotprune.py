"""Zero-TPrune: its votes against eigenvectors, its stages against loops in NumPy, its bill."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rival_cases import method_of, tiny_bill
from scoring_reference import context_for

from atis_jax.pruning.stream import Attended
from atis_jax.scoring.rivals.zerotprune import ZeroTPruneDesign, ZeroTPruneSpec, joined, rounds, voted
from atis_jax.validation import SettingError

HEADS, TOKENS, WIDTH = 3, 21, 5
METHOD = method_of(ZeroTPruneSpec())


def attention(seed: int = 0, sharp: float = 1.5) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, sharp, (HEADS, TOKENS, TOKENS))
    weight = np.exp(logits)
    return weight / weight.sum(-1, keepdims=True)


def test_votes_end_at_the_stationary_distribution():
    """The left eigenvector of eigenvalue 1, whatever they start from."""
    a = attention()
    found = voted(jnp.asarray(a, jnp.float32), jnp.ones(TOKENS, bool), jnp.arange(TOKENS) < 1, 60)
    for head in range(HEADS):
        values, vectors = np.linalg.eig(a[head].T)
        vector = np.real(vectors[:, np.argmin(np.abs(values - 1))])
        np.testing.assert_allclose(found[head], vector / vector.mean(), rtol=1e-4)


def importance(a, there, protected, times):
    s = np.where(there, np.where(protected, np.sqrt(there.sum()), 1.0), 0.0) * np.ones((HEADS, 1))
    for _ in range(times):
        s = np.stack([a[h].T @ s[h] for h in range(HEADS)]) * there
    s = s * there.sum() / s.sum(-1, keepdims=True)
    heads = [h for h in range(HEADS) if 0.01 <= s[h][there].var() <= 0.7] or range(HEADS)
    return np.sqrt(np.mean([s[h] ** 2 for h in heads], axis=0))


@pytest.mark.parametrize(("seed", "sharp", "alike"), [(0, 1.5, 0.5), (1, 0.05, 0.5), (2, 3.0, 1.0), (3, 1.0, 0.0)])
def test_the_stages_are_those_of_loops(seed, sharp, alike):
    """20 words of which 18 are left, 9 wanted; heads that the filter passes, some, all or none."""
    rng, a = np.random.default_rng(seed), attention(seed, sharp)
    alive = np.ones(TOKENS, bool)
    alive[[4, 7]] = False
    a = a * alive
    a = a / a.sum(-1, keepdims=True)
    keys, protected = rng.normal(size=(HEADS, TOKENS, WIDTH)), np.arange(TOKENS) < 1
    attended = Attended(keys=jnp.asarray(keys, jnp.float32), full=jnp.asarray(a, jnp.float32))
    context = context_for(1, TOKENS, alive=alive[:, None], attended=attended, state=())
    method = method_of(ZeroTPruneSpec(alike=alike))
    design = ZeroTPruneDesign(jnp.float32(9 / 20), jnp.float32(6))
    said, _ = jax.jit(method.score)(design, None, None, jnp.zeros((TOKENS, 1)), context, None)

    words = np.flatnonzero(alive & ~protected)
    ranked = words[np.argsort(importance(a, alive, protected, 1)[words])]
    lower, upper = ranked[:9], ranked[9:]
    vectors = keys.transpose(1, 0, 2).reshape(TOKENS, -1)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    best = (vectors[lower] @ vectors[upper].T).max(1)
    left = alive.copy()
    left[lower[np.argsort(-best)[: round(alike * 9)]]] = False
    last = importance(a, left, protected, 6)
    candidates = np.flatnonzero(left & ~protected)
    kept = np.sort(candidates[np.argsort(-last[candidates])[:9]])
    np.testing.assert_array_equal(np.flatnonzero(said.keep[:, 0]), kept)
    np.testing.assert_allclose(np.asarray(said.voltage)[left, 0], last[left], rtol=1e-4)


def test_heads_that_all_agree_or_look_at_one_token_do_not_count():
    """Variances 0, 0.09 and far above 0.7: the second alone."""
    alive = jnp.ones(4, bool)
    s = jnp.asarray([[1.0, 1.0, 1.0, 1.0], [0.7, 1.3, 0.7, 1.3], [4.0, 0.0, 0.0, 0.0]])
    of = jax.jit(joined)
    np.testing.assert_allclose(of(s, alive), s[1], rtol=1e-6)
    np.testing.assert_allclose(of(s[::2], alive), np.sqrt((s[0] ** 2 + s[2] ** 2) / 2), rtol=1e-6)


def test_rounds_are_many_in_the_first_layers_and_one_in_the_last():
    np.testing.assert_array_equal(rounds((30, 5, 1), 8), [30, 30, 30, 5, 5, 1, 1, 1])
    np.testing.assert_array_equal(rounds((30, 5, 1), 4), [30, 30, 30, 1])
    with pytest.raises(SettingError, match=r"scorer.votes = \(1, 1, 1, 1\) has 4 numbers; give three"):
        ZeroTPruneSpec(votes=(1, 1, 1, 1))


def test_votes_and_cosines_are_charged_by_hand():
    """17 tokens in front of layer 1, none leave behind layer 2, 9 in front of layer 3; 2 heads, 16 channels."""
    costs, kept = tiny_bill("sram_32k"), jnp.asarray([0.5, 0.5, 0.25])
    design = METHOD.begin(jax.random.key(0), None, kept)[0]
    bill, prices, n = METHOD.bill(costs, kept, design, ()), costs.energy.prices(), np.array([17.0, 9.0])
    score = np.sum(31 * 2 * n**2 + (n / 2) ** 2 * 16) * prices.score_mac_j
    np.testing.assert_allclose(bill.score_j, score, rtol=1e-5)
    compared = np.sum(2 * n * np.log2(n) + (n / 2) ** 2)
    np.testing.assert_allclose(bill.comparator_j, compared * prices.compare_j, rtol=1e-5)
    moved = np.sum(2 * n**2 * 32 + 16 * n) * prices.network_bytes * prices.sram_32k_j_per_byte
    np.testing.assert_allclose(bill.scorer_memory_j, moved, rtol=1e-5)
