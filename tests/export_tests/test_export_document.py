"""What a bundle says: its document, its tables and its page tell one design's numbers."""

import csv
import dataclasses
import io
import json
from xml.etree import ElementTree

import jax
import numpy as np
import pytest
from bundle_cases import CASES, a_bundle, case, document_in, files_of
from export_cases import bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from atis_jax.circuits import with_fields
from atis_jax.export.bars import bars_svg
from atis_jax.export.bundle import Calibration
from atis_jax.export.page import page_html
from atis_jax.export.quantities import OFF_CODE, achieved, layer_quantities
from atis_jax.export.store import DOCUMENT, PAGE, bundle_files, write_bundle
from atis_jax.formatting import si
from atis_jax.scoring.atis.design import layer_design


def between(raw, low, high, log=False):
    """low to high by a sigmoid, in float64."""
    with np.errstate(over="ignore"):
        share = 1 / (1 + np.exp(-np.asarray(raw, np.float64)))
    return low * (high / low) ** share if log else low + (high - low) * share


@pytest.mark.slow
@settings(max_examples=30)
@given(made=a_bundle().filter(lambda one: one.calibration is None and one.spec.prototype == "static"))
def test_quantities_are_those_of_the_design(made):
    """The maps written out in float64; currents on the geometric grid nearest to what is wanted, off below half of its
    first point."""
    for layer in range(made.layers):
        design = jax.tree.map(np.float64, layer_design(made.design, layer))
        found = layer_quantities(made, layer)
        gate = made.hardware.floating_gate
        largest_a = between(design.bias_scale, 4e-9, 100e-9, log=True)
        assert found["largest_bias"]["wanted"] == pytest.approx(largest_a, rel=2e-6)
        assert found["input_gain"]["achieved"] == pytest.approx(
            between(design.input_gain, 0.01, 10, log=True), rel=2e-6
        )
        built = np.ones(made.spec.inputs, bool)
        if design.input_gate is not None:
            built = (design.input_gate > 0) | (np.arange(made.spec.inputs) == np.argmax(design.input_gate))
        assert found["converter"]["built"] == built.tolist()
        for number, score in enumerate(found["scores"]):
            wanted_a = largest_a * np.tanh(design.prototype[number])
            np.testing.assert_allclose(score["bias_current"]["wanted"], wanted_a, rtol=1e-5, atol=1e-38)
            feedback_ohm = between(design.feedback[number], 1e3, 1e10, log=True)
            assert score["feedback"]["achieved"] == pytest.approx(feedback_ohm, rel=1e-5)
            span_v = made.hardware.comparator.reference_span_v
            threshold_v = between(design.threshold[number], -span_v / 2, span_v / 2)
            assert score["threshold"]["wanted"] == pytest.approx(threshold_v, abs=1e-6)
            got_a, codes = np.array(score["bias_current"]["achieved"]), np.array(score["bias_current"]["code"])
            if gate.bits is None:
                np.testing.assert_allclose(got_a, wanted_a * built, rtol=1e-5, atol=1e-38)
                continue
            assert abs(score["threshold"]["achieved"] - threshold_v) <= span_v / 255 / 2 * 1.001
            points_a = 1e-10 * 1e3 ** (np.arange(255) / 254)
            off = ~built | (np.abs(wanted_a) < 0.5e-10)
            near_edge = np.abs(np.abs(wanted_a) / 0.5e-10 - 1) < 1e-5
            assert np.all((codes == OFF_CODE) == (got_a == 0))
            assert np.all(((codes == OFF_CODE) == off) | near_edge)
            on = codes != OFF_CODE
            np.testing.assert_allclose(np.abs(got_a[on]), points_a[codes[on]], rtol=1e-5)
            assert np.all(np.sign(got_a[on]) == np.sign(wanted_a[on]))
            steps = np.abs(np.log(np.clip(np.abs(wanted_a[on]), 1e-10, 1e-7) / points_a[codes[on]]))
            assert np.all(steps <= np.log(1e3) / 254 / 2 * 1.001)


