"""AN231E04: ratios of integers, chips that hold them, the sum they make; against brute force and plain arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atis_jax.export import an231
from atis_jax.export.an231_guide import guide_text, serial_csv
from atis_jax.export.an231_table import capacitors_csv, read_capacitors
from atis_jax.export.errors import ExportError

SHRINK, LARGEST_V = 0.1, 0.5
# A gain of half a unit of 255 is built; less of every weight, and no threshold, leave nothing to build.
LEAST = 0.5 / an231.UNITS / (SHRINK * an231.SWING_V / LARGEST_V)
slopes_of = st.lists(
    st.one_of(st.just(0.0), st.floats(-1.0, 1.0, allow_subnormal=False)), min_size=1, max_size=64
).filter(lambda values: max(map(abs, values)) > LEAST)


def made(slopes, threshold_v=0.05, largest_v=LARGEST_V):
    return an231.plan(np.array(slopes), largest_v, threshold_v, SHRINK)


def test_weights_that_all_round_away_are_refused():
    made([2.0 * LEAST], 0.0)
    with pytest.raises(ExportError, match="every weight rounds away"):
        made([0.99 * LEAST], 0.0)


@given(st.lists(st.floats(0.0, 3.0), min_size=1, max_size=4))
@settings(max_examples=50)
def test_no_other_shared_capacitor_errs_less(gains):
    shared, units = an231.ratios(gains)
    assert 1 <= shared <= 255 and all(0 <= unit <= 255 for unit in units)
    error = sum((unit / shared - gain) ** 2 for unit, gain in zip(units, gains, strict=True))
    for other in range(1, 256):
        rounded = [round(gain * other) for gain in gains]
        if max(rounded) <= 255:
            there = sum((unit / other - gain) ** 2 for unit, gain in zip(rounded, gains, strict=True))
            assert error <= there + 1e-12


@pytest.mark.parametrize("gains", [[256.0], [-0.1], [math.nan], [math.inf]])
def test_gains_beyond_the_capacitors_are_refused(gains):
    with pytest.raises(ExportError, match="between 0 and 255"):
        an231.ratios(gains)


@pytest.mark.slow
@given(slopes_of, st.floats(-0.4, 0.4))
@settings(max_examples=80)
def test_realised_gains_are_within_rounding(slopes, threshold_v):
    found = made(slopes, threshold_v)
    gains, constant_v = an231.realised(found, len(slopes))
    bound = an231.rounding_bound(found, len(slopes))
    assert np.all(np.abs(gains - found.wanted) <= bound * (1 + 1e-9) + 1e-12)
    # The constant is one branch of 2 V: half a unit of its SumDiff, whose capacitor is at least 1.
    shared = found.chips[-1].sums[-1].shared_units
    assert abs(constant_v + threshold_v * found.volts_per_volt) <= 2.0 * 0.5 / shared + 1e-12


@given(slopes_of)
@settings(max_examples=80)
def test_every_chip_fits_and_every_input_is_wired_once(slopes):
    found = made(slopes)
    wired = []
    for number, chip in enumerate(found.chips):
        assert chip.io_cells <= 7 and len(chip.sums) + 1 <= 2 * 4
        assert sum(one.branches != () for one in chip.sums) <= 4
        for one in chip.sums:
            assert len(one.branches) <= 4 and 1 <= one.shared_units <= 255
            assert all(1 <= branch.units <= 255 for branch in one.branches)
            # Three capacitors and one for the output: a four-input SumDiff has five of a CAB's eight.
            assert len(one.branches) + 1 <= 8
        sources = [branch.source for one in chip.sums for branch in one.branches]
        assert (f"chip {number - 1}" in sources) == (number > 0)
        wired += [source for source in sources if source.startswith("input")]
    assert len(wired) == len(set(wired))
    gains, _ = an231.realised(found, len(slopes))
    assert {int(source.split()[1]) for source in wired} == set(np.flatnonzero(gains))
    assert [chip.compares for chip in found.chips] == [False] * (len(found.chips) - 1) + [True]


@pytest.mark.parametrize(("inputs", "chips"), [(1, 1), (7, 1), (8, 2), (12, 2), (16, 3), (32, 6), (64, 13)])
def test_number_of_chips(inputs, chips):
    """7 cells: the first chip takes 6 inputs and gives a sum, the next 5 more, the last 6 (its bit is digital)."""
    assert len(made(np.linspace(-0.9, 0.9, inputs) + 0.01).chips) == chips


def test_the_chain_adds_what_a_scalar_product_would():
    """Played through the chips capacitor by capacitor, with signals instead of gains."""
    rng = np.random.default_rng(3)
    slopes = rng.normal(0, 0.4, 20)
    found = made(slopes, 0.1)
    volts = rng.uniform(-1, 1, 20)
    arriving = 0.0
    for chip in found.chips:
        outputs = {}
        for one in chip.sums:
            total = 0.0
            for branch in one.branches:
                kind, _, which = branch.source.partition(" ")
                if kind == "input":
                    signal = volts[int(which)]
                elif kind == "chip":
                    signal = arriving
                elif kind == "sum":
                    signal = outputs[which]
                else:
                    signal = 2.0
                total += branch.sign * branch.units / one.shared_units * signal
            outputs[one.name] = total
        arriving = outputs[chip.sums[-1].name]
    gains, constant_v = an231.realised(found, 20)
    assert arriving == pytest.approx(gains @ volts + constant_v, abs=1e-12)
    # 0.1 V of full scale in the design is 1 V here.
    wanted = slopes @ (0.1 * volts) * found.volts_per_volt - 0.1 * found.volts_per_volt
    assert arriving == pytest.approx(wanted, abs=0.02)


@given(slopes_of)
@settings(max_examples=30)
def test_capacitors_read_back_are_those_written(slopes):
    found = made(slopes)
    assert read_capacitors(capacitors_csv([found]), [found])[0].chips == found.chips


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (6, "256", "of 1 to 255"),
        (6, "0", "of 1 to 255"),
        (5, "2", "of -1 to 1"),
        (3, "300", "of 1 to 255"),
        (6, "x", "units: 'x' is no whole number"),
        (0, "1", "score: '1' is no whole number of 0 to 0"),
        (1, "9", "chip: '9' is no whole number of 0 to"),
        (8, "True", "compares: 'True' is no whole number"),
    ],
)
def test_damaged_capacitors_are_refused_with_their_line(field, value, words):
    found = made([1.0, 0.5, 0.25, 0.125, 0.1])
    lines = capacitors_csv([found]).splitlines()
    cells = lines[2].split(",")
    cells[field] = value
    lines[2] = ",".join(cells)
    with pytest.raises(ExportError, match=f"line 3.*{words}"):
        read_capacitors("\n".join(lines), [found])


def test_a_row_that_is_cut_off_is_refused():
    found = made([1.0, 0.5])
    with pytest.raises(ExportError, match="damaged"):
        read_capacitors(capacitors_csv([found])[:-6], [found])


def test_a_score_that_is_missing_is_noticed():
    found = made([0.3, 0.4])
    with pytest.raises(ExportError, match="holds 1 scores, the plan has 2"):
        read_capacitors(capacitors_csv([found]), [found, found])


def test_serial_frames_hold_every_weight_four_at_a_time():
    slopes = np.array([0.5, 0.0, -0.25, 0.1, 0.7, -0.3, 0.2])
    found = made(slopes)
    frames = an231.serial_frames(found, 7)
    assert [len(branches) for _, branches, _ in frames] == [4, 2]
    for _, branches, shared in frames:
        for j, sign, units in branches:
            assert sign * units / shared == pytest.approx(found.wanted[j], abs=0.5 / shared + 1e-12)
    assert len(serial_csv([found]).splitlines()) == 1 + 6


def test_the_guide_names_every_chip_gain_and_what_is_not_made():
    found = made(np.linspace(-0.9, 0.9, 16) + 0.01, 0.1)
    text = guide_text("mine", 2, [found])
    assert "# Layer 3 of mine on AN231E04" in text and "Chip 2 (of 3)" in text
    for one in (one for chip in found.chips for one in chip.sums):
        for branch in one.branches:
            assert f"| {branch.units / one.shared_units:.4f} | {branch.units} / {one.shared_units} |" in text
    for words in ("not of microwatts", ".ahf", ".ad2", "Not built", "Comparator", "+2 V"):
        assert words in text


@pytest.mark.parametrize("slopes", [[0.0, 0.0], []])
def test_a_score_without_weights_is_refused(slopes):
    with pytest.raises(ExportError, match="no input has a weight"):
        made(slopes)


def test_signals_that_real_tokens_reach_stay_below_the_swing():
    found = made([0.3, -0.2, 0.5], threshold_v=0.1, largest_v=0.4)
    assert found.volts_per_volt * 0.4 == pytest.approx(an231.SWING_V)
    loud = made([0.3], threshold_v=-0.9, largest_v=0.4)
    assert loud.volts_per_volt * 0.9 == pytest.approx(an231.SWING_V)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",input 2,", ",input 99,", "takes 'input 99'"),
        (",input 2,", ",sum C,", "takes 'sum C'"),
        (",input 2,1,", ",input 2,0,", "with sign 0"),
        (",sum A,", ",chip 0,", "takes 'chip 0'"),
    ],
)
def test_a_sum_of_what_is_not_there_is_refused(old, new, words):
    found = made([1.0, 0.5, 0.25, 0.125, 0.1])
    text = capacitors_csv([found])
    assert old in text
    with pytest.raises(ExportError, match=words):
        read_capacitors(text.replace(old, new, 1), [found])


@pytest.mark.slow
@settings(max_examples=100)
@given(data=st.data())
def test_any_damage_of_the_table_is_told_or_leaves_a_plan(data):
    found = made([1.0, 0.5, 0.25, 0.125, 0.1, -0.3, 0.2, 0.9])
    text = capacitors_csv([found])
    place = data.draw(st.integers(text.index("\n"), len(text)))
    text = text[:place] + data.draw(st.text("0129,-\nx²", max_size=3)) + text[place + data.draw(st.integers(0, 3)) :]
    try:
        (read,) = read_capacitors(text, [found])
    except ExportError:
        return
    assert np.all(np.isfinite(an231.realised(read, 8)[0]))
