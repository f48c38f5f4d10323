"""Checkpoints: exact round trip, kills at every stage of a save, damage, foreign configs."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atis_jax.numerics import pytree, static
from atis_jax.training import checkpoints as module
from atis_jax.training.checkpoints import CheckpointError, Checkpoints


@pytree
class Design:
    current_a: jax.Array
    empty: jax.Array
    name: str = static(default="nominal")


def make_state(seed: int = 0, side: int = 8) -> dict:
    key = jax.random.key(seed)
    params = {"dense": {"kernel": jax.random.normal(jax.random.fold_in(key, 1), (side, side))}}
    bits = np.array([0x7FC00001, 0x80000000, 0x00000001, 0x7F800000], np.uint32)  # NaN payload, -0, denormal, inf
    return {
        "params": params,
        "optimiser": optax.adamw(1e-3).init(params),
        "design": Design(jnp.asarray([1e-9, 3e-38], jnp.float32), jnp.zeros((0, 3))),
        "key": jax.random.fold_in(key, 2),
        "chip_keys": jax.random.split(jax.random.fold_in(key, 3), 4),
        "other_generator": jax.random.key(5, impl="rbg"),
        "odd_bits": jax.lax.bitcast_convert_type(jnp.asarray(bits), jnp.float32),
        "half": jnp.arange(3, dtype=jnp.bfloat16),
        "flags": jnp.asarray([True, False]),
        "host": np.arange(3, dtype=np.int64),
        "step": 7,
        "best": 0.1,
    }


def raw(tree) -> list[tuple]:
    def bytes_of(leaf):
        if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return (str(leaf.dtype), leaf.shape, np.asarray(jax.random.key_data(leaf)).tobytes())
        return (type(leaf).__name__, str(np.asarray(leaf).dtype), np.shape(leaf), np.asarray(leaf).tobytes())

    return [bytes_of(leaf) for leaf in jax.tree.leaves(tree)]


def test_round_trip_is_bit_for_bit(tmp_path):
    state = make_state()
    position = {"epoch": 3, "offset": 17, "shard": "train"}
    Checkpoints(tmp_path, "a").save(5, state, position, {"best": 0.1 + 0.2, "names": ["x"]})
    restored, data_position, extra = Checkpoints(tmp_path, "a").restore(make_state(seed=9))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert raw(restored) == raw(state)
    assert data_position == position and extra == {"best": 0.1 + 0.2, "names": ["x"]}
    assert restored["design"].name == "nominal"
    np.testing.assert_array_equal(
        jax.random.normal(restored["other_generator"], (3,)),
        jax.random.normal(state["other_generator"], (3,)),
    )


def test_abstract_state_from_eval_shape(tmp_path):
    def init():
        return {
            "w": jnp.ones((2, 3)),
            "key": jax.random.key(1),
            "keys": jax.random.split(jax.random.key(2), 3),
        }

    store = Checkpoints(tmp_path, "a")
    store.save(1, init(), {})
    restored, _, _ = store.restore(jax.eval_shape(init))
    assert raw(restored) == raw(init())
    assert isinstance(restored["w"], jax.Array)


def test_keeps_the_newest_and_replaces_an_abandoned_continuation(tmp_path):
    store = Checkpoints(tmp_path, "a", keep=2)
    assert store.latest_step() is None
    for step in (1, 2, 3, 4):
        store.save(step, {"x": jnp.full((2,), step, jnp.float32)}, {})
    assert store.steps() == [3, 4]
    state, _, _ = store.restore({"x": jnp.zeros(2)}, step=3)
    assert state["x"].tolist() == [3.0, 3.0]
    store.save(3, {"x": jnp.full((2,), 30.0, jnp.float32)}, {})
    assert store.steps() == [3]
    assert store.restore({"x": jnp.zeros(2)})[0]["x"].tolist() == [30.0, 30.0]


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def call_sites(monkeypatch, action):
    """Send every write the save makes through ``action(label)`` first; the label is the call and its file."""
    for holder, name in (
        (module.ocp, "save"),
        (module, "_fingerprint"),
        (module, "_write"),
        (module, "_sync"),
        (module.os, "rename"),
        (module.shutil, "rmtree"),
    ):
        original = getattr(holder, name)

        def routed(*args, _original=original, _name=name, **kwargs):
            # Orbax names its data files at random; one label for all of them.
            file = os.path.basename(os.fspath(args[0]))
            action(f"{_name} {'data' if re.fullmatch('[0-9a-f]{32}', file) else file}")
            return _original(*args, **kwargs)

        monkeypatch.setattr(holder, name, routed)


@pytest.mark.slow
@pytest.mark.parametrize("keep", [1, 2])
def test_a_kill_at_any_write_leaves_a_whole_checkpoint(tmp_path, keep):
    """Die before each kind of write in turn; the old checkpoint or the new one is there, whole."""
    old, new = make_state(0), make_state(1)
    template = tmp_path / "template"
    Checkpoints(template, "a", keep=keep).save(1, old, {"at": 1})
    labels: dict[str, None] = {}
    with pytest.MonkeyPatch.context() as patch:
        shutil.copytree(template, tmp_path / "count")
        store = Checkpoints(tmp_path / "count", "a", keep=keep)
        call_sites(patch, lambda label: labels.setdefault(label))
        store.save(2, new, {"at": 2})
    assert {"save arrays", "_fingerprint data", "_write checkpoint.json", "rename .writing-00000002"} <= set(labels)
    outcomes = set()
    for number, fatal in enumerate(labels):
        folder = tmp_path / f"kill{number}"
        shutil.copytree(template, folder)
        store = Checkpoints(folder, "a", keep=keep)

        def die(label, fatal=fatal, folder=folder):
            if label == fatal or (fatal == "_sync count" and label == f"_sync {folder.name}"):
                raise Killed

        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            call_sites(patch, die)
            store.save(2, new, {"at": 2})
        again = Checkpoints(folder, "a", keep=keep)
        assert not [entry for entry in os.listdir(folder) if entry.startswith(".")], fatal
        restored, position, _ = again.restore(make_state(5))
        assert raw(restored) == raw(old if position["at"] == 1 else new), fatal
        assert position["at"] == again.latest_step()
        outcomes.add(position["at"])
    assert outcomes == {1, 2}


def test_a_kill_while_replacing_the_only_checkpoint(tmp_path):
    store = Checkpoints(tmp_path, "a", keep=1)
    store.save(1, {"x": jnp.zeros(2)}, {})
    original_rename = os.rename

    def rename(source, target):
        original_rename(source, target)
        if ".replaced-" in str(target):  # the old one is aside, the new one not yet in place
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(module.os, "rename", rename)
        store.save(1, {"x": jnp.ones(2)}, {})
    assert Checkpoints(tmp_path, "a", keep=1).steps() == [1]
    assert store.restore({"x": jnp.ones(2)})[0]["x"].tolist() == [0.0, 0.0]


@pytest.mark.slow
def test_every_file_missing_shortened_or_altered_gives_one_clear_error(tmp_path):
    store = Checkpoints(tmp_path / "good", "a")
    state = {"w": jax.random.normal(jax.random.key(0), (50, 50)), "b": jnp.ones(3)}
    store.save(1, state, {})
    store.save(2, state, {})
    newest = tmp_path / "good" / "step_00000002"
    files = [path.relative_to(newest) for path in newest.rglob("*") if path.is_file()]
    assert len(files) > 5
    for name in files:
        for damage in ("missing", "shortened", "altered"):
            copy = tmp_path / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(tmp_path / "good", copy)
            target = copy / "step_00000002" / name
            content = target.read_bytes()
            if damage == "missing":
                target.unlink()
            elif not content:
                continue
            elif damage == "shortened":
                target.write_bytes(content[: len(content) // 2])
            else:
                middle = len(content) // 2
                target.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
            damaged = Checkpoints(copy, "a")
            with pytest.raises(CheckpointError) as caught:
                damaged.restore(state)
            message = str(caught.value)
            assert name.name in message and "step_00000002" in message
            assert "Delete that folder to resume from step 1" in message
            assert damaged.restore(state, step=1)[0]["b"].tolist() == [1.0, 1.0, 1.0]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A checkpoint of a few numbers of every kind; its files as written, to be put back after each damage."""
    folder = tmp_path_factory.mktemp("small")
    state = {"weights": jnp.arange(6.0).reshape(2, 3), "key": jax.random.key(3), "step": 7}
    Checkpoints(folder, "a", config={"seed": 0}).save(3, state, {"next_index": 12})
    files = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return folder, state, {path: content for path, content in files.items() if content}