def test_inputs_that_are_left_out_have_no_current_and_keep_what_was_wanted():
    for layer in range(2):
        found = layer_quantities(case("selection with gates"), layer)
        current = found["scores"][0]["bias_current"]
        assert found["converter"]["built"] == [True, False, True, False]
        assert [code == OFF_CODE for code in current["code"]] == [False, True, False, True]
        assert [value == 0 for value in current["achieved"]] == [False, True, False, True]
        assert 0 not in current["wanted"]


def test_weights_of_one_and_of_nothing_are_at_the_ends_of_the_range():
    """100 nA and 100 pA of the preset; zero is off."""
    raw = np.float32([[[40.0, -40.0, 0.0, -0.0]]])
    base = bundle(4, layers=1)
    design = dataclasses.replace(base.design, prototype=raw, bias_scale=np.float32([40.0]))
    current = layer_quantities(dataclasses.replace(base, design=design), 0)["scores"][0]["bias_current"]
    np.testing.assert_allclose(current["achieved"], [1e-7, -1e-7, 0, 0], rtol=2e-6)
    assert current["code"] == [254, 254, OFF_CODE, OFF_CODE]
    assert (current["low"], current["high"]) == pytest.approx((1e-10, 1e-7))
    assert current["resolution"]["ratio"] == pytest.approx(1e3 ** (1 / 254), rel=1e-6)


def test_a_moving_prototype_of_nothing_seen_is_off(tmp_path):
    made = dataclasses.replace(case("moving average"), query=np.zeros_like(case("moving average").query))
    write_bundle(made, tmp_path / "b")
    for layer in document_in(tmp_path / "b")["layers"]:
        assert layer["scores"][0]["bias_current"]["code"] == [OFF_CODE] * 4


def test_calibration_is_in_what_is_wanted():
    """theta + trim and I exp(trim) of the same design without it; a weight that would exceed one stays below."""
    made = case("calibrated")
    for layer in range(made.layers):
        plain = layer_quantities(dataclasses.replace(made, calibration=None), layer)["scores"][0]
        found = layer_quantities(made, layer)["scores"][0]
        trim_v, log_current = made.calibration.threshold_v[layer, 0], made.calibration.log_current[layer, 0]
        assert np.max(np.abs(log_current)) > 0.01 and abs(trim_v) > 1e-4
        assert found["threshold"]["wanted"] == pytest.approx(plain["threshold"]["wanted"] + trim_v, abs=2e-6)
        calibrated_a = np.clip(plain["bias_current"]["wanted"] * np.exp(log_current), -80e-9, 80e-9)
        np.testing.assert_allclose(found["bias_current"]["wanted"], calibrated_a, rtol=1e-4)


def test_a_calibration_of_nothing_changes_no_number():
    made, plain = case("calibrated"), dataclasses.replace(case("calibrated"), calibration=None)
    nothing = Calibration("c", (), 27.0, np.zeros((2, 1), np.float32), np.zeros((2, 1, 4), np.float32))
    for layer in range(2):
        found = layer_quantities(dataclasses.replace(made, calibration=nothing), layer)
        assert found == layer_quantities(plain, layer)


def test_achieved_is_what_the_document_calls_so():
    document = json.loads(files_of("grouped")[DOCUMENT])
    for layer, told in enumerate(document["layers"]):
        found = achieved(case("grouped"), layer)
        assert found.signed_current_a.tolist() == [one["bias_current"]["achieved"] for one in told["scores"]]
        assert found.threshold_v.tolist() == [one["threshold"]["achieved"] for one in told["scores"]]
        assert found.feedback_ohm.tolist() == [one["feedback"]["achieved"] for one in told["scores"]]
        assert (found.bits, found.full_scale_v) == (6, told["converter"]["full_scale"]["achieved"])


