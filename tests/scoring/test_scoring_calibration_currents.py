"""Programming of each OTA: residuals against the grid, cost, what it cannot do."""

from __future__ import annotations

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest
from calibration_cases import compiled_scores, design_for
from scoring_reference import INPUTS, draw_chip, key, spec_for
from scoring_reference import quick_jit as jit

from atis_jax.circuits import get_preset, nominal_chip, nominal_environment, with_fields
from atis_jax.scoring.atis.calibration import CalibrationSpec, chip_bench, no_trim, program_currents, trimmed
from atis_jax.scoring.atis.calibration.currents import AMPLITUDES
from atis_jax.scoring.atis.design import FEEDBACK_OHM
from atis_jax.validation import SettingError

SPEC, DIFFERENTIAL = spec_for("consensus"), spec_for("consensus", differential=True)
NOMINAL = get_preset("nominal")
CALIBRATION = CalibrationSpec(methods=("currents", "threshold"), current_repeats=2)
STEP = np.log(1000.0) / 254

# Mirrors with 7 % of spread, no read noise, and a reference fine enough to leave the grid alone to be judged.
QUIET = with_fields(
    get_preset("sky130_130nm"),
    {"comparator.reference_bits": 14, "comparator.noise_v": 0.0, "tia.bandwidth_hz": 0.0},
)


def design_of(weights=(0.25, 0.85)):
    """Magnitudes well inside the range, scores far from the rails."""
    design, rng = design_for(1, 1), np.random.default_rng(3)
    magnitude = rng.uniform(*weights, (1, INPUTS)) * rng.choice([-1, 1], (1, INPUTS))
    feedback = jnp.full(1, FEEDBACK_OHM.inverse(1e6))
    return dataclasses.replace(design, prototype=jnp.arctanh(jnp.asarray(magnitude, jnp.float32)), feedback=feedback)


def contributions(spec, hardware, design, chip):
    """(A, N): half the difference of one input at +-a, all others at zero, without noise or converter, in NumPy."""
    one = np.concatenate([a * np.eye(INPUTS) for a in AMPLITUDES])
    plus, minus = (
        np.asarray(compiled_scores(spec, hardware, design, chip, jnp.asarray(s * one, jnp.float32))[0], np.float64)[
            :, 0
        ]
        for s in (1, -1)
    )
    return 0.5 * (plus - minus).reshape(len(AMPLITUDES), INPUTS)


def log_ratio(spec, hardware, design, other, chip):
    wanted = contributions(spec, hardware, design, nominal_chip(hardware, spec.geometry))
    found = contributions(spec, hardware, other, chip)
    return np.log((found * wanted).sum(0) / (wanted * wanted).sum(0))


@functools.cache
def programmer(spec, hardware, calibration=CALIBRATION):
    @jit
    def run(design, chip, noise_key):
        bench = chip_bench(spec, hardware, chip, nominal_environment(hardware))
        return program_currents(bench, design, no_trim(spec), spec, hardware, calibration, noise_key)

    return run


def programmed(spec, hardware, noise_key=None, calibration=CALIBRATION):
    run = programmer(spec, hardware, calibration)
    design, chip = design_of(), draw_chip(key(11), hardware, spec.geometry)
    found = run(design, chip, noise_key)
    return design, chip, found, trimmed(design, found.trim, spec, hardware)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [SPEC, DIFFERENTIAL], ids=["single", "differential"])
def test_a_noiseless_chip_comes_within_half_a_grid_step(spec):
    """And what the converter of 0.06 mV leaves of contributions of tens of millivolts: 0.3 %."""
    design, chip, found, after = programmed(spec, QUIET)
    raw = log_ratio(spec, QUIET, design, design, chip)
    left = log_ratio(spec, QUIET, design, after, chip)
    assert np.abs(raw).max() > STEP
    assert np.abs(left).max() < 0.5 * STEP + 0.003, left
    moved = np.asarray(found.trim.log_current) / STEP
    np.testing.assert_allclose(moved, np.round(moved), atol=1e-4)  # whole steps of the grid
    assert np.any(moved == 0) or np.abs(raw).min() > 0.5 * STEP
    assert int(found.measurements) == 2 * 2 * len(AMPLITUDES) * 2 * INPUTS * 15
    assert not np.any(found.trim.threshold_v)


def test_a_perfect_chip_is_left_as_it_is():
    design = design_of()
    chip = nominal_chip(QUIET, SPEC.geometry)
    found = programmer(SPEC, QUIET)(design, chip, None)
    assert not np.any(found.trim.log_current)


@pytest.mark.slow
def test_read_noise_and_a_coarse_reference_leave_a_third_of_the_mirrors_spread():
    """Of 7 %: grid 0.8 %, and reads of 8 bits with noise averaged over 64, 1 % of a mean contribution."""
    calibration = dataclasses.replace(CALIBRATION, current_repeats=16)
    hardware = get_preset("sky130_130nm")
    design, chip, _, after = programmed(SPEC, hardware, key(12), calibration)
    raw, left = (log_ratio(SPEC, hardware, design, d, chip) for d in (design, after))
    assert np.sqrt(np.mean(left**2)) < np.sqrt(np.mean(raw**2)) / 3


@pytest.mark.slow
def test_a_continuous_cell_is_corrected_in_full():
    hardware = with_fields(QUIET, {"floating_gate.bits": None})
    design, chip, _, after = programmed(SPEC, hardware)
    assert np.abs(log_ratio(SPEC, hardware, design, after, chip)).max() < 0.003


def test_the_grid_is_that_of_the_bits_in_use():
    swept = with_fields(QUIET, {"floating_gate.bits": 12, "floating_gate.used_bits": 8.0})
    (_, _, found, _), (_, _, expected, _) = programmed(SPEC, swept), programmed(SPEC, QUIET)
    assert np.any(expected.trim.log_current)
    np.testing.assert_allclose(found.trim.log_current, expected.trim.log_current, rtol=1e-6)


@pytest.mark.slow
def test_what_cannot_be_seen_or_is_dead_is_left_alone():
    design = design_of()
    tiny = dataclasses.replace(design, prototype=design.prototype.at[0, :3].set(jnp.asarray([1e-4, 0.0, -1e-3])))
    chip = draw_chip(key(11), NOMINAL, SPEC.geometry)
    dead = dataclasses.replace(chip, log_current_error=chip.log_current_error.at[0, 5].set(-20.0))
    bench = chip_bench(SPEC, NOMINAL, dead, nominal_environment(NOMINAL))
    found = jit(lambda d: program_currents(bench, d, no_trim(SPEC), SPEC, NOMINAL, CALIBRATION, key(1)))(tiny)
    assert not np.any(np.asarray(found.trim.log_current)[0, [0, 1, 2, 5]])
    assert np.isfinite(found.trim.log_current).all()


def test_a_prototype_that_is_rewritten_cannot_be_programmed_once():
    spec = spec_for("consensus", prototype="ema")
    with pytest.raises(SettingError, match="'currents', but scorer.prototype = 'ema'"):
        program_currents(lambda *args: None, design_of(), no_trim(spec), spec, NOMINAL, CALIBRATION, None)
