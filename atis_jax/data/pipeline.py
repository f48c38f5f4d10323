"""Batches for training and evaluation, through Grain: reproducible, resumable, no state but a batch number.

Batch first, then vary the whole batch with one generator seeded by (seed, batch number): a batch is a pure
function of the two, so the position is one integer and an iterator set to it continues bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grain
import numpy as np

from atis_jax.data.dataset import Split
from atis_jax.data.registry import load_split, make_dataset
from atis_jax.validation import SettingError

Batch = dict[str, np.ndarray]
"""What a model is fed, and ``label``; in evaluation also ``weight``, 0 for padding else 1, and ``number``, the
example's place in its split."""


def train_iterator(spec: Any, seed: int, split: Split | None = None) -> grain.DatasetIterator[Batch]:
    """Endless shuffled batches; every epoch in a new order and varied anew, the last partial batch dropped.

    ``get_state()`` is a small JSON-able dict, for ``set_state()`` of an iterator with the same arguments.
    Batches are made one or two ahead on a thread; the state counts those handed out.

    Args:
        spec: what to read and how to vary it.
        seed: from the run's "data" stream, 0 to 2**32 - 1.
        split: the training split if it is in memory already.

    Raises:
        SettingError: the batch is larger than the split.
        ValueError: the seed is out of range.
        DatasetError: see ``load_split``.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}; Grain takes 0 to 2**32 - 1: draw it with jax.random.bits")
    split = load_split(spec, "train") if split is None else split
    check_batch(spec, split)
    batches = (
        grain.MapDataset.range(len(split))
        .seed(seed)
        .shuffle()
        .batch(spec.batch_size, drop_remainder=True, batch_fn=np.asarray)
        .repeat()
        .random_map(_labelled(spec, split))
    )
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)))


def check_batch(spec: Any, split: Split) -> None:
    """Whether an epoch of the training split has a batch.

    Raises:
        SettingError: the batch is larger than the split.
    """
    if spec.batch_size > len(split):
        raise SettingError(
            f"config.data.batch_size = {spec.batch_size} is above the {len(split)} training examples of "
            f"{spec.name!r}, so an epoch has no batch; lower it"
        )


def steps_per_epoch(spec: Any, split: Split) -> int:
    """Training batches in an epoch."""
    return len(split) // spec.batch_size


def eval_batches(spec: Any, split: Split | None = None) -> Iterator[Batch]:
    """The evaluation split once, in stored order, nothing varied; the last batch is padded with weight 0."""
    dataset = make_dataset(spec)
    split = dataset.load(spec.evaluation) if split is None else split
    size = spec.eval_batch_size
    for first in range(0, len(split), size):
        part = slice(first, first + size)
        fed = dataset.feed(split.at(part)) | {"label": split.labels[part]}
        real = len(fed["label"])
        yield {name: _padded(column, size) for name, column in fed.items()} | {
            "weight": (np.arange(size) < real).astype(np.float32),
            "number": np.arange(first, first + size, dtype=np.int32),
        }


def _padded(column: np.ndarray, size: int) -> np.ndarray:
    """``column`` with zeros behind it up to ``size`` rows."""
    return np.pad(column, ((0, size - len(column)), *((0, 0),) * (column.ndim - 1)))


def _labelled(spec: Any, split: Split):
    """From example numbers and a generator to a batch."""
    draw = make_dataset(spec).draw(split)
    return lambda index, rng: draw(index, rng) | {"label": split.labels[index]}