@given(place=st.floats(0, 1, exclude_max=True), of_files=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@settings(max_examples=80, derandomize=True)
def test_a_changed_byte_gives_the_very_state_or_is_called_damage(small, place, of_files, flip):
    folder, state, files = small
    path = list(files)[int(of_files * len(files))]
    content = bytearray(files[path])
    content[int(place * len(content))] ^= flip
    path.write_bytes(content)
    try:
        try:
            found, position, extra = Checkpoints(folder, "a", config={"seed": 0}).restore(state)
        except CheckpointError as error:
            assert "damaged checkpoint" in str(error) and path.name in str(error)
            assert "Delete that folder to start again from the beginning" in str(error)
        else:
            assert raw(found) == raw(state) and (position, extra) == ({"next_index": 12}, {})
    finally:
        path.write_bytes(files[path])


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ('"next_index": 12', '"next_index": 13'),  # the data stream would stand elsewhere
        ('"weights": {', '"weighus": {'),  # one bit of a leaf's name: not another program's state
        ('"config_hash": "a"', '"config_hash": "c"'),  # nor another config's checkpoint
        ('"sha256": "', '"sha257": "'),
        ('"schema": 1', '"schema": 3'),
    ],
)
def test_a_changed_record_is_damage_and_nothing_else(small, there, instead):
    folder, state, files = small
    path = folder / "step_00000003" / "checkpoint.json"
    text = path.read_text()
    assert there in text
    path.write_text(instead.join(text.rsplit(there, 1)))
    try:
        with pytest.raises(CheckpointError, match="damaged checkpoint: .*checkpoint.json .*start again"):
            Checkpoints(folder, "a", config={"seed": 0}).restore(state)
    finally:
        path.write_text(text)


