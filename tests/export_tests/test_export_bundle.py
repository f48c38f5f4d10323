"""The design bundle: written and read back to the bit, damage named, never half there, its parts in agreement."""

import copy
import csv
import dataclasses
import functools
import hashlib
import io
import json
import os
import shutil
import zipfile

import jax
import numpy as np
import pytest
from export_cases import bundle
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jsonschema import Draft202012Validator

from atis_jax.circuits import get_preset, with_fields
from atis_jax.circuits.hardware import flatten_hardware
from atis_jax.circuits.systematic import Systematic
from atis_jax.export.bundle import Bundle, Calibration, leaves_of
from atis_jax.export.check import parse
from atis_jax.export.errors import ExportError
from atis_jax.export.page import page_html
from atis_jax.export.quantities import OFF_CODE, achieved, layer_quantities
from atis_jax.export.store import ARRAYS, DOCUMENT, PAGE, bundle_files, read_bundle, write_bundle, write_folder
from atis_jax.export.units import unit_of
from atis_jax.scoring.design import layer_design

FITTED = {
    "name": "fitted to <bench> & Ω",
    "ota.kappa": 0.7123456789012345,
    "thermal.bias": "constant",
    "ota.systematic": Systematic(((0.1, 1e-300), (-0.2,)), (), ((1e-3,), (), (0.0, -0.0))),
}
CASES = {
    "learned": {},
    "selection with gates": {"projection": "selection", "input_gates": True},
    "grouped": {"arrangement": "grouped", "groups": 3},
    "multiplexed": {"arrangement": "multiplexed", "groups": 2},
    "differential": {"differential": True},
    "trained converters": {"trainable_bits": True, "trainable_full_scale": True},
    "moving average": {"prototype": "ema"},
    "ideal": {"hardware": "ideal"},
    "fitted": {"hardware": "fitted"},
    "calibrated": {"calibrated": True},
    "one input": {"inputs": 1, "layers": 1},
    "64 inputs": {"inputs": 64, "layers": 1},
}
RAW = st.floats(-1e4, 1e4, width=32) | st.sampled_from([0.0, -0.0, 1e-30, -40.0, 40.0])
TRIM = st.floats(-0.5, 0.5, width=32) | st.just(0.0)


@functools.cache
def case(name) -> Bundle:
    fields = {"inputs": 4, **CASES[name]}
    if fields.get("hardware") == "fitted":
        fields["hardware"] = with_fields(get_preset("nominal"), FITTED)
    made = bundle(**fields)
    if made.spec.input_gates:  # two open, two closed
        gates = np.float32([[0.5, -0.5, 0.1, -0.1]] * made.layers)
        made = dataclasses.replace(made, design=dataclasses.replace(made.design, input_gate=gates))
    return made


@functools.cache
def files_of(name):
    return bundle_files(case(name))


@st.composite
def a_bundle(draw):
    """A case with other numbers in every leaf, some of them at the ends of their ranges."""
    base = case(draw(st.sampled_from(sorted(CASES))))
    leaves = {
        name: draw(hnp.arrays(np.float32, leaf.shape, elements=RAW, fill=RAW))
        for name, leaf in leaves_of(base.design).items()
        if not (name == "projection" and base.spec.projection == "selection")
    }
    calibration = base.calibration
    if calibration is not None:
        shapes = calibration.threshold_v.shape, calibration.log_current.shape
        trims = [draw(hnp.arrays(np.float32, shape, elements=TRIM, fill=TRIM)) for shape in shapes]
        calibration = dataclasses.replace(calibration, threshold_v=trims[0], log_current=trims[1])
    return dataclasses.replace(
        base,
        name=draw(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)),
        design=dataclasses.replace(base.design, **leaves),
        query=draw(hnp.arrays(np.float32, base.query.shape, elements=RAW, fill=RAW)),
        calibration=calibration,
        scored=tuple(draw(st.sets(st.sampled_from(range(base.layers))))),
    )


