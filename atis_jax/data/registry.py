"""Kinds of data by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from atis_jax.data.dataset import Dataset, Split
from atis_jax.data.images import Images, ImagesSpec
from atis_jax.data.sentences import Sentences, SentencesSpec
from atis_jax.data.text import ToyText, ToyTextSpec
from atis_jax.data.windows import Windows, WindowsSpec
from atis_jax.validation import Kinds, choose

DATASETS: dict[str, Callable[[Any], Dataset]] = {
    "images": Images,
    "toy_text": ToyText,
    "sentences": Sentences,
    "windows": Windows,
}
"""What makes a data set of its section of the config."""
SECTIONS: dict[str, type] = {
    "images": ImagesSpec,
    "toy_text": ToyTextSpec,
    "sentences": SentencesSpec,
    "windows": WindowsSpec,
}
"""The section of each: with ``name``, ``batch_size``, ``eval_batch_size`` and ``evaluation``."""
KINDS = Kinds(SECTIONS, default="images")
"""What the section ``data`` of a config may be."""


def make_dataset(spec: Any) -> Dataset:
    """The data set that ``spec.kind`` and the rest of its section name.

    Raises:
        SettingError: there is no such kind.
    """
    return choose(DATASETS, spec.kind, "data.kind")(spec)


def load_split(spec: Any, split: str) -> Split:
    """``Dataset.load`` of the data set of ``spec``."""
    return make_dataset(spec).load(split)
