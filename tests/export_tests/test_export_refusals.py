"""A damaged bundle is refused by the name of what is damaged."""

import hashlib
import json
import os
import zipfile

import numpy as np
import pytest
from bundle_cases import (
    assert_same,
    at,
    document_in,
    files_of,
    listed_again,
    paths_in,
    placed,
    put,
    refusal,
    with_arrays,
    words,
)

from atis_jax.export import store
from atis_jax.export.check import parse
from atis_jax.export.document import with_seal
from atis_jax.export.errors import ExportError
from atis_jax.export.store import ARRAYS, DOCUMENT, PAGE, read_bundle


@pytest.fixture
def folder(tmp_path):
    """A good bundle with everything in it that can be damaged."""
    return placed(tmp_path / "bundle", files_of("calibrated"))


FREE = (("provenance", "config"), ("provenance", "versions"), ("accuracy",))
"""Tables whose content nothing asks for."""


def required(path):
    inside = any(path[: len(table)] == table and len(path) > len(table) for table in FREE)
    return not inside and not (path[0] == "files" and len(path) == 2 and path[1] != ARRAYS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["calibrated", "selection with gates", "trained converters"])
def test_every_field_that_is_taken_out_is_named(tmp_path, name):
    folder = placed(tmp_path / "b", files_of(name))
    document = document_in(folder)
    # One layer's fields are enough; the other's are the same.
    paths = [path for path in paths_in(document) if required(path) and path[:2] != ("layers", 1)]
    assert len(paths) > 250
    told = {words(path): (path[-1], refusal(folder, put(document, path, ...))) for path in paths}
    assert not {where: said for where, (field, said) in told.items() if f"'{field}'" not in said}


@pytest.mark.slow
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


@pytest.mark.slow
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
        (("schema",), 5, "has schema 5, this version of atis_jax reads 4; update atis_jax"),
        (("schema",), 0, "schema = 0 must be 4"),
        (("schema",), "1", "schema = '1' must be 4"),
        (("schema",), 1, "has schema 1, which has no 'sha256'"),
        (("schema",), True, "schema = True must be 4"),
        (("format",), "atis_jax fitted hardware", "this is no design bundle"),
        (("name",), "", "name: "),
        (("layers",), [], "layers: "),
        (("layers", 0, "converter", "built", 1), "yes", r"layers[0].converter.built[1]: 'yes' is not of type"),
        (("layers", 0, "input_gain", "achieved"), None, "layers[0].input_gain.achieved: None is not of type"),
        (("scorer", "projection"), "learnt", "scorer.projection = 'learnt' is not one of"),
        (("scorer", "input"), 4, "scorer.input does not exist"),
        (("scorer", "kind"), "digital", "scorer.kind = 'digital' has no array of OTAs"),
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
        with pytest.raises(ExportError, match="design.json: is not valid JSON .*cut off or edited"):
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


@pytest.mark.parametrize(
    "name",
    [
        "../outside.csv",
        "tables/../../outside.csv",
        "/dev/zero",
        "../../../../../../../../dev/zero",
        "tables",
        ".",
        "a\x00b",
    ],
)
def test_a_name_that_leads_out_of_the_folder_is_not_followed(folder, name):
    (folder.parent / "outside.csv").write_text("secret")
    entry = {"bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}
    said = refusal(folder, put(document_in(folder), ("files", name), entry))
    assert f"files names {name!r}, which is no file inside the bundle" in said or "tables: is no regular file" in said


@pytest.mark.parametrize("name", [DOCUMENT, ARRAYS, "tables/currents.csv"])
def test_a_link_out_of_the_folder_is_not_followed(folder, name):
    for number, outside in enumerate((folder.parent / "other", "/dev/zero")):
        if not number:
            outside.write_bytes((folder / name).read_bytes())
        (folder / name).unlink()
        (folder / name).symlink_to(outside)
        with pytest.raises(ExportError, match=f"{folder / name}: is a link out of the bundle's folder"):
            read_bundle(folder)


def test_a_folder_that_is_a_link_is_read(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert_same(read_bundle(tmp_path / "link"), read_bundle(folder))


@pytest.mark.parametrize("name", [DOCUMENT, ARRAYS, "tables/currents.csv"])
def test_what_could_be_read_without_end_is_not_opened(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ExportError, match=f"{folder / name}: is no regular file"):
        read_bundle(folder)
    (folder / name).unlink()
    (folder / name).symlink_to(folder / name)
    with pytest.raises(ExportError, match=f"{folder / name}: cannot be read"):
        read_bundle(folder)


def test_a_file_is_read_no_further_than_it_is_listed(folder, monkeypatch):
    (folder / "tables" / "currents.csv").write_bytes(b"0" * 10_000_000)
    monkeypatch.setattr("atis_jax.export.store.read_bytes", only_small(store.read_bytes))
    with pytest.raises(ExportError, match="currents.csv: was changed after the export"):
        read_bundle(folder)
    listed = put(document_in(folder), ("files", "tables/currents.csv", "bytes"), 10**17)
    assert "bytes = 100000000000000000 is above" in refusal(folder, listed)


def only_small(reader):
    def read(path, largest):
        assert path.stat().st_size < 1_000_000, path
        return reader(path, largest)

    return read


def test_a_document_that_is_too_large_is_not_read(folder, monkeypatch):
    with open(folder / DOCUMENT, "ab") as file:
        file.truncate(2**40)  # a hole: it takes no room
    with pytest.raises(ExportError, match=r"design.json: has 1,099,511,627,776 bytes or more; at most 67,108,864 are"):
        read_bundle(folder)


def rezipped(folder, change, compression=zipfile.ZIP_DEFLATED):
    """Another zip of the arrays' files, its size and hash listed."""
    with zipfile.ZipFile(folder / ARRAYS) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    with zipfile.ZipFile(folder / ARRAYS, "w", compression) as stored:
        for name, content in change(members).items():
            stored.writestr(name, content)
    return listed_again(folder)


NPY = "design/prototype.npy"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: {**m, NPY: m[NPY] + bytes(50_000_000)}, "'design/prototype' unpacks to 50000"),
        (lambda m: {**m, NPY: m[NPY] + b"0"}, "is damaged (an array of float32[2, 1, 4] has 33 bytes)"),
        (lambda m: {**m, NPY: m[NPY].replace(b"(2, 1, 4), }" + b" " * 9, b"(2, 1, 9999999999), }")}, "is damaged ("),
        (lambda m: {**m, NPY: m[NPY].replace(b"'<f4'", b"'|O' ")}, "is damaged ("),
        (lambda m: {**m, NPY: b"\x93NUMPY\x03\x00" + m[NPY][8:]}, "is damaged (an array is of version (3, 0))"),
        (lambda m: {**m, "more.npy": b""}, "arrays lacks 'more'"),
    ],
)
def test_arrays_that_unpack_to_more_than_is_listed_are_refused(folder, change, told):
    assert told in refusal(folder, rezipped(folder, change))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_arrays_packed_in_ways_that_have_no_bound_are_refused(folder, compression):
    assert "is packed as" in refusal(folder, rezipped(folder, dict, compression))


