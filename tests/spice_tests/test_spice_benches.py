"""The benches against the reference data, closed forms, and other decks for the same thing."""

import numpy as np
import pytest
from spice_marks import DATA, needs_ngspice, needs_sky130, reference_curve, rows_of

from atis_jax.circuits import get_preset
from atis_jax.spice.benches import (
    amplifier_curve,
    array_sums,
    comparator_offsets,
    loaded_sums,
    mismatched_amplifiers,
    mismatched_comparators,
    mismatched_otas,
    ota_curves,
    ota_deck,
    output_noise,
    settling_s,
)
from atis_jax.spice.models import find_process
from atis_jax.spice.netlist import Amplifier
from atis_jax.spice.simulator import SpiceError, simulate_all
from experiments.spice.rows import random_row, row_gap

CHARGE_C = 1.602176634e-19
CASES = [(drive, bias, celsius) for drive in ("diff", "se") for bias in (1, 10, 100) for celsius in (0, 27, 60, 85)]


@pytest.fixture
def sky130():
    return find_process("sky130")


@pytest.fixture
def generic():
    return find_process("generic")


def log_current(curves, bias_a):
    """ln of half the swing over the bias."""
    return np.log((curves[:, -1] - curves[:, 0]) / (2 * bias_a))


@pytest.mark.slow
@needs_sky130
def test_ota_curves_are_those_of_the_reference(sky130):
    """All 24 at all 101 points within 1e-7 of the bias (the file has ten digits)."""
    decks = [ota_deck(sky130, 1e-9 * bias, c, 101, differential_drive=drive == "diff") for drive, bias, c in CASES]
    for (drive, bias, celsius), done in zip(CASES, simulate_all(decks), strict=True):
        voltage_v, current_a = reference_curve(drive, bias, celsius).T
        found = done.results[0]
        np.testing.assert_allclose(found["sweep"], voltage_v, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found["i(vo)"], current_a, rtol=0, atol=1e-16 * bias)


@needs_sky130
@pytest.mark.parametrize(("bias_na", "celsius"), [(1, 60), (10, 27), (100, 60)])
def test_ota_curves_keep_1e_6_of_every_current(sky130, bias_na, celsius):
    ((bias_a, at_c, _, current_a),) = ota_curves(sky130, [1e-9 * bias_na], [celsius], 101)
    assert (bias_a, at_c) == (1e-9 * bias_na, celsius)
    np.testing.assert_allclose(current_a, reference_curve("diff", bias_na, celsius)[:, 1], rtol=1e-6)


@needs_ngspice
def test_curves_come_in_the_order_asked_for(generic):
    found = ota_curves(generic, [100e-9, 1e-9], [85.0, 0.0], 5)
    assert [one[:2] for one in found] == [(100e-9, 85.0), (100e-9, 0.0), (1e-9, 85.0), (1e-9, 0.0)]
    for bias_a, _, voltage_v, current_a in found:
        np.testing.assert_allclose(voltage_v, [-0.15, -0.075, 0, 0.075, 0.15], atol=1e-12)
        assert current_a[-1] == pytest.approx(bias_a, rel=0.05)


@needs_sky130
@pytest.mark.parametrize("bias", ["1nA", "10nA", "100nA", "55nA"])
@pytest.mark.parametrize("amplitude", ["20mV", "60mV"])
def test_sums_of_four_are_those_of_the_reference(sky130, bias, amplitude):
    """Signs +, -, +, -; every wave within 1e-6 of the summed bias."""
    rows = [r for r in rows_of("dot4_waves.csv") if r["case"] == f"{bias}_27C_vg_{amplitude}"]
    values = np.array([[float(value) for name, value in row.items() if name != "case"] for row in rows])
    signed_a = 1e-9 * values[0, :4] * [1, -1, 1, -1]
    found = array_sums(sky130, signed_a, values[:, 4:8], 27.0)
    assert len(found) == 101
    np.testing.assert_allclose(found, values[:, 8], rtol=0, atol=1e-6 * np.abs(signed_a).sum())


