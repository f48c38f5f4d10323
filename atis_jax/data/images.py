"""Read an image data set prepared by TFDS into memory, or say clearly why that cannot be done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float32, UInt8

from atis_jax.data import augment, builders, canvas, checks, cluttered_digits, stored
from atis_jax.data.dataset import Columns, Draw, Facts, Split
from atis_jax.data.errors import DatasetError
from atis_jax.validation import SettingError, check_settings, choose, setting, short_repr

EMBEDDED = "cluttered_digits"
"""The data set that needs no download."""
AUGMENTATIONS = ("none", "placement", "flip_crop")
CACHE_DIR = Path("~/.cache/atis_jax/datasets")
"""Where the embedded data set is kept unless the config names another directory."""

STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    # Channel mean and standard deviation of the training images in [0, 1], by channel_statistics() on
    # load(spec, "train").columns["image"]; tests/data_tests/test_data_source.py computes them again.
    "cluttered_digits": ((0.146658,), (0.185078,)),
    "cifar10": ((0.491250, 0.482090, 0.446521), (0.245232, 0.242782, 0.260629)),
}


@dataclasses.dataclass(frozen=True)
class ImagesSpec:
    """Which images to use and how to vary them.

    Attributes:
        kind: what an example is.
        name: a TFDS name, e.g. "cluttered_digits", "cifar10", "cifar10:3.0.2", of 8-bit images with a class.
        data_dir: where TFDS keeps prepared data; None: ~/.cache/atis_jax/datasets for the embedded data set,
            TFDS's own default for others.
        batch_size: training images in a batch.
        eval_batch_size: images in an evaluation batch; the last one is padded to it.
        augmentation: "none"; "placement" (cluttered_digits only: each digit drawn anew with fresh place,
            fragments and jitter); "flip_crop" (shift by up to 4 pixels with reflected border, random mirror).
        colour_jitter: brightness, contrast and saturation factors in [1 - c, 1 + c].
        erase_probability: share of images of which a random rectangle is blanked.
        resize: pixels from top to bottom and from left to right that a network is fed, whatever is stored; None: as
            stored. Images are varied at their stored size.
        train_examples: use only the first so many training examples; None: all.
        eval_examples: use only the first so many evaluation examples; None: all.
        evaluation: split that is evaluated on; "validation" of a set without one are the last training examples,
            which are then not trained on.
        validation_examples: how many these are.

    Raises:
        SettingError: a field is of the wrong type or out of range; the message names it, its bound, the fix.
    """

    kind: str = setting("images", choices=("images",), doc="what an example is")
    name: str = setting(EMBEDDED, doc="TFDS name of a set of 8-bit images, each with a class")
    data_dir: str | None = setting(None, path=True, doc="where prepared data sets are kept", affects_result=False)
    batch_size: int = setting(64, low=1, high=100_000, doc="training images in a batch")
    eval_batch_size: int = setting(382, low=1, high=100_000, doc="images in an evaluation batch")
    augmentation: str = setting("placement", choices=AUGMENTATIONS, doc="how training images are varied")
    colour_jitter: float = setting(0.0, low=0, high=1, doc="half range of brightness, contrast, saturation")
    erase_probability: float = setting(0.0, low=0, high=1, doc="share of images with a blanked rectangle")
    resize: int | None = setting(
        None, low=1, high=4096, doc="side in pixels that images are resized to; None: as stored"
    )
    train_examples: int | None = setting(None, low=1, doc="use only the first so many")
    eval_examples: int | None = setting(None, low=1, doc="use only the first so many")
    evaluation: str = setting("test", choices=("test", stored.VALIDATION), doc="split that is evaluated on")
    validation_examples: int = setting(
        500, low=1, high=1_000_000, doc="last training examples, set apart where there is no validation split"
    )

    def __post_init__(self):
        check_settings(self, "config.data")
        own, asked = builders.parse_name(self.name)
        if own == EMBEDDED and not (set(asked) <= {"version"} and cluttered_digits.has_version(asked.get("version"))):
            raise SettingError(
                f"config.data.name = {short_repr(self.name)}: there is one {EMBEDDED}, of version "
                f"{cluttered_digits.STORED_VERSION}; give its name alone"
            )
        if self.augmentation == "placement" and not self.embedded:
            raise SettingError(
                "config.data.augmentation = 'placement' needs config.data.name = 'cluttered_digits', "
                f"not {short_repr(self.name)}; give 'flip_crop' or 'none'"
            )
        if self.train_examples is not None and self.train_examples < self.batch_size:
            raise SettingError(
                f"config.data.train_examples = {self.train_examples} is below config.data.batch_size = "
                f"{self.batch_size}, so an epoch has no batch; raise the one or lower the other"
            )

    @property
    def embedded(self) -> bool:
        """Whether this is the data set that comes with the package."""
        return builders.parse_name(self.name)[0] == EMBEDDED

    @property
    def directory(self) -> Path:
        """Where the data set is looked for."""
        if self.data_dir is not None:
            return Path(self.data_dir).expanduser()
        return (CACHE_DIR if self.embedded else Path(tfds.core.constants.DATA_DIR)).expanduser()


def channel_statistics(images: UInt8[np.ndarray, "n h w c"]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels, images read as [0, 1]."""
    # From counts of the 256 values: exact, and without a float copy of the images.
    values = np.arange(256) / 255
    mean, std = [], []
    for channel in range(images.shape[-1]):
        share = np.bincount(images[..., channel].reshape(-1), minlength=256) / images[..., channel].size
        mean.append(float(share @ values))
        std.append(float(np.sqrt(share @ (values - mean[-1]) ** 2)))
    return tuple(mean), tuple(std)