def assert_same(found, wanted):
    """To the bit, kinds of numbers included."""
    for field in ("name", "spec", "scored", "tokens", "provenance", "accuracy"):
        assert getattr(found, field) == getattr(wanted, field), field
    assert repr(flatten_hardware(found.hardware)) == repr(flatten_hardware(wanted.hardware))
    assert found.hardware == wanted.hardware
    ours, theirs = ({**leaves_of(one.design), "query": one.query} for one in (found, wanted))
    if wanted.calibration is not None:
        assert found.calibration.chip == wanted.calibration.chip
        assert found.calibration.methods == wanted.calibration.methods
        assert found.calibration.temperature_c == wanted.calibration.temperature_c
        for name in ("threshold_v", "log_current"):
            ours[name], theirs[name] = (getattr(one.calibration, name) for one in (found, wanted))
    else:
        assert found.calibration is None
    assert list(ours) == list(theirs)
    for name, leaf in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (leaf.dtype, leaf.shape)
        assert ours[name].tobytes() == leaf.tobytes(), name


def placed(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def folder(tmp_path):
    """A good bundle with everything in it that can be damaged."""
    return placed(tmp_path / "bundle", files_of("calibrated"))


def document_in(folder):
    return json.loads((folder / DOCUMENT).read_text())


def at(document, path):
    return functools.reduce(lambda inside, key: inside[key], path, document)


def put(document, path, value):
    """A copy with ``value`` at ``path``; ``...`` takes it out."""
    changed = copy.deepcopy(document)
    inside = at(changed, path[:-1])
    if value is ...:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return changed


def paths_in(value, start=()):
    """Every key of every table, and the tables in lists, with where they are."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in pairs:
        if isinstance(value, dict):
            yield (*start, key)
        yield from paths_in(inside, (*start, key))


def words(path):
    """As the messages write a place: layers[0].scores[0].threshold."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def refusal(folder, document):
    """What is said of a changed ``design.json``; an empty text where it is taken."""
    (folder / DOCUMENT).write_text(json.dumps(document))
    try:
        read_bundle(folder)
    except ExportError as error:
        return str(error)
    return ""


def listed_again(folder):
    """``design.json`` with the size and hash of what now is in ``arrays.npz``: damage that no hash tells."""
    content = (folder / ARRAYS).read_bytes()
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return put(document_in(folder), ("files", ARRAYS), entry)


def with_arrays(folder, change):
    """Another ``arrays.npz``, its size and hash listed."""
    with np.load(folder / ARRAYS) as stored:
        arrays = change({name: stored[name] for name in stored.files})
    np.savez(folder / ARRAYS, **arrays)
    (folder / DOCUMENT).write_text(json.dumps(listed_again(folder)))


# Written and read back.


@settings(max_examples=40, deadline=None)
@given(made=a_bundle())
def test_any_design_comes_back_to_the_bit(tmp_path_factory, made):
    folder = tmp_path_factory.mktemp("exported") / "bundle"
    assert write_bundle(made, folder) == folder
    found = read_bundle(folder)
    assert_same(found, made)
    assert bundle_files(found) == {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("name", CASES)
def test_the_same_bundle_gives_the_same_bytes(name):
    assert bundle_files(case(name)) == files_of(name)


@pytest.mark.parametrize("name", CASES)
def test_the_document_keeps_the_schema_beside_it(name):
    schema = json.loads(files_of(name)["design.schema.json"])
    Draft202012Validator.check_schema(schema)
    document = json.loads(files_of(name)[DOCUMENT])
    assert not list(Draft202012Validator(schema).iter_errors(document))
    for where in ((), ("network",), ("layers", 0), ("layers", 0, "scores", 0, "threshold"), ("calibration",)):
        odd = put(document, (*where, "unforeseen"), 1)
        assert list(Draft202012Validator(schema).iter_errors(odd)), where


def test_infinities_are_words_and_come_back_as_infinities(tmp_path):
    """JSON has none."""
    text = placed(tmp_path / "b", files_of("ideal")) / DOCUMENT
    assert "Infinity" not in text.read_text() and '"infinite"' in text.read_text()
    assert np.isinf(read_bundle(tmp_path / "b").hardware.tia.swing_v)


def test_every_field_of_the_hardware_says_its_unit():
    """Of every kind that there is, read off the fields' docs."""
    units = {entry["field"]: entry["unit"] for entry in json.loads(files_of("fitted")[DOCUMENT])["hardware"]}
    assert set(units) == set(flatten_hardware(case("fitted").hardware))
    known = {
        "supply_v": "V",
        "dac.bits": "1",
        "dac.unit_capacitance_f": "F",
        "ota.kappa_per_k": "1/K",
        "ota.kappa_per_decade": "1/decade",
        "ota.kappa_current_a": "A",
        "ota.systematic.offset_v": "V",
        "tia.bandwidth_hz": "Hz",
        "thermal.nominal_temperature_k": "K",
        "thermal.threshold_fall_v_per_k": "V/K",
        "comparator.offset_sigma_v": "V",
        "ota.law": "1",
    }
    assert {field: units[field] for field in known} == known
    assert units == {field: unit_of(field) for field in units}


def test_a_bundle_of_the_digital_scorer_is_refused():
    spec = dataclasses.replace(case("learned").spec, kind="digital")
    with pytest.raises(ExportError, match="scorer.kind = 'digital' has no circuit to export"):
        dataclasses.replace(case("learned"), spec=spec)


# What the numbers are.


def between(raw, low, high, log=False):
    """low to high by a sigmoid, in float64."""
    with np.errstate(over="ignore"):
        share = 1 / (1 + np.exp(-np.asarray(raw, np.float64)))
    return low * (high / low) ** share if log else low + (high - low) * share


@settings(max_examples=30, deadline=None)
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
        (*key, number) for key in keys for number in range(inputs)
    ]
    for index, (layer, score) in enumerate(keys):
        told, row = document["layers"][layer - 1]["scores"][score], scores[index]
        mine = currents[index * inputs : (index + 1) * inputs]
        for column, of in (("wanted_a", "wanted"), ("achieved_a", "achieved"), ("code", "code")):
            assert [float(one[column]) for one in mine] == told["bias_current"][of]
        assert [one["built"] == "1" for one in mine] == document["layers"][layer - 1]["converter"]["built"]
        assert float(row["feedback_ohm"]) == told["feedback"]["achieved"]
        assert float(row["threshold_wanted_v"]) == told["threshold"]["wanted"]
        assert float(row["threshold_achieved_v"]) == told["threshold"]["achieved"]
        total_a = np.sum(np.abs(told["bias_current"]["achieved"]))
        assert float(row["total_current_a"]) == pytest.approx(total_a, rel=1e-12)
    for layer, row in zip(document["layers"], converters, strict=True):
        assert row["bits"] == ("" if layer["converter"]["bits"] is None else str(layer["converter"]["bits"]))
        assert float(row["full_scale_v"]) == layer["converter"]["full_scale"]["achieved"]
        assert float(row["input_gain"]) == layer["input_gain"]["achieved"]
        assert int(row["built_inputs"]) == sum(layer["converter"]["built"])
        rows = tables[f"tables/projection_layer{layer['layer']}.csv"]
        matrix = np.array([[float(value) for key, value in one.items() if key != "input"] for one in rows], np.float32)
        assert matrix.tobytes() == case(name).design.projection[layer["layer"] - 1].tobytes()


# The page.


@pytest.mark.parametrize("name", CASES)
def test_the_page_shows_the_numbers(name):
    page, document = files_of(name)[PAGE].decode(), json.loads(files_of(name)[DOCUMENT])
    assert page.startswith("<!doctype html>") and "http" not in page
    for layer in document["layers"]:
        assert f"<h2>Layer {layer['layer']}</h2>" in page
        for score in layer["scores"]:
            for current in (*score["bias_current"]["achieved"], *score["bias_current"]["wanted"]):
                assert f"{1e9 * current:.4g} nA" in page
            assert f"{1e3 * score['threshold']['achieved']:.2f} mV" in page
            assert f"{score['feedback']['achieved']:.4g} ohm" in page
    if document["calibration"]["state"] == "calibrated":
        assert "Of chip chip 7, by currents, threshold at 27.0 C" in page


def test_the_page_shows_the_accuracy_and_what_was_not_measured():
    document = json.loads(files_of("learned")[DOCUMENT])
    assert "Not measured." in page_html(document)
    told = {"before_quantisation": 0.87654, "after_quantisation": 0.86, "examples": 1234, "chips": 56}
    page = page_html({**document, "accuracy": told})
    assert "87.65 %" in page and "86.00 %" in page and "1234 test examples" in page and "56 sampled chips" in page


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


# Damage.


FREE = (("provenance", "config"), ("provenance", "versions"), ("accuracy",))
"""Tables whose content nothing asks for."""


def required(path):
    inside = any(path[: len(table)] == table and len(path) > len(table) for table in FREE)
    return not inside and not (path[0] == "files" and len(path) == 2 and path[1] != ARRAYS)


@pytest.mark.parametrize("name", ["calibrated", "selection with gates", "trained converters"])
def test_every_field_that_is_taken_out_is_named(tmp_path, name):
    folder = placed(tmp_path / "b", files_of(name))
    document = document_in(folder)
    # One layer's fields are enough; the other's are the same.
    paths = [path for path in paths_in(document) if required(path) and path[:2] != ("layers", 1)]
    assert len(paths) > 250
    told = {words(path): (path[-1], refusal(folder, put(document, path, ...))) for path in paths}
    assert not {where: said for where, (field, said) in told.items() if f"'{field}'" not in said}


def test_every_field_of_the_hardware_that_is_taken_out_is_named(folder):
    document = document_in(folder)
    for index, entry in enumerate(document["hardware"]):
        assert f"lacks the field '{entry['field']}'" in refusal(folder, put(document, ("hardware", index), ...))


def test_every_unit_that_is_changed_is_named(folder):
    document = document_in(folder)
    paths = [path for path in paths_in(document) if path[-1] == "unit"]
    assert len(paths) > 60
    for path in paths:
        other = "A" if at(document, path) == "V" else "V"
        said = refusal(folder, put(document, path, other))
        where = document["hardware"][path[1]]["field"] if path[0] == "hardware" else words(path)
        assert where in said and f"'{other}' must be '{at(document, path)}'" in said


SCORE = ("layers", 0, "scores", 0)


@pytest.mark.parametrize(
    ("path", "value", "unit"),
    [
        ((*SCORE, "bias_current", "achieved", 1), 2e-7, "A"),
        ((*SCORE, "bias_current", "achieved", 1), -2e-7, "A"),
        ((*SCORE, "bias_current", "achieved", 2), 1e-11, "A"),
        ((*SCORE, "threshold", "achieved"), 0.6, "V"),
        ((*SCORE, "threshold", "achieved"), -0.51, "V"),
        ((*SCORE, "feedback", "achieved"), 999.0, "ohm"),
        (("layers", 1, "input_gain", "achieved"), 0.0, "1"),
        (("layers", 0, "largest_bias", "achieved"), 1.1e-7, "A"),
        (("layers", 0, "converter", "full_scale", "achieved"), 0.2, "V"),
    ],
)
def test_a_value_out_of_its_range_is_named(folder, path, value, unit):
    document = document_in(folder)
    said = refusal(folder, put(document, path, value))
    assert f"{words(path)} = {value} {unit} is outside" in said


@pytest.mark.parametrize("which", ["wanted", "achieved"])
def test_every_quantity_that_is_edited_is_named(folder, which):
    """By a thousandth, which keeps every range but that of a fixed full scale."""
    document = document_in(folder)
    paths = [path for path in paths_in(document["layers"][0]) if path[-1] == which]
    assert len(paths) == 6
    for path in paths:
        value = at(document["layers"][0], path)
        edited = [0.999 * one for one in value] if isinstance(value, list) else 0.999 * value
        said = refusal(folder, put(document, ("layers", 0, *path), edited))
        where = words(("layers", 0, *path))
        assert f"design.json: {where}" in said
        assert "is not what the rest of the bundle gives" in said or f"{where} = {edited} V is outside 0.1 to" in said


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("schema",), 2, "has schema 2, this version of atis_jax reads 1; update atis_jax"),
        (("schema",), 0, "schema = 0 must be 1"),
        (("schema",), "1", "schema = '1' must be 1"),
        (("format",), "atis_jax fitted hardware", "this is no design bundle"),
        (("name",), "", "name: "),
        (("layers",), [], "layers: "),
        (("layers", 0, "converter", "built", 1), "yes", r"layers[0].converter.built[1]: 'yes' is not of type"),
        (("layers", 0, "input_gain", "achieved"), None, "layers[0].input_gain.achieved: None is not of type"),
        (("scorer", "projection"), "learnt", "scorer.projection = 'learnt' is not one of"),
        (("scorer", "input"), 4, "scorer.input does not exist"),
        (("scorer", "kind"), "digital", "scorer.kind = 'digital' has no circuit"),
        (("hardware", 0, "field"), "ota.kapa", "hardware"),
        (("provenance", "config_sha256"), "0", "provenance.config_sha256: "),
        (("files", ARRAYS, "sha256"), "0" * 64, "arrays.npz: was changed after the export"),
        (("arrays", "design/prototype", "shape"), [2, 1, 5], "'design/prototype' is float32[2, 1, 4]"),
        (("arrays", "design/prototype", "dtype"), "float64", "design.json says float64[2, 1, 4]"),
        (("calibration", "state"), "as designed", "calibration"),
        (("calibration", "temperature", "value"), "warm", "calibration.temperature.value: 'warm' is not of type"),
    ],
)
def test_a_wrong_value_is_told(folder, path, value, told):
    assert told in refusal(folder, put(document_in(folder), path, value))


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_refused(folder, constant):
    document = document_in(folder)
    text = json.dumps(put(document, (*SCORE, "threshold", "wanted"), "HERE")).replace('"HERE"', constant)
    (folder / DOCUMENT).write_text(text)
    with pytest.raises(ExportError, match=f"design.json: holds {constant}, which is no number"):
        read_bundle(folder)


