"""Batches for training and evaluation, through Grain: reproducible, resumable, no state but a batch number.

Batch first, then vary the whole batch with one generator seeded by (seed, batch number): a batch is a pure
function of the two, so the position is one integer and an iterator set to it continues bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import grain
import numpy as np

from atis_jax.data.dataset import Split
from atis_jax.data.registry import load_split, make_dataset
from atis_jax.validation import SettingError

Batch = dict[str, np.ndarray]
"""What a model is fed, and ``label``; in evaluation also ``weight``, 0 for padding else 1, and ``number``, the
example's place in its split."""
Shape = tuple[tuple[int, ...], ...]
"""Of a batch; programs are compiled for it."""


def train_iterator(spec: Any, seed: int, split: Split | None = None) -> grain.DatasetIterator[Batch]:
    """Endless shuffled batches; every epoch in a new order and varied anew, the last partial batch dropped.

    Of examples in buckets a batch holds those of one; the batches of all buckets come in one shuffled order, and the
    last partial one of each bucket is dropped.

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
    batches = _numbers(spec, split, seed).repeat().random_map(_labelled(spec, split))
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)))


def _numbers(spec: Any, split: Split, seed: int) -> grain.MapDataset[np.ndarray]:
    """Numbers of the examples of each batch of an epoch."""

    def batched(numbers: grain.MapDataset, seed: int) -> grain.MapDataset[np.ndarray]:
        return numbers.seed(seed).shuffle().batch(spec.batch_size, drop_remainder=True, batch_fn=np.asarray)

    if split.bucket is None:
        return batched(grain.MapDataset.range(len(split)), seed)
    groups = split.groups()
    seeds = [int(one) for one in np.random.SeedSequence(seed).generate_state(len(groups))]
    parts = [batched(grain.MapDataset.source(group), own) for group, own in zip(groups, seeds, strict=True)]
    return grain.MapDataset.concatenate(parts).seed(seed).shuffle()


def check_batch(spec: Any, split: Split) -> None:
    """Whether an epoch of the training split has a batch, of every bucket.

    Raises:
        SettingError: the batch is larger than the split, or than a bucket.
    """
    if spec.batch_size > len(split):
        raise SettingError(
            f"config.data.batch_size = {spec.batch_size} is above the {len(split)} training examples of "
            f"{spec.name!r}, so an epoch has no batch; lower it"
        )
    for group in split.groups():
        if len(group) < spec.batch_size:
            assert split.bucket is not None
            raise SettingError(
                f"config.data.batch_size = {spec.batch_size} is above the {len(group)} training examples of "
                f"{spec.name!r} in the bucket of {split.bucket[group[0]]} tokens, which would never be trained on; "
                "lower it, or leave out that bucket of config.data.buckets or the one before it"
            )


def steps_per_epoch(spec: Any, split: Split) -> int:
    """Training batches in an epoch."""
    return sum(len(group) // spec.batch_size for group in split.groups())


def eval_batches(spec: Any, split: Split | None = None) -> Iterator[Batch]:
    """The evaluation split once, in stored order, nothing varied; the last batch is padded with weight 0.

    Of examples in buckets a batch holds those of one, and the last one of each bucket is padded. Those of all buckets
    take turns, each in proportion to its size: the first batches are of every length.
    """
    dataset = make_dataset(spec)
    split = dataset.load(spec.evaluation) if split is None else split
    size = spec.eval_batch_size
    parts = [group[first : first + size] for group in split.groups() for first in range(0, len(group), size)]
    place = [(first + size / 2) / len(group) for group in split.groups() for first in range(0, len(group), size)]
    for part in (parts[at] for at in np.argsort(place, kind="stable")):
        fed = dataset.feed(split.at(part)) | {"label": split.labels[part]}
        real = len(part)
        # Behind the last example of all: no number comes twice in a batch.
        number = np.concatenate([part, len(split) + np.arange(size - real)])
        yield {name: _padded(column, size) for name, column in split.cut(fed, part).items()} | {
            "weight": (np.arange(size) < real).astype(np.float32),
            "number": number.astype(np.int32),
        }


def by_shape(batches: Iterable[Batch]) -> dict[Shape, list[Batch]]:
    """Batches of one shape together, in the order they came: a single group, or one a bucket."""
    found: dict[Shape, list[Batch]] = {}
    for batch in batches:
        found.setdefault(shape_of(batch), []).append(batch)
    return found


def shape_of(batch: Batch) -> Shape:
    """The shape of all that a batch holds, in the order of its names."""
    return tuple(np.shape(batch[name]) for name in sorted(batch))


def _padded(column: np.ndarray, size: int) -> np.ndarray:
    """``column`` with zeros behind it up to ``size`` rows."""
    return np.pad(column, ((0, size - len(column)), *((0, 0),) * (column.ndim - 1)))


def _labelled(spec: Any, split: Split):
    """From example numbers and a generator to a batch; labels as stored, where those are not drawn too."""
    draw = make_dataset(spec).draw(split)
    return lambda index, rng: split.cut({"label": split.labels[index]} | draw(index, rng), index)
