"""Data sets of a few images: written to disk by TFDS, or standing in for a builder in memory."""

from __future__ import annotations

import contextlib
import io
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

Examples = Sequence[Mapping[str, Any]]


def png(image: np.ndarray) -> io.BytesIO:
    """``image`` as the bytes of a PNG, which TFDS stores without TensorFlow."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    file.seek(0)
    return file


def write(directory: Path, name: str, features: Mapping[str, Any], splits: Mapping[str, Examples]) -> Path:
    """Prepare a data set of version 1.0.0 whose class is forgotten afterwards; returns the folder of the version."""

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = directory

        def _info(self):
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features), disable_shuffling=True)

        def _split_generators(self, dl_manager):
            return {split: enumerate(examples) for split, examples in splits.items()}

        def _generate_examples(self):
            raise NotImplementedError

    Tiny.name = name
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        builder = Tiny(data_dir=str(directory), file_format="array_record")
        builder.download_and_prepare(download_dir=str(directory / "downloads"))
    return Path(builder.data_dir)


class Source(list):
    """Examples as the random access source of a builder gives them."""

    def __getitems__(self, index):
        return [self[i] for i in index]


def in_memory(name: str, features: Mapping[str, Any], splits: Mapping[str, Examples]) -> Any:
    """What ``load_split`` needs of a TFDS builder."""
    info = types.SimpleNamespace(
        features=tfds.features.FeaturesDict(features),
        splits={split: types.SimpleNamespace(num_examples=len(examples)) for split, examples in splits.items()},
    )
    return types.SimpleNamespace(
        name=name, data_dir="memory", info=info, as_data_source=lambda split: Source(splits[split])
    )
