"""Read examples of a data set that TFDS has prepared: which ones a split of ours is made of, and what may go wrong."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import grain
import tensorflow_datasets as tfds

from atis_jax.data import builders
from atis_jax.data.errors import DatasetError
from atis_jax.validation import SettingError

TRAIN = "train"
"""The split that is trained on."""
VALIDATION = "validation"
"""The split that recipes are chosen on. Of a set without one, the last training examples, which are not trained on."""
AND = "+"
"""Between the names of splits that are read one behind the other."""
REMEDY = " (see --config.data.data_dir)"
"""Behind the advice to prepare a damaged set again."""
_READ_BLOCK = 512

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Part:
    """Neighbouring examples of a stored split.

    Attributes:
        split: what the data set calls it.
        first: number of the first one.
        count: how many.
    """

    split: str
    first: int
    count: int


def parts(spec: Any, builder: tfds.core.DatasetBuilder, split: str) -> tuple[Part, ...]:
    """What is read for ``split``: all of it, or as much as the config says.

    Args:
        spec: of the data set: ``train_examples`` and ``eval_examples`` are the most that are read, ``evaluation`` is
            the split of the evaluation, ``validation_examples`` how many are set apart for it where it is missing.
        builder: of the data set.
        split: "train", what the data set calls its splits, or several of these with ``+`` between them.

    Raises:
        DatasetError: no such split, or an empty one.
        SettingError: more examples are asked for than there are.
    """
    apart = _apart(spec, builder)
    found = []
    for name in split.split(AND):
        if name == VALIDATION and apart:
            whole = examples(spec, builder, TRAIN)
            found.append(Part(TRAIN, whole - apart, apart))
        else:
            found.append(Part(name, 0, examples(spec, builder, name) - (apart if name == TRAIN else 0)))
    field = "train_examples" if split == TRAIN else "eval_examples"
    limit, there = getattr(spec, field), sum(part.count for part in found)
    if limit is not None and limit > there:
        raise SettingError(
            f"config.data.{field} = {limit} is above the {there} examples of split {split!r} of {spec.name!r}"
            + (f" ({apart} of them are set apart for validation)" if apart and split == TRAIN else "")
            + "; lower it"
        )
    return tuple(_first(found, limit or there))


def _first(found: Iterable[Part], count: int) -> Iterable[Part]:
    """The first ``count`` examples of some parts."""
    for part in found:
        if count:
            yield dataclasses.replace(part, count=min(part.count, count))
            count -= min(part.count, count)


def _apart(spec: Any, builder: tfds.core.DatasetBuilder) -> int:
    """Training examples that are set apart to be evaluated on."""
    if VALIDATION not in spec.evaluation.split(AND) or VALIDATION in builder.info.splits:
        return 0
    whole = examples(spec, builder, TRAIN)
    if spec.validation_examples >= whole:
        raise SettingError(
            f"config.data.validation_examples = {spec.validation_examples} leaves none of the {whole} training "
            f"examples of {spec.name!r} to train on; lower it"
        )
    return spec.validation_examples


def examples(spec: Any, builder: tfds.core.DatasetBuilder, split: str) -> int:
    """Examples that a stored split has.

    Raises:
        DatasetError: no such split, or an empty one.
    """
    if split not in builder.info.splits:
        raise DatasetError(
            f"data set {spec.name!r} in {builder.data_dir} has no split {split!r}; it has "
            f"{', '.join(sorted(builder.info.splits)) or 'none'}"
        )
    stored = builder.info.splits[split].num_examples
    if not stored:
        raise DatasetError(f"data set {spec.name!r} in {builder.data_dir} has no examples in its split {split!r}")
    return stored


def read(
    builder: tfds.core.DatasetBuilder,
    name: str,
    found: tuple[Part, ...],
    collect: Callable[[Iterable[Mapping[str, Any]], int], _T],
    remedy: str = REMEDY,
) -> _T:
    """Decode examples in stored order and hand them to ``collect``, with their number.

    Args:
        builder: of the data set.
        name: of the data set, for messages.
        found: which examples.
        collect: makes of them what is kept.
        remedy: behind the advice to prepare a damaged set again.

    Raises:
        DatasetError: they cannot be read, or do not fit into memory.
    """
    where = f"data set {name!r}, split {AND.join(part.split for part in found)!r} in {builder.data_dir}"
    count = sum(part.count for part in found)
    try:
        return collect(itertools.chain.from_iterable(_blocks(builder, part) for part in found), count)
    except DatasetError:
        raise
    except MemoryError as error:
        raise DatasetError(
            f"{where}: its {count} examples do not fit into memory; read fewer with config.data.train_examples and "
            "eval_examples, or choose a smaller data set"
        ) from error
    except (ImportError, PermissionError) as error:
        raise DatasetError(f"{where} cannot be read here: {builders.first_line(error)}") from error
    except Exception as error:  # array_record raises RuntimeError, TFDS whatever its decoder does
        raise DatasetError(
            f"{where} cannot be read: {builders.first_line(error)}. Its files are damaged: remove that directory and "
            f"prepare it again{remedy}"
        ) from error


def _blocks(builder: tfds.core.DatasetBuilder, part: Part) -> Iterable[Mapping[str, Any]]:
    """Examples one by one, read in blocks: asking array_record for one at a time takes as long as decoding it."""
    source, end = builder.as_data_source(part.split), part.first + part.count
    blocks = grain.MapDataset.range(part.first, end, _READ_BLOCK).map(
        lambda first: source.__getitems__(range(first, min(first + _READ_BLOCK, end)))
    )
    return itertools.chain.from_iterable(
        blocks.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4))
    )
