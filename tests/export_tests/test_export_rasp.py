"""RASP: BLIF by the tools' rules, targets within their range, numbers that come back."""

import dataclasses
import re

import numpy as np
import pytest
from export_cases import bundle, with_weights
from hypothesis import given, settings
from hypothesis import strategies as st

from atis_jax.export import rasp
from atis_jax.export.blif import parse_blif
from atis_jax.export.errors import ExportError
from atis_jax.export.quantities import Achieved, achieved

currents = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-10, 1e-7).flatmap(lambda i: st.sampled_from([i, -i]))), min_size=1, max_size=64
).filter(any)
HALF_STEP = 0.5 * np.log(1e4) / 510
"""Of a 9-bit logarithmic grid from 1 nA to 10 uA, in ln I."""


def numbers(values, feedback_ohm=1.5e6, threshold_v=0.1):
    return Achieved(np.array([values]), np.array([feedback_ohm]), np.array([threshold_v]), 0.1, 6)


def back(found, scale, made=None):
    made = rasp.rasp_layer(found, 0, scale) if made is None else made
    text = rasp.blif_text("mine", 0, made)
    return rasp.read_rasp(text, found.signed_current_a.shape[1], 1, scale, made.reference_v.tolist())


@given(currents, st.floats(1e5, 5e7), st.floats(-0.3, 0.3))
@settings(max_examples=80)
def test_numbers_come_back_within_half_a_step(values, feedback_ohm, threshold_v):
    found = numbers(values, feedback_ohm, threshold_v)
    scale = rasp.common_scale([found])
    try:
        read = back(found, scale)
    except ExportError as error:
        assert "ohm needs an FGOTA" in str(error) or "threshold is beyond" in str(error)
        return
    on = found.signed_current_a != 0
    assert np.array_equal(np.sign(read.signed_current_a), np.sign(found.signed_current_a))
    # Six decimals of a BLIF's number are 5e-7.
    assert np.all(np.abs(np.log(read.signed_current_a[on] / found.signed_current_a[on])) <= HALF_STEP + 1e-6)
    assert abs(np.log(read.feedback_ohm[0] / feedback_ohm)) <= HALF_STEP + 1e-6
    # The threshold stands for the same current as in the design.
    assert read.threshold_v[0] / read.feedback_ohm[0] == pytest.approx(threshold_v / feedback_ohm, rel=1e-5, abs=1e-15)


@given(currents)
@settings(max_examples=50)
def test_every_target_is_within_what_the_tools_program(values):
    found = numbers(values)
    scale = rasp.common_scale([found])
    made = rasp.rasp_layer(found, 0, scale)
    table = rasp.targets_csv(rasp.blif_text("mine", 0, made)).splitlines()
    targets = [float(line.split(",")[3]) for line in table[1:]]
    assert min(targets) >= 1e-9 * (1 - 1e-6) and max(targets) <= 1e-5 * (1 + 1e-6)
    on = np.count_nonzero(values)
    # An ota a weight, one op-amp, one comparator; an fgota has three targets.
    assert len(targets) == on + 2 + 3
    assert {line.split(",")[4] for line in table[1:]} <= {"subVt", "aboveVt"}


def test_scale_lifts_the_smallest_current_to_1_na():
    assert rasp.common_scale([numbers([2e-10, -5e-8])]) == pytest.approx(5.0)
    assert rasp.common_scale([numbers([2e-9, -5e-8])]) == 1.0


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (numbers([1e-12, 1e-7]), "span more than"),
        (numbers([0.0, 0.0]), "no OTA of any layer is on"),
    ],
)
def test_ranges_that_do_not_fit_are_refused(found, words):
    with pytest.raises(ExportError, match=words):
        rasp.common_scale([found])


@pytest.mark.parametrize(("feedback_ohm", "words"), [(1e3, "needs an FGOTA"), (1e10, "needs an FGOTA")])
def test_a_resistor_beyond_the_fgota_is_refused(feedback_ohm, words):
    with pytest.raises(ExportError, match=words):
        rasp.rasp_layer(numbers([1e-8], feedback_ohm), 0, 1.0)


def test_threshold_beyond_the_feedback_is_refused():
    with pytest.raises(ExportError, match="beyond what the feedback"):
        rasp.rasp_layer(numbers([1e-8], threshold_v=5.0), 0, 1.0)


def test_a_hand_counted_layer():
    """Two weights: the blocks, ports and pads as a reader of the format would write them."""
    made = rasp.rasp_layer(numbers([1e-8, 0.0, -1e-6]), 4, 1.0)
    text = rasp.blif_text("my net", 4, made)
    lines = [line for line in text.splitlines() if line.startswith((".", "#")) and "subckt" not in line]
    assert lines[0] == ".model my_net_layer5"
    assert lines[1] == ".inputs in_0 in_2 vref vth_0" and lines[2] == ".outputs keep_0"
    assert "# 1 2 3 4 pad_in" in lines and "# 5 pad_out" in lines
    blocks = re.findall(r"(?m)^\.subckt (\w+) in\[0\]=(\w+) in\[1\]=(\w+) out\[0\]=(\w+) #", text)
    assert blocks == [
        ("ota", "in_0", "vref", "sum_0_0"),
        ("ota", "vref", "in_2", "sum_0_2"),
        ("ota", "vref", "sum_0_0", "y_0"),
        ("fgota", "y_0", "vref", "feedback_0"),
        ("ota", "vth_0", "y_0", "keep_0"),
    ]
    assert rasp.joins_csv(made).splitlines() == ["wire,net", "sum_0_0,sum_0_0", "sum_0_0,sum_0_2", "sum_0_0,feedback_0"]
    found = rasp.budget(text)
    assert (found["ota"], found["fgota"], found["cabs"], found["pads"], found["fits"]) == (4, 1, 4, 5, True)


