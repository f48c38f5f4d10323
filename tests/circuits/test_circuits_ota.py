"""The OTA against bisection, closed forms and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from atis_jax.circuits.ota import (
    LAWS,
    effective_kappa,
    ekv_transfer,
    ota_current_a,
    settling_time_s,
    transfer,
    transfer_and_slope,
)

X = np.array([-30.0, -3.0, -0.7, -1e-3, 0.0, 1e-3, 0.2, 1.0, 5.0, 30.0])
INVERSION = np.array([1e-9, 1e-4, 0.05, 1.0, 30.0, 1e4])


def _ekv_by_bisection(x, inversion):
    """Drain currents of the two devices for the source potential that makes them add up, 200 halvings."""
    current = lambda u: np.logaddexp(0.0, u / 2) ** 2  # noqa: E731
    low, high = -200.0 + 0 * x, 400.0 + 0 * x
    for _ in range(200):
        middle = (low + high) / 2
        too_much = current(x - middle) + current(-x - middle) > inversion
        low, high = np.where(too_much, middle, low), np.where(too_much, high, middle)
    return (current(x - low) - current(-x - low)) / inversion


def test_ekv_equals_bisection(x64):
    x, inversion = np.meshgrid(X, INVERSION)
    ours = jax.jit(ekv_transfer)(jnp.asarray(x), jnp.asarray(inversion))
    np.testing.assert_allclose(ours, _ekv_by_bisection(x, inversion), rtol=1e-9, atol=1e-12)


def test_ekv_in_float32_is_good_to_2e_6():
    x, inversion = np.meshgrid(X, INVERSION)
    ours = jax.jit(ekv_transfer)(jnp.asarray(x, jnp.float32), jnp.asarray(inversion, jnp.float32))
    np.testing.assert_allclose(ours, _ekv_by_bisection(x, inversion), atol=2e-6)


def test_ekv_limits(x64):
    x = jnp.linspace(-4, 4, 41)
    np.testing.assert_allclose(jax.jit(ekv_transfer)(x, 1e-10), np.tanh(x), atol=2e-5)  # weak: error ~ sqrt(I_b/I_s)
    # Strong inversion is the square-law pair, here in its textbook form with x = (V/V_ov) scaled.
    i = 1e6
    far = jnp.linspace(-900, 900, 31)
    np.testing.assert_allclose(
        jax.jit(ekv_transfer)(far, i), 2 * far / np.sqrt(i) * np.sqrt(0.5 - far**2 / (4 * i)), atol=1e-4
    )


def test_ekv_slope_at_zero_is_the_closed_form(x64):
    coefficient = jnp.array([1e-6, 0.01, 0.5, 5.0])
    root = np.sqrt(coefficient)
    slope = jax.jit(jax.vmap(jax.grad(ekv_transfer)))(jnp.zeros(4), 2 * coefficient)
    np.testing.assert_allclose(slope, -np.expm1(-root) / root, rtol=1e-9)


@pytest.mark.parametrize("law", LAWS)
def test_slope_is_the_derivative(x64, law):
    x = jnp.linspace(-3.0, 3.0, 25)
    value, slope = transfer_and_slope(law, x, 0.3)
    np.testing.assert_allclose(value, transfer(law, x, 0.3), rtol=1e-14, atol=1e-15)
    step = 1e-5
    central = (transfer(law, x + step, 0.3) - transfer(law, x - step, 0.3)) / (2 * step)
    np.testing.assert_allclose(slope, central, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("law", LAWS)
def test_gradients(x64, law):
    @jax.jit
    def current_na(voltage_v, current_na, kappa, offset_v, additive, specific_ua, attenuation):
        return 1e9 * ota_current_a(
            voltage_v,
            1e-9 * current_na,
            kappa,
            offset_v,
            additive,
            300.15,
            law=law,
            specific_current_a=1e-6 * specific_ua,
            attenuation=attenuation,
        )

    for voltage_v in (-0.08, 0.003):
        arguments = tuple(map(jnp.array, (voltage_v, 20.0, 0.7, 0.004, 0.02, 0.1, 0.3)))
        check_grads(current_na, arguments, order=1, modes=["fwd", "rev"], rtol=1e-6, atol=1e-7, eps=1e-5)


def test_gradients_are_finite_far_out_and_at_zero_current():
    x = jnp.array([-1e3, 0.0, 1e3])
    for law in LAWS:
        slope = jax.jit(jax.vmap(jax.grad(lambda v: transfer(law, v, 1e-12))))(x)  # noqa: B023
        assert np.isfinite(slope).all(), law


def test_second_derivatives_of_the_implicit_solution(x64):
    check_grads(jax.jit(jax.grad(ekv_transfer, (0, 1))), (0.7, 0.4), order=1, modes=["rev"], rtol=1e-6)


def test_bump_is_the_hyperbolic_form_without_cubic_term(x64):
    v_over_ut = np.linspace(-8, 8, 65)
    expected = np.sinh(v_over_ut) / (2 + np.cosh(v_over_ut))
    np.testing.assert_allclose(transfer("bump", jnp.asarray(v_over_ut / 2)), expected, rtol=1e-12, atol=1e-14)
    third = jax.jit(jax.grad(jax.grad(jax.grad(lambda x: transfer("bump", x)))))(0.0)
    assert abs(third) < 1e-12
    assert abs(jax.jit(jax.grad(jax.grad(jax.grad(jnp.tanh))))(0.0)) > 1


def test_degenerated_pair_is_two_diodes_in_series(x64):
    """Solve kappa (V_G - V_S)... of each half by hand: the diode drops U_T ln(I)/kappa below the device."""
    kappa, u_t, bias = 0.7, 0.0258649, 1.0
    for wanted in (0.1, 0.5, 0.9):
        upper, lower = bias * (1 + wanted) / 2, bias * (1 - wanted) / 2
        # kappa V_G - V_S = U_T ln I for the device, kappa V_S - V_tail = U_T ln I for the diode under it
        gate = lambda i: (u_t * np.log(i) + (u_t * np.log(i)) / kappa) / kappa  # noqa: E731
        voltage_v = gate(upper) - gate(lower)
        ours = ota_current_a(jnp.array(voltage_v), bias, kappa, 0.0, 0.0, 300.15, law="degenerated")
        assert float(ours) == pytest.approx(wanted, rel=1e-5)


def test_attenuated_scales_the_input_axis(x64):
    v = jnp.linspace(-0.2, 0.2, 9)
    wide = ota_current_a(v, 1.0, 0.7, 0.0, 0.0, 300.15, law="attenuated", attenuation=0.25)
    np.testing.assert_allclose(wide, ota_current_a(v / 4, 1.0, 0.7, 0.0, 0.0, 300.15), rtol=1e-12)
    assert effective_kappa("attenuated", 0.7, 0.25) == pytest.approx(0.175)


def test_linear_range_quoted_in_the_docs(x64):
    """Deviation of the tanh from its slope: 1 % at 13 mV and 5 % at 29 mV for kappa 0.7 (27 C)."""
    for voltage_v, deviation in ((0.013, 0.01), (0.029, 0.05)):
        x = 0.7 * voltage_v / (2 * 0.0258649)
        ours = ota_current_a(jnp.array(voltage_v), 1.0, 0.7, 0.0, 0.0, 300.15)
        assert float(1 - ours / x) == pytest.approx(deviation, abs=0.002)


def test_settling_time_against_spice():
    """100 nA, 1 pF to 1/128 (half an LSB of 6 bits): 3.7 us simulated with kappa 0.637, a nonlinear step."""
    gm_s = jnp.array(0.637 * 100e-9 / (2 * 0.0258649))
    assert float(settling_time_s(gm_s, 1e-12, 6)) == pytest.approx(3.7e-6, rel=0.1)