@needs_ngspice
def test_a_sum_is_the_sum_of_its_otas(generic):
    """Into a source each OTA is on its own: three arrays of one, and one row at a time, give what the array gives."""
    signed_a = np.array([40e-9, -5e-9, 90e-9])
    voltages_v = np.array([[0.01, 0.08, -0.03], [-0.06, 0.002, 0.05], [0.0, -0.1, 0.1]])
    whole = array_sums(generic, signed_a, voltages_v, 27.0)
    alone = [array_sums(generic, signed_a[j : j + 1], voltages_v[:, j : j + 1], 27.0) for j in range(3)]
    rows = [array_sums(generic, signed_a, voltages_v[t : t + 1], 27.0)[0] for t in range(3)]
    np.testing.assert_allclose(whole, np.sum(alone, axis=0), atol=1e-6 * 135e-9)
    np.testing.assert_allclose(whole, rows, atol=1e-6 * 135e-9)
    assert np.ptp(whole) > 10e-9


def test_inputs_without_an_ota_are_refused(generic):
    with pytest.raises(SpiceError, match="3 input voltages for 2 OTAs; give one a bias current"):
        array_sums(generic, np.array([1e-9, 2e-9]), np.zeros((4, 3)), 27.0)


@needs_sky130
@pytest.mark.parametrize("celsius", [0.0, 27.0, 85.0])
def test_comparator_offset_stays_below_5_mv(sky130, celsius):
    offsets_v = comparator_offsets(sky130, np.linspace(-0.5, 0.5, 7), 1e-6, celsius)
    assert offsets_v.shape == (7,)
    assert np.max(np.abs(offsets_v)) < 5e-3


@needs_ngspice
def test_a_comparator_beyond_its_range_is_an_error(generic):
    with pytest.raises(SpiceError, match="the comparator does not switch once within 10 mV of its reference"):
        comparator_offsets(generic, [0.0, 1.5], 1e-6, 27.0)


@needs_sky130
@pytest.mark.parametrize("bias_a", [10e-9, 100e-9])
def test_noise_above_the_flicker_is_shot_noise_of_both_branches(sky130, bias_a):
    """Four devices at I_b / 2, 2qI each, is 4q I_b; within 1.0 to 1.2 between the 1/f corner and the mirror's pole."""
    frequency_hz, density = output_noise(sky130, bias_a, 27.0)
    white = (frequency_hz > 2e12 * bias_a) & (frequency_hz < 1e13 * bias_a)
    ratio = density / (4 * CHARGE_C * bias_a)
    assert white.sum() >= 6
    assert 1.0 < ratio[white].min() and ratio[white].max() < 1.2
    assert ratio[0] > 10
    assert frequency_hz[0] == 1.0 and frequency_hz[-1] == pytest.approx(1e6)


@needs_sky130
@pytest.mark.parametrize(("bias_a", "published_s"), [(100e-9, 3.7e-6), (10e-9, 34e-6), (1e-9, 324e-6)])
def test_settling_into_1_pf_takes_as_long_as_published(sky130, bias_a, published_s):
    """To half an LSB of 6 bits, 1/128 of the step."""
    assert settling_s(sky130, bias_a, 1e-12, 27.0, 6) == pytest.approx(published_s, rel=0.15)


@needs_ngspice
def test_settling_goes_with_load_and_bits(generic):
    """One pole: ln 2^(bits + 1), and in proportion to a load far above the parasitics."""
    times_s = {(c, b): settling_s(generic, 10e-9, c, 27.0, b) for c, b in ((10e-12, 6), (20e-12, 6), (10e-12, 3))}
    assert times_s[20e-12, 6] / times_s[10e-12, 6] == pytest.approx(2, rel=0.02)
    assert times_s[10e-12, 6] / times_s[10e-12, 3] == pytest.approx(7 / 4, rel=0.05)


@needs_sky130
def test_amplifier_curve_spans_the_sum_of_the_currents(sky130):
    current_a, score_v = amplifier_curve(sky130, Amplifier(1e6, 0.3e-6, 1e6), 27.0, 13)
    np.testing.assert_allclose(current_a, np.linspace(-0.3e-6, 0.3e-6, 13), atol=1e-15)
    np.testing.assert_allclose(score_v, 1e6 * current_a, atol=1e-3)


@pytest.mark.slow
@needs_sky130
def test_a_seed_gives_the_same_amplifiers_and_comparators_at_every_temperature(sky130):
    """Offsets of millivolts at 0 and 70 C: alike device by device, and not the other seed's."""
    amplifier = Amplifier(1e6, 2.5e-7, 1e6)
    for offsets_v in (
        lambda celsius, seed: mismatched_amplifiers(sky130, amplifier, celsius, 8, seed),
        lambda celsius, seed: mismatched_comparators(sky130, 0.1, celsius, 8, seed, step_v=1e-3),
    ):
        cold, hot, other = offsets_v(0.0, 1), offsets_v(70.0, 1), offsets_v(0.0, 2)
        assert np.corrcoef(cold, hot)[0, 1] > 0.9 and 1e-3 < np.std(cold) < 2e-2
        assert np.max(np.abs(cold - hot)) < 6e-3 and np.corrcoef(cold, other)[0, 1] < 0.9


