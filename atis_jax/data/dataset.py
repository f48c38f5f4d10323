"""What every data set offers, whatever its examples are: columns of arrays, and the facts a model is built from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int32

Columns = dict[str, np.ndarray]
"""Arrays (n, ...) by name."""
Draw = Callable[[np.ndarray, np.random.Generator], Columns]
"""From example numbers and a generator to what a model is fed."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a model must know of a data set; hashable, since programs are compiled for it.

    Attributes:
        classes: how many there are; for a language model the vocabulary's size.
        rows: pixels from top to bottom; 0 where examples are no pictures.
        columns: pixels from left to right.
        channels: numbers a pixel.
        mean: of each channel over the training examples, on the scale of a batch.
        std: standard deviation of the same.
        vocabulary: different token numbers; 0 where examples are no text.
        length: tokens of the longest example.
        mean_length: tokens of a training example on average, without padding and protected ones: what one is charged
            for; 0: all are of ``length``.
        protected: of ``length``, those that no method may prune; a batch's ``protected`` says where they are.
    """

    classes: int
    rows: int = 0
    columns: int = 0
    channels: int = 0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    vocabulary: int = 0
    length: int = 0
    mean_length: float = 0.0
    protected: int = 0


@dataclasses.dataclass(frozen=True)
class Split:
    """One split in memory.

    Attributes:
        columns: what a model is fed, one array (n, ...) a name, in the form it is stored in.
        labels: what is right, (n,) classes or (n, length) tokens.
        class_names: one name a class.
        facts: what a model must know.
        extra: what only this data set has, one array (n, ...) a name.
        parts: name and examples of each stored split that it is made of, in order; empty for one.
        bucket: (n,) tokens, along the columns' second axis, of the batches that each example comes in: those of one
            batch are in one bucket. None: every batch has all.
    """

    columns: dict[str, np.ndarray]
    labels: Int32[np.ndarray, "n ..."]
    class_names: tuple[str, ...]
    facts: Facts
    extra: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    parts: tuple[tuple[str, int], ...] = ()
    bucket: Int32[np.ndarray, " n"] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, index: slice | np.ndarray) -> Columns:
        """What a model is fed of the examples ``index``, as stored."""
        return {name: column[index] for name, column in self.columns.items()}

    def take(self, index: np.ndarray) -> Split:
        """The split of the examples ``index`` alone."""
        return dataclasses.replace(
            self,
            columns=self.at(index),
            labels=self.labels[index],
            parts=(),
            extra={name: column[index] for name, column in self.extra.items()},
            bucket=None if self.bucket is None else self.bucket[index],
        )

    def groups(self) -> list[np.ndarray]:
        """Numbers of the examples that may share a batch, ascending; the shortest bucket first."""
        if self.bucket is None:
            return [np.arange(len(self))]
        return [np.flatnonzero(self.bucket == length) for length in np.unique(self.bucket)]

    def cut(self, columns: Columns, index: np.ndarray) -> Columns:
        """``columns`` of examples of one bucket without the padding that all of it have."""
        if self.bucket is None:
            return columns
        length = self.bucket[index[0]]
        return {name: column[:, :length] if column.ndim > 1 else column for name, column in columns.items()}


class Dataset(Protocol):
    """Where examples come from. One file a kind of data, and a line in ``data.registry``.

    Attributes:
        spec: its section of the config; has batch_size, eval_batch_size and evaluation.
        unit: what a person calls an example.
        task: what a network is asked of it, a name of ``training.task.TASKS``.
    """

    @property
    def spec(self) -> Any:
        """Its section of the config."""
        ...

    @property
    def unit(self) -> str:
        """What a person calls an example."""
        ...

    @property
    def task(self) -> str:
        """What a network is asked of it."""
        ...

    def load(self, split: str) -> Split:
        """One split in memory, "train" or what ``spec.evaluation`` may be.

        Raises:
            DatasetError: it is not there, damaged, or not what this kind of data must be.
        """
        ...

    def feed(self, columns: Columns) -> Columns:
        """Stored columns of some examples as a model is fed them, nothing varied."""
        ...

    def show(self, fed: Columns) -> Columns:
        """What a report draws of some examples as a model was fed them, by the names of its arrays."""
        ...

    def draw(self, split: Split) -> Draw:
        """Training examples at these numbers as a model is fed them, varied at random."""
        ...
