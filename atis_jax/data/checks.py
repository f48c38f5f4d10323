"""What a stored data set must be: checked on what TFDS says of it, then on the images and labels that were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int

from atis_jax.data.errors import DatasetError

_ALPHA_CHANNELS = (2, 4)
"""Of PNG images: grey or colour, and opacity behind it."""


def check_features(name: str, features: Mapping[str, Any]) -> None:
    """Whether a data set has 8-bit images of known channels and a class for each; nothing is decoded.

    Args:
        name: of the data set, for the message.
        features: of the TFDS builder.

    Raises:
        DatasetError: says what the data set has instead, and what to do.
    """
    image, label = features.get("image"), features.get("label")
    if not isinstance(image, tfds.features.Tensor | tfds.features.Image) or not isinstance(
        label, tfds.features.ClassLabel
    ):
        raise DatasetError(
            f"data set {name!r} has the features {', '.join(sorted(features))}; an image classifier needs 'image' and "
            "a class 'label'. Choose another data.name"
        )
    _check_classes(name, label.num_classes)
    dtype = np.dtype(image.np_dtype)
    if dtype != np.uint8:
        raise DatasetError(
            f"data set {name!r} has images of {dtype.name}, and 8-bit ones (uint8, 0 to 255) are read; prepare it with "
            "8-bit images, or choose another data.name"
        )
    check_image_shape(name, image.shape, coded=isinstance(image, tfds.features.Image))


def check_text(name: str, features: Mapping[str, Any]) -> str:
    """Whether a data set has one text and a class an example; nothing is read.

    Args:
        name: of the data set, for the message.
        features: of the TFDS builder.

    Returns:
        The name of the text.

    Raises:
        DatasetError: says what the data set has instead, and what to do.
    """
    texts, label = _texts(features), features.get("label")
    if len(texts) != 1 or not isinstance(label, tfds.features.ClassLabel):
        raise DatasetError(
            f"data set {name!r} has the features {', '.join(sorted(features))}, {len(texts)} of them texts; a "
            "classifier of sentences needs one text and a class 'label'. Choose another data.name"
        )
    _check_classes(name, label.num_classes)
    return texts[0]


def check_running_text(name: str, features: Mapping[str, Any]) -> str:
    """Whether a data set has one text an example; nothing is read.

    Args:
        name: of the data set, for the message.
        features: of the TFDS builder.

    Returns:
        The name of the text.

    Raises:
        DatasetError: says what the data set has instead, and what to do.
    """
    texts = _texts(features)
    if len(texts) != 1:
        raise DatasetError(
            f"data set {name!r} has the features {', '.join(sorted(features))}, {len(texts)} of them texts; running "
            "text is cut from a set with one. Choose another data.name"
        )
    return texts[0]


def _texts(features: Mapping[str, Any]) -> list[str]:
    return [feature for feature, kind in features.items() if isinstance(kind, tfds.features.Text)]


def _check_classes(name: str, classes: int | None) -> None:
    if classes is None or classes < 2:
        raise DatasetError(f"data set {name!r} has {classes} classes; a classifier needs 2 or more")


def check_image_shape(name: str, shape: Sequence[int | None], coded: bool) -> None:
    """Whether images of ``shape`` can be cut into patches, None standing for a length that only the images tell.

    Args:
        name: of the data set, for the message.
        shape: of one image.
        coded: whether images are stored as PNG or JPEG, where two or four channels mean that one is opacity.

    Raises:
        DatasetError: no channel axis, no pixels, an unknown number of channels, or opacity among them.
    """
    told = " x ".join("?" if length is None else str(length) for length in shape) or "no axes"
    if len(shape) != 3:
        raise DatasetError(
            f"data set {name!r} has images of shape ({told}); rows, columns and channels are read: give grey images a "
            "channel axis of length 1"
        )
    channels = shape[2]
    if 0 in shape:
        raise DatasetError(f"data set {name!r} has images of shape ({told}), which hold no pixels")
    if channels is None:
        raise DatasetError(
            f"data set {name!r} does not say how many channels its images have; prepare it with their number in the "
            "shape of its feature 'image'"
        )
    if coded and channels in _ALPHA_CHANNELS:
        raise DatasetError(
            f"data set {name!r} has images of {channels} channels, the last of them opacity (alpha); prepare it with "
            f"the other {channels - 1}"
        )


def check_labels(name: str, split: str, labels: Int[np.ndarray, " n"], classes: int) -> None:
    """Whether every label is a class.

    Raises:
        DatasetError: names the first that is none; TFDS marks examples without a label by -1.
    """
    (outside,) = np.nonzero((labels < 0) | (labels >= classes))
    if len(outside):
        first = int(outside[0])
        raise DatasetError(
            f"data set {name!r}, split {split!r}: {len(outside)} of its {len(labels)} examples have a label outside 0 "
            f"to {classes - 1}, the first is {int(labels[first])} of example {first}"
            + (" (-1 marks an example without a label)" if labels[first] == -1 else "")
            + "; choose a data set whose every example has one"
        )


def check_channels(name: str, mean: Sequence[float], std: Sequence[float]) -> None:
    """Whether every channel varies over the training images: none is divided by a deviation of zero.

    Raises:
        DatasetError: names the constant channel and its value.
    """
    for channel, (value, deviation) in enumerate(zip(mean, std, strict=True)):
        if deviation == 0:
            raise DatasetError(
                f"data set {name!r}: channel {channel} of {len(mean)} is {255 * value:g} in every pixel of every "
                "training image; a constant says nothing and cannot be normalised: prepare the data set without it"
            )
