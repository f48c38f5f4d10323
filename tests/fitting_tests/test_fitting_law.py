"""One law through many OTAs: it predicts the curves it was made of, and those it was not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fitting_cases import VOLTAGE_V, made_curve, reference_curves, reference_fits, thermal_v
from jax.test_util import check_grads

from atis_jax.circuits import (
    ArrayGeometry,
    Environment,
    Program,
    get_preset,
    nominal_chip,
    read,
    realise,
    sample_chip,
    with_fields,
)
from atis_jax.circuits.systematic import Systematic, polynomial
from atis_jax.fitting.law import fit_law, law_residual, predicted_a
from atis_jax.fitting.ota import FittedOta
from atis_jax.validation import SettingError

BASE = get_preset("nominal")
NOMINAL_K, REFERENCE_A = 300.15, 1e-8
CELSIUS = (0.0, 27.0, 60.0, 85.0)
RNG = np.random.default_rng(3)
polyval2d = np.polynomial.polynomial.polyval2d

# ln(I_b / wanted), kappa, V_os / V, a: against decades of current and kelvin.
TRUE_LOG = np.array([[0.04, 3e-4, 1e-6], [0.01, -1e-5, 0.0], [-0.004, 0.0, 2e-8]])
TRUE_KAPPA = np.array([[0.69, 1.2e-4, 1e-7], [-0.04, 2e-5, 0.0], [-0.01, 0.0, 0.0]])
TRUE_OFFSET_V = np.array([[-1e-3, -2e-5, 0.0], [4e-4, 0.0, 1e-8], [0.0, 0.0, 0.0]])
TRUE_ADDITIVE = np.array([[0.01, 1e-5, 0.0], [0.002, 0.0, 0.0], [0.0, 1e-6, 0.0]])


def made_ota(bias_a, celsius, additive=False):
    """What a perfect fit finds of an OTA of the true polynomials."""
    change_k = celsius + 273.15 - NOMINAL_K
    current_a = bias_a * np.exp(polyval2d(np.log10(bias_a / REFERENCE_A), change_k, TRUE_LOG))
    flowing = np.log10(current_a / REFERENCE_A)
    kappa, offset_v, a = (polyval2d(flowing, change_k, c) for c in (TRUE_KAPPA, TRUE_OFFSET_V, TRUE_ADDITIVE))
    return FittedOta("made", bias_a, celsius, current_a, kappa, offset_v, a if additive else 0.0, 0.0, 0.0)


def made_from(fits, base=BASE):
    return with_fields(base, fit_law(fits, base).fields)


def residuals(hardware, curves):
    return [law_residual(hardware, curve)[0] for curve in curves]


def near(bias_a, wanted_a):
    return abs(bias_a / wanted_a - 1) < 1e-6


def reference(keep):
    """Curves and fits of the reference that ``keep`` chooses."""
    chosen = [pair for pair in zip(reference_curves(), reference_fits(), strict=True) if keep(pair[0])]
    return [curve for curve, _ in chosen], [fit for _, fit in chosen]


@pytest.mark.slow
def test_one_law_predicts_the_12_curves_of_the_reference():
    """RMS within 0.15 % of I_b each, nothing refitted."""
    assert max(residuals(made_from(reference_fits()), reference_curves())) < 0.0015


@pytest.mark.parametrize("left_out", CELSIUS)
def test_a_temperature_that_was_left_out_is_predicted(left_out):
    """Within 0.3 %, at the ends too, where it is an extrapolation by 25 or 27 K."""
    _, fits = reference(lambda curve: curve.temperature_c != left_out)
    curves, _ = reference(lambda curve: curve.temperature_c == left_out)
    assert (len(fits), len(curves)) == (9, 3)
    assert max(residuals(made_from(fits), curves)) < 0.003


@pytest.mark.parametrize(
    ("keep", "count"),
    [
        pytest.param(lambda c: near(c.bias_a, 1e-8) and c.temperature_c == 60, 1, id="one curve"),
        pytest.param(lambda c: near(c.bias_a, 1e-7), 4, id="one bias"),
        pytest.param(lambda c: c.temperature_c == 0, 3, id="one temperature"),
        pytest.param(lambda c: c.temperature_c == 0 or near(c.bias_a, 1e-9), 6, id="a row and a column"),
    ],
)
def test_few_curves_are_predicted_too(keep, count):
    """What they do not determine is left out; their own curves come out as their own fits left them, or nearly."""
    curves, fits = reference(keep)
    assert len(curves) == count
    for one, found in zip(residuals(made_from(fits), curves), fits, strict=True):
        assert one < found.rms + 3e-4
        assert one < 0.0015


def test_the_true_law_is_found_and_holds_where_nothing_was_measured():
    """Four biases and three temperatures; predictions between and beyond against the formula in NumPy, 5e-6 of I_b: the
    slope of ln I_b in T is stated as one of I_b, which the powers of T in use make up for to 1e-6."""
    fits = [made_ota(bias_a, c, additive=True) for bias_a in (1e-9, 1e-8, 3e-8, 1e-7) for c in (0.0, 27.0, 85.0)]
    hardware = made_from(fits)
    assert hardware.ota.kappa == pytest.approx(0.69, abs=1e-9)
    assert hardware.ota.kappa_per_k == pytest.approx(1.2e-4, abs=1e-10)
    assert hardware.ota.kappa_per_decade == pytest.approx(-0.04, abs=1e-9)
    assert hardware.thermal.bias == "constant"
    assert hardware.thermal.current_per_k == pytest.approx(3e-4, abs=1e-10)
    for bias_a, celsius in ((1e-9, 27.0), (5e-9, 50.0), (2e-7, -20.0)):
        ota = made_ota(bias_a, celsius, additive=True)
        x = ota.kappa * (VOLTAGE_V - ota.offset_v) / (2 * thermal_v(celsius))
        expected_a = ota.current_a * (np.tanh(x) + ota.additive)
        np.testing.assert_allclose(
            predicted_a(hardware, bias_a, celsius, VOLTAGE_V), expected_a, rtol=0, atol=5e-6 * bias_a
        )


def test_the_change_with_the_supply_is_found_and_a_bend_leaves_the_nominal_alone():
    """Offset and kappa linear in the supply, the offset with a bend; between the supplies within 2e-6 of I_b."""

    def at(supply_v, bias_a, celsius, bend=0.0):
        change_v = supply_v - 1.8
        ota = made_ota(bias_a, celsius)
        moved = ota.offset_v - 7e-3 * change_v * (1 + 1e-3 * (celsius - 27.0)) + bend * change_v**2
        return dataclasses.replace(ota, offset_v=moved, kappa=ota.kappa + 2e-3 * change_v, supply_v=supply_v)

    cases = [
        (v, bias_a, c) for v in (1.62, 1.8, 1.98) for bias_a in (1e-9, 1e-8, 3e-8, 1e-7) for c in (0.0, 27.0, 85.0)
    ]
    hardware, bent = made_from([at(*case) for case in cases]), made_from([at(*case, 0.02) for case in cases])
    for supply_v, bias_a, celsius in ((1.7, 5e-9, 50.0), (1.9, 2e-8, 10.0), (1.8, 5e-9, 50.0)):
        ota = at(supply_v, bias_a, celsius)
        expected_a = ota.current_a * np.tanh(ota.kappa * (VOLTAGE_V - ota.offset_v) / (2 * thermal_v(celsius)))
        found_a = predicted_a(hardware, bias_a, celsius, VOLTAGE_V, supply_v)
        np.testing.assert_allclose(found_a, expected_a, rtol=0, atol=2e-6 * bias_a)
    nominal = [predicted_a(one, 5e-9, 50.0, VOLTAGE_V) for one in (hardware, bent)]
    np.testing.assert_allclose(*nominal, rtol=0, atol=1e-9 * 5e-9)


def test_supplies_that_leave_out_the_nominal_are_refused():
    fits = [dataclasses.replace(made_ota(1e-9, 27.0), supply_v=supply_v) for supply_v in (2.0, 2.5)]
    with pytest.raises(
        SettingError, match="supplies of 2 to 2.5 V, which do not enclose the 1.8 V of hardware 'nominal'"
    ):
        fit_law(fits, BASE)


def test_what_the_polynomials_leave_is_told():
    """A kappa off at one of 12 points leaves more than nothing, and of kappa alone."""
    fits = [made_ota(bias_a, celsius) for bias_a in (1e-9, 1e-8, 1e-7) for celsius in CELSIUS]
    exact = fit_law(fits, BASE).rms
    assert max(exact.values()) < 1e-6
    fits[5] = dataclasses.replace(fits[5], kappa=fits[5].kappa + 0.02)
    moved = fit_law(fits, BASE).rms
    assert 1e-3 < moved["kappa"] < 0.02
    assert max(value for name, value in moved.items() if name != "kappa") < 1e-6


def test_devices_at_one_bias_and_temperature_are_averaged():
    fits = [made_ota(bias_a, c) for bias_a in (1e-9, 1e-7) for c in (0.0, 85.0)]
    spread = [
        dataclasses.replace(fit, device=f"{sign}", kappa=fit.kappa + sign * 0.01, offset_v=fit.offset_v + sign * 4e-3)
        for fit in fits
        for sign in (-1, 1, 0, 0)
    ]
    one, many = fit_law(fits, BASE), fit_law(spread, BASE)
    for name, value in one.fields.items():
        if isinstance(value, float):
            assert many.fields[name] == pytest.approx(value, rel=1e-9, abs=1e-15)
    assert sorted(many.fields) == sorted(one.fields)


def test_without_additive_term_none_is_stated():
    fits = [made_ota(bias_a, 27.0) for bias_a in (1e-9, 1e-8)]
    assert fit_law(fits, BASE).fields["ota.systematic"].additive == ()


def test_prediction_does_not_see_the_programming_grid():
    coarse = with_fields(made_from(reference_fits()), {"floating_gate.bits": 2})
    fine = with_fields(coarse, {"floating_gate.bits": 16})
    np.testing.assert_array_equal(*(predicted_a(one, 3.3e-9, 27.0, VOLTAGE_V) for one in (coarse, fine)))


def test_residual_is_over_the_bias():
    curve = made_curve(1e-8, 27.0, 1.0, 0.7, 0.0)
    hardware = made_from([FittedOta("made", 1e-8, 27.0, 1e-8, 0.7, 0.0, 0.0, 0.0, 0.0)])
    off = dataclasses.replace(curve, current_a=curve.current_a + 1e-10 * np.where(VOLTAGE_V > 0, 1, -2))
    rms, largest = law_residual(hardware, off)
    share = np.mean(VOLTAGE_V > 0)
    assert rms == pytest.approx(0.01 * np.sqrt(share + 4 * (1 - share)), rel=1e-6)
    assert largest == pytest.approx(0.02, rel=1e-6)


def test_no_curves_are_refused():
    with pytest.raises(SettingError, match="there are no curves to fit a law to"):
        fit_law([], BASE)


@pytest.mark.parametrize("current_a", [-1e-8, 0.0, 1e-12])
def test_an_ota_without_current_or_with_swapped_inputs_is_named(current_a):
    dead = dataclasses.replace(made_ota(1e-8, 27.0), device="ota 7", current_a=current_a)
    with pytest.raises(SettingError, match="the fit of 'ota 7' at 1e-08 A and 27 C found a bias current of"):
        fit_law([made_ota(1e-9, 27.0), dead], BASE)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 3), (4, 3)])
def test_the_polynomial_is_numpys(x64, shape):
    table = RNG.normal(size=shape)
    decades, change_k = RNG.uniform(-2, 2, (5, 3)), -13.5
    found = polynomial(tuple(map(tuple, table.tolist())), jnp.asarray(decades), change_k)
    np.testing.assert_allclose(found, polyval2d(decades, np.full_like(decades, change_k), table), rtol=1e-12)


def test_rows_of_a_polynomial_may_differ_in_length_and_none_is_zero(x64):
    found = polynomial(((1.0, 0.5), (), (0.25, 0.0, 2.0)), jnp.array([0.0, 3.0]), 2.0)
    np.testing.assert_allclose(found, [1 + 1, 1 + 1 + 9 * (0.25 + 8)], rtol=1e-12)
    np.testing.assert_array_equal(polynomial((), jnp.array([0.0, 3.0]), 2.0), [0.0, 0.0])


PROGRAM = Program(
    jnp.array([[3e-9, -4e-8, 1e-11, 9e-8], [5e-8, 2e-9, -6e-8, 0.0]]), jnp.array([2e6, 3e6]), jnp.zeros(2)
)
ENVIRONMENT = Environment(320.0, 1.8)
ZEROS = ((0.0, 0.0), (0.0,))


@jax.jit
def scores_v(hardware):
    chip = sample_chip(jax.random.key(1), hardware, ArrayGeometry(4, 2))
    return read(realise(PROGRAM, hardware, chip, ENVIRONMENT), jnp.array([0.3, -0.7, 1.0, 0.1]), jnp.ones(2))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["nominal", "paper_4_2"])
def test_an_empty_systematic_part_is_none_to_the_bit_and_one_of_zeros_to_rounding(preset, optimised):
    """Zeros are computed with, and the compiler may round the program that holds them elsewhere."""
    without, empty, zeros = (
        np.asarray(scores_v(with_fields(get_preset(preset), {"ota.systematic": systematic})))
        for systematic in (None, Systematic(), Systematic(ZEROS, ZEROS, ZEROS, ZEROS))
    )
    assert np.all(np.abs(without) > 1e-3)
    assert empty.tobytes() == without.tobytes()
    np.testing.assert_allclose(zeros, without, rtol=3e-7)


@pytest.mark.slow
@pytest.mark.parametrize("field", ["log_current", "kappa", "offset_v", "additive"])
def test_gradients_to_a_coefficient_are_right(x64, field):
    """Against finite differences, of what one OTA gives and of all that ``read`` sums; an OTA that is off adds none."""

    @jax.jit
    def total(coefficient):
        table = ((0.0, 0.0), (0.01 * coefficient, 1e-4))
        hardware = with_fields(BASE, {"ota.systematic": Systematic(**{field: table}), "floating_gate.bits": None})
        realised = realise(PROGRAM, hardware, nominal_chip(hardware, ArrayGeometry(4, 2)), ENVIRONMENT)
        return read(realised, jnp.array([0.3, -0.7, 1.0, 0.1]), jnp.ones(2))

    check_grads(total, (jnp.asarray(0.7),), order=1, modes=["fwd", "rev"], rtol=1e-5)
    slope = jax.jacfwd(total)(0.7)
    assert bool(jnp.all(jnp.isfinite(slope))) and float(jnp.max(jnp.abs(slope))) > 1e-6
