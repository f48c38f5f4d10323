"""Retargeting: what changes between two bundles, and the calibration that is carried over."""

import dataclasses

import numpy as np
import pytest
from export_cases import bundle, with_weights

from atis_jax.export.errors import ExportError
from atis_jax.export.quantities import achieved
from atis_jax.export.retarget import (
    ERASE,
    KEEP,
    WRITE,
    carry_calibration,
    changes_csv,
    references_csv,
    reprogramming,
)


def two(before, after, **changes):
    """Bundles of one layer whose weights are given; everything else equal."""
    old = with_weights(bundle(len(before), layers=1), np.array([[before]]))
    new = with_weights(bundle(len(after), layers=1), np.array([[after]]))
    return old, dataclasses.replace(new, **changes)


@pytest.mark.slow
def test_the_same_design_changes_nothing():
    found = reprogramming(bundle(), bundle())
    assert {cell.action for cell in found.cells} == {KEEP} and len(found.cells) == 16
    assert (found.written, found.erased_arrays, found.time_s, found.energy_j) == (0, 0, 0.0, 0.0)
    assert found.resistors == found.references == ()


def test_larger_currents_are_written_and_signs_swapped():
    found = reprogramming(*two([0.3, 0.3, -0.3, 0.3], [0.3, 0.6, -0.6, -0.3]))
    assert [cell.action for cell in found.cells] == [KEEP, WRITE, WRITE, KEEP]
    assert [cell.swap for cell in found.cells] == [False, False, False, True]
    assert (found.written, found.erased_arrays) == (2, 0)


def test_one_smaller_current_erases_its_whole_array():
    found = reprogramming(*two([0.3, 0.3, 0.3], [0.3, 0.2, 0.6]))
    assert {cell.action for cell in found.cells} == {ERASE}
    assert (found.written, found.erased_arrays) == (3, 1)


def test_a_cell_that_goes_off_is_erased_and_not_written():
    found = reprogramming(*two([0.3, 0.3], [0.3, 0.0]))
    assert [cell.action for cell in found.cells] == [ERASE, ERASE]
    assert found.written == 1


def test_a_change_below_the_grid_keeps_the_cell():
    """Neighbours on the 8-bit grid over three decades are 2.76 % apart."""
    found = reprogramming(*two([0.5], [0.5 * 1.0001]))
    assert found.cells[0].action == KEEP


def test_time_and_energy_are_of_the_stated_constants():
    found = reprogramming(*two([0.3, 0.3, 0.3], [0.3, 0.2, 0.6]))
    # 2.2 s a cell and 80 ms an array; sqrt(60 nJ x 2.2 mJ) a cell.
    assert found.time_s == pytest.approx(3 * 2.2 + 0.08)
    assert found.energy_j == pytest.approx(3 * np.sqrt(60e-9 * 2.2e-3))


def test_resistors_and_references_that_change_are_listed():
    old = bundle()
    design = dataclasses.replace(old.design, feedback=old.design.feedback + np.float32([[0.1], [0.0]]))
    found = reprogramming(old, dataclasses.replace(old, design=design))
    assert [(layer, score) for layer, score, _, _ in found.resistors] == [(1, 0)] and found.references == ()
    assert references_csv(found).splitlines()[1].startswith("1,0,feedback,ohm,")


def test_the_list_has_a_row_a_cell():
    found = reprogramming(*two([0.3, -0.3], [0.3, 0.6]))
    rows = [line.split(",") for line in changes_csv(found).splitlines()]
    assert rows[0] == ["layer", "score", "input", "old_a", "new_a", "action", "swap_inputs"]
    assert [row[5:] for row in rows[1:]] == [["keep", "0"], ["write", "1"]]
    assert float(rows[2][3]) < 0 < float(rows[2][4])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"inputs": 7}, "scorer.inputs is 8 in one and 7 in the other"),
        ({"layers": 3}, "layers is 2 in one and 3"),
        ({"arrangement": "grouped", "groups": 2}, "scorer.groups"),
        ({"hardware": "pessimistic"}, "floating_gate"),
    ],
)
def test_designs_for_another_chip_are_refused(other, words):
    with pytest.raises(ExportError, match=words):
        reprogramming(bundle(), bundle(**other))


def test_programming_trims_are_carried_as_they_are():
    old, new = bundle(calibrated=True), bundle(seed=1)
    found = carry_calibration(old, new)
    assert np.array_equal(found.log_current, old.calibration.log_current)
    assert found.chip == "chip 7" and found.methods[-1] == "carried from random"


def test_the_same_design_carries_its_thresholds_whole():
    old = bundle(calibrated=True)
    found = carry_calibration(old, bundle())
    np.testing.assert_allclose(found.threshold_v, old.calibration.threshold_v, rtol=1e-6)


def test_carried_thresholds_are_the_regression_of_offsets():
    """Against 40,000 drawn chips: offsets of the OTAs through R_f I kappa / 2U_T, and the comparator's own.

    A regression slope of correlation r over n samples has a standard error of sqrt((1 - r^2) / n) times the ratio of
    the sigmas: below 0.005 of it here; 5 of them are allowed.
    """
    old, new = bundle(calibrated=True), bundle(seed=4)
    ota, comparator = old.hardware.ota, old.hardware.comparator
    rng = np.random.default_rng(0)
    drawn = rng.normal(0, ota.offset_sigma_v, (40_000, 8))
    own = rng.normal(0, comparator.offset_sigma_v, 40_000)
    slope = ota.kappa / (2 * 0.0258520)
    plain = dataclasses.replace(old, calibration=None)

    def shift(made):
        numbers = achieved(made, 0)
        return drawn @ (slope * numbers.feedback_ohm[0] * np.abs(numbers.signed_current_a[0])) + own

    before, after = shift(plain), shift(new)
    wanted = float(before @ after / (before @ before))
    found = carry_calibration(old, new).threshold_v[0, 0] / old.calibration.threshold_v[0, 0]
    assert found == pytest.approx(wanted, abs=0.025 * after.std() / before.std())


def test_a_design_without_calibration_has_none_to_carry():
    with pytest.raises(ExportError, match="holds no calibration"):
        carry_calibration(bundle(), bundle())
