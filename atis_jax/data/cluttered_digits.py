"""The embedded data set as a TFDS builder: handwritten digits at random places among distractor fragments.

The digits are scikit-learn's ``load_digits`` (1,797 digits of 8x8, the test half of UCI's *Optical
Recognition of Handwritten Digits*, Alpaydin and Kaynak 1998). Scikit-learn names no writers, but keeps the
order of the forms, and every form has the same prompt: 0 to 9 three times, then 0 9 5 5 6 5 0 9 8 9 8 4 ...
It starts again at examples 0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545 and 1667. We
split where a form starts, so that no test form is half seen in training: the first 11 forms (1,415 digits)
train, the last 3 (382 digits) test. It is a harder test than a random split: a support vector machine
(RBF, C = 10, raw 8x8 pixels) scores 0.961 here and 0.99 on random splits of the same sizes.
"""

from __future__ import annotations

import contextlib
import functools
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float32, Int32

from atis_jax.data import canvas
from atis_jax.data.errors import DatasetError
from atis_jax.validation import choose

STORED_VERSION = "1.0.0"
TRAIN_DIGITS = 1415
"""Digits before this index train, the others test; a form starts here."""

_PARTS = {"train": slice(0, TRAIN_DIGITS), "test": slice(TRAIN_DIGITS, None)}
_CANVAS_SEED = {"train": 20_001, "test": 20_002}
_CITATION = """@misc{alpaydin1998optical, author = {Alpaydin, E. and Kaynak, C.},
title = {Optical Recognition of Handwritten Digits}, year = {1998},
howpublished = {UCI Machine Learning Repository}, doi = {10.24432/C50P49}}"""


@functools.cache
def source_digits(split: str) -> tuple[Float32[np.ndarray, "n 8 8"], Int32[np.ndarray, " n"]]:
    """The source digits of a split, intensities in [0, 1], with their classes; in scikit-learn's order."""
    from sklearn.datasets import load_digits  # half a second, and only the first run needs it

    bunch = load_digits()
    part = choose(_PARTS, split, "split")
    return (bunch.images[part] / 16).astype(np.float32), bunch.target[part].astype(np.int32)


class ClutteredDigits(tfds.core.GeneratorBasedBuilder):
    """TFDS builder ``cluttered_digits``: 32x32 grey canvases; 5 fixed placements of each test digit.

    A training example keeps its source digit, because the pipeline draws placement, fragments and jitter anew
    each epoch; its stored canvas is one fixed drawing without jitter.
    """

    VERSION = tfds.core.Version(STORED_VERSION)
    RELEASE_NOTES = {STORED_VERSION: "First version."}
    TEST_PLACEMENTS = 5

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features
        return self.dataset_info_from_configs(
            description="Handwritten digits at random places among fragments of others, on 32x32 canvases.",
            homepage="https://archive.ics.uci.edu/dataset/80",
            citation=_CITATION,
            features=features.FeaturesDict(
                {
                    # Tensor, not Image: writing raw arrays into an Image feature needs TensorFlow.
                    "image": features.Tensor(shape=(canvas.CANVAS_SIZE, canvas.CANVAS_SIZE, 1), dtype=np.uint8),
                    "label": features.ClassLabel(num_classes=10),
                    "box": features.Tensor(shape=(4,), dtype=np.int32),
                    "digit": features.Tensor(shape=(canvas.SOURCE_SIZE, canvas.SOURCE_SIZE), dtype=np.uint8),
                    "digit_index": features.Scalar(dtype=np.int32),
                }
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # the digits come with scikit-learn
        return {
            "train": self._generate_examples("train", placements=1),
            "test": self._generate_examples("test", placements=self.TEST_PLACEMENTS),
        }

    def _generate_examples(self, split: str, placements: int) -> Iterator[tuple[int, dict[str, Any]]]:
        digits, labels = source_digits(split)
        which = np.repeat(np.arange(len(digits)), placements)
        rng = np.random.default_rng(choose(_CANVAS_SEED, split, "split"))
        drawn = canvas.render(rng, digits[which], canvas.fragment_pool(digits))
        first = choose(_PARTS, split, "split").start
        for key, (index, image, box) in enumerate(zip(which, drawn.image, drawn.box, strict=True)):
            yield (
                key,
                {
                    "image": np.round(image * 255).astype(np.uint8),
                    "label": int(labels[index]),
                    "box": box,
                    "digit": np.round(digits[index] * 16).astype(np.uint8),
                    "digit_index": np.int32(first + index),
                },
            )


def has_version(asked: str | None) -> bool:
    """Whether the data set satisfies ``asked``, such as ``1.0.0`` or ``1.*.*``; None asks for any."""
    return asked is None or tfds.core.Version(STORED_VERSION).match(asked)


def prepare(data_dir: str | Path) -> tfds.core.DatasetBuilder:
    """The prepared builder under ``data_dir``, written first if it is not there (about 2 s).

    TFDS writes into a directory of its own and renames it when complete, so a killed process leaves an
    ``incomplete.*`` directory and no dataset. Of two processes that write at once the second finds the name
    taken; what it would have written is the same, so it reads the first one's.

    Raises:
        DatasetError: the directory cannot be written, or holds something that is not this dataset.
    """
    data_dir = Path(data_dir).expanduser()
    try:
        builder = ClutteredDigits(data_dir=str(data_dir), file_format="array_record")
    except Exception as error:  # TFDS lets JSON and protobuf errors through
        if not (data_dir / "cluttered_digits" / STORED_VERSION / "dataset_info.json").exists():
            raise
        raise DatasetError(
            f"data set 'cluttered_digits' in {data_dir}: its description is damaged ({error}). Remove "
            f"{data_dir / 'cluttered_digits'} and it is written again"
        ) from error
    if not Path(builder.data_dir).exists():
        try:
            # TFDS would announce a download and draw bars; there is no download and we draw our own.
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
                tempfile.TemporaryDirectory() as downloads,
            ):
                builder.download_and_prepare(download_dir=downloads)
        except OSError as error:
            if not Path(builder.data_dir).exists():
                raise DatasetError(
                    f"data set 'cluttered_digits' could not be written to {data_dir}: {error}. Name a "
                    "directory you can write with --config.data.data_dir=DIR"
                ) from error
            builder = ClutteredDigits(data_dir=str(data_dir), file_format="array_record")
    if not builder.is_prepared():
        raise DatasetError(
            f"data set 'cluttered_digits': {builder.data_dir} exists but holds no prepared data set (no "
            "dataset_info.json). Remove that directory and it is written again, or name another one with "
            "--config.data.data_dir=DIR"
        )
    return builder
