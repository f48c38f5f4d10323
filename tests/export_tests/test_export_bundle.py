"""The design bundle: written and read back to the bit, never half there."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from bundle_cases import CASES, a_bundle, assert_same, case, files_of, placed, put
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from atis_jax.circuits.hardware import flatten_hardware
from atis_jax.export.errors import ExportError
from atis_jax.export.store import DOCUMENT, bundle_files, read_bundle, write_bundle, write_folder
from atis_jax.export.units import unit_of


@pytest.mark.slow
@settings(max_examples=20)
@given(made=a_bundle())
def test_any_design_comes_back_to_the_bit(tmp_path_factory, made):
    folder = tmp_path_factory.mktemp("exported") / "bundle"
    assert write_bundle(made, folder) == folder
    found = read_bundle(folder)
    assert_same(found, made)
    assert bundle_files(found) == {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.slow
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
    with pytest.raises(ExportError, match="scorer.kind = 'digital' has no array of OTAs to export"):
        dataclasses.replace(case("learned"), spec=spec)


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


@pytest.mark.slow
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
