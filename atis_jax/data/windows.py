"""Running text, cut into windows of as many tokens each: what a network that says the next token reads.

Shape suffixes: n windows, W tokens of one.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, Int32

from atis_jax.data import builders, checks, stored
from atis_jax.data.dataset import Columns, Draw, Facts, Split
from atis_jax.data.errors import DatasetError
from atis_jax.data.tokenizer import read_tokenizer
from atis_jax.validation import SettingError, check_settings, setting

CHARACTERS = "characters"
"""In place of a tokenizer: every character is a token, numbered in Unicode's order among those of the training text."""
FILES = (".txt", ".md")
"""Ends of the names of text files."""
SPLITS = (stored.TRAIN, stored.VALIDATION, "test")
"""Of a text file, in the order in which they follow one another in it."""
EVALUATIONS = ("test", stored.VALIDATION, f"{stored.VALIDATION}{stored.AND}test")
BETWEEN = "\n"
"""Between the texts of a stored set of several."""
_NEW_WORD, _GOES_ON, _NEW_LINE = ("Ġ", "▁"), "##", {"\n": "↵", "Ċ": "↵"}
"""How tokenizers lead a token behind a space; what a report leads any other with; line ends as a report draws them."""


@dataclasses.dataclass(frozen=True)
class WindowsSpec:
    """Windows of a running text.

    Attributes:
        kind: what an example is.
        name: a TFDS name, e.g. "tiny_shakespeare", of a set of texts; or the path of a file that ends in .txt or .md.
        data_dir: where TFDS keeps prepared data; None: TFDS's own default.
        tokenizer: "characters"; or a file, a folder that holds tokenizer.json or a GGUF file, or package:NAME of an
            installed package that does.
        length: tokens of a window.
        batch_size: training windows in a batch.
        eval_batch_size: windows in an evaluation batch; the last one is padded to it.
        train_examples: use only the first so many training windows; None: all.
        eval_examples: use only the first so many evaluation windows; None: all.
        evaluation: split that is evaluated on.
        evaluation_share: of a text file; its last so much is the test split, as much before it the validation split.

    Raises:
        SettingError: a field is of the wrong type or out of range; the message names it, its bound, the fix.
    """

    kind: str = setting("windows", choices=("windows",), doc="what an example is")
    name: str = setting("tiny_shakespeare", path=True, doc="TFDS name of a set of texts, or path of a text file")
    data_dir: str | None = setting(None, path=True, doc="where prepared data sets are kept", affects_result=False)
    tokenizer: str = setting(
        CHARACTERS, path=True, doc="characters; or a tokenizer.json, a .gguf file, a folder with one, or package:NAME"
    )
    length: int = setting(256, low=2, high=2**20, doc="tokens of a window")
    batch_size: int = setting(16, low=1, high=100_000, doc="training windows in a batch")
    eval_batch_size: int = setting(16, low=1, high=100_000, doc="windows in an evaluation batch")
    train_examples: int | None = setting(None, low=1, doc="use only the first so many")
    eval_examples: int | None = setting(None, low=1, doc="use only the first so many")
    evaluation: str = setting("test", choices=EVALUATIONS, doc="split that is evaluated on")
    evaluation_share: float = setting(
        0.05, low=0.0, high=0.5, exclusive_low=True, doc="of a text file that is the test split; as much is validation"
    )

    def __post_init__(self):
        check_settings(self, "config.data")
        if self.file is None:
            builders.parse_name(self.name)
        if self.train_examples is not None and self.train_examples < self.batch_size:
            raise SettingError(
                f"config.data.train_examples = {self.train_examples} is below config.data.batch_size = "
                f"{self.batch_size}, so an epoch has no batch; raise the one or lower the other"
            )

    @property
    def directory(self) -> Path:
        """Where the data set is looked for."""
        return Path(self.data_dir or tfds.core.constants.DATA_DIR).expanduser()

    @property
    def file(self) -> Path | None:
        """The text file that ``name`` is the path of; None of a TFDS name."""
        return Path(self.name) if self.name.endswith(FILES) else None


@dataclasses.dataclass(frozen=True)
class Coding:
    """A text as token numbers.

    Attributes:
        vocabulary: different token numbers.
        encode: from a text to its tokens' numbers, and to the character behind each token's last.
        pieces: the text of every token, as a report draws it.
    """

    vocabulary: int
    encode: Callable[[str], tuple[Int32[np.ndarray, " t"], Int[np.ndarray, " t"]]]
    pieces: Sequence[str]


def of_characters(spec: WindowsSpec, training: str) -> Coding:
    """Every character of ``training`` a token."""
    known = sorted(set(training))
    code = np.array([ord(character) for character in known])

    def encode(text: str) -> tuple[Int32[np.ndarray, " t"], Int[np.ndarray, " t"]]:
        strange = sorted(set(text) - set(known))
        if strange:
            raise DatasetError(
                f"data set {spec.name!r} has characters in its evaluation splits that the training text has not: "
                f"{', '.join(map(repr, strange[:8]))}; choose another config.data.tokenizer or data set, or put them "
                "into the training text"
            )
        number = np.searchsorted(code, np.frombuffer(text.encode("utf-32-le"), np.uint32))
        return number.astype(np.int32), np.arange(1, len(number) + 1)

    return Coding(len(known), encode, [_GOES_ON + _NEW_LINE.get(one, one) for one in known])


def of_tokenizer(spec: WindowsSpec) -> Coding:
    """A pretrained network's tokens, nothing put in front of a text or behind it."""
    _, tokenizer = read_tokenizer(spec.tokenizer, "config.data.tokenizer")
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def encode(text: str) -> tuple[Int32[np.ndarray, " t"], Int[np.ndarray, " t"]]:
        found = tokenizer.encode(text, add_special_tokens=False)
        return np.array(found.ids, np.int32), np.array([end for _, end in found.offsets], np.int64)

    size = tokenizer.get_vocab_size(with_added_tokens=True)
    return Coding(size, encode, [_drawn(tokenizer.id_to_token(number) or "") for number in range(size)])


