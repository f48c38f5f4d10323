"""The kernel that prunes query-key pairs by a threshold, against NumPy that loops over rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from atis_jax.models.kernels import PairThreshold, PairThresholdSpec, Softmax, make_kernel
from atis_jax.validation import SettingError

HEADS, ROWS, KEYS, WIDTH = 2, 5, 6, 4


def case(seed: int = 0):
    """Queries, keys, values, what is visible (row 2: nothing), gates (key 1 shut)."""
    rng = np.random.default_rng(seed)
    q, k, v = (rng.normal(0, 1.5, (2, HEADS, n, WIDTH)) for n in (ROWS, KEYS, KEYS))
    visible = rng.uniform(size=(2, 1, ROWS, KEYS)) < 0.7
    visible[:, :, 2] = False
    gate = rng.uniform(0.2, 1.0, (2, HEADS, 1, KEYS))
    gate[..., 1] = 0.0
    return q, k, v, visible, gate


def reference(q, k, v, visible, gate, threshold):
    """Mixed values, and how many pairs stay."""
    mixed, pairs = np.zeros(q.shape), 0
    for b, h, row in np.ndindex(q.shape[:3]):
        seen = [m for m in range(KEYS) if visible[b, 0, row, m] and gate[b, h, 0, m] > 0]
        logits = {m: float(q[b, h, row] @ k[b, h, m]) for m in seen}
        kept = [m for m in seen if logits[m] >= threshold or logits[m] == max(logits.values())]
        weight = {m: gate[b, h, 0, m] * np.exp(logits[m]) for m in kept}
        pairs += len(kept)
        for m in kept:
            mixed[b, h, row] += weight[m] / sum(weight.values()) * v[b, h, m]
    return mixed, pairs


@pytest.mark.parametrize("threshold", [-1e3, 0.5, 1e3])
def test_pairs_below_the_threshold_weigh_nothing_and_no_row_is_left_empty(threshold, x64):
    parts = case()
    expected, pairs = reference(*parts, threshold)
    kernel = PairThreshold(PairThresholdSpec(threshold=threshold))
    mixed, attended = jax.jit(lambda *parts: kernel(*parts, needs=("full",)))(*map(jnp.asarray, parts))
    np.testing.assert_allclose(mixed, expected, atol=1e-12)
    assert np.count_nonzero(attended.full) == pairs


def test_a_threshold_below_every_logit_is_the_softmax(x64):
    q, k, v, *_ = map(jnp.asarray, case(1))
    found, expected = jax.jit(
        lambda *parts: [kernel(*parts)[0] for kernel in (PairThreshold(PairThresholdSpec(threshold=-1e3)), Softmax())]
    )(q, k, v, None, None)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_row_that_sees_no_key_is_zero_and_every_gradient_finite(x64):
    parts = tuple(map(jnp.asarray, case(2)))
    visible = parts[3]
    kernel = make_kernel(PairThresholdSpec(threshold=0.5), secant=True)

    def total(q, k, v, gate):
        return jnp.sum(jnp.sin(kernel(q, k, v, visible, gate)[0]))

    np.testing.assert_array_equal(kernel(*parts)[0][:, :, 2], 0.0)
    found = jax.jit(jax.grad(total, argnums=(0, 1, 2, 3)))(*parts[:3], parts[4])
    assert all(np.all(np.isfinite(leaf)) for leaf in found)
    np.testing.assert_array_equal(found[0][:, :, 2], 0.0)


@pytest.mark.slow
def test_the_gradient_is_that_of_the_pairs_that_stay(x64):
    """Finite differences, away from any pair's turn."""
    q, k, v, visible, gate = map(jnp.asarray, case(3))
    kernel = PairThreshold(PairThresholdSpec(threshold=0.5))
    check_grads(lambda q, k, v: kernel(q, k, v, visible, gate)[0], (q, k, v), order=1, modes=["rev"], eps=1e-6)


def test_a_threshold_that_is_no_number_is_refused():
    with pytest.raises(SettingError, match=r"kernel.threshold = nan is not finite"):
        PairThresholdSpec(threshold=float("nan"))
