"""Batches for training and evaluation, through Grain: reproducible, resumable, no state but a batch number.

Batch first, then vary the whole batch with one generator seeded by (seed, batch number): a batch is a pure
function of the two, so the position is one integer and an iterator set to it continues bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grain
import numpy as np

from atis_jax.data import augment, canvas, source
from atis_jax.data.source import DataSpec, Split, load_split
from atis_jax.validation import SettingError, choose

Batch = dict[str, np.ndarray]
"""``image`` float32 in [0, 1], NHWC; ``label`` int32; in evaluation also ``weight``, 0 for padding else 1, and
``number``, the example's place in its split."""

Draw = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From example numbers and a generator to images."""


def train_iterator(spec: DataSpec, seed: int, split: Split | None = None) -> grain.DatasetIterator[Batch]:
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
        .random_map(_variation(spec, split))
    )
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)))


def check_batch(spec: DataSpec, split: Split) -> None:
    """Whether an epoch of the training split has a batch.

    Raises:
        SettingError: the batch is larger than the split.
    """
    if spec.batch_size > len(split):
        raise SettingError(
            f"config.data.batch_size = {spec.batch_size} is above the {len(split)} training examples of "
            f"{spec.name!r}, so an epoch has no batch; lower it"
        )


def steps_per_epoch(spec: DataSpec, split: Split) -> int:
    """Training batches in an epoch."""
    return len(split) // spec.batch_size


def eval_batches(spec: DataSpec, split: Split | None = None) -> Iterator[Batch]:
    """The evaluation split once, in stored order, nothing varied; the last batch is padded with weight 0."""
    split = load_split(spec, "test") if split is None else split
    for first in range(0, len(split), spec.eval_batch_size):
        images = split.images[first : first + spec.eval_batch_size]
        real = len(images)
        batch = {
            "image": np.zeros((spec.eval_batch_size, *images.shape[1:]), np.float32),
            "label": np.zeros(spec.eval_batch_size, np.int32),
            "weight": np.zeros(spec.eval_batch_size, np.float32),
            "number": np.arange(first, first + spec.eval_batch_size, dtype=np.int32),
        }
        batch["image"][:real] = augment.to_float(images)
        batch["label"][:real] = split.labels[first : first + real]
        batch["weight"][:real] = 1
        yield batch


def _placed(split: Split) -> Draw:
    pool = source.fragment_pool(split)
    digits = np.asarray(split.digits)
    return lambda index, rng: canvas.render(rng, digits[index], pool, canvas.TRAIN_JITTER).image


_DRAWING: dict[str, Callable[[Split], Draw]] = {
    "none": lambda split: lambda index, rng: augment.to_float(split.images[index]),
    "placement": _placed,
    "flip_crop": lambda split: lambda index, rng: augment.to_float(augment.crop_flip(rng, split.images, index)),
}


def _variation(spec: DataSpec, split: Split) -> Callable[[np.ndarray, np.random.Generator], Batch]:
    """From example numbers and a generator to a batch."""
    draw = choose(_DRAWING, spec.augmentation, "config.data.augmentation")(split)

    def vary(index: np.ndarray, rng: np.random.Generator) -> Batch:
        images = draw(index, rng)
        if spec.colour_jitter:
            images = augment.colour_jitter(rng, images, spec.colour_jitter)
        if spec.erase_probability:
            images = augment.erase(rng, images, spec.erase_probability)
        return {"image": images, "label": split.labels[index]}

    return vary