def _drawn(piece: str) -> str:
    """A tokenizer's piece as a report draws it: the mark of a space taken off, "##" in front of what goes on."""
    if piece.startswith(_NEW_WORD):
        return piece[1:]
    return piece if piece.startswith(_GOES_ON) else _GOES_ON + _NEW_LINE.get(piece, piece)


@dataclasses.dataclass(frozen=True)
class Windows:
    """``data.dataset.Dataset`` of a running text: ``token`` (n, W) int32; the token behind each is its label.

    Windows do not overlap; a training batch has its own, each begun anywhere within ``length`` of where it stands.
    ``Split.extra["characters"]`` (n,) counts those that a window's labels are made of.

    Attributes:
        spec: which text, and how it is cut.
    """

    spec: WindowsSpec
    unit: str = "window"
    task: str = "next_word"

    def load(self, split: str) -> Split:
        """See ``Dataset``; as many as ``train_examples`` or ``eval_examples`` says, from the beginning.

        Raises:
            DatasetError: not prepared, damaged, no such split, not one text an example, or too short for a window; a
                character that the training text has not; no tokenizer.
            SettingError: more windows are asked for than there are, or the file or the tokenizer is not there.
        """
        coding, names = self._coding, split.split(stored.AND)
        found = [self._windows(coding, name) for name in names]
        whole = sum(len(token) for token, *_ in found)
        field = "train_examples" if split == stored.TRAIN else "eval_examples"
        limit = getattr(self.spec, field)
        if limit is not None and limit > whole:
            raise SettingError(
                f"config.data.{field} = {limit} is above the {whole} windows of config.data.length = "
                f"{self.spec.length} tokens in split {split!r} of {self.spec.name!r}; lower it"
            )
        token, label, characters = (np.concatenate(part)[:limit] for part in zip(*found, strict=True))
        ends = np.minimum(np.cumsum([len(one) for one, *_ in found]), len(token))
        return Split(
            columns={"token": token},
            labels=label,
            class_names=(),
            facts=Facts(classes=coding.vocabulary, vocabulary=coding.vocabulary, length=self.spec.length),
            extra={"characters": characters},
            parts=tuple(zip(names, np.diff(ends, prepend=0).tolist(), strict=True)),
        )

    def feed(self, columns: Columns) -> Columns:
        """As they are stored."""
        return {"token": columns["token"]}

    def show(self, fed: Columns) -> Columns:
        """The text of each token; all are there."""
        token = fed["token"]
        return {"real": np.ones(token.shape, bool), "words": np.array(self._coding.pieces, np.str_)[token]}

    def draw(self, split: Split) -> Draw:
        """Windows of the training text that begin up to a window behind these numbers' own, and their labels."""
        length = self.spec.length
        text = np.append(split.columns["token"].ravel(), split.labels[-1, -1])

        def drawn(index: np.ndarray, rng: np.random.Generator) -> Columns:
            first = np.minimum(index * length + rng.integers(length, size=len(index)), len(text) - 1 - length)
            window = text[first[:, None] + np.arange(length + 1)]
            return {"token": window[:, :-1], "label": window[:, 1:]}

        return drawn

    @functools.cached_property
    def _coding(self) -> Coding:
        if self.spec.tokenizer == CHARACTERS:
            return of_characters(self.spec, self._text(stored.TRAIN))
        return of_tokenizer(self.spec)

    def _windows(
        self, coding: Coding, split: str
    ) -> tuple[Int32[np.ndarray, "n W"], Int32[np.ndarray, "n W"], Int[np.ndarray, " n"]]:
        """Tokens of the windows of a split, the one behind each, and characters of these."""
        token, end = coding.encode(self._text(split))
        length = self.spec.length
        count = (len(token) - 1) // length
        if count < 1:
            raise DatasetError(
                f"data set {self.spec.name!r} has {len(token)} tokens in its split {split!r}, and a window of "
                f"config.data.length = {length} needs {length + 1}; shorten it, or choose a longer text"
            )
        token, edge = token[: count * length + 1], end[: count * length + 1 : length]
        return token[:-1].reshape(count, length), token[1:].reshape(count, length), np.diff(edge)

    def _text(self, split: str) -> str:
        file = self.spec.file
        return self._stored(split) if file is None else self._of_file(file, split)

    def _of_file(self, file: Path, split: str) -> str:
        if split not in SPLITS:
            raise DatasetError(f"text file {str(file)!r} has no split {split!r}; it has {', '.join(SPLITS)}")
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise SettingError(
                f"config.data.name = {self.spec.name!r}: there is no such file; give its path"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(
                f"config.data.name = {self.spec.name!r} cannot be read as text in UTF-8 "
                f"({builders.first_line(error)}); give another file"
            ) from error
        apart = round(self.spec.evaluation_share * len(text))
        ends = np.cumsum([0, len(text) - 2 * apart, apart, apart])
        place = SPLITS.index(split)
        return text[ends[place] : ends[place + 1]]

    def _stored(self, split: str) -> str:
        builder = builders.open_builder(self.spec.name, self.spec.directory)
        feature = checks.check_running_text(self.spec.name, dict(builder.info.features.items()))
        part = stored.Part(split, 0, stored.examples(self.spec, builder, split))
        texts = stored.read(builder, self.spec.name, (part,), lambda found, _: [one[feature].decode() for one in found])
        return BETWEEN.join(texts)