def load(spec: ImagesSpec, split: str) -> Split:
    """Decode one split into memory, in stored order; the embedded data set is written first if it is missing.

    Whatever can be told without decoding an image is checked before one is.

    Args:
        spec: which data set, and how many examples ("train": ``train_examples``, else ``eval_examples``).
        split: "train", or what ``stored.parts`` takes.

    Raises:
        DatasetError: not prepared, damaged, no such split, or not 8-bit images of one size, each with a class.
        SettingError: more examples are asked for than there are.
    """
    builder = _builder(spec)
    found = stored.parts(spec, builder, split)
    features = dict(builder.info.features.items())
    checks.check_features(spec.name, features)
    statistics = STATISTICS.get(builder.name)
    whole = stored.parts(dataclasses.replace(spec, train_examples=None), builder, stored.TRAIN)
    columns = _read(spec, builder, found)
    classes = features["label"].num_classes
    checks.check_labels(spec.name, split, columns["label"], classes)
    coded = isinstance(features["image"], tfds.features.Image)
    checks.check_image_shape(spec.name, columns["image"].shape[1:], coded)
    if statistics is None:
        images = columns["image"] if found == whole else _read(spec, builder, whole)["image"]
        statistics = channel_statistics(images)
        checks.check_channels(spec.name, *statistics)
    mean, std = statistics
    rows, wide, channels = columns["image"].shape[1:]
    facts = Facts(
        classes=classes,
        rows=spec.resize or rows,
        columns=spec.resize or wide,
        channels=channels,
        mean=tuple(float(np.float32(value)) for value in mean),
        std=tuple(float(np.float32(value)) for value in std),
    )
    extra = {}
    if spec.embedded:
        extra = {"box": columns["box"].astype(np.int32), "digit": (columns["digit"] / 16).astype(np.float32)}
    return Split(
        columns={"image": columns["image"]},
        labels=columns["label"].astype(np.int32),
        class_names=tuple(features["label"].names),
        facts=facts,
        extra=extra,
    )


def _builder(spec: ImagesSpec) -> tfds.core.DatasetBuilder:
    """The TFDS builder of a data set that is ready to be read; the embedded one is written if it is missing."""
    if not spec.embedded:
        return builders.open_builder(spec.name, spec.directory)
    builders.check_directory(spec.name, spec.directory)
    return cluttered_digits.prepare(spec.directory)


def _read(spec: ImagesSpec, builder: tfds.core.DatasetBuilder, found: tuple[stored.Part, ...]) -> dict[str, Any]:
    """Images and labels of some examples, and what the embedded data set has beside them."""
    wanted = ("image", "label", "box", "digit") if spec.embedded else ("image", "label")

    def collect(examples: Iterable[Mapping[str, Any]], count: int) -> dict[str, np.ndarray]:
        columns: dict[str, np.ndarray] = {}
        for i, example in enumerate(examples):
            for key in wanted:
                value = np.asarray(example[key])
                if i == 0:
                    columns[key] = np.empty((count, *value.shape), value.dtype)
                elif value.shape != columns[key].shape[1:]:
                    raise DatasetError(
                        f"data set {spec.name!r}: example {i} of {stored.AND.join(part.split for part in found)!r} has "
                        f"{key!r} of shape {value.shape}, the first one {columns[key].shape[1:]}; images must have one "
                        "size"
                    )
                columns[key][i] = value
        return columns

    remedy = "" if spec.embedded else stored.REMEDY
    return stored.read(builder, spec.name, found, collect, remedy)


def fragment_pool(split: Split) -> Float32[np.ndarray, "p f f"]:
    """The distractor fragments of a split of cluttered_digits."""
    if "digit" not in split.extra:
        raise ValueError("fragment_pool needs a split of cluttered_digits; this one has no source digits")
    return canvas.fragment_pool(split.extra["digit"])


@dataclasses.dataclass(frozen=True)
class Images:
    """``data.dataset.Dataset`` of pictures: ``image`` float32 in [0, 1], NHWC.

    Attributes:
        spec: which, and how they are varied.
    """

    spec: ImagesSpec
    unit: str = "image"
    task: str = "classify"

    def load(self, split: str) -> Split:
        """See ``load``."""
        return load(self.spec, split)

    def feed(self, columns: Columns) -> Columns:
        """Bytes to [0, 1], at the size that is asked for."""
        return {"image": augment.resized(augment.to_float(columns["image"]), self.spec.resize)}

    def show(self, fed: Columns) -> Columns:
        """The pictures."""
        return {"images": fed["image"]}

    def draw(self, split: Split) -> Draw:
        """Training images at these numbers, varied anew."""
        spec = self.spec
        drawn = choose(_DRAWING, spec.augmentation, "config.data.augmentation")(split)

        def vary(index: np.ndarray, rng: np.random.Generator) -> Columns:
            images = drawn(index, rng)
            if spec.colour_jitter:
                images = augment.colour_jitter(rng, images, spec.colour_jitter)
            if spec.erase_probability:
                images = augment.erase(rng, images, spec.erase_probability)
            return {"image": augment.resized(images, spec.resize)}

        return vary


def _placement(split: Split) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    pool, digits = fragment_pool(split), split.extra["digit"]
    return lambda index, rng: canvas.render(rng, digits[index], pool, canvas.TRAIN_JITTER).image


_DRAWING: dict[str, Callable[[Split], Callable[[np.ndarray, np.random.Generator], np.ndarray]]] = {
    "none": lambda split: lambda index, rng: augment.to_float(split.columns["image"][index]),
    "placement": _placement,
    "flip_crop": lambda split: (
        lambda index, rng: augment.to_float(augment.crop_flip(rng, split.columns["image"], index))
    ),
}
