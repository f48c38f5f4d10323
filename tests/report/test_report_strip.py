"""The strip that opens a page: its sentence is right for whoever wins, and no digit is below the error."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from fake_run import fake_arrays, fake_summary
from hypothesis import given, settings
from hypothesis import strategies as st

from atis_jax.report.charts import Bar, Dot, bars, dots
from atis_jax.report.run_files import RunFiles
from atis_jax.report.sampling import Sample, change_to, percent_to, points_to
from atis_jax.report.standing import Claim, Standing
from atis_jax.report.style import ANALOG, DENSE, DIGITAL, RANDOM, drawing
from experiments.codesign_report.contents import CODESIGN
from experiments.codesign_report.contents import DENSE as DENSE_RUN

KEPT = np.array([0.85, 0.5, 0.27])


def plain(text):
    return text.replace("\u00a0", " ")


def run_of(accuracy=None, energy=None, kind="analog", arrays=None, examples: int | None = 2000) -> RunFiles:
    """A finished run whose analog network is at 95 % and takes 6 of the dense network's 10 uJ; 3 of the 6 score."""
    summary = fake_summary(KEPT, 64)
    summary["accuracy"] |= {"dense": 0.95, "hardware_mean": 0.95, "digital": None, "random": 0.6} | (accuracy or {})
    joules = {"dense_j": 10e-6, "total_j": 6e-6, "digital_folded_j": 5e-6}
    joules |= {"scoring_j": 3e-6, "digital_folded_scoring_j": 2e-6}
    summary["energy"] |= joules | (energy or {})
    summary["dataset"]["examples"] = examples
    return RunFiles(Path("x"), {"scorer": {"kind": kind}}, summary, arrays or {})


def said(run: RunFiles) -> str:
    with drawing():
        return plain(CODESIGN.strip(run).sentence)


# Who wins, who loses, and when nobody does. One standard error of 95 % on 2,000 images is 0.49 points.
@pytest.mark.parametrize(
    ("accuracy", "energy", "expected"),
    [
        (
            {},
            {},
            "Analog pruning beats the dense network (40 % less energy, accuracy does not differ) but loses to folded "
            "digital scoring (20 % more energy).",
        ),
        (
            {},
            {"digital_folded_j": 8e-6},
            "Analog pruning beats the dense network (40 % less energy, accuracy does not differ) and beats folded "
            "digital scoring (25 % less energy).",
        ),
        (  # the whole is even, so the scoring alone says who loses
            {},
            {"digital_folded_j": 6.02e-6, "scoring_j": 2e-9, "digital_folded_scoring_j": 1e-9},
            "Analog pruning beats the dense network (40 % less energy, accuracy does not differ) but loses to folded "
            "digital scoring in the scoring alone (2.00 times as much there; the whole pass: as much energy).",
        ),
        (
            {"dense": 0.93},
            {"total_j": 10.01e-6, "digital_folded_j": 10e-6, "scoring_j": 1e-9, "digital_folded_scoring_j": 2e-9},
            "Analog pruning beats the dense network (as much energy, 2.0 points more accurate) and beats folded "
            "digital scoring in the scoring alone (digital takes 2.00 times as much there; the whole pass: as much "
            "energy).",
        ),
        (  # pruning lost to dense
            {"hardware_mean": 0.93},
            {"total_j": 30e-6},
            "Analog pruning loses to the dense network (3.00 times the energy, 2.0 points less accurate) and loses to "
            "folded digital scoring (6.00 times the energy).",
        ),
        (
            {"hardware_mean": 0.93, "digital": 0.95},
            {},
            "Analog pruning wins in energy but loses in accuracy against the dense network (40 % less energy, 2.0 "
            "points less accurate) and loses to folded digital scoring (20 % more energy, 2.0 points less accurate).",
        ),
        (  # one standard error apart is no difference, and nothing else differs either
            {"hardware_mean": 0.945, "digital": 0.951},
            {"total_j": 10e-6, "digital_folded_j": 10e-6, "scoring_j": 1e-9, "digital_folded_scoring_j": 1e-9},
            "Analog pruning does not differ from the dense network (as much energy, accuracy does not differ) and does "
            "not differ from folded digital scoring (as much energy, accuracy does not differ).",
        ),
        (
            {"random": 0.952},
            {"digital_folded_j": None, "digital_j": 7e-6},
            "Analog pruning beats the dense network (40 % less energy, accuracy does not differ) and beats digital "
            "scoring (14 % less energy). A random choice of patches is as accurate.",
        ),
        (
            {"random": 0.97, "dense": None},
            {"dense_j": None},
            "Analog pruning loses to folded digital scoring (20 % more energy). It loses to a random choice of patches "
            "(2.0 points less accurate).",
        ),
    ],
)
def test_the_sentence_names_winner_and_loser(accuracy, energy, expected):
    assert said(run_of(accuracy, energy)) == expected


def test_without_a_number_of_images_nobody_is_said_to_differ():
    text = said(run_of({"hardware_mean": 0.94}, examples=None))
    assert text.startswith(
        "Analog pruning takes 40 % less energy against the dense network (94.0 % accurate against 95.0 %, whose error "
        "is not known)"
    )


def test_other_scorers_unfinished_runs_and_dense_ones():
    assert said(run_of(kind="digital")) == (
        "Digital pruning beats the dense network (40 % less energy, accuracy does not differ)."
    )
    assert said(RunFiles(Path("x"), missing={"summary.json": "summary.json is not in the run folder"})) == (
        "Not measured yet: summary.json is not in the run folder."
    )
    strip = DENSE_RUN.strip(RunFiles(Path("x"), summary={"experiment": "dense", **_dense(0.9525)}))
    assert plain(strip.sentence) == (
        "The dense network reaches 95.2 % accuracy on 2,000 test images; nothing was pruned, nothing compared."
    )
    assert plain(strip.numbers[0].label) == "accuracy, dense; one standard error is 0.5 points"