def in_the_hardware(document, field, value):
    place = next(i for i, entry in enumerate(document["hardware"]) if entry["field"] == field)
    return put(document, ("hardware", place, "value"), value)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("ota.kappa", True, "hardware[9].value: True is not of type"),
        ("ota.kappa", "0.7", "ota.kappa = '0.7' must be a number"),
        ("ota.kappa", None, "ota.kappa = None must be a number"),
        ("ota.kappa", "infinite", "ota.kappa = inf must be above 0 and at most 1"),
        ("ota.law", 3, "ota.law = 3 must be a name"),
        ("dac.bits", 6.0, "dac.bits = 6.0 must be a whole number"),
        ("max_inputs", None, "max_inputs = None must be a whole number"),
        ("ota.systematic", 3.0, "ota.systematic = 3.0 must be null"),
    ],
)
@pytest.mark.parametrize("schema", [1, 4])
def test_hardware_of_another_kind_is_told(folder, field, value, told, schema):
    assert told in refusal(folder, as_schema(schema, in_the_hardware(document_in(folder), field, value)))


def as_schema(schema, document):
    """The document, with its checksum made anew or, as in schema 1, without one."""
    rest = {name: value for name, value in document.items() if name != "sha256"}
    return {**rest, "schema": 1} if schema == 1 else with_seal(rest)


@pytest.mark.parametrize(
    "path", [(*SCORE, "feedback", "achieved"), ("layers", 0, "converter", "bits"), ("network", "tokens")]
)
@pytest.mark.parametrize("schema", [1, 4])
def test_true_is_no_number(folder, path, schema):
    said = refusal(folder, as_schema(schema, put(document_in(folder), path, True)))
    assert f"{words(path)}: True is not of type" in said


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("accuracy",), {"dense": 0}),
        (("provenance", "run"), "another"),
        (("provenance", "config"), {"seed": 1}),
        (("name",), "another"),
        (("network", "tokens"), 17),
        (("calibration", "chip"), "chip 8"),
        (("calibration", "temperature", "value"), 28.0),
        (("sha256",), "0" * 64),
    ],
)
def test_what_no_array_confirms_is_kept_by_the_checksum(folder, path, value):
    said = refusal(folder, put(document_in(folder), path, value))
    assert "is not what its sha256 was made of" in said


def test_a_bundle_of_the_first_schema_is_read(folder):
    """It has no checksum of itself."""
    wanted = read_bundle(folder)
    assert refusal(folder, as_schema(1, document_in(folder))) == ""
    assert_same(read_bundle(folder), wanted)
    assert "schema 1, which has no 'sha256'" in refusal(folder, {**document_in(folder), "sha256": "0" * 64})


def test_a_bundle_from_before_prototypes_could_start_elsewhere_is_read(folder):
    """Of schema 3; what its checksum was made of is looked at first."""
    wanted, document = read_bundle(folder), document_in(folder)
    scorer = {name: value for name, value in document["scorer"].items() if name != "start"}
    earlier = with_seal({**document, "scorer": scorer, "schema": 3})
    assert refusal(folder, earlier) == ""
    assert_same(read_bundle(folder), wanted)
    assert "is not what its sha256 was made of" in refusal(folder, {**earlier, "name": "another"})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[" * 100_000, "more than 64 tables and lists inside each other"),
        (b'{"format": "atis_jax design bundle", "format": 1}', "names 'format' twice"),
        (b'{"format": "\xff"}'.decode("unicode_escape").encode("latin-1"), "not all UTF-8"),
        (b'{"accuracy": 1e400}', "holds the number 1e400, which is beyond any"),
    ],
)
def test_json_of_an_odd_kind_is_refused(folder, content, told):
    (folder / DOCUMENT).write_bytes(content)
    with pytest.raises(ExportError, match=f"design.json: .*{told}"):
        read_bundle(folder)


@pytest.mark.parametrize("scored", [[1, 1], [3], [2, 3]])
def test_a_layer_is_scored_once_and_exists(folder, scored):
    said = refusal(folder, as_schema(4, put(document_in(folder), ("network", "scored"), scored)))
    assert f"network.scored = {scored} must name layers 1 to 2, each once" in said