def test_an_input_that_no_weight_reads_takes_no_pad():
    """A design that built 3 of 64 inputs fits: three pads, the reference, the threshold, the bit."""
    weights = np.zeros(64)
    weights[[2, 40, 63]] = 1e-8, -2e-8, 3e-8
    found = numbers(weights)
    text = rasp.blif_text("mine", 0, rasp.rasp_layer(found, 0, 1.0))
    assert ".inputs in_2 in_40 in_63 vref vth_0\n" in text
    assert rasp.budget(text)["pads"] == 6 and rasp.budget(text)["fits"]
    assert np.flatnonzero(back(found, 1.0).signed_current_a).tolist() == [2, 40, 63]


def test_64_inputs_fit_the_cabs_but_not_the_pads():
    made = rasp.rasp_layer(numbers([1e-8] * 64), 0, 1.0)
    found = rasp.budget(rasp.blif_text("mine", 0, made))
    assert found["cabs"] == 66 <= found["cabs_of_chip"] and found["pads"] == 67 > found["pads_of_chip"]
    assert not found["fits"]


def good():
    return rasp.blif_text("mine", 0, rasp.rasp_layer(numbers([1e-8, -2e-8]), 0, 1.0))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("\n.end\n", "\n", "cut off"),
        (".subckt ota", ".subckt opamp", "no block of"),
        ("out[0]=sum_0_1", "out[0]=sum_0_0", "driven twice"),
        ("in[0]=in_0 in[1]=vref", "in[1]=vref in[0]=in_0", "in this order"),
        ("ota_bias =1", "ota_bias=1", "written 'name =value'"),
        ("fgota_p_bias =", "fgota_q_bias =", "has the parameters"),
        ("in[0]=vth_0", "in[0]=vth_9", "nothing drives the net 'vth_9'"),
        ("ota_bias =2.000000e-06", "ota_bias =2.000000e-05", "outside 1e-09 to 1e-05"),
        ("ota_bias =2.000000e-06", "ota_bias =2.000000e-10", "outside 1e-09 to 1e-05"),
    ],
)
def test_a_damaged_blif_is_refused(old, new, words):
    assert old in good()
    with pytest.raises(ExportError, match=re.escape(words)):
        parse_blif(good().replace(old, new, 1))


def test_a_weight_on_another_input_is_noticed():
    with pytest.raises(ExportError, match="not an ota between in_0 and vref"):
        rasp.read_rasp(good().replace("in[0]=in_0", "in[0]=in_1", 1), 2, 1, 1.0, [0.0])


@pytest.mark.parametrize("weights", [[1.0] * 8, [1.0, 0, 0, 0, 0, 0, 0, -1.0]])
def test_full_and_zero_weights_of_a_design_come_back(weights):
    made = with_weights(bundle(layers=1), np.array([[weights]]))
    found = achieved(made, 0)
    read = back(dataclasses.replace(found, threshold_v=np.array([0.1])), rasp.common_scale([found]))
    on = np.array(weights) != 0
    assert np.array_equal(read.signed_current_a[0] != 0, on)
    assert np.all(np.abs(np.log(read.signed_current_a[0, on] / found.signed_current_a[0, on])) <= HALF_STEP + 1e-6)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ota_bias =2.000000e-06", "ota_bias =two", "ota_bias: 'two' is no number"),
        ("ota_bias =2.000000e-06", "ota_bias =nan", "ota_bias: 'nan' is no number"),
        ("out[0]=sum_0_1", "out[0]=sum_0_9", "the weight 'sum_0_9': '9' is no whole number of 0 to 1"),
        ("out[0]=sum_0_1", "out[0]=sum_0_01", "the weight 'sum_0_01' is not an ota"),
        ("out[0]=feedback_0", "out[0]=feedback_7", "the feedback 'feedback_7': '7' is no whole number of 0 to 0"),
        ("out[0]=keep_0", "out[0]=feedback_0", "driven twice"),
    ],
)
def test_a_blif_that_was_edited_is_refused(old, new, words):
    assert old in good()
    with pytest.raises(ExportError, match=re.escape(words)):
        rasp.read_rasp(good().replace(old, new, 1), 2, 1, 1.0, [0.0])


@settings(max_examples=100)
@given(data=st.data())
def test_any_damage_of_a_blif_is_told_or_leaves_numbers(data):
    text = good()
    place = data.draw(st.integers(0, len(text)))
    text = (
        text[:place] + data.draw(st.text("0129=_-e\n #x²", max_size=3)) + text[place + data.draw(st.integers(0, 3)) :]
    )
    try:
        found = rasp.read_rasp(text, 2, 1, 1.0, [0.0])
    except ExportError:
        return
    assert np.all(np.isfinite(found.signed_current_a)) and np.all(found.feedback_ohm > 0)