def test_a_document_cut_off_anywhere_is_refused(folder):
    text = (folder / DOCUMENT).read_text()
    for length in [*range(0, len(text) - 2, 997), len(text) - 2]:
        (folder / DOCUMENT).write_text(text[:length])
        with pytest.raises(ExportError, match="design.json: is no JSON .*cut off or edited"):
            read_bundle(folder)


@pytest.mark.parametrize("text", ["[]", "3", '"text"', "{}", "null"])
def test_other_json_is_no_bundle(text):
    with pytest.raises(ExportError, match="its 'format' is not 'atis_jax design bundle'"):
        parse(text)


@pytest.mark.parametrize("name", [one for one in files_of("calibrated") if one not in (DOCUMENT, PAGE)])
def test_every_file_that_is_cut_off_changed_or_gone_is_named(folder, name):
    content = (folder / name).read_bytes()
    for damaged, told in (
        (content[: len(content) // 2], "was cut off after the export"),
        (content[:-1], "was cut off after the export"),
        (content[:-2] + bytes([content[-2] ^ 1]) + content[-1:], "was changed after the export"),
        (content + b" ", "was changed after the export"),
    ):
        (folder / name).write_bytes(damaged)
        with pytest.raises(ExportError, match=f"{folder / name}: {told}"):
            read_bundle(folder)
    (folder / name).unlink()
    with pytest.raises(ExportError, match=f"{folder / name}: cannot be read"):
        read_bundle(folder)


def test_a_folder_without_a_bundle_is_told(tmp_path):
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(
            ExportError, match=f"{folder / DOCUMENT}: cannot be read .*give the folder of a design bundle"
        ):
            read_bundle(folder)


@pytest.mark.parametrize("missing", ["design/projection", "design/threshold", "query", "calibration/log_current"])
def test_an_array_that_is_gone_is_named(folder, missing):
    with_arrays(folder, lambda arrays: {name: array for name, array in arrays.items() if name != missing})
    with pytest.raises(ExportError, match=f"arrays.npz: lacks the array '{missing}'"):
        read_bundle(folder)
    document = put(document_in(folder), ("arrays", missing), ...)
    assert f"design.json: arrays lacks '{missing}'" in refusal(folder, document)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda array: array[:, :, :3],
            r"'design/prototype' is float32\[2, 1, 3\], design.json says float32\[2, 1, 4\]",
        ),
        (lambda array: array.astype(np.float64), r"'design/prototype' is float64\[2, 1, 4\]"),
        (lambda array: np.where(array == array.max(), np.nan, array), "'design/prototype' holds a number that is not"),
        (lambda array: np.where(array == array.max(), np.inf, array), "'design/prototype' holds a number that is not"),
        (lambda array: 1.01 * array, r"layers\[0\].scores\[0\].bias_current.wanted\[0\] = .* is not what the rest"),
    ],
)
def test_an_array_of_another_kind_is_named(folder, change, told):
    name = "design/prototype"
    with_arrays(folder, lambda arrays: {**arrays, name: change(arrays[name]).astype(change(arrays[name]).dtype)})
    with pytest.raises(ExportError, match=told):
        read_bundle(folder)


