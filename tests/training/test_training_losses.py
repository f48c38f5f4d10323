"""The loss terms against float64 NumPy, and the gradient that reaches the thresholds through them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from atis_jax.scoring.atis import losses as atis_losses
from atis_jax.training import losses
from atis_jax.training.task import NextWord

B, N, G, L = 5, 7, 2, 3
COUNTED = np.arange(N)[None] > 0  # all but CLS


def log_softmax(a):
    a = np.asarray(a, np.float64)
    return a - a.max(-1, keepdims=True) - np.log(np.exp(a - a.max(-1, keepdims=True)).sum(-1, keepdims=True))


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(smoothing):
    logits, labels = normal(0, B, 4), np.array([0, 3, 1, 1, 2])
    targets = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    expected = -(targets * log_softmax(logits)).sum(-1).mean()
    np.testing.assert_allclose(losses.cross_entropy(logits, labels, smoothing), expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_the_next_word_is_the_mean_over_real_words(smoothing):
    """Cross-entropy with a target that has a share of every word (Szegedy et al. 2016, arXiv 1512.00567)."""
    logits = np.random.default_rng(1).normal(size=(2, 3, 5))
    label, real = np.array([[0, 4, 2], [1, 1, 3]]), np.array([[1, 1, 0], [1, 1, 1]], bool)
    target = (1 - smoothing) * np.eye(5)[label] + smoothing / 5
    of_word = -np.sum(target * (logits - np.log(np.exp(logits).sum(-1, keepdims=True))), axis=-1)
    expected = [of_word[0, :2].mean(), of_word[1].mean()]
    batch = {"label": jnp.asarray(label), "real": jnp.asarray(real)}
    np.testing.assert_allclose(NextWord().losses(jnp.asarray(logits), batch, smoothing), expected, rtol=1e-6)
    assert NextWord().losses(jnp.asarray(logits), {"label": batch["label"]}, smoothing)[0] != expected[0]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_is_the_scaled_divergence_and_leaves_the_teacher_alone(temperature):
    student, teacher = normal(1, B, 4), normal(2, B, 4)
    p, q = log_softmax(teacher / temperature), log_softmax(student / temperature)
    expected = temperature**2 * (np.exp(p) * (p - q)).sum(-1).mean()
    distillation = jax.jit(jax.value_and_grad(losses.distillation, argnums=(0, 1)))
    found, towards = distillation(student, teacher, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert abs(float(distillation(teacher, teacher, temperature)[0])) < 1e-6
    np.testing.assert_array_equal(towards[1], 0.0)
    slope = temperature * (np.exp(q) - np.exp(p)) / B
    np.testing.assert_allclose(towards[0], slope, atol=1e-6)


def masks(seed):
    rng = np.random.default_rng(seed)
    probability = rng.uniform(0.05, 0.95, (L, B, N, G)).astype(np.float32)
    alive = np.logical_and.accumulate(rng.random((L, B, N, G)) < 0.8, axis=0)
    alive[:, :, 0] = True
    return probability, alive


def soft_count(probability, alive):
    """Mean over unprotected tokens of the chance that some group keeps a token that reached the layer."""
    total = np.zeros(L)
    for layer in range(L):
        for image in range(B):
            for token in range(1, N):
                gone = 1.0
                for group in range(G):
                    before = True if layer == 0 else alive[layer - 1, image, token, group]
                    gone *= 1.0 - float(probability[layer, image, token, group]) * before
                total[layer] += 1.0 - gone
    return total / (B * (N - 1))


def test_expected_kept_is_the_hard_count_with_the_soft_counts_gradient():
    probability, alive = masks(3)
    found = jax.jit(losses.expected_kept)(probability, alive, COUNTED)
    np.testing.assert_allclose(found, alive.any(-1)[:, :, 1:].mean((1, 2)), rtol=1e-6)
    weight = np.array([1.0, -2.0, 0.5])
    slope = np.asarray(jax.jit(jax.grad(lambda p: losses.expected_kept(p, alive, COUNTED) @ weight))(probability))
    direction = np.random.default_rng(4).normal(size=probability.shape)
    step, wide = 1e-5, probability.astype(np.float64)
    ahead, behind = (soft_count(wide + sign * step * direction, alive) @ weight for sign in (1, -1))
    np.testing.assert_allclose(np.sum(slope * direction), (ahead - behind) / (2 * step), rtol=1e-4)
    np.testing.assert_array_equal(slope[:, :, 0], 0.0)  # CLS is not counted
    np.testing.assert_array_equal(slope[1:][~alive[:-1]], 0.0)  # nor what was pruned before


def test_raising_a_threshold_lowers_the_count_at_the_rate_of_the_normal_law():
    """kept(theta) = mean Phi((V - theta)/w): slope -mean phi((V - theta)/w)/w, the same in finite differences."""
    voltage, width = normal(5, 1, B, N, 1) * 0.1, 0.05

    def probability(theta):
        return jax.scipy.stats.norm.cdf((voltage - theta) / width)

    def kept(theta):
        return losses.expected_kept(probability(theta), jnp.asarray(voltage > theta), COUNTED)[0]

    def error(theta, target):
        return atis_losses.keep_rate(kept(theta)[None], target[None], np.ones(1, np.float32))

    slope = float(jax.jit(jax.grad(kept))(0.02))
    tokens = voltage[0, :, 1:, 0].astype(np.float64)
    assert slope < 0
    np.testing.assert_allclose(slope, -np.mean(stats.norm.pdf((tokens - 0.02) / width)) / width, rtol=1e-4)
    soft = [np.mean(stats.norm.cdf((tokens - theta) / width)) for theta in (0.02 + 1e-5, 0.02 - 1e-5)]
    np.testing.assert_allclose(slope, (soft[0] - soft[1]) / 2e-5, rtol=1e-4)
    # Through the squared error: too many kept pushes the threshold up (a negative slope), too few down.
    pull = jax.jit(jax.grad(error))
    for target, sign in ((0.0, -1), (1.0, 1)):
        assert np.sign(pull(0.02, np.float32(target))) == sign


def test_keep_rate_is_the_sum_of_squares():
    kept, target = jnp.asarray([0.5, 0.4, 0.1]), jnp.asarray([0.5, 0.2, 0.2])
    np.testing.assert_allclose(atis_losses.keep_rate(kept, target, np.ones(3)), 0.04 + 0.01, rtol=1e-5)
    # A layer without a scorer has no miss of its own.
    np.testing.assert_allclose(atis_losses.keep_rate(kept, target, np.array([1.0, 1.0, 0.0])), 0.04, rtol=1e-5)


def test_attention_agreement_is_the_binary_cross_entropy_over_scored_layers():
    probability, _ = masks(6)
    important = np.random.default_rng(7).random((L, B, N)) < 0.4
    scored = np.array([0.0, 1.0, 1.0], np.float32)
    p = probability.astype(np.float64).mean(-1)
    entropy = -(important * np.log(p) + (1 - important) * np.log(1 - p))[:, :, 1:].mean((1, 2))
    agreement = jax.jit(jax.value_and_grad(atis_losses.attention_agreement))
    found, _ = agreement(probability, important, scored, COUNTED)
    np.testing.assert_allclose(found, entropy[1:].mean(), rtol=1e-5)
    sure = (important[..., None] * np.ones(G)).astype(np.float32)  # probabilities of 0 and 1
    value, slope = agreement(sure, important, scored, COUNTED)
    assert float(value) < 2 * atis_losses.PROBABILITY_FLOOR and np.all(np.isfinite(slope))
    assert agreement(sure, important, np.zeros(L, np.float32), COUNTED)[0] == 0.0


def test_score_swing_is_mean_and_spread_of_what_the_comparator_sees():
    """Against NumPy; CLS, pruned tokens and layers without a scorer do not count."""
    rng = np.random.default_rng(3)
    voltage = rng.normal(0.1, 0.2, (3, 4, 9, 2)).astype(np.float32)
    seen = rng.random((3, 4, 9, 2)) < 0.6
    misses = []
    for layer in (1, 2):
        for group in range(2):
            values = voltage[layer, :, 1:, group][seen[layer, :, 1:, group]].astype(np.float64) / 0.5
            misses.append(values.mean() ** 2 + (values.std() - 1 / 3) ** 2)
    scored, counted = np.array([0.0, 1.0, 1.0], np.float32), np.arange(9)[None] > 0
    swing = jax.jit(jax.value_and_grad(lambda *given: atis_losses.score_swing(*given, 0.5, scored, counted)))
    found, _ = swing(voltage, seen)
    np.testing.assert_allclose(found, np.mean(misses), rtol=1e-3)
    # Scores without any spread, and a layer nobody reaches, have finite slopes.
    _, flat = swing(np.full_like(voltage, 0.1), seen)
    _, none = swing(voltage, np.zeros_like(seen))
    assert np.all(np.isfinite(flat)) and not np.any(none)


def test_tokens_that_do_not_count_change_no_term():
    """Three of padding behind every example, with scores and decisions as wild as may be."""
    probability, alive = masks(8)
    voltage, important = normal(9, L, B, N, G), np.random.default_rng(10).random((L, B, N)) < 0.4
    scored = np.array([0.0, 1.0, 1.0], np.float32)

    @jax.jit
    def terms(probability, alive, voltage, important, counted):
        return (
            losses.expected_kept(probability, alive, counted),
            atis_losses.score_swing(voltage, alive, 0.5, scored, counted),
            atis_losses.attention_agreement(probability, important, scored, counted),
        )

    def padded(leaf, value):
        return np.concatenate([leaf, np.full_like(leaf[:, :, :3], value)], axis=2)

    counted = np.pad(np.broadcast_to(COUNTED, (B, N)), ((0, 0), (0, 3)))
    expected = terms(probability, alive, voltage, important, COUNTED)
    found = terms(
        padded(probability, 0.9), padded(alive, True), padded(voltage, 100.0), padded(important, True), counted
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
