"""The comparator against the normal integral, counted decisions and a plain loop with memory."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from atis_jax.circuits.comparator import (
    ComparatorSpec,
    keep,
    keep_hysteresis,
    keep_hysteresis_straight_through,
    keep_probability,
    keep_straight_through,
    reference_v,
    trim_steps_v,
)


def _spec(bits=3, span=1.0):
    return ComparatorSpec(bits, span, 0.0, 0.0, 0.0)


def test_probability_is_the_normal_integral(x64):
    for voltage in (-0.01, -0.001, 0.0, 0.002, 0.02):
        width = math.hypot(0.001, 0.004)
        expected = 0.5 * math.erfc(-(voltage - 0.001) / width / math.sqrt(2))
        ours = keep_probability(jnp.array(voltage), 0.001, 0.001, 0.004)
        assert float(ours) == pytest.approx(expected, rel=1e-9)
    arguments = tuple(map(jnp.array, (0.3, 0.1, 0.2, 0.4)))
    check_grads(jax.jit(keep_probability), arguments, order=1, rtol=1e-5)


def test_noisy_hard_decisions_have_that_probability():
    """40,000 decisions: standard error below 0.0025, bound 4 of them."""
    noise = jax.random.normal(jax.random.key(0), (40_000,))
    shares = jax.jit(lambda voltage: jnp.mean(keep(jnp.full(40_000, voltage), 0.1e-3, 0.5e-3, noise)))
    for voltage in (-0.8e-3, 0.0, 0.3e-3):
        share = shares(voltage)
        expected = keep_probability(jnp.array(voltage), 0.1e-3, 0.5e-3, 0.0)
        assert abs(float(share - expected)) < 0.01


def test_straight_through_has_the_hard_value_and_the_gaussian_slope(x64):
    value, slope = jax.jit(jax.value_and_grad(keep_straight_through, (0, 1)))(jnp.array(0.02), 0.01, 0.003, 0.004)
    density = math.exp(-0.5 * (0.01 / 0.005) ** 2) / (0.005 * math.sqrt(2 * math.pi))
    assert float(value) == 1.0
    np.testing.assert_allclose(slope, [density, -density], rtol=1e-6)
    assert float(keep_straight_through(jnp.array(0.0), 0.01, 0.003, 0.004)) == 0.0


def test_reference_is_the_nearest_of_its_levels():
    wanted = np.linspace(-0.6, 0.6, 397) + 1e-4
    levels = np.linspace(-0.5, 0.5, 8)
    nearest = levels[np.abs(wanted[:, None] - levels).argmin(1)]
    np.testing.assert_allclose(reference_v(jnp.asarray(wanted), _spec()), nearest, atol=1e-6)
    slope = jax.jit(jax.vmap(jax.grad(lambda v: reference_v(v, _spec()))))(jnp.array([-0.7, -0.2, 0.33, 0.7]))
    np.testing.assert_allclose(slope, [0, 1, 1, 0])
    np.testing.assert_array_equal(reference_v(jnp.array([3.3]), _spec(None)), jnp.array([3.3]))


def _remembering(voltage, threshold, band, state):
    kept = []
    for v in voltage:
        if state and v <= threshold - band / 2:
            state = False
        elif not state and v > threshold + band / 2:
            state = True
        kept.append(state)
    return kept


@pytest.mark.parametrize("initial", [False, True])
def test_hysteresis_is_a_schmitt_trigger(initial):
    voltage = 0.1 * jax.random.normal(jax.random.key(5), (300,))
    ours = jax.jit(keep_hysteresis)(voltage, 0.02, 0.1, initial=initial)
    expected = _remembering(np.asarray(voltage), np.float32(0.02), np.float32(0.1), initial)
    assert ours.tolist() == expected
    assert ours.tolist() != keep(voltage, 0.02).tolist()  # the memory did something
    assert keep_hysteresis(voltage, 0.02, 0.0).tolist() == keep(voltage, 0.02).tolist()


def test_hysteresis_depends_on_order():
    assert keep_hysteresis(jnp.array([1.0, 0.0]), 0.0, 0.5).tolist() == [True, True]
    assert keep_hysteresis(jnp.array([0.0, 1.0]), 0.0, 0.5).tolist() == [False, True]


@pytest.mark.slow
def test_hysteresis_with_noise_and_straight_through(x64):
    voltage = jnp.array([0.3, 0.0, -0.3, 0.0])
    noise = jnp.array([0.0, -3.0, 0.0, 3.0])
    assert keep_hysteresis(voltage, 0.0, 0.2, 0.1, noise).tolist() == [True, False, False, True]
    value, back = jax.vjp(lambda v: keep_hysteresis_straight_through(v, 0.0, 0.2, 0.0, 0.1), voltage)
    assert value.tolist() == [1.0, 1.0, 0.0, 0.0]
    (slope,) = back(jnp.ones(4))
    in_force = np.array([0.1, -0.1, -0.1, 0.1])
    density = np.exp(-0.5 * ((voltage - in_force) / 0.1) ** 2) / (0.1 * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(slope, density, rtol=1e-6)


def test_zero_reference_bits_are_refused():
    with pytest.raises(ValueError, match="comparator.reference_bits = 0 is outside 1..16"):
        _spec(bits=0)


def test_trim_dac_adds_the_nearest_of_its_steps(x64):
    """Coarse grid of 5 levels' span 1 V and 3 bits of 0.5 V: every sum of both, searched by brute force."""
    trimmed = dataclasses.replace(_spec(2), trim_bits=3, trim_span_v=0.5)
    steps = np.asarray(trim_steps_v(trimmed))
    np.testing.assert_allclose(steps, np.arange(-4, 4) * 0.0625)
    wanted = np.linspace(-0.7, 0.7, 301)
    coarse = np.asarray(reference_v(jnp.asarray(wanted), _spec(2)))
    limited = np.clip(wanted, -0.5, 0.5)
    expected = coarse + steps[np.abs(limited[:, None] - coarse[:, None] - steps).argmin(1)]
    tie = np.abs(np.abs((limited - coarse) / 0.0625 % 1) - 0.5) < 1e-9
    np.testing.assert_allclose(np.asarray(reference_v(jnp.asarray(wanted), trimmed))[~tie], expected[~tie], atol=1e-12)


def test_no_trim_dac_is_a_step_of_zero_and_a_span_of_zero_does_nothing():
    np.testing.assert_array_equal(trim_steps_v(_spec(8)), [0.0])
    none = dataclasses.replace(_spec(4), trim_bits=4, trim_span_v=0.0)
    wanted = jnp.linspace(-0.6, 0.6, 77)
    np.testing.assert_array_equal(reference_v(wanted, none), reference_v(wanted, _spec(4)))
    slope = jax.jit(jax.vmap(jax.grad(lambda v: reference_v(v, none))))(wanted)
    np.testing.assert_array_equal(slope, np.abs(wanted) < 0.5)
    with pytest.raises(ValueError, match="comparator.trim_bits = 0 is outside 1..16"):
        dataclasses.replace(_spec(4), trim_bits=0)