@pytest.mark.parametrize("name", CASES)
def test_tables_tell_what_the_document_tells(name):
    files, document = files_of(name), json.loads(files_of(name)[DOCUMENT])
    tables = {path: list(csv.DictReader(io.StringIO(files[path].decode()))) for path in files if path.endswith(".csv")}
    currents, scores, converters = (tables[f"tables/{one}.csv"] for one in ("currents", "scores", "converters"))
    keys = [(layer["layer"], score["score"]) for layer in document["layers"] for score in layer["scores"]]
    assert [(int(row["layer"]), int(row["score"])) for row in scores] == keys
    inputs = document["scorer"]["inputs"]
    assert [(int(row["layer"]), int(row["score"]), int(row["input"])) for row in currents] == [
        (*key, number)
        for key in keys
        for number in range(inputs)
        if "array_of" not in document["layers"][key[0] - 1]  # one read: the first layer's array serves all
    ]
    for index, (layer, score) in enumerate(keys):
        told, row = document["layers"][layer - 1]["scores"][score], scores[index]
        if "array_of" not in document["layers"][layer - 1]:
            mine = currents[index * inputs : (index + 1) * inputs]
            for column, of in (("wanted_a", "wanted"), ("achieved_a", "achieved"), ("code", "code")):
                assert [float(one[column]) for one in mine] == told["bias_current"][of]
            assert [one["built"] == "1" for one in mine] == document["layers"][layer - 1]["converter"]["built"]
        assert float(row["feedback_ohm"]) == told["feedback"]["achieved"]
        assert float(row["threshold_wanted_v"]) == told["threshold"]["wanted"]
        assert float(row["threshold_achieved_v"]) == told["threshold"]["achieved"]
        total_a = np.sum(np.abs(told["bias_current"]["achieved"]))
        assert float(row["total_current_a"]) == pytest.approx(total_a, rel=1e-12)
    arrays = [layer for layer in document["layers"] if "array_of" not in layer]
    for layer, row in zip(arrays, converters, strict=True):
        assert row["bits"] == ("" if layer["converter"]["bits"] is None else str(layer["converter"]["bits"]))
        assert float(row["full_scale_v"]) == layer["converter"]["full_scale"]["achieved"]
        assert float(row["input_gain"]) == layer["input_gain"]["achieved"]
        assert int(row["built_inputs"]) == sum(layer["converter"]["built"])
        rows = tables[f"tables/projection_layer{layer['layer']}.csv"]
        matrix = np.array([[float(value) for key, value in one.items() if key != "input"] for one in rows], np.float32)
        assert matrix.tobytes() == case(name).design.projection[layer["layer"] - 1].tobytes()


@pytest.mark.parametrize("name", CASES)
def test_the_page_shows_the_numbers(name):
    page, document = files_of(name)[PAGE].decode(), json.loads(files_of(name)[DOCUMENT])
    assert page.startswith("<!doctype html>") and "http" not in page
    for layer in document["layers"]:
        assert f"<h2>Layer {layer['layer']}</h2>" in page
        for score in layer["scores"]:
            for current in (*score["bias_current"]["achieved"], *score["bias_current"]["wanted"]):
                assert si(current, "A") in page
            assert si(score["threshold"]["achieved"], "V") in page
            assert si(score["feedback"]["achieved"], "ohm") in page
            for number, current in enumerate(score["bias_current"]["achieved"]):
                assert f"<title>input {number}: {si(current, 'A')}</title>" in page
    assert "e+0" not in page and "e-0" not in page.split("Hardware the design was made for")[0]
    if document["calibration"]["state"] == "calibrated":
        assert "Of chip chip 7, by currents, threshold at 27.0 C" in page


