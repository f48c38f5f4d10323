"""TIA and summing node against nodal analysis, and noise against closed forms in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from atis_jax.circuits.array import array_current_a, output_conductance_s, shot_noise_a2
from atis_jax.circuits.tia import (
    TiaSpec,
    feedback_for_swing_ohm,
    loaded_gain,
    noise_bandwidth_hz,
    soft_rails,
    thermal_noise_v2,
)


@pytest.mark.parametrize("gain", [10.0, 1000.0, 1e7])
def test_loaded_gain_solves_the_nodal_equations(x64, gain):
    """Node x and output y: I + (y - x)/R - G x = 0 and y = -A x; y/(-R I) is the gain."""
    feedback, conductance, current = 78e3, 2e-5, 1e-6
    matrix = np.array([[1 / feedback + conductance, -1 / feedback], [gain, 1.0]])
    _, output = np.linalg.solve(matrix, [current, 0.0])
    assert float(loaded_gain(feedback, conductance, gain)) == pytest.approx(-output / (feedback * current), rel=1e-9)


def test_offset_of_the_op_amp_is_amplified_by_one_plus_r_g(x64):
    """Same nodes with y = A (V_off - x) and no current."""
    feedback, conductance, gain, offset = 78e3, 2e-5, 1e3, 2e-3
    matrix = np.array([[1 / feedback + conductance, -1 / feedback], [gain, 1.0]])
    _, output = np.linalg.solve(matrix, [0.0, gain * offset])
    ours = offset * (1 + feedback * conductance) * loaded_gain(feedback, conductance, gain)
    assert float(ours) == pytest.approx(output, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("sharpness", [2, 4, 8, 16])
def test_soft_rails_is_the_p_norm_clip(x64, sharpness):
    voltage_v = np.linspace(-2.0, 2.0, 81)
    expected = voltage_v / (1 + np.abs(voltage_v / 0.5) ** sharpness) ** (1 / sharpness)
    np.testing.assert_allclose(soft_rails(jnp.asarray(voltage_v), 0.5, sharpness), expected, rtol=1e-12)
    check_grads(
        lambda v, s: soft_rails(v, s, sharpness),
        (jnp.array([-0.9, 0.2, 0.0]), jnp.array(0.5)),
        order=1,
        eps=1e-6,
    )


def test_soft_rails_far_out_and_without_rails():
    assert float(soft_rails(jnp.array(1e30), 0.5, 16)) == pytest.approx(0.5)
    assert float(soft_rails(jnp.array(-7.0), np.inf, 4)) == -7.0
    for swing_v in (0.5, np.inf):
        of_voltage, of_swing = jax.vmap(jax.grad(soft_rails, (0, 1)), (0, None, None))(
            jnp.array([-1e20, -0.5, 0.0, 0.5, 1e20]), swing_v, 4
        )
        assert np.isfinite(of_voltage).all() and np.isfinite(of_swing).all()


def test_rail_sharpness_is_checked():
    with pytest.raises(ValueError, match="rail_sharpness = 3 must be 2, 4, 8 or 16"):
        TiaSpec(3, 0.5, 0.0, 0.0, np.inf, 0.0, 1.0)


def test_feedback_of_the_paper_array():
    """0.5 V over 64 x 100 nA is 78 kohm, whose noise is about 5 % of the array's."""
    feedback = feedback_for_swing_ohm(0.5, 64 * 100e-9)
    assert float(feedback) == pytest.approx(78e3, rel=0.005)
    bandwidth = noise_bandwidth_hz(1e6)
    thermal = thermal_noise_v2(feedback, 300.15, 1e6)
    shot = feedback**2 * jnp.sum(shot_noise_a2(jnp.full(64, 100e-9), bandwidth))
    assert float(thermal / shot) == pytest.approx(0.05, abs=0.005)
    expected = 4 * 1.602176634e-19 * 6.4e-6 * (np.pi / 2) * 1e6 * float(feedback) ** 2
    assert float(shot) == pytest.approx(expected, rel=1e-5)


def test_single_pole_noise_bandwidth():
    """Integral of 1/(1 + (f/f0)^2) by the trapezium rule over u = atan(f/f0), where it is a rectangle."""
    f = np.tan(np.linspace(0, np.pi / 2 - 1e-6, 200_001)) * 1e6
    assert float(noise_bandwidth_hz(1e6)) == pytest.approx(np.trapezoid(1 / (1 + (f / 1e6) ** 2), f), rel=1e-3)


def test_output_conductance():
    """100 nA and 7 V: 50 nA over 7 V is 7.14 nS."""
    assert float(output_conductance_s(jnp.array(100e-9), 7.0)) == pytest.approx(7.142857e-9, rel=1e-6)
    assert float(output_conductance_s(jnp.array(100e-9), np.inf)) == 0


@pytest.mark.slow
def test_array_sums_swapped_otas(x64):
    """A swap turns the input round, not the offset nor the additive current: float64 NumPy, OTA by OTA."""
    rng = np.random.default_rng(3)
    voltage, signed = rng.normal(0, 0.05, 7), rng.normal(0, 5e-8, 7)
    kappa, offset, additive = rng.uniform(0.6, 0.8, 7), rng.normal(0, 5e-3, 7), rng.normal(0, 0.02, 7)
    expected = 0.0
    for v, i, k, o, a in zip(voltage, signed, kappa, offset, additive, strict=True):
        seen = v if i >= 0 else -v
        expected += abs(i) * (np.tanh(k * (seen - o) / (2 * 8.617333262e-5 * 310.0)) + a)
    arguments = tuple(map(jnp.asarray, (voltage, signed, kappa, offset, additive)))
    assert float(array_current_a(*arguments, 310.0)) == pytest.approx(expected, rel=1e-9)

    def scaled(voltage, signed_na, kappa, offset, additive):
        return 1e9 * array_current_a(voltage, 1e-9 * signed_na, kappa, offset, additive, 310.0)

    arguments = (arguments[0], 1e9 * arguments[1], *arguments[2:])
    check_grads(jax.jit(scaled), arguments, order=1, rtol=1e-5, atol=1e-6)
