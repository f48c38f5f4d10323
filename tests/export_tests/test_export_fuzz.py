"""A bundle damaged in any way is the one that was written or is refused in words: nothing else is raised or read."""

import dataclasses
import json

import numpy as np
import pytest
from bundle_cases import assert_same, case, listed_again, placed, put
from hypothesis import given, settings
from hypothesis import strategies as st

from atis_jax.export.bundle import Calibration, leaves_of
from atis_jax.export.document import with_seal
from atis_jax.export.errors import ExportError
from atis_jax.export.store import ARRAYS, DOCUMENT, PAGE, bundle_files, read_bundle, write_bundle

HUGE = "the number 1e400"
"""Stands for what ``json.dumps`` cannot write."""
LEAVES = [True, False, 0, -1, 1, 2.5, 10**17, 1e300, HUGE, "", "x", "\ud800", None, [], {}, [[[[[]]]]], {"achieved": 1}]
NAMES = ["../design.json", "/dev/zero", "..", ".", "", "a\x00b", "tables", "tables/../design.json", "C:\\x", "x" * 5000]
MADE = dataclasses.replace(
    case("one input"),
    calibration=Calibration("chip 7", ("threshold",), 27.0, np.float32([[0.01]]), np.float32([[[0.1]]])),
    accuracy={"dense": 0.95, "chips": 32},
)
FILES = bundle_files(MADE)
GOOD = json.loads(FILES[DOCUMENT])
READ = sorted(set(FILES) - {PAGE})


def places_in(value, start=()):
    """Every place of a document that holds a value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in pairs:
        yield (*start, key)
        yield from places_in(inside, (*start, key))


PLACES = list(places_in(GOOD))


@st.composite
def an_edit(draw):
    """The document with one place of it changed, taken out or, in the lists of files and arrays, named otherwise."""
    where = draw(st.sampled_from(PLACES))
    what = draw(st.sampled_from(["put", "put", "take out", "name"]))
    if what == "name":
        table = draw(st.sampled_from(["files", "arrays"]))
        old = draw(st.sampled_from(sorted(GOOD[table])))
        return {**GOOD, table: {draw(st.sampled_from(NAMES)) if k == old else k: v for k, v in GOOD[table].items()}}
    return put(GOOD, where, ... if what == "take out" else draw(st.sampled_from(LEAVES)))


@st.composite
def damage(draw):
    """The files of the bundle, two of them exchanged or one cut off, flipped, lengthened or gone."""
    files, name = dict(FILES), draw(st.sampled_from(READ))
    content, place = FILES[name], draw(st.integers(0, len(FILES[name]) - 1))
    what = draw(st.sampled_from(["flip", "flip", "cut", "add", "gone", "exchange"]))
    if what == "flip":
        files[name] = content[:place] + bytes([content[place] ^ 1 << draw(st.integers(0, 7))]) + content[place + 1 :]
    elif what == "cut":
        files[name] = content[:place]
    elif what == "add":
        files[name] = content + draw(st.binary(min_size=1, max_size=9))
    elif what == "gone":
        del files[name]
    else:
        other = draw(st.sampled_from(READ))
        files[name], files[other] = files[other], files[name]
    return files


def leaves_in(found):
    return {name: leaf.tobytes() for name, leaf in leaves_of(found.design).items()}


def text_of(document):
    return json.dumps(document).replace(f'"{HUGE}"', "1e400").encode()


@pytest.mark.slow
@settings(max_examples=100)
@given(files=damage() | an_edit().map(lambda document: {**FILES, DOCUMENT: text_of(document)}))
def test_damage_is_refused_or_changes_nothing(tmp_path_factory, files):
    folder = placed(tmp_path_factory.mktemp("damaged") / "b", files)
    try:
        found = read_bundle(folder)
    except ExportError:
        return
    assert_same(found, MADE)


@pytest.mark.slow
@settings(max_examples=100)
@given(document=an_edit(), first_schema=st.booleans())
def test_an_edit_with_its_checksum_made_anew_is_refused_or_a_bundle(tmp_path_factory, document, first_schema):
    """Whoever edits on purpose can say another accuracy or another hardware: never another array, or half a bundle."""
    document = {name: value for name, value in document.items() if name != "sha256"}
    if not first_schema:
        document = with_seal(document)
    elif "schema" in document:
        document["schema"] = 1
    folder = placed(tmp_path_factory.mktemp("edited") / "b", {**FILES, DOCUMENT: text_of(document)})
    try:
        found = read_bundle(folder)
    except ExportError:
        return
    assert leaves_in(found) == leaves_in(MADE)
    assert_same(read_bundle(write_bundle(found, folder)), found)


@settings(max_examples=60)
@given(place=st.integers(0, len(FILES[ARRAYS]) - 1), bit=st.integers(0, 7), cut=st.booleans())
def test_arrays_of_any_bytes_are_refused_or_the_same(tmp_path_factory, place, bit, cut):
    """The damage is listed with its size and hash, so that the zip and the arrays in it have to notice."""
    content = FILES[ARRAYS]
    content = content[:place] if cut else content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
    folder = placed(tmp_path_factory.mktemp("zip") / "b", {**FILES, ARRAYS: content})
    (folder / DOCUMENT).write_bytes(text_of(with_seal(listed_again(folder))))
    try:
        found = read_bundle(folder)
    except ExportError:
        return
    assert leaves_in(found) == leaves_in(MADE)
