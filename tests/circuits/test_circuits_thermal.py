"""Temperature: closed forms, the table of bias references, and weights that do not track."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from atis_jax.circuits import get_preset, with_fields
from atis_jax.circuits.thermal import (
    BIAS_KINDS,
    MODEL_HIGH_C,
    MODEL_LOW_C,
    bias_scale,
    check_temperature_c,
    kappa_at,
    specific_current_at,
)
from atis_jax.units import thermal_voltage_v

K_OVER_Q = 8.617333262e-5


def _thermal(bias, **values):
    fields = {"thermal.bias": bias} | {f"thermal.{name}": value for name, value in values.items()}
    return with_fields(get_preset("nominal"), fields).thermal


def _gm_change_for_10_c(thermal, current_a, kappa=0.7):
    """Percent change of kappa I / 2U_T from 20 to 30 C, kappa constant."""
    cold, warm = (float(bias_scale(jnp.array(current_a), kappa, thermal, t)) / t for t in (293.15, 303.15))
    return 100 * (warm / cold - 1)


@pytest.mark.parametrize("bias", BIAS_KINDS)
def test_scale_is_one_at_the_nominal_temperature(x64, bias):
    scale = bias_scale(jnp.array([1e-10, 1e-8, 1e-6]), 0.7, _thermal(bias), 300.15)
    np.testing.assert_allclose(scale, 1.0, rtol=1e-12)


def test_reference_rows_of_the_table(x64):
    """Ideal rows: constant -3.25 %, PTAT 0, CTAT about -6.2 % for +10 C."""
    for bias, percent, within in (("constant", -3.25, 0.06), ("ptat", 0.0, 1e-9), ("ctat", -6.2, 0.15)):
        change = _gm_change_for_10_c(_thermal(bias, current_per_k=0.0), 1e-8)
        assert change == pytest.approx(percent, abs=within), bias


def test_fixed_charge_is_the_derivative_formula_in_weak_inversion(x64):
    """dlnI/dT = (2-m)/T - kappa(V_GS-V_T0)/(U_T T) - (kappa/U_T) dV_T0/dT, integrated in 2000 Euler steps."""
    kappa, m, fall, specific_a, start_a = 0.72, 1.4, 0.8e-3, 1e-6, 1e-13
    thermal = _thermal("fixed_charge", specific_current_a=specific_a, mobility_exponent=m, threshold_fall_v_per_k=fall)
    nominal_k, end_k = 300.15, 318.15
    over = np.log(start_a / specific_a) * K_OVER_Q * nominal_k / kappa  # V_GS - V_T0, negative
    log_current, steps = np.log(start_a), 2000
    width = (end_k - nominal_k) / steps
    for n in range(steps):
        t = nominal_k + (n + 0.5) * width
        gate = over + fall * (t - nominal_k)
        slope = kappa / (K_OVER_Q * t)
        log_current += width * ((2 - m) / t - slope * gate / t + slope * fall)
    ours = np.log(start_a) + np.log(float(bias_scale(jnp.array(start_a), kappa, thermal, end_k)))
    assert ours == pytest.approx(log_current, abs=3.2e-4)  # sqrt(I/I_s): softplus is not yet its tail


def test_fixed_charge_weights_do_not_track(x64):
    """Weights a decade apart move apart by 7.8 % for +10 C, as w^(T_0/T); a common gain cannot undo it."""
    weights = jnp.array([1e-12, 1e-11, 1e-10])
    at = {t: weights * bias_scale(weights, 0.7, _thermal("fixed_charge"), t) for t in (300.15, 310.15)}
    ratio_cold, ratio_warm = (at[t][1:] / at[t][:-1] for t in (300.15, 310.15))
    np.testing.assert_allclose(ratio_cold, 10.0, rtol=1e-12)
    np.testing.assert_allclose(ratio_warm, 10.0 ** (300.15 / 310.15), rtol=5e-3)
    drift = float(ratio_cold[0] / ratio_warm[0])
    assert 100 * np.log(drift) == pytest.approx(7.8, abs=0.6)
    for bias in ("constant", "ptat", "ctat"):
        scale = np.asarray(bias_scale(weights, 0.7, _thermal(bias), 310.15))
        np.testing.assert_allclose(scale, scale[0], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("bias", BIAS_KINDS)
def test_gradients(x64, bias):
    thermal = _thermal(bias)

    def scale(current_na, kappa, temperature_k):
        return bias_scale(1e-9 * current_na, kappa, thermal, temperature_k)

    arguments = (jnp.array(30.0), jnp.array(0.7), jnp.array(315.0))
    check_grads(scale, arguments, order=1, modes=["fwd", "rev"], rtol=1e-5, atol=1e-7)


def test_off_current_has_a_finite_scale():
    assert np.isfinite(bias_scale(jnp.zeros(2), 0.7, _thermal("fixed_charge"), 350.0)).all()


def test_small_laws(x64):
    assert float(thermal_voltage_v(300.15)) == pytest.approx(25.865e-3, rel=1e-4)
    assert float(kappa_at(0.7, 1e-4, 310.15, 300.15)) == pytest.approx(0.701)
    thermal = _thermal("fixed_charge", specific_current_a=1e-6, mobility_exponent=1.5)
    assert float(specific_current_at(thermal, 4 * 300.15)) == pytest.approx(2e-6)


def test_unknown_bias_is_named():
    with pytest.raises(ValueError, match="thermal.bias = 'ptot' is not one of fixed_charge, constant"):
        _thermal("ptot")


def test_temperatures_of_the_models_range_pass_as_floats():
    assert check_temperature_c((0, 27, jnp.float32(70.0))) == (0.0, 27.0, 70.0)
    assert check_temperature_c(np.array([MODEL_LOW_C, MODEL_HIGH_C])) == (-55.0, 150.0)
    assert check_temperature_c(27) == (27.0,)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (-300.0, r"oven_c = -300.0 is below absolute zero, -273.15 C; give degrees Celsius from -55.0 to 150.0"),
        ((27.0, -56.0), r"oven_c = -56.0 is outside -55.0..150.0 C, where the circuit model holds$"),
        ((300.15,), r"oven_c = 300.15 is outside .*; 300.15 K would be 27 C"),
        (float("nan"), r"oven_c = nan is not a number"),
    ],
)
def test_temperatures_beyond_the_model_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        check_temperature_c(values, "oven_c")


def test_a_traced_temperature_is_not_taken_for_a_checked_one():
    with pytest.raises(ValueError, match="temperature_c is traced"):
        jax.jit(check_temperature_c)(27.0)
