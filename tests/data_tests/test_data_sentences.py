"""Stored sentences: tokens against those put down by hand, what is evaluated on, and what is refused."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tiny_tfds import in_memory
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from atis_jax.data import builders
from atis_jax.data.errors import DatasetError
from atis_jax.data.located import locate
from atis_jax.data.registry import load_split, make_dataset
from atis_jax.data.sentences import SentencesSpec
from atis_jax.data.stored import Part, parts
from atis_jax.validation import SettingError

WORDS = {name: number for number, name in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film"))}
FEATURES = {"sentence": tfds.features.Text(), "label": tfds.features.ClassLabel(names=["negative", "positive"])}
TRAIN = (("good film", 1), ("bad film bad film", 0), ("good", 1), ("bad", 0))
TEST = (("film good unheard", 1),)


def tokenizer(around: str = "[CLS] $A [SEP]") -> Tokenizer:
    made = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single=around, special_tokens=[("[CLS]", WORDS["[CLS]"]), ("[SEP]", WORDS["[SEP]"])]
    )
    return made


def examples(sentences):
    return [{"sentence": text.encode(), "label": label} for text, label in sentences]


STORED = {"train": examples(TRAIN), "test": examples(TEST)}


@pytest.fixture
def spec(tmp_path, monkeypatch):
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    monkeypatch.setattr(builders, "open_builder", lambda *_: in_memory("tiny", FEATURES, STORED))
    return SentencesSpec(name="tiny", tokenizer=str(tmp_path), length=5, batch_size=2, eval_batch_size=2)


def test_sentences_are_cut_and_padded_with_their_ends_kept(spec):
    split = load_split(spec, "train")
    # [CLS] good film [SEP] [PAD]; the second is cut to three words.
    np.testing.assert_array_equal(
        split.columns["token"], [[2, 4, 6, 3, 0], [2, 5, 6, 5, 3], [2, 4, 3, 0, 0], [2, 5, 3, 0, 0]]
    )
    np.testing.assert_array_equal(split.columns["real"].sum(axis=1), [4, 5, 3, 3])
    for row, last in enumerate((3, 4, 2, 2)):
        np.testing.assert_array_equal(np.flatnonzero(split.columns["protected"][row]), [0, last])
    assert split.labels.tolist() == [1, 0, 1, 0] and split.class_names == ("negative", "positive")
    facts = split.facts
    assert (facts.vocabulary, facts.length, facts.mean_length) == (7, 5, (2 + 3 + 1 + 1) / 4)
    assert load_split(spec, "test").facts == facts


def test_the_words_of_a_sentence_are_shown_and_none_of_padding(spec):
    dataset, test = make_dataset(spec), load_split(spec, "test")
    words = dataset.show(dataset.feed(test.at(slice(1))))["words"]
    assert words.tolist() == [["[CLS]", "film", "good", "[UNK]", "[SEP]"]]
    assert "" in dataset.show(dataset.feed(load_split(spec, "train").at(slice(1))))["words"]


@pytest.mark.parametrize(
    ("fields", "splits", "train", "evaluated"),
    [
        ({}, {"train": 9, "test": 4}, [Part("train", 0, 9)], [Part("test", 0, 4)]),
        (
            {"evaluation": "validation", "validation_examples": 2, "train_examples": 5},
            {"train": 9, "test": 4},
            [Part("train", 0, 5)],
            [Part("train", 7, 2)],
        ),
        (
            {"evaluation": "validation+test", "eval_examples": 5},
            {"train": 9, "validation": 3, "test": 4},
            [Part("train", 0, 9)],
            [Part("validation", 0, 3), Part("test", 0, 2)],
        ),
    ],
    ids=["test", "set apart", "both"],
)
def test_what_is_evaluated_on_is_not_trained_on(fields, splits, train, evaluated):
    builder = in_memory("tiny", FEATURES, {name: [None] * count for name, count in splits.items()})
    spec = SentencesSpec(batch_size=2, **fields)
    assert list(parts(spec, builder, "train")) == train
    assert list(parts(spec, builder, spec.evaluation)) == evaluated


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"evaluation": "validation"}, r"validation_examples = 500 leaves none of the 4 training examples.*lower it"),
        (
            {"evaluation": "validation", "validation_examples": 2, "train_examples": 3},
            r"train_examples = 3 is above the 2 examples of split 'train'.*\(2 of them are set apart for validation\)",
        ),
        ({"tokenizer": "package:no_such_package"}, r"data\.tokenizer.*no package of that name is installed; install"),
        ({"tokenizer": "nowhere"}, r"data\.tokenizer = 'nowhere': there is no such file or folder"),
    ],
)
def test_what_is_not_there_is_one_error(spec, fields, message):
    with pytest.raises(SettingError, match=message):
        load_split(dataclasses.replace(spec, **fields), "train")


def test_a_file_that_is_no_tokenizer_of_sentences_is_refused(spec, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer("$A [SEP]").save(str(path))
    with pytest.raises(DatasetError, match=r"puts 1 tokens around a sentence.*family"):
        load_split(spec, "train")
    path.write_text("{}")
    with pytest.raises(DatasetError, match=r"holds no tokenizer of the library tokenizers \(.*\); give the"):
        load_split(spec, "train")


def test_features_that_are_no_sentence_and_class_are_named(spec, monkeypatch):
    pairs = FEATURES | {"second": tfds.features.Text()}
    monkeypatch.setattr(builders, "open_builder", lambda *_: in_memory("tiny", pairs, STORED))
    with pytest.raises(DatasetError, match="features label, second, sentence, 2 of them texts; a classifier of"):
        load_split(spec, "train")


def test_a_package_is_searched_and_not_imported(tmp_path, monkeypatch):
    folder = tmp_path / "some_model" / "inner"
    folder.mkdir(parents=True)
    (tmp_path / "some_model" / "__init__.py").write_text("raise ImportError('it was imported')")
    (folder / "tokenizer.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    assert locate("package:some-model", ("tokenizer.json",), "x") == folder / "tokenizer.json"
    assert "some_model" not in sys.modules
    with pytest.raises(SettingError, match=r"x = 'package:some_model'.*holds no a.json or \*\.onnx; give the path"):
        locate("package:some_model", ("a.json", "*.onnx"), "x")
    (tmp_path / "some_model" / "tokenizer.json").write_text("{}")
    with pytest.raises(SettingError, match=r"holds 2 files tokenizer.json: inner.tokenizer.json, tokenizer.json; give"):
        locate("package:some_model", ("tokenizer.json",), "x")
