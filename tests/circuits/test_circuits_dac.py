"""The DAC against a divider built unit by unit; mismatch statistics, kT/C, straight-through gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from atis_jax.circuits.dac import DacSpec, bit_weights, dac_levels_v, dac_voltage_v, sampling_noise_v2, top_code
from atis_jax.units import BOLTZMANN_J_PER_K

convert_many = jax.jit(jax.vmap(dac_voltage_v, (0, None, None)))
voltage_and_slope = jax.jit(jax.value_and_grad(dac_voltage_v, argnums=2))


def _spec(bits=6, unit_sigma=0.01, unit_capacitance_f=1e-15):
    return DacSpec(bits, 0.1, unit_sigma, unit_capacitance_f)


def _perfect(bits):
    return bit_weights(jnp.zeros(bits))


@pytest.mark.parametrize("bits", [1, 4, 6, 8])
def test_perfect_levels_are_evenly_spaced(bits):
    np.testing.assert_allclose(dac_levels_v(_perfect(bits), 0.1), np.linspace(-0.1, 0.1, 2**bits), atol=1e-7)


def test_levels_are_those_of_a_divider_of_units():
    """64 capacitors one by one: bit b switches 2^b of them, V = V_fs (2 C_on / C_all - 1)."""
    bits = 6
    units = 1 + 0.05 * np.random.default_rng(0).standard_normal(2**bits - 1)
    groups = [units[2**b - 1 : 2 ** (b + 1) - 1] for b in range(bits)]
    assert [len(group) for group in groups] == [1, 2, 4, 8, 16, 32]
    error = jnp.array([group.sum() - len(group) for group in groups])
    expected = []
    for code in range(2**bits):
        on = sum(group.sum() for b, group in enumerate(groups) if code // 2**b % 2)
        expected.append(0.1 * (2 * on / units.sum() - 1))
    np.testing.assert_allclose(dac_levels_v(bit_weights(error), 0.1), expected, atol=1e-7)
    inputs = jnp.linspace(-1, 1, 2**bits)
    converted = convert_many(inputs, bit_weights(error), 0.1)
    np.testing.assert_allclose(converted, expected, atol=1e-7)


def test_input_goes_to_the_nearest_level_and_clips():
    values = jax.random.uniform(jax.random.key(1), (500,), minval=-1.5, maxval=1.5)
    converted = convert_many(values, _perfect(4), 1.0)
    levels = np.linspace(-1, 1, 16)
    nearest = levels[np.abs(np.asarray(values)[:, None] - levels).argmin(1)]
    np.testing.assert_allclose(converted, nearest, atol=1e-6)


def test_no_bits_means_continuous_and_unlimited():
    values = jnp.array([-3.0, -0.123, 0.0, 2.5])
    converted = convert_many(values, bit_weights(jnp.zeros(0)), 0.1)
    np.testing.assert_allclose(converted, 0.1 * values, rtol=1e-6)


def test_mid_code_dnl_spread():
    """sigma_DNL at the middle transition is sigma_u sqrt(2^b - 1), about 2^(b/2) sigma_u.

    8,000 converters: relative standard error of a standard deviation 1/sqrt(16,000) = 0.8 %; bound 4 of them
    plus sigma_u itself (the division by the total is of second order).
    """
    bits, sigma = 6, 0.01
    draws = jax.random.normal(jax.random.key(2), (8000, bits)) * sigma * jnp.sqrt(2.0 ** jnp.arange(bits))
    levels = jax.jit(jax.vmap(lambda e: dac_levels_v(bit_weights(e), 1.0)))(draws)
    lsb = 2 / (2**bits - 1)
    dnl = np.asarray(levels[:, 2 ** (bits - 1)] - levels[:, 2 ** (bits - 1) - 1]) / lsb - 1
    assert dnl.std() / (sigma * np.sqrt(2**bits - 1)) == pytest.approx(1, abs=0.042)
    np.testing.assert_allclose(levels[:, [0, -1]], [[-1, 1]] * 8000, atol=1e-6)  # end codes are exact


def test_straight_through_gradient_reaches_two_full_scales():
    slope = jax.jit(jax.vmap(jax.grad(dac_voltage_v), (0, None, None)))(
        jnp.array([-2.1, -1.9, -0.3, 0.01, 1.5, 2.1]), _perfect(6), 0.1
    )
    np.testing.assert_allclose(slope, [0, 0.1, 0.1, 0.1, 0.1, 0], atol=1e-8)


@pytest.mark.parametrize("value", [0.4, -0.77, 1.7])
def test_full_scale_multiplies_the_level(value):
    """V is proportional to the full scale at any code, beyond the range too, where the code is the last."""
    volts, slope = voltage_and_slope(jnp.array(value), _perfect(6), 0.1)
    level = min(round((value + 1) * 31.5), 63) / 31.5 - 1
    assert float(slope) == pytest.approx(level, rel=1e-5)
    assert float(volts) == pytest.approx(0.1 * level, rel=1e-5)


def _with_bits(bits, value, built=6, full_scale_v=0.1):
    spec = DacSpec(built, full_scale_v, 0.0, 1e-15, used_bits=bits)
    return dac_voltage_v(value, bit_weights(jnp.zeros(built), bits), full_scale_v, top_code(spec))


def test_bits_in_use_carry_the_gradient_of_the_step():
    """LSQ by hand, float64: q = s round(x/s) - 1 of x = v + 1, dq/ds = round(x/s) - x/s, s = 2 / (2^b - 1)."""
    values = np.random.default_rng(3).uniform(-1.4, 1.4, 200).astype(np.float32)
    slopes = jax.jit(jax.vmap(jax.grad(_with_bits), (None, 0)))
    for bits in (2.0, 4.0, 6.0):
        slope = slopes(jnp.float32(bits), jnp.asarray(values))
        step, position = 2 / (2**bits - 1), (values.astype(np.float64) + 1) * (2**bits - 1) / 2
        by_step = np.where(np.abs(values) <= 1, np.round(position) - position, 0.0)
        step_by_bits = -(step**2) / 2 * np.log(2) * 2**bits
        np.testing.assert_allclose(slope, 0.1 * by_step * step_by_bits, rtol=2e-3, atol=1e-7)


def test_bits_in_use_follow_the_expected_error():
    """Mean squared error of a uniform input is s^2/12 for any s: the gradient is its finite difference in the bits.

    40,000 inputs: the squares are spread by 0.9 of their mean, so 0.45 % of standard error; bound 4 of them.
    """
    values = jax.random.uniform(jax.random.key(5), (40_000,), minval=-1.0, maxval=1.0)

    def error(bits):
        return jnp.mean((jax.vmap(_with_bits, (None, 0))(bits, values) / 0.1 - values) ** 2)

    error_and_slope = jax.jit(jax.value_and_grad(error))
    for bits in (3.0, 5.0):
        expected = [(2 / (2**b - 1)) ** 2 / 12 for b in (bits - 1e-4, bits + 1e-4)]
        found, slope = error_and_slope(jnp.float32(bits))
        assert float(found) == pytest.approx(np.mean(expected), rel=0.018)
        assert float(slope) == pytest.approx((expected[1] - expected[0]) / 2e-4, rel=0.018)


def test_fewer_bits_of_the_same_units_have_more_sampling_noise():
    """2 k T / (C 2^b): its finite difference in the bits, of the formula in float64."""

    def noise_v2(bits):
        return 1e9 * sampling_noise_v2(DacSpec(8, 0.1, 0.0, 1e-15, used_bits=bits), 300.15)

    wanted = [2e9 * 1.380649e-23 * 300.15 / (1e-15 * 2**bits) for bits in (5 - 1e-4, 5.0, 5 + 1e-4)]
    value, slope = jax.value_and_grad(noise_v2)(jnp.float32(5))
    assert float(value) == pytest.approx(wanted[1], rel=1e-5)
    assert float(slope) == pytest.approx((wanted[2] - wanted[0]) / 2e-4, rel=1e-4)


def test_sampling_noise_passes_a_steep_gradient_on_without_leaving_float32():
    # 1e12 a square volt is what a batch of sharp decisions sends back; 2 ** 3 levels of 1 fF.
    def noise(bits):
        return 1e12 * sampling_noise_v2(DacSpec(6, 0.1, 0.0, 1e-15, used_bits=bits), 300.15)

    expected = -np.log(2.0) * 2e12 * BOLTZMANN_J_PER_K * 300.15 / 8e-15
    assert float(jax.grad(noise)(3.0)) == pytest.approx(expected, rel=1e-5)


def test_sampling_noise_is_that_of_two_capacitors():
    """254 uV a side at 64 fF and 27 C, sqrt 2 times that between the two; a quarter of the power with 8 bits of the
    same unit; none for no capacitor."""
    assert float(sampling_noise_v2(_spec(), 300.15)) ** 0.5 == pytest.approx(2**0.5 * 254.4e-6, abs=1e-6)
    ratio = sampling_noise_v2(_spec(bits=8), 300.15) / sampling_noise_v2(_spec(), 300.15)
    assert float(ratio) == pytest.approx(0.25)
    assert float(sampling_noise_v2(_spec(None, unit_capacitance_f=np.inf), 300.15)) == 0


@pytest.mark.parametrize("bits", [0, -1, 13])
def test_impossible_bits_are_refused(bits):
    with pytest.raises(ValueError, match=rf"dac.bits = {bits} is outside 1..12; the ideal"):
        _spec(bits=bits)
