"""Projections: what they do to lengths and angles (Johnson-Lindenstrauss), density, which dimensions are picked."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg, stats

from atis_jax.scoring.atis.projection import gaussian, initial_projection, normalise, selection, sparse_sign
from atis_jax.validation import SettingError

INPUTS, WIDTH, DIRECTIONS = 64, 512, 256


def test_normalise_is_the_float64_z_score_of_each_token():
    x = np.random.default_rng(0).normal(3.0, 20.0, (5, 7, 33)).astype(np.float32)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(normalise(jnp.asarray(x)), expected, atol=1e-5)


def test_normalise_of_a_constant_token_is_zero_with_a_finite_gradient():
    constant = jnp.full((8,), 2.5)
    np.testing.assert_array_equal(normalise(constant), 0.0)
    gradient = jax.jit(jax.grad(lambda x: normalise(x) @ jnp.arange(8.0)))(constant)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("kind", [gaussian, sparse_sign])
def test_distances_survive_as_johnson_and_lindenstrauss_promise(kind):
    """256 orthonormal directions through one projection.

    The squared length of a projected unit vector, times D/N, is chi-squared with N degrees over N: mean 1, variance
    2/N, kurtosis 3 + 12/N. Exactly so for Gaussian entries, independent over orthogonal vectors; for sparse signs the
    fourth moment of an entry is 3, a Gaussian's, so the variance is the same.
    """
    basis = linalg.hadamard(WIDTH)[1 : 1 + DIRECTIONS] / np.sqrt(WIDTH)
    matrix = np.asarray(kind(jax.random.key(0), INPUTS, WIDTH), np.float64)
    projected = basis @ matrix.T * np.sqrt(WIDTH / INPUTS)
    length2 = (projected**2).sum(-1)
    variance = 2 / INPUTS
    assert abs(length2.mean() - 1) < 5 * np.sqrt(variance / DIRECTIONS)
    spread_of_variance = variance * np.sqrt((2 + 12 / INPUTS) / DIRECTIONS)
    assert abs(length2.var() - variance) < 5 * spread_of_variance
    # The JL bound itself, P(|r - 1| > e) <= 2 exp(-N/2 (e^2/2 - e^3/3)), and the law: Kolmogorov-Smirnov at 1e-4.
    epsilon = 0.4
    bound = 2 * np.exp(-INPUTS / 2 * (epsilon**2 / 2 - epsilon**3 / 3))
    assert np.mean(np.abs(length2 - 1) > epsilon) < bound
    assert stats.kstest(length2 * INPUTS, "chi2", (INPUTS,), method="asymp").pvalue > 1e-4
    # Inner products of orthogonal vectors: mean 0, standard deviation 1/sqrt(N).
    cosine = (projected[::2] * projected[1::2]).sum(-1) * np.sqrt(INPUTS)
    assert abs(cosine.mean()) < 5 / np.sqrt(DIRECTIONS / 2)
    assert abs(cosine.std() - 1) < 5 / np.sqrt(DIRECTIONS)


def test_sparse_signs_are_a_third_full_and_balanced():
    matrix = np.asarray(sparse_sign(jax.random.key(2), INPUTS, WIDTH))
    count = matrix.size  # 32768: five standard deviations of a share of 1/6 are 0.0103
    assert set(np.unique(np.round(matrix / np.sqrt(3 / WIDTH), 6))) == {-1.0, 0.0, 1.0}
    for sign in (-1, 1):
        assert abs(np.mean(np.sign(matrix) == sign) - 1 / 6) < 5 * np.sqrt(1 / 6 * 5 / 6 / count)


def test_selection_picks_the_dimensions_of_highest_variance():
    variance = np.random.default_rng(3).permutation(np.linspace(0.1, 2.0, 40)).astype(np.float32)
    matrix = np.asarray(selection(jnp.asarray(variance), 11))
    picked = np.sort(np.argsort(-variance)[:11])
    x = np.random.default_rng(4).normal(size=40)
    np.testing.assert_array_equal(matrix @ x, x[picked])
    np.testing.assert_array_equal(matrix @ matrix.T, np.eye(11))


def test_selection_of_more_than_there_are_says_so():
    with pytest.raises(ValueError, match="scorer.inputs = 9 exceeds the width 8.*lower scorer.inputs"):
        selection(jnp.ones(8), 9)


@pytest.mark.parametrize("kind", ["learned", "gaussian", "sparse_sign", "selection"])
def test_every_kind_gives_inputs_of_unit_variance(kind):
    """Rows have unit expected norm, so unit-variance tokens give unit-variance inputs."""
    matrix = np.asarray(initial_projection(kind, jax.random.key(5), INPUTS, WIDTH))
    # A row's squared norm is 1 with variance 2/D; 64 rows of 512.
    assert abs((matrix**2).sum(-1).mean() - 1) < 5 * np.sqrt(2 / WIDTH / INPUTS)


def test_learned_starts_as_gaussian_and_unknown_kinds_are_refused():
    one, two = (initial_projection(kind, jax.random.key(6), 4, 8) for kind in ("learned", "gaussian"))
    np.testing.assert_array_equal(one, two)
    with pytest.raises(SettingError, match="'fourier' is not one of: learned, gaussian, sparse_sign, selection"):
        initial_projection("fourier", jax.random.key(6), 4, 8)
