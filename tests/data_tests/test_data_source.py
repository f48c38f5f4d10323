"""Reading prepared data sets, and what is said when they cannot be read."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from atis_jax.data import cluttered_digits
from atis_jax.data.errors import DatasetError
from atis_jax.data.images import STATISTICS, ImagesSpec, channel_statistics
from atis_jax.data.registry import load_split
from atis_jax.validation import SettingError

SHARED = Path(__file__).parents[2].parent / "shared/data/tfds"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("datasets")
    cluttered_digits.prepare(directory)
    return directory


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, r"data\.name is empty"),
        ({"name": "../cifar10"}, r"data\.name = '\.\./cifar10' is no name of a TFDS data set; write it as NAME"),
        (
            {"name": "cluttered_digits:9.9.9"},
            r"'cluttered_digits:9\.9\.9': there is one .* give its name alone",
        ),
        ({"batch_size": 0}, r"config\.data\.batch_size = 0 .*at least 1"),
        ({"batch_size": 2.5}, r"data\.batch_size = 2\.5.*whole number"),
        ({"eval_batch_size": True}, r"data\.eval_batch_size = True"),
        ({"train_examples": 0}, r"data\.train_examples = 0.*at least 1"),
        ({"train_examples": 10, "batch_size": 64}, r"train_examples = 10.*batch_size = 64.*lower"),
        ({"augmentation": "flip"}, r"augmentation = 'flip'.*none, placement, flip_crop"),
        ({"name": "cifar10"}, r"augmentation = 'placement'.*'cifar10'.*'flip_crop' or 'none'"),
        ({"colour_jitter": 1.5}, r"data\.colour_jitter = 1\.5.*at most 1"),
        ({"erase_probability": -0.1}, r"data\.erase_probability = -0\.1.*at least 0"),
    ],
)
def test_bad_field_is_named_with_its_bound(fields, message):
    with pytest.raises(SettingError, match=message):
        ImagesSpec(**fields)


@pytest.mark.slow
def test_embedded_split_and_its_statistics(data_dir):
    spec = ImagesSpec(data_dir=str(data_dir))
    train, test = load_split(spec, "train"), load_split(spec, "test")
    assert train.columns.keys() == test.columns.keys() == {"image"}
    assert train.columns["image"].shape == (1415, 32, 32, 1)
    assert test.columns["image"].shape == (1910, 32, 32, 1)
    assert train.columns["image"].dtype == np.uint8
    assert train.labels.dtype == np.int32
    assert train.class_names == tuple("0123456789")
    assert train.extra["box"].shape == (1415, 4)
    assert train.extra["digit"].shape == (1415, 8, 8)
    np.testing.assert_allclose(channel_statistics(train.columns["image"]), STATISTICS["cluttered_digits"], atol=1e-6)
    assert train.facts == test.facts
    assert (train.facts.classes, train.facts.rows, train.facts.columns, train.facts.channels) == (10, 32, 32, 1)


def test_channel_statistics_equal_numpy():
    images = np.random.default_rng(0).integers(0, 256, (20, 5, 7, 3), dtype=np.uint8)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 1, 2)), rtol=1e-12)


def test_subset_is_the_first_examples(data_dir):
    whole = load_split(ImagesSpec(data_dir=str(data_dir)), "test")
    part = load_split(ImagesSpec(data_dir=str(data_dir), eval_examples=700), "test")
    np.testing.assert_array_equal(part.columns["image"], whole.columns["image"][:700])
    with pytest.raises(SettingError, match=r"data\.eval_examples = 1911 .*1910 examples.*lower it"):
        load_split(ImagesSpec(data_dir=str(data_dir), eval_examples=1911), "test")


def test_unknown_split_lists_those_there(data_dir):
    with pytest.raises(DatasetError, match=r"no split 'validation'; it has test, train"):
        load_split(ImagesSpec(data_dir=str(data_dir)), "validation")


def test_missing_dataset_says_where_what_and_how(data_dir, tmp_path):
    spec = ImagesSpec(name="cifar10", data_dir=str(data_dir), augmentation="none")
    with pytest.raises(DatasetError) as error:
        load_split(spec, "train")
    message = str(error.value)
    for part in (
        "'cifar10'",
        str(data_dir),
        "holds cluttered_digits/1.0.0",
        "--config.data.data_dir=",
        "tfds build cifar10 --file_format=array_record",
    ):
        assert part in message
    assert "\n" not in message

    empty = ImagesSpec(name="cifar10", data_dir=str(tmp_path), augmentation="none")
    with pytest.raises(DatasetError, match="holds no prepared data set"):
        load_split(empty, "train")
    nowhere = ImagesSpec(name="cifar10", data_dir=str(tmp_path / "typo"), augmentation="none")
    with pytest.raises(DatasetError, match="typo does not exist"):
        load_split(nowhere, "train")
    assert not (tmp_path / "typo").exists()


def test_unknown_name_and_version_are_one_line(data_dir):
    with pytest.raises(DatasetError, match=r"'cifar11'.*knows no data set of that name.*data\.data_dir") as error:
        load_split(ImagesSpec(name="cifar11", data_dir=str(data_dir), augmentation="none"), "train")
    assert "\n" not in str(error.value)
    with pytest.raises(DatasetError, match=r"'cifar10:9\.9\.9'.*cannot be opened") as error:
        load_split(ImagesSpec(name="cifar10:9.9.9", data_dir=str(data_dir), augmentation="none"), "train")
    assert "\n" not in str(error.value)


def damage_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = b"\x55" * 3000
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [damage_half, damage_middle, Path.unlink])
def test_damaged_records_are_reported(data_dir, tmp_path, damage):
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    damage(tmp_path / "cluttered_digits/1.0.0/cluttered_digits-test.array_record-00000-of-00001")
    with pytest.raises(DatasetError, match=r"cluttered_digits.*'test'.*cannot be read.*remove that directory"):
        load_split(ImagesSpec(data_dir=str(tmp_path)), "test")


def test_damaged_description_is_reported(data_dir, tmp_path):
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    (tmp_path / "cluttered_digits/1.0.0/dataset_info.json").write_text("{")
    with pytest.raises(DatasetError, match=r"cluttered_digits.*damaged.*Remove"):
        load_split(ImagesSpec(data_dir=str(tmp_path)), "test")


@pytest.mark.skipif(not (SHARED / "cifar10").is_dir(), reason=f"no prepared CIFAR-10 in {SHARED}")
@pytest.mark.slow
def test_cifar10_reads_and_its_statistics_are_the_stated_ones():
    """Of the first 5,000 images, which are stored in random order.

    Mean and mean square of a channel lie within 4.5 standard errors of those stated, which come from the spread from
    image to image; the standard deviation follows from the two. So do the counts of the classes, of 500 each.
    """
    count = 5000
    spec = ImagesSpec(
        name="cifar10", data_dir=str(SHARED), augmentation="flip_crop", train_examples=count, eval_examples=500
    )
    train, test = load_split(spec, "train"), load_split(spec, "test")
    assert train.columns["image"].shape == (count, 32, 32, 3)
    assert test.columns["image"].shape == (500, 32, 32, 3)
    with pytest.raises(SettingError, match=r"data\.train_examples = 50001 .*50000 examples"):
        load_split(dataclasses.replace(spec, train_examples=50001), "train")
    assert np.abs(np.bincount(train.labels, minlength=10) - count / 10).max() < 4.5 * np.sqrt(count * 0.1 * 0.9)
    assert train.class_names[:3] == ("airplane", "automobile", "bird")
    mean, std = (np.asarray(one) for one in STATISTICS["cifar10"])
    pixels = train.columns["image"].astype(np.float32) / 255
    for each, stated in ((pixels, mean), (pixels**2, mean**2 + std**2)):
        of_image = each.mean(axis=(1, 2), dtype=np.float64)
        error = of_image.std(axis=0) / np.sqrt(count)
        assert np.all(np.abs(of_image.mean(axis=0) - stated) < 4.5 * error)
        assert np.all(error < 0.005)  # what is stated is met to two digits


@pytest.mark.skipif(not (SHARED / "glue").is_dir(), reason=f"no prepared GLUE in {SHARED}")
def test_dataset_without_images_lists_its_features():
    spec = ImagesSpec(name="glue/sst2", data_dir=str(SHARED), augmentation="none")
    with pytest.raises(DatasetError, match=r"glue/sst2.*features idx, label, sentence.*needs 'image'"):
        load_split(spec, "train")
