"""Image sets as TFDS has them, all types of them: one valid split or one error in one line, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tfds import in_memory, png, write

from atis_jax.data import builders
from atis_jax.data.errors import DatasetError
from atis_jax.data.images import Images, ImagesSpec
from atis_jax.data.pipeline import eval_batches, train_iterator
from atis_jax.data.registry import load_split
from atis_jax.models.registry import make_model
from atis_jax.models.vit import ModelSpec
from atis_jax.training import evaluate
from atis_jax.training.spec import CodesignSpec, StageSpec
from atis_jax.training.state import create_state, optimiser
from atis_jax.training.step import dense_step
from atis_jax.training.task import make_task

CLASSES = tfds.features.ClassLabel(num_classes=3)
TENSOR, IMAGE = tfds.features.Tensor, tfds.features.Image


def spec(directory, name: str = "tiny", **fields) -> ImagesSpec:
    return ImagesSpec(name=name, data_dir=str(directory), augmentation="none", **fields)


def splits(images, train_labels=(0, 1, 2, 0), test_labels=(2, 1, 0, 1)):
    return {
        "train": [{"image": image, "label": label} for image, label in zip(images, train_labels, strict=True)],
        "test": [{"image": image, "label": label} for image, label in zip(images, test_labels, strict=True)],
    }


def numbers(*shape: int, dtype=np.uint8) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (4, *shape)).astype(dtype))


def opaque(images):
    return [np.concatenate([image, np.full((*image.shape[:2], 1), 255, np.uint8)], axis=-1) for image in images]


REFUSED = {
    "float32": (
        TENSOR(shape=(4, 4, 1), dtype=np.float32),
        numbers(4, 4, 1, dtype=np.float32),
        "images of float32, and 8-bit ones .uint8, 0 to 255. are read",
    ),
    "16 bit": (TENSOR(shape=(4, 4, 1), dtype=np.uint16), numbers(4, 4, 1, dtype=np.uint16), "images of uint16"),
    "16-bit PNG": (
        IMAGE(shape=(4, 4, 1), dtype=np.uint16),
        [png(one) for one in numbers(4, 4, dtype=np.uint16)],
        "images of uint16",
    ),
    "no channel axis": (
        TENSOR(shape=(28, 28), dtype=np.uint8),
        numbers(28, 28),
        r"images of shape \(28 x 28\).*give grey images a channel axis of length 1",
    ),
    "opaque RGBA": (
        IMAGE(shape=(4, 4, 4)),
        [png(one) for one in opaque(numbers(4, 4, 3))],
        r"images of 4 channels, the last of them opacity \(alpha\); prepare it with the other 3",
    ),
    "constant channel": (
        TENSOR(shape=(4, 4, 4), dtype=np.uint8),
        opaque(numbers(4, 4, 3)),
        "channel 3 of 4 is 255 in every pixel of every training image.*prepare the data set without it",
    ),
    "several sizes": (
        IMAGE(shape=(None, None, 3)),
        [png(one) for one in (*numbers(4, 4, 3)[:2], *numbers(8, 8, 3)[:2])],
        r"example 2 of 'train' has 'image' of shape \(8, 8, 3\), the first one \(4, 4, 3\)",
    ),
    "channels unknown": (IMAGE(shape=(4, 4, None)), [png(one) for one in numbers(4, 4, 3)], "how many channels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_images_that_cannot_be_used_are_one_error_and_not_called_damaged(case, tmp_path):
    feature, images, words = REFUSED[case]
    write(tmp_path, "tiny", {"image": feature, "label": CLASSES}, {"train": splits(images)["train"]})
    with pytest.raises(DatasetError, match=rf"^data set 'tiny'.*{words}") as error:
        load_split(spec(tmp_path), "train")
    assert "\n" not in str(error.value) and "damaged" not in str(error.value)


STORED = {
    "declared": (TENSOR(shape=(6, 4, 3), dtype=np.uint8), lambda images: images),
    "found in the images": (IMAGE(shape=(None, None, 3)), lambda images: [png(one) for one in images]),
}


@pytest.mark.parametrize("case", STORED)
def test_images_that_are_not_square_are_read_as_they_are(case, tmp_path):
    feature, stored = STORED[case]
    images = numbers(6, 4, 3)
    write(tmp_path, "tiny", {"image": feature, "label": CLASSES}, splits(stored(images)))
    split = load_split(spec(tmp_path), "train")
    np.testing.assert_array_equal(split.columns["image"], images)
    assert (split.facts.rows, split.facts.columns) == (6, 4)


@pytest.mark.slow
def test_a_vision_transformer_trains_a_step_on_images_that_are_not_square(tmp_path):
    """Three rows of two patches, shifted and mirrored; the next batch fits the same program."""
    write(
        tmp_path, "tiny", {"image": TENSOR(shape=(6, 4, 3), dtype=np.uint8), "label": CLASSES}, splits(numbers(6, 4, 3))
    )
    data = ImagesSpec(name="tiny", data_dir=str(tmp_path), augmentation="flip_crop", batch_size=2, eval_batch_size=3)
    train = load_split(data, "train")
    model = make_model(ModelSpec(width=8, depth=1, heads=1, mlp_width=8, patch=2, stem_width=4), train.facts)
    assert model.tokens == 6
    stage, task = StageSpec(steps=2), make_task("classify")
    transform = optimiser(stage, CodesignSpec())
    state = create_state(jax.jit(model.init)(jax.random.key(0)), (), (), jax.random.key(1), transform)
    step, batches = jax.jit(dense_step(model, task, stage, transform)), train_iterator(data, 0, train)
    for _ in range(2):
        state, metrics = step(state, next(batches), {})
    assert np.isfinite(metrics["loss"]) and metrics["gradient_norm"] > 0
    assert 0 <= evaluate.dense_accuracy(model, task, state.params, eval_batches(data)) <= 1


def test_features_are_judged_before_an_image_is_decoded(monkeypatch):
    features = {"image": TENSOR(shape=(64, 48), dtype=np.uint8), "label": CLASSES}
    builder = in_memory("tiny", features, splits(numbers(64, 48)))
    builder.as_data_source = lambda split: pytest.fail("it was read")
    monkeypatch.setattr(builders, "open_builder", lambda *_: builder)
    with pytest.raises(DatasetError, match="64 x 48.*channel axis"):
        load_split(spec("here"), "train")


def test_a_test_split_without_labels_is_refused_by_name(tmp_path):
    stored = splits(numbers(4, 4, 1), test_labels=(-1, -1, 2, -1))
    write(tmp_path, "tiny", {"image": TENSOR(shape=(4, 4, 1), dtype=np.uint8), "label": CLASSES}, stored)
    assert load_split(spec(tmp_path), "train").labels.tolist() == [0, 1, 2, 0]
    with pytest.raises(
        DatasetError,
        match=r"'tiny', split 'test': 3 of its 4 examples have a label outside 0 to 2, the first is -1 of example 0 "
        r"\(-1 marks an example without a label\)",
    ):
        load_split(spec(tmp_path), "test")


def test_what_else_a_data_set_holds_is_not_read(tmp_path):
    """Boxes as many as there are objects, a text: nothing that a classifier reads."""
    features = {
        "image": TENSOR(shape=(4, 4, 1), dtype=np.uint8),
        "label": CLASSES,
        "objects": tfds.features.Sequence({"at": TENSOR(shape=(2,), dtype=np.int32)}),
        "told": tfds.features.Text(),
    }
    stored = splits(numbers(4, 4, 1))
    for examples in stored.values():
        for number, example in enumerate(examples):
            example |= {"objects": {"at": [[1, 2]] * number}, "told": "x" * number}
    write(tmp_path, "tiny", features, stored)
    np.testing.assert_array_equal(load_split(spec(tmp_path), "train").columns["image"], numbers(4, 4, 1))


def test_damage_is_called_damage_and_nothing_else_is(tmp_path):
    place = write(
        tmp_path,
        "tiny",
        {"image": TENSOR(shape=(4, 4, 1), dtype=np.uint8), "label": CLASSES},
        splits(numbers(4, 4, 1)),
    )
    info, features = place / "dataset_info.json", place / "features.json"
    good = info.read_text()

    def refusal(name: str = "tiny", directory: Path = tmp_path) -> str:
        with pytest.raises(DatasetError) as error:
            load_split(spec(directory, name), "train")
        assert "\n" not in str(error.value)
        return str(error.value)

    told = refusal("tiny:2.0.0")
    assert "version 2.0.0 is not among those prepared" in told and "data.name = 'tiny:1.0.0'" in told
    assert "knows no data set" not in told and "damaged" not in told
    assert load_split(spec(tmp_path, "tiny:1.*.*"), "test").labels.tolist() == [2, 1, 0, 1]

    file = tmp_path / "file"
    file.write_text("")
    for name in ("tiny", "cifar10"):
        assert f"{file} is a file, not a directory" in refusal(name, file)
    with pytest.raises(DatasetError, match="is a file, not a directory"):
        load_split(ImagesSpec(data_dir=str(file)), "train")

    stored = json.loads(good)
    info.write_text(json.dumps(stored | {"fileFormat": "tfrecord"}))
    told = refusal()
    assert "is stored as tfrecord, and array_record is read" in told and "tfds build tiny" in told
    assert "damaged" not in told and "emove" not in told

    info.write_text("{")
    assert f"{place} is damaged" in refusal() and "Remove that directory" in refusal()
    info.write_text(good)
    features.unlink()
    assert f"{place} is damaged" in refusal()


def test_a_set_too_large_for_the_memory_is_not_called_damaged(monkeypatch):
    features = {"image": TENSOR(shape=(4, 4, 1), dtype=np.uint8), "label": CLASSES}
    builder = in_memory("tiny", features, splits(numbers(4, 4, 1)))

    def full(split):
        raise MemoryError

    builder.as_data_source = full
    monkeypatch.setattr(builders, "open_builder", lambda *_: builder)
    with pytest.raises(
        DatasetError, match="do not fit into memory; read fewer with config.data.train_examples"
    ) as error:
        load_split(spec("here"), "train")
    assert "damaged" not in str(error.value)


SIDES = st.sampled_from((0, 1, 4, 6))
GOOD = {
    "dtype": st.just(np.uint8),
    "shape": st.tuples(st.sampled_from((4, 6)), st.just(4), st.integers(1, 5)),
    "classes": st.integers(3, 5),
    "labels": st.lists(st.integers(0, 2), min_size=2, max_size=6),
    "constant": st.just(False),
    "names": st.just(("train", "test")),
}
ANY = {
    "dtype": st.sampled_from((np.uint16, np.int32, np.int8, np.float32, np.bool_)),
    "shape": st.one_of(st.tuples(SIDES, SIDES, st.integers(0, 5)), st.lists(SIDES, max_size=4).map(tuple)),
    "classes": st.integers(1, 4),
    "labels": st.lists(st.integers(-1, 4), max_size=6),
    "constant": st.booleans(),
    "names": st.sampled_from((("train", "validation"), ("test",))),
}


@pytest.mark.slow
@settings(max_examples=100, derandomize=True)
@given(
    drawn=st.sets(st.sampled_from(sorted(GOOD)), max_size=2).flatmap(
        lambda odd: st.fixed_dictionaries({name: (ANY if name in odd else GOOD)[name] for name in GOOD})
    ),
    declared=st.booleans(),
    split=st.sampled_from(("train", "test")),
)
def test_every_type_of_image_gives_a_valid_split_or_one_error(drawn, declared, split):
    dtype, shape, classes, labels, constant, names = (drawn[name] for name in GOOD)
    rng = np.random.default_rng(len(labels))
    images = rng.integers(0, 2 if dtype == np.bool_ else 120, (len(labels), *shape)).astype(dtype)
    if constant and images.size:
        images[..., -1] = 7
    # A length may be left open; what is stored has one all the same.
    told = shape if declared else tuple(None if axis < 2 else length for axis, length in enumerate(shape))
    features = {"image": TENSOR(shape=told, dtype=dtype), "label": tfds.features.ClassLabel(num_classes=classes)}
    examples = [{"image": image, "label": np.int64(label)} for image, label in zip(images, labels, strict=True)]
    builder = in_memory("tiny", features, dict.fromkeys(names, examples))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builders, "open_builder", lambda *_: builder)
        try:
            found = load_split(spec("here"), split)
        except DatasetError as error:
            assert str(error).startswith("data set 'tiny'") and "\n" not in str(error)
            found = None
    channels = images.reshape(-1, shape[-1]) if images.size and len(shape) == 3 else np.zeros((1, 1))
    usable = (
        {split, "train"} <= set(names)
        and dtype == np.uint8
        and len(shape) == 3
        and classes >= 2
        and len(labels) > 0
        and all(0 <= label < classes for label in labels)
        and bool(np.all(channels.min(axis=0) < channels.max(axis=0)))
    )
    assert (found is not None) == usable
    if found is not None:
        np.testing.assert_array_equal(found.columns["image"], images)
        assert found.labels.tolist() == labels and len(found.class_names) == classes
        facts = found.facts
        assert (facts.classes, facts.rows, facts.columns, facts.channels) == (classes, *shape)
        assert np.all(np.isfinite((images / 255 - facts.mean) / facts.std))


def test_images_are_fed_at_the_size_asked_for(tmp_path):
    """4 x 4 to 8 x 8: centres at half a pixel, so a new pixel is a quarter of the way to a stored neighbour."""
    images = numbers(4, 4, 3)
    write(tmp_path, "tiny", {"image": TENSOR(shape=(4, 4, 3), dtype=np.uint8), "label": CLASSES}, splits(images))
    dataset = Images(spec(tmp_path, resize=8))
    split = dataset.load("train")
    assert (split.facts.rows, split.facts.columns) == (8, 8) and split.columns["image"].shape[1:] == (4, 4, 3)
    weights = np.zeros((8, 4))
    for new in range(8):
        place = np.clip((new + 0.5) / 2 - 0.5, 0, 3)
        weights[new, int(place)] = 1 - place % 1
        weights[new, min(int(place) + 1, 3)] += place % 1
    expected = np.einsum("ir,js,brsc->bijc", weights, weights, np.stack(images) / 255)
    np.testing.assert_allclose(dataset.feed(split.columns)["image"], expected, atol=1e-6)
    drawn = dataset.draw(split)(np.array([1]), np.random.default_rng(0))
    np.testing.assert_allclose(drawn["image"], expected[1:2], atol=1e-6)
