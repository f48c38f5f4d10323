"""One curve to the numbers of its OTA: known ones found again, those of the reference, of every law."""

import numpy as np
import pytest
from fitting_cases import VOLTAGE_V, made_curve, reference_curves, reference_fits, rows_of

from atis_jax.circuits.ota import LAWS
from atis_jax.fitting.curves import Curve
from atis_jax.fitting.ota import fit_curve
from atis_jax.validation import SettingError

RNG = np.random.default_rng(0)
KNOWN = [
    (10.0 ** RNG.uniform(-9.5, -7), RNG.uniform(-20, 100), *RNG.uniform([0.7, 0.5, -0.02], [1.4, 0.9, 0.02]))
    for _ in range(6)
]


@pytest.mark.parametrize(("bias_a", "celsius", "ratio", "kappa", "offset_v"), KNOWN)
@pytest.mark.parametrize("additive", [None, -0.03])
def test_known_numbers_are_found_again(bias_a, celsius, ratio, kappa, offset_v, additive):
    """Within 1e-6: of I_b and kappa, of 1 mV, of 1."""
    curve = made_curve(bias_a, celsius, ratio, kappa, offset_v, additive or 0.0)
    found = fit_curve(curve, additive=additive is not None)
    assert (found.device, found.bias_a, found.temperature_c) == ("made", bias_a, celsius)
    assert found.current_a == pytest.approx(ratio * bias_a, rel=1e-6)
    assert found.kappa == pytest.approx(kappa, rel=1e-6)
    assert found.offset_v == pytest.approx(offset_v, abs=1e-9)
    assert found.additive == pytest.approx(additive or 0.0, abs=1e-6)
    assert found.largest < 1e-6


@pytest.mark.parametrize("law", LAWS)
def test_every_law_fits_a_curve_made_with_it(law):
    """A straight line holds only the product of I_b and kappa; of the others every number comes back."""
    curve = made_curve(2e-7, 40.0, 1.1, 0.66, 0.004, law=law, specific_a=5e-7)
    found = fit_curve(curve, law=law, specific_current_a=5e-7)
    assert found.current_a * found.kappa == pytest.approx(2.2e-7 * 0.66, rel=1e-6)
    assert found.offset_v == pytest.approx(0.004, abs=1e-8)
    if law != "linear":
        assert found.kappa == pytest.approx(0.66, rel=1e-5)
    assert found.rms < 1e-8


@pytest.mark.parametrize("law", ["ekv", "bump"])
def test_another_law_does_not_fit(law):
    """Guards the test above: the shapes differ by more than the fit leaves."""
    assert fit_curve(made_curve(2e-7, 40.0, 1.1, 0.66, 0.004, law=law, specific_a=5e-8)).rms > 5e-4


def test_residuals_are_those_of_the_curve():
    ripple = 0.01 * np.cos(40 * np.arange(61))
    made = made_curve(1e-8, 27.0, 1.0, 0.7, 0.0)
    found = fit_curve(Curve("rough", 1e-8, 27.0, VOLTAGE_V, made.current_a + 1e-8 * ripple))
    fitted = made_curve(1e-8, 27.0, found.current_a / 1e-8, found.kappa, found.offset_v).current_a
    left = fitted / 1e-8 - made.current_a / 1e-8 - ripple
    assert found.rms == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-6)
    assert found.largest == pytest.approx(np.max(np.abs(left)), rel=1e-6)
    assert found.rms < np.sqrt(np.mean(ripple**2))


def test_reference_curves_give_the_reference_fits():
    """Three parameters, by other code from three times as many points: within 1e-3, offsets within 0.5 uV too."""
    rows = [row for row in rows_of("ota_summary.csv") if row["drive"] == "diff"]
    assert len(rows) == 12
    for row, found in zip(rows, reference_fits(), strict=True):
        assert (found.bias_a, found.temperature_c) == (1e-9 * float(row["ib_nA"]), float(row["T"]))
        assert found.kappa == pytest.approx(float(row["kappa3"]), rel=1e-3)
        assert 1e3 * found.offset_v == pytest.approx(float(row["vos3_mV"]), rel=1e-3, abs=5e-4)
        assert 1e9 * found.current_a == pytest.approx(float(row["fitIb"]), rel=1e-3)
        assert 100 * found.rms == pytest.approx(float(row["rms3_pct"]), rel=1e-2)
        assert found.additive == 0.0


def test_single_ended_curves_give_the_reference_fits_with_additive_term():
    """Four parameters; the choice of points moves the offset by up to 0.1 mV and a by up to 0.15 % of I_b."""
    rows = [row for row in rows_of("ota_summary.csv") if row["drive"] == "se"]
    for row, found in zip(rows, reference_fits("se"), strict=True):
        assert found.kappa == pytest.approx(float(row["kappa4"]), rel=1e-3)
        assert 1e3 * found.offset_v == pytest.approx(float(row["vos4_mV"]), abs=0.1)
        assert 100 * found.additive == pytest.approx(float(row["a4_pct"]), abs=0.15)
    assert max(abs(found.additive) for found in reference_fits("se")) > 0.005


def test_a_curve_is_fitted_alike_whatever_its_points():
    curve = reference_curves()[5]
    half = Curve(curve.device, curve.bias_a, curve.temperature_c, curve.voltage_v[::2], curve.current_a[::2])
    whole, part = fit_curve(curve), fit_curve(half)
    assert part.kappa == pytest.approx(whole.kappa, rel=1e-3)
    assert part.current_a == pytest.approx(whole.current_a, rel=1e-3)


def test_a_misspelt_law_is_refused():
    with pytest.raises(SettingError, match="law = 'tahn' is not one of: linear, .*did you mean 'tanh'"):
        fit_curve(reference_curves()[0], law="tahn")