def _dense(accuracy):
    return {"accuracy": {"dense": accuracy}, "dataset": {"examples": 2000}}


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=50)
def test_a_difference_is_claimed_one_way_only_and_no_digit_is_below_the_error(examples, one, other):
    sample = Sample(examples)
    signs = sample.sign(one, other), sample.sign(other, one)
    assert signs[0] == -signs[1] and sample.sign(one, one) == 0
    error = 100 * sample.error(one)
    shown = plain(sample.words(one)).removesuffix(" %")
    places = len(shown.partition(".")[2])
    # The last digit stands where the first one of the error does; an error of 10 points and more leaves whole percent.
    first = math.floor(math.log10(error) + 1e-9)
    assert places == max(0, -first)
    assert abs(float(shown) - 100 * one) <= 0.5 * 10.0**-places + 1e-9
    if signs[0]:
        assert abs(one - other) > sample.error(one)


def test_digits_and_words_of_sizes():
    assert [plain(points_to(size, 0.005)) for size in (0.021, 0.01, 0.0001)] == [
        "2.1 points",
        "1.0 points",
        "less than 0.1 points",
    ]
    assert plain(points_to(0.012, 0.02)) == "1 point" and plain(points_to(0.001, 0.02)) == "less than 1 point"
    assert plain(change_to(-0.0213, 0.005)) == "−2.1 points" and plain(change_to(-0.0001, 0.005)) == "0 points"
    assert plain(percent_to(1.0, 0.0005)) == "100.00 %" and percent_to(math.nan, 0.1) == "not a number"
    assert plain(change_to(0.01, 0.02)) == "+1 point" and change_to(math.nan, 0.1) == "not a number"


@pytest.fixture(scope="module")
def drawn():
    """The strip of a whole run, drawn once."""
    arrays = fake_arrays(np.random.default_rng(0), KEPT, 2, 8, 64)
    with drawing():
        return CODESIGN.strip(run_of({"digital": 0.951}, arrays=arrays)), arrays


def test_dots_bars_and_the_input(drawn):
    strip, arrays = drawn
    accuracy, energy, picture = strip.pictures
    (axes,) = accuracy.figure.axes
    names = [(label.get_text(), label.get_color()) for label in axes.get_yticklabels()]
    assert names == [("dense", DENSE), ("analog", ANALOG), ("digital", DIGITAL), ("random", RANDOM)]
    means = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert means == pytest.approx([95.0, 95.0, 95.1])
    (chips,) = [line.get_xdata() for line in axes.lines if line.get_marker() == "|"]
    assert chips == pytest.approx(100 * arrays["chip_accuracy"])
    words = [plain(text.get_text()) for text in axes.texts]
    assert words == ["95.0 %", "95.0 %", "95.1 %", "far off this scale", "60 %"], "random would squeeze the others"
    low, high = axes.get_xlim()
    error = 100 * math.sqrt(0.95 * 0.05 / 2000)
    assert low < 95 - error and high > 95 + error and high - low < 5
    (bars_of,) = energy.figure.axes
    assert [plain(text.get_text()) for text in bars_of.texts] == ["10.0 µJ", "6.00 µJ (60 %)", "5.00 µJ (50 %)"]
    widths = [patch.get_width() for patch in bars_of.patches]
    assert widths == pytest.approx([10, 6, 3, 5, 2]) and bars_of.get_xlim()[0] == 0
    titles = [axes.get_title() for axes in picture.figure.axes]
    kept = arrays["kept"][0].sum(axis=1)
    assert titles == ["one input", f"layer 1: {kept[0]} of 64", f"layer 3: {kept[2]} of 64"]
    assert [plain(number.value) for number in strip.numbers] == ["46 %", "64 chips"]
    assert "One standard error of an accuracy is 0.5 points" in plain(strip.note)


@pytest.mark.parametrize(
    ("energy", "words"),
    [(None, "cannot be told from dense (95 against 80)"), (Standing(1, "63 % less energy"), "takes 63 % less energy")],
)
def test_a_difference_that_nobody_can_judge_is_neither_won_nor_lost_nor_none(energy, words):
    claim = Claim("dense", Standing(None, "95 against 80"), energy, Standing(1, "less there"))
    assert claim.sign == 0 and claim.words.startswith(words) and "differ" not in claim.words


def test_what_was_not_measured_is_not_drawn():
    with drawing():
        strip = CODESIGN.strip(dataclasses.replace(run_of(), arrays={}, summary={"experiment": "codesign"}))
    assert strip.pictures == () and strip.numbers == ()
    assert strip.sentence == "Not measured yet: summary.json holds no accuracy."


def test_a_row_leaves_only_when_it_is_far_and_may():
    near = [Dot("a", 10.0, "", ANALOG, band=(9.0, 11.0)), Dot("b", 13.0, "", DENSE, may_leave=True)]
    with drawing():
        (axes,) = dots(near, "x").axes
        assert axes.get_xlim()[1] > 13
        (axes,) = dots([near[0], dataclasses.replace(near[1], value=40.0)], "x").axes
        assert axes.get_xlim()[1] < 12
        (axes,) = dots([near[0], dataclasses.replace(near[1], value=40.0, may_leave=False)], "x", zero=True).axes
        low, high = axes.get_xlim()
        assert low < 0 and high > 40
        (axes,) = bars([Bar("a", 0.0, "0", ANALOG)], "x").axes
        assert axes.get_xlim() == pytest.approx((0, 1.08))