def test_the_page_shows_the_accuracy_and_what_was_not_measured():
    document = json.loads(files_of("learned")[DOCUMENT])
    assert "Not measured." in page_html(document)
    told = {"before_quantisation": 0.87654, "after_quantisation": 0.86, "examples": 1234, "chips": 56}
    page = page_html({**document, "accuracy": told})
    assert (
        "87.7\u00a0%" in page and "86.0\u00a0%" in page and "1234 test examples" in page and "56 sampled chips" in page
    )


def test_the_page_names_the_inputs_that_are_built():
    made = bundle(6, layers=1, projection="selection", input_gates=True)
    gates = np.float32([[-1, 2, -1, 2, 2, -1]])
    projection = np.eye(12, dtype=np.float32)[[[11, 9, 7, 5, 3, 1]]]
    design = dataclasses.replace(made.design, input_gate=gates, projection=projection)
    page = page_html(json.loads(bundle_files(dataclasses.replace(made, design=design))[DOCUMENT]))
    assert "up to 6 converters" in page and "3 built, of inputs 1, 3, 4" in page
    assert "take the token's numbers 9, 5, 3<" in page
    plain = page_html(json.loads(files_of("learned")[DOCUMENT]))
    assert "up to" not in plain and "of inputs" not in plain


def test_a_layer_without_a_scorer_says_build_nothing():
    page = bundle_files(dataclasses.replace(case("learned"), scored=(1,)))[PAGE].decode()
    assert "Layer 1: not scored, build nothing" in page and "<h2>Layer 2</h2>" in page


def test_names_cannot_run_in_the_page():
    evil = "<script>alert('x')</script>"
    made = case("calibrated")
    provenance = {**made.provenance, "run": evil, "dataset": {"name": evil}, "versions": {evil: evil}}
    made = dataclasses.replace(
        made,
        name=evil,
        provenance=provenance,
        hardware=with_fields(made.hardware, {"name": evil}),
        calibration=dataclasses.replace(made.calibration, chip=evil, methods=(evil,)),
    )
    page = bundle_files(made)[PAGE].decode()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8


def drawn(currents_a):
    """Ticks (A, y) and bars (top, bottom, color) of a chart, as a reader takes them from it."""
    root = ElementTree.fromstring(bars_svg(currents_a, "a <label> & more"))
    texts = [one for one in root.iter("text") if one.get("text-anchor") == "end"]
    lines = [float(one.get("y1")) for one in root.iter("line")]
    amperes = {"A": 1.0, "mA": 1e-3, "µA": 1e-6, "nA": 1e-9, "pA": 1e-12, "fA": 1e-15}
    ticks = []
    for one, y in zip(texts, lines, strict=True):
        number, unit = one.text.replace("−", "-").split("\u00a0")
        ticks.append((float(number) * amperes[unit], y))
    bars = [(float(one.get("y")), float(one.get("height")), one.get("fill")) for one in root.iter("rect")]
    return ticks, bars


@settings(max_examples=60)
@given(st.lists(st.floats(-1e-7, 1e-7).filter(lambda one: one == 0 or abs(one) > 1e-11), min_size=1, max_size=64))
def test_a_current_is_read_off_the_axis_of_its_bar(currents_a):
    ticks, bars = drawn(currents_a)
    assert len(bars) == len(currents_a) and (0.0, dict(ticks)[0.0]) in ticks
    zero = dict(ticks)[0.0]
    if not any(currents_a):
        assert [height for _, height, _ in bars] == [0.0] * len(bars)
        return
    assert 3 <= len(ticks) <= 7
    level, y = ticks[-1]
    for current_a, (top, height, _) in zip(currents_a, bars, strict=True):
        end = zero - top if current_a >= 0 else zero - (top + height)
        assert end / (zero - y) * level == pytest.approx(current_a, abs=0.003 * max(map(abs, currents_a)))
    colors = {current_a >= 0: color for current_a, (_, _, color) in zip(currents_a, bars, strict=True)}
    assert len(set(colors.values())) == len(colors)
