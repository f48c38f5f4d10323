"""The cluttered_digits builder: round trip, split, atomic preparation, no TensorFlow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from atis_jax.data import cluttered_digits
from atis_jax.data.errors import DatasetError
from atis_jax.data.images import ImagesSpec
from atis_jax.data.registry import load_split

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("datasets")
    cluttered_digits.prepare(directory)
    return directory


def read(data_dir, split):
    source = tfds.builder("cluttered_digits", data_dir=str(data_dir)).as_data_source(split)
    return source.__getitems__(range(len(source)))


@pytest.mark.slow
def test_round_trip_returns_every_digit_with_its_label(data_dir):
    bunch = load_digits()
    for split, indices in (
        ("train", np.arange(1415)),
        ("test", np.repeat(np.arange(1415, 1797), 5)),
    ):
        examples = read(data_dir, split)
        np.testing.assert_array_equal([e["digit_index"] for e in examples], indices)
        np.testing.assert_array_equal([e["digit"] for e in examples], bunch.images[indices])
        np.testing.assert_array_equal([e["label"] for e in examples], bunch.target[indices])


def test_canvas_shows_the_digit_in_its_box(data_dir):
    # The best-matching source digit (by correlation of the boxed pixels, stretched) must be the stored one's
    # class nearly always; chance is 0.1.
    from scipy.ndimage import zoom

    bunch = load_digits()
    inked = bunch.images / 16 > 0.15
    flat, right = [], 0
    for digit, ink in zip(bunch.images, inked, strict=True):
        rows, columns = np.nonzero(ink)
        box = digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        flat.append(zoom(box, 8 / np.array(box.shape), order=1, grid_mode=True, mode="nearest").reshape(-1))
    flat = np.stack(flat) - np.mean(flat, axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    examples = read(data_dir, "test")[::20]
    for example in examples:
        top, left, bottom, right_end = example["box"]
        box = example["image"][top:bottom, left:right_end, 0].astype(float)
        seen = zoom(box, 8 / np.array(box.shape), order=1, grid_mode=True, mode="nearest").reshape(-1)
        right += bunch.target[np.argmax(flat @ (seen - seen.mean()))] == example["label"]
    assert right / len(examples) > 0.95


def test_split_is_where_a_form_starts_and_no_digit_is_in_both():
    target = load_digits().target
    prompt = target[256:356]
    assert (target[1415:1515] == prompt).all()
    assert (target[1437:1537] == prompt).mean() < 0.5
    train, _ = cluttered_digits.source_digits("train")
    test, _ = cluttered_digits.source_digits("test")
    assert (len(train), len(test)) == (1415, 382)
    assert not {d.tobytes() for d in train} & {d.tobytes() for d in test}


def test_placements_of_a_digit_differ(data_dir):
    images = load_split(ImagesSpec(data_dir=str(data_dir)), "test").columns["image"].reshape(382, 5, -1)
    assert all(len({i.tobytes() for i in five}) == 5 for five in images)


@pytest.mark.slow
def test_two_builds_are_identical_and_a_prepared_one_is_left_alone(data_dir, tmp_path):
    cluttered_digits.prepare(tmp_path)
    for path in (data_dir / "cluttered_digits/1.0.0").iterdir():
        if "array_record" in path.name:
            assert path.read_bytes() == (tmp_path / "cluttered_digits/1.0.0" / path.name).read_bytes()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    cluttered_digits.prepare(tmp_path)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_another_process_finishing_first_is_no_error(tmp_path, monkeypatch, data_dir):
    generate = cluttered_digits.ClutteredDigits._generate_examples
    raced = []

    def generate_after_the_other(self, split, placements):
        if not raced:
            raced.append(True)
            cluttered_digits.prepare(tmp_path)  # the other process, from start to end
        return generate(self, split, placements)

    monkeypatch.setattr(cluttered_digits.ClutteredDigits, "_generate_examples", generate_after_the_other)
    cluttered_digits.prepare(tmp_path)
    assert raced
    np.testing.assert_array_equal(
        [e["image"] for e in read(tmp_path, "test")], [e["image"] for e in read(data_dir, "test")]
    )
    assert not list((tmp_path / "cluttered_digits").glob("incomplete*"))


@pytest.mark.slow
def test_killed_while_writing_leaves_no_dataset_and_the_next_run_writes_it(tmp_path):
    slow = (
        "import sys, time\n"
        "from atis_jax.data import canvas, cluttered_digits\n"
        "draw = canvas.render\n"
        "def slowly(*a, **k):\n"
        "    time.sleep(60)\n"
        "    return draw(*a, **k)\n"
        "canvas.render = slowly\n"
        "cluttered_digits.prepare(sys.argv[1])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", slow, str(tmp_path)], cwd=ROOT)
    deadline = time.monotonic() + 50
    while not list(tmp_path.glob("cluttered_digits/incomplete*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cluttered_digits/1.0.0").exists()
    cluttered_digits.prepare(tmp_path)
    assert len(read(tmp_path, "test")) == 1910


def test_directory_that_is_no_dataset_is_refused_and_kept(tmp_path):
    foreign = tmp_path / "cluttered_digits/1.0.0"
    foreign.mkdir(parents=True)
    (foreign / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"cluttered_digits.*1\.0\.0.*dataset_info.json.*data\.data_dir"):
        cluttered_digits.prepare(tmp_path)
    assert (foreign / "notes.txt").read_text() == "mine"


def test_unwritable_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"cluttered_digits.*file/below.*data\.data_dir"):
        cluttered_digits.prepare(tmp_path / "file/below")


@pytest.mark.slow
def test_reading_and_batching_never_import_tensorflow(data_dir):
    code = (
        "import sys\n"
        "from atis_jax.data.images import ImagesSpec\n"
        "from atis_jax.data.pipeline import eval_batches, train_iterator\n"
        f"spec = ImagesSpec(data_dir={str(data_dir)!r})\n"
        "next(train_iterator(spec, 1)); next(eval_batches(spec))\n"
        "print(sorted(m for m in ('tensorflow', 'flax', 'optax') if m in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
