"""Bundles of every structure, any numbers in them, and what takes a written one apart."""

import copy
import dataclasses
import functools
import hashlib
import json

import numpy as np
from export_cases import bundle
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atis_jax.circuits import get_preset, with_fields
from atis_jax.circuits.hardware import flatten_hardware
from atis_jax.circuits.systematic import Systematic
from atis_jax.export.bundle import Bundle, leaves_of
from atis_jax.export.errors import ExportError
from atis_jax.export.store import ARRAYS, DOCUMENT, bundle_files, read_bundle

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
    "one read": {"reads": "first_layer"},
    "one input": {"inputs": 1, "layers": 1},
    "64 inputs": {"inputs": 64, "layers": 1},
}
# None that is subnormal: XLA takes it for zero.
RAW = st.floats(-1e4, 1e4, width=32, allow_subnormal=False) | st.sampled_from([0.0, -0.0, 1e-30, -40.0, 40.0])
TRIM = st.floats(-0.5, 0.5, width=32, allow_subnormal=False) | st.just(0.0)


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
