"""Product-quantised relevance against NumPy that looks every pair up, and k-means against what it must be."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from circuit_cases import BATCH, HEADS, NOISY, TOKENS, WIDTH, attend, chips, kernel_and_design, place, tensors

from atis_jax.models.kernels.circuit import Seen
from atis_jax.models.kernels.reram_pq import ReramPq, ReramPqSpec, k_means
from atis_jax.numerics import layer_of
from atis_jax.validation import SettingError

SPEC = NOISY["reram_pq"]
PART = WIDTH // SPEC.subvectors


def test_the_first_of_each_row_by_the_tables_stay():
    kernel, design = kernel_and_design(SPEC)
    q, k, v = (np.asarray(x, np.float64) for x in tensors(3))
    chip = np.asarray(layer_of(chips(SPEC, 1), 0), np.float64)
    here = dataclasses.replace(place(SPEC, jnp.asarray(chip, jnp.float32)), key=None)
    full = np.asarray(attend(kernel, here, *(jnp.asarray(x, jnp.float32) for x in (q, k, v)))[1].full)
    q_code, k_code = (np.asarray(code, np.float64) for code in (design.q_code, design.k_code))

    def code(x, words):
        return [int(np.argmin([np.sum((x[s * PART : (s + 1) * PART] - w) ** 2) for w in words[s]])) for s in range(2)]

    for b, h in np.ndindex(BATCH, HEADS):
        product = np.asarray([[[a @ c for c in k_code[h, s]] for a in q_code[h, s]] for s in range(SPEC.subvectors)])
        table = 0.1 + 0.9 * (product - product.min()) / (product.max() - product.min())
        table = table * np.exp(chip[h])
        keys = [code(k[b, h, j], k_code[h]) for j in range(TOKENS)]
        for i in range(TOKENS):
            row = code(q[b, h, i], q_code[h])
            relevance = [sum(table[s, row[s], key[s]] for s in range(SPEC.subvectors)) for key in keys]
            best = sorted(range(TOKENS), key=lambda j: (-round(relevance[j], 6), j))[:3]  # 0.4 of six, rounded up
            assert set(np.flatnonzero(full[b, h, i])) == set(best)
            weight = np.where(full[b, h, i] > 0, np.exp(k[b, h] @ q[b, h, i]), 0.0)
            np.testing.assert_allclose(full[b, h, i], weight / weight.sum(), rtol=1e-4)


def test_codewords_are_the_means_of_their_own():
    """Three clusters far apart, one vector that does not count."""
    rng = np.random.default_rng(0)
    centre = np.asarray([[0.0, 9.0], [9.0, 0.0], [-9.0, -9.0]])
    x = centre[np.arange(60) % 3] + rng.normal(0, 0.1, (60, 2))
    x = np.concatenate([x, [[500.0, 500.0]]])
    counts = jnp.arange(61) < 60
    means = np.asarray([x[:60][np.arange(60) % 3 == n].mean(axis=0) for n in range(3)])
    fit = jax.jit(lambda key: k_means(key, jnp.asarray(x, jnp.float32), counts, 3))
    found = [np.asarray(fit(jax.random.key(n))) for n in range(8)]
    assert np.max(np.abs(found)) < 20.0
    # Lloyd's algorithm may start with two in one cluster; of eight starts some have one in each.
    best = min(found, key=lambda code: np.sum(np.min(np.sum((x[:60, None] - code) ** 2, axis=-1), axis=1)))
    np.testing.assert_allclose(best[np.lexsort(best.T)], means[np.lexsort(means.T)], atol=1e-4)


def test_sub_vectors_that_do_not_divide_a_head_are_refused():
    q, k, v = tensors()
    there = jnp.ones(q.shape[:3], bool)
    with pytest.raises(SettingError, match=r"kernel.subvectors = 3 does not divide a head's width of 8"):
        ReramPq(ReramPqSpec(subvectors=3)).begin(jax.random.key(0), Seen(q, k, v, there, there, there[..., None]))