def test_an_array_that_is_no_part_of_a_design_is_named(folder):
    with_arrays(folder, lambda arrays: {**arrays, "design/bias": np.zeros(2)})
    with pytest.raises(ExportError, match="arrays lacks 'design/bias'"):
        read_bundle(folder)
    listed = put(document_in(folder), ("arrays", "design/bias"), {"shape": [2], "dtype": "float64"})
    assert "design/bias is no part of a design" in refusal(folder, listed)


@pytest.mark.parametrize("content", [b"no array", b"\x93NUMPY\x01\x00", b""])
def test_a_zip_without_arrays_is_refused(folder, content):
    with zipfile.ZipFile(folder / ARRAYS, "w") as stored:
        stored.writestr("design/prototype.npy", content)
    assert "arrays.npz: " in refusal(folder, listed_again(folder))


# Writing.


@pytest.mark.parametrize("leaf", ["projection", "prototype", "threshold"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_design_that_is_not_finite_is_not_written(tmp_path, leaf, value):
    made = case("learned")
    broken = getattr(made.design, leaf).copy()
    broken.flat[0] = value
    made = dataclasses.replace(made, design=dataclasses.replace(made.design, **{leaf: broken}))
    with pytest.raises(ExportError):
        write_bundle(made, tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_a_bundle_without_provenance_is_not_written(tmp_path):
    with pytest.raises(ExportError, match="provenance lacks 'run', 'config_sha256'"):
        write_bundle(dataclasses.replace(case("learned"), provenance={}), tmp_path / "b")


def test_what_is_no_bundle_is_not_overwritten(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    for name in ("thesis", "file"):
        with pytest.raises(ExportError, match=f"{name}: exists and is no design bundle"):
            write_bundle(case("learned"), tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"
    with pytest.raises(ExportError, match="cannot be written .*choose a folder you may write to"):
        write_bundle(case("learned"), tmp_path / "file" / "below")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "thesis"]


def test_a_new_bundle_takes_the_place_of_the_old_one_whole(tmp_path):
    write_bundle(case("grouped"), tmp_path / "b")
    write_bundle(case("one input"), tmp_path / "b")
    assert_same(read_bundle(tmp_path / "b"), case("one input"))
    found = {path.relative_to(tmp_path / "b").as_posix() for path in (tmp_path / "b").rglob("*") if path.is_file()}
    assert found == set(files_of("one input"))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


class Killed(BaseException):
    """The process is gone: nothing after it has an effect."""


def interrupted(monkeypatch, call, error):
    """Lets ``call`` renames and syncs through and raises at the next; after a kill nothing is removed or renamed."""
    done = {"calls": 0, "killed": False}

    def guarded(function, counted):
        def run(*args, **kwargs):
            if done["killed"]:
                raise Killed
            done["calls"] += counted
            if counted and done["calls"] == call + 1:
                done["killed"] = error is Killed
                raise error("stopped")
            return function(*args, **kwargs)

        return run

    monkeypatch.setattr(os, "rename", guarded(os.rename, 1))
    monkeypatch.setattr(os, "fsync", guarded(os.fsync, 1))
    monkeypatch.setattr(shutil, "rmtree", guarded(shutil.rmtree, 0))


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, Killed])
@pytest.mark.parametrize("before", ["nothing", "grouped"])
def test_a_write_that_is_stopped_leaves_the_old_bundle_or_none(tmp_path, monkeypatch, before, error):
    """At every rename and every sync in turn, by an error, by the user, or for good."""
    old, new = files_of("grouped"), files_of("learned")
    calls = len(new) + 1 + (before != "nothing")
    for call in range(calls + 1):
        folder = tmp_path / f"{call}" / "bundle"
        folder.parent.mkdir()
        if before != "nothing":
            write_folder(folder, old)
        with monkeypatch.context() as patched:
            interrupted(patched, call, error)
            if call == calls:
                write_folder(folder, new)
            else:
                with pytest.raises(ExportError if error is OSError else error):
                    write_folder(folder, new)
        if call == calls:
            assert_same(read_bundle(folder), case("learned"))
        elif folder.exists():
            assert_same(read_bundle(folder), case("grouped"))
        else:
            # Between the two renames only a process that is gone leaves nothing in the place of an old bundle.
            assert before == "nothing" or (error is Killed and call == calls - 1)
        if error is not Killed:
            assert {path.name for path in folder.parent.iterdir()} <= {"bundle"}
        write_folder(folder, new)
        assert_same(read_bundle(folder), case("learned"))
        assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_an_old_bundle_left_beside_survives_a_next_write_that_fails(tmp_path, monkeypatch):
    """Killed between the renames, then without room on the disk: the old bundle is back in its place."""
    folder = tmp_path / "bundle"
    write_folder(folder, files_of("grouped"))
    with monkeypatch.context() as patched:
        interrupted(patched, len(files_of("learned")) + 1, Killed)
        with pytest.raises(Killed):
            write_folder(folder, files_of("learned"))
    assert not folder.exists()
    with monkeypatch.context() as patched:
        interrupted(patched, 3, OSError)
        with pytest.raises(ExportError, match="cannot be written"):
            write_folder(folder, files_of("learned"))
    assert_same(read_bundle(folder), case("grouped"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("layers", 0, "converter", "bits"), 5),
        (("layers", 0, "converter", "built", 0), False),
        (("layers", 1, "scores", 0, "bias_current", "code", 0), 3),
        (("layers", 0, "scores", 0, "feedback", "low"), 1.0),
        (("layers", 0, "scores", 0, "threshold", "resolution"), 1.0),
        (("layers", 0, "projection", "kind"), "selection"),
        (("layers", 0, "scored"), False),
        (("network", "width"), 99),
        (("scorer", "inputs"), 63),
    ],
)
def test_whatever_else_is_edited_is_named(folder, path, value):
    said = refusal(folder, put(document_in(folder), path, value))
    assert "is not what the rest of the bundle gives" in said
    assert str(path[-1] if isinstance(path[-1], str) else path[-2]) in said or "layers" in said


def test_a_table_that_is_no_longer_listed_is_missed(folder):
    document = put(document_in(folder), ("files", "tables/currents.csv"), ...)
    assert "files lacks 'tables/currents.csv'" in refusal(folder, document)


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_a_number_beyond_any_is_refused(folder, value):
    document = put(document_in(folder), ("layers", 0, "scores", 0, "feedback", "achieved"), value)
    assert "beyond any" in refusal(folder, document)


def test_a_list_where_one_value_belongs_is_refused(folder):
    document = document_in(folder)
    place = next(i for i, entry in enumerate(document["hardware"]) if entry["field"] == "ota.kappa")
    assert "ota.kappa" in refusal(folder, put(document, ("hardware", place, "value"), [0.7, 0.7]))