@pytest.mark.slow
@needs_sky130
def test_a_load_takes_what_the_output_conductances_leave(sky130):
    """Current through 0.1 V / sum I_b is below that into a source by R G_o, half of sum I_b over 5-9 V: 0.6 to 1 %."""
    signed_a = np.array([40e-9, -5e-9, 90e-9])
    voltages_v = np.array([[0.06, 0.08, 0.03], [-0.06, 0.02, -0.05]])
    ideal, loaded = (
        array_sums(sky130, signed_a, voltages_v, 27.0),
        loaded_sums(sky130, signed_a, voltages_v, 0.74e6, 27.0),
    )
    lost = 1 - loaded / ideal
    assert np.all((lost > 0.004) & (lost < 0.015))


@pytest.mark.slow
@needs_sky130
@pytest.mark.parametrize("preset", ["sky130_fg", "sky130_130nm"])
def test_the_presets_scores_are_the_simulators_at_another_supply_and_temperature(sky130, preset):
    """A random row that nothing was fitted to: below 0.5 V within 2 mV RMS, no decision wrong outside the grey zone."""
    hardware, rng = get_preset(preset), np.random.default_rng(5)
    row = random_row(rng, 6, 1e-9, 1e-7, hardware)
    gap = row_gap(sky130, hardware, row, rng.uniform(-0.1, 0.1, (16, 6)), 70.0, 1.62)
    assert gap.small >= 8 and gap.small_rms_v < 2e-3 and gap.outside == 0
    without = row_gap(sky130, get_preset("nominal"), row, rng.uniform(-0.1, 0.1, (16, 6)), 70.0, 1.62)
    assert without.small_rms_v > 2e-3


@pytest.mark.slow
@needs_sky130
def test_a_seed_gives_its_devices_and_another_seed_others(sky130):
    """60 devices, in two decks: none drawn twice, neither within a population nor by the next seed."""
    first, again, other = (mismatched_otas(sky130, 10e-9, 27.0, 60, seed, 3)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (60, 3)
    assert len(np.unique(np.round(np.concatenate([first, other])[:, 2] / 10e-9, 9))) == 120


@pytest.mark.slow
@needs_sky130
def test_a_population_is_the_references_and_a_diode_each_doubles_its_variance(sky130):
    """ln I_b of 200 devices. The reference held the tails' gates, so that one of the mirror's two equal devices drew;
    with a diode each, both do, and sigma rises by sqrt 2. The logarithm of a ratio of two sigmas of n devices has a
    standard error of 1/sqrt(n - 1), 0.071; 4 of them are below ln sqrt 2 = 0.35.
    """
    common = log_current(mismatched_otas(sky130, 10e-9, 27.0, 200, 4, 3)[1], 10e-9)
    own = log_current(mismatched_otas(sky130, 10e-9, 27.0, 200, 3, 3, own_diode=True)[1], 10e-9)
    reference = np.log(np.loadtxt(DATA / "mc_ota_10nA.csv", delimiter=",")[:, 0])
    sigmas = [np.std(one, ddof=1) for one in (reference, common, own)]
    assert abs(np.log(sigmas[1] / sigmas[0])) < 4 / np.sqrt(199)
    assert abs(np.log(sigmas[2] / sigmas[1]) - 0.5 * np.log(2)) < 4 / np.sqrt(199)


@pytest.mark.slow
@needs_ngspice
def test_generic_mismatch_follows_its_stated_area_law(generic):
    """An OTA's offset from V_T alone: two 4 x 2 um inputs and two 4 x 4 um mirrors, 5 mV um, mirror and input with
    about the same gm in weak inversion: sigma^2 = 2 (5/sqrt 8)^2 + 2 (5/4)^2 mV^2. 200 devices: within 4/sqrt 398.
    """
    voltage_v, currents_a = mismatched_otas(generic, 10e-9, 27.0, 200, 5, 61)
    crossing_mv = [1e3 * np.interp(0.0, one, voltage_v) for one in currents_a]
    expected_mv = np.sqrt(2 * 25 / 8 + 2 * 25 / 16)
    assert np.std(crossing_mv, ddof=1) == pytest.approx(expected_mv, rel=4 / np.sqrt(398))
