"""A toy set of sentences that needs no download: which of a few subjects a sentence is about, told by a few words.

Shape suffixes: n sentences, W words of the longest.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from atis_jax.data.buckets import bucket_of, buckets_setting, check_buckets
from atis_jax.data.dataset import Columns, Draw, Facts, Split
from atis_jax.data.errors import DatasetError
from atis_jax.validation import SettingError, check_settings, setting

PADDING = 0
"""Token number behind a sentence's last word."""
TELLING = 3
"""Words of a sentence's own subject; one of another subject stands beside them, the others say nothing."""
SYNONYMS = 4
"""Different words that tell one subject."""
SEEDS = {"train": 20_001, "test": 20_002, "validation": 20_003}
"""Of the splits; the sentences are the same on every machine and for every run."""


@dataclasses.dataclass(frozen=True)
class ToyTextSpec:
    """Sentences of the toy set.

    Attributes:
        kind: what an example is.
        batch_size: training sentences in a batch.
        eval_batch_size: sentences in an evaluation batch; the last one is padded to it.
        train_examples: training sentences.
        eval_examples: evaluation sentences.
        evaluation: split that is evaluated on.
        length: words of the longest sentence, which all are padded to.
        buckets: lengths that a batch of sentences is padded to, the last is ``length``; empty: that one alone.
        shortest: words of the shortest sentence; lengths between are equally frequent.
        vocabulary: different token numbers: padding, ``SYNONYMS`` a class, and words that say nothing.
        classes: subjects.

    Raises:
        SettingError: a field is of the wrong type or out of range; the message names it, its bound, the fix.
    """

    kind: str = setting("toy_text", choices=("toy_text",), doc="what an example is")
    batch_size: int = setting(64, low=1, high=100_000, doc="training sentences in a batch")
    eval_batch_size: int = setting(256, low=1, high=100_000, doc="sentences in an evaluation batch")
    train_examples: int = setting(2048, low=1, high=1_000_000, doc="training sentences")
    eval_examples: int = setting(512, low=1, high=1_000_000, doc="evaluation sentences")
    evaluation: str = setting("test", choices=("test", "validation"), doc="split that is evaluated on")
    length: int = setting(24, low=TELLING + 1, high=4096, doc="words of the longest sentence")
    buckets: tuple[int, ...] = buckets_setting()
    shortest: int = setting(8, low=TELLING + 1, high=4096, doc="words of the shortest sentence")
    vocabulary: int = setting(64, low=2, high=1_000_000, doc="different token numbers, padding among them")
    classes: int = setting(4, low=2, high=1000, doc="subjects")

    def __post_init__(self):
        check_settings(self, "config.data")
        check_buckets(self.buckets, self.length)
        if self.shortest > self.length:
            raise SettingError(
                f"config.data.shortest = {self.shortest} is above config.data.length = {self.length}; lower it"
            )
        least = 2 + SYNONYMS * self.classes
        if self.vocabulary < least:
            raise SettingError(
                f"config.data.vocabulary = {self.vocabulary} holds no padding, {SYNONYMS} words for each of "
                f"config.data.classes = {self.classes} and one that says nothing; give at least {least}, or fewer "
                "classes"
            )
        if self.train_examples < self.batch_size:
            raise SettingError(
                f"config.data.train_examples = {self.train_examples} is below config.data.batch_size = "
                f"{self.batch_size}, so an epoch has no batch; raise the one or lower the other"
            )

    @property
    def name(self) -> str:
        """What messages call the data set."""
        return self.kind


@dataclasses.dataclass(frozen=True)
class ToyText:
    """``data.dataset.Dataset`` of the toy sentences: ``token`` (n, W) int32, ``real`` (n, W) False for padding.

    Attributes:
        spec: how many, and how long.
    """

    spec: ToyTextSpec
    unit: str = "sentence"
    task: str = "classify"

    def load(self, split: str) -> Split:
        """See ``Dataset``.

        Raises:
            DatasetError: there is no such split.
        """
        if split not in SEEDS:
            raise DatasetError(f"data set {self.spec.name!r} has no split {split!r}; it has {', '.join(SEEDS)}")
        spec = self.spec
        chance = _chance(spec, split)
        token, label = sentences(spec, chance)
        words = _words(spec, chance)
        return Split(
            columns={"token": token, "real": np.arange(spec.length) < words[:, None]},
            bucket=bucket_of(words, spec.buckets),
            labels=label,
            class_names=tuple(f"subject {number}" for number in range(spec.classes)),
            facts=Facts(
                classes=spec.classes,
                vocabulary=spec.vocabulary,
                length=spec.length,
                mean_length=float(np.mean(_words(spec, _chance(spec, "train")))),
            ),
        )

    def feed(self, columns: Columns) -> Columns:
        """As they are stored."""
        return {name: columns[name] for name in ("token", "real")}

    def show(self, fed: Columns) -> Columns:
        """Which tokens are words, none of padding; and the number of each, as the word it is called by."""
        return {"real": fed["real"], "words": np.where(fed["real"], fed["token"].astype(np.str_), "")}

    def draw(self, split: Split) -> Draw:
        """Training sentences at these numbers; nothing is varied."""
        return lambda index, rng: self.feed({name: column[index] for name, column in split.columns.items()})


def sentences(
    spec: ToyTextSpec, chance: Float[np.ndarray, "n c"]
) -> tuple[Int[np.ndarray, "n W"], Int[np.ndarray, " n"]]:
    """Token numbers, padded, and the subject of each sentence, made of uniform numbers (``_chance``).

    ``TELLING`` words, anywhere in the sentence, are of its subject and one is of another; all others say nothing.
    """
    label = _whole(chance[:, 0], 0, spec.classes)
    other = (label + _whole(chance[:, 2], 1, spec.classes)) % spec.classes
    place, word = np.split(chance[:, 3:], 2, axis=1)
    real = np.arange(spec.length) < _words(spec, chance)[:, None]
    order = np.argsort(np.argsort(np.where(real, place, 1.0 + place), axis=1), axis=1)
    silent = _whole(word, 1 + SYNONYMS * spec.classes, spec.vocabulary)
    about = np.where(order < TELLING, label[:, None], other[:, None])
    telling = 1 + SYNONYMS * about + _whole(word, 0, SYNONYMS)
    token = np.where(order <= TELLING, telling, silent)
    return np.where(real, token, PADDING).astype(np.int32), label.astype(np.int32)


def _chance(spec: ToyTextSpec, split: str) -> Float[np.ndarray, "n c"]:
    """All that is drawn of each sentence, a row each: the first rows do not depend on how many there are."""
    count = spec.train_examples if split == "train" else spec.eval_examples
    return np.random.default_rng(SEEDS[split]).random((count, 3 + 2 * spec.length))


def _words(spec: ToyTextSpec, chance: Float[np.ndarray, "n c"]) -> Int[np.ndarray, " n"]:
    """Words of each sentence."""
    return _whole(chance[:, 1], spec.shortest, spec.length + 1)


def _whole(uniform: Float[np.ndarray, "*s"], low: int, high: int) -> Int[np.ndarray, "*s"]:
    """Whole numbers from ``low`` to below ``high``."""
    return low + np.floor(uniform * (high - low)).astype(np.int64)