def test_a_checkpoint_without_a_checksum_still_loads(small):
    """As older versions wrote them."""
    folder, state, _ = small
    path = folder / "step_00000003" / "checkpoint.json"
    text = path.read_text()
    record = json.loads(text)
    del record["sha256"]
    path.write_text(json.dumps(record, indent=1))
    try:
        assert raw(Checkpoints(folder, "a").restore(state)[0]) == raw(state)
    finally:
        path.write_text(text)


def test_another_config_is_refused_with_the_fields_that_differ(tmp_path):
    Checkpoints(tmp_path, "a", config={"training": {"steps": 3, "rate": 0.1}}).save(1, {"x": jnp.ones(2)}, {})
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(CheckpointError, match=r"another config:\n  config\.training\.steps: 3 there, 4 now\n"):
        Checkpoints(tmp_path, "b", config={"training": {"steps": 4, "rate": 0.1}})
    with pytest.raises(CheckpointError, match="another config"):
        Checkpoints(tmp_path, "b")
    assert sorted(os.listdir(tmp_path)) == before


def test_another_structure_is_refused(tmp_path):
    store = Checkpoints(tmp_path, "a")
    store.save(1, {"x": jnp.ones((2, 3)), "old": jnp.ones(1), "key": jax.random.key(0)}, {})
    wanted = {"x": jnp.ones((2, 4)), "new": jnp.ones(1), "key": jax.random.key(0, impl="rbg")}
    with pytest.raises(CheckpointError) as caught:
        store.restore(wanted)
    for part in (
        "old: in the checkpoint only",
        "new: in the program only",
        "x: float32[2, 3] there, float32[2, 4]",
        "key: key<fry>[] there, key<rbg>[] here",
    ):
        assert part in str(caught.value)


def test_one_part_of_a_state_is_read_alone_and_checked_alone(tmp_path):
    store = Checkpoints(tmp_path, "a")
    store.save(1, {"params": {"w": jnp.arange(3.0)}, "params_of_old": jnp.ones(2), "opt": jnp.ones(7)}, {})
    found, *_ = store.restore({"w": jnp.zeros(3)}, part="params")
    np.testing.assert_array_equal(found["w"], np.arange(3.0))
    with pytest.raises(CheckpointError, match="params.w: float32\\[3\\] there, float32\\[4\\] here"):
        store.restore({"w": jnp.zeros(4)}, part="params")
    with pytest.raises(CheckpointError, match="params.extra: in the program only"):
        store.restore({"w": jnp.zeros(3), "extra": jnp.zeros(1)}, part="params")


def test_a_part_may_be_one_array(tmp_path):
    store = Checkpoints(tmp_path, "a")
    store.save(1, {"design": jnp.arange(3.0), "design_of_old": jnp.ones(2)}, {})
    np.testing.assert_array_equal(store.restore(jnp.zeros(3), part="design")[0], np.arange(3.0))


def test_a_reader_without_a_hash_takes_any_config(tmp_path):
    Checkpoints(tmp_path, "a", config={"seed": 1}).save(1, {"w": jnp.ones(2)}, {})
    store = Checkpoints(tmp_path, None, read_only=True)
    assert store.config_of(1) == {"seed": 1}


def test_what_cannot_be_kept_exactly_is_refused_before_writing(tmp_path):
    store = Checkpoints(tmp_path, "a")
    with pytest.raises(TypeError, match="scale has a weak type"):
        store.save(1, {"scale": jax.jit(lambda: 2.0)()}, {})
    with pytest.raises(TypeError, match="name is a str"):
        store.save(1, {"name": "x"}, {})
    with pytest.raises(TypeError):
        store.save(1, {"x": jnp.ones(1)}, {"iterator": object()})
    assert os.listdir(tmp_path) == []


def test_nothing_to_restore_and_no_such_step(tmp_path):
    store = Checkpoints(tmp_path, "a")
    with pytest.raises(CheckpointError, match="no checkpoint; there are: none"):
        store.restore({})
    store.save(4, {"x": jnp.ones(1)}, {})
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 5; there are: \[4\]"):
        store.restore({"x": jnp.ones(1)}, step=5)


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="cannot be written"):
        Checkpoints(tmp_path / "file" / "checkpoints", "a")


def test_the_record_is_readable_without_our_classes(tmp_path):
    Checkpoints(tmp_path, "a", config={"seed": 1}).save(2, make_state(), {"epoch": 1})
    record = json.loads((tmp_path / "step_00000002" / "checkpoint.json").read_text())
    assert record["config"] == {"seed": 1} and record["data_position"] == {"epoch": 1}
    assert record["leaves"]["params.dense.kernel"]["shape"] == [8, 8]
    assert dataclasses.is_dataclass(Design)
