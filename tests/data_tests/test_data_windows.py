"""Windows of running text: tokens against those put down by hand, where training windows begin, what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tiny_tfds import in_memory
from tokenizers import Tokenizer, models, pre_tokenizers

from atis_jax.data import builders
from atis_jax.data.errors import DatasetError
from atis_jax.data.pipeline import eval_batches, train_iterator
from atis_jax.data.registry import load_split, make_dataset
from atis_jax.data.windows import WindowsSpec
from atis_jax.validation import SettingError

TEXT = "abcabcabcabcabcabcab" + "cabc" + "bca\n"
"""20 characters to train on, 4 of validation, 4 of test: the last has one that the training text has not."""


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "own.txt").write_text(TEXT)
    share = {"evaluation_share": 4 / len(TEXT), "batch_size": 2, "eval_batch_size": 2}
    return WindowsSpec(name=str(tmp_path / "own.txt"), length=3, evaluation="validation", **share)


def test_a_text_file_is_cut_into_splits_and_windows_with_the_next_character(spec):
    train = load_split(spec, "train")
    assert train.columns["token"].tolist() == [[0, 1, 2]] * 6 and train.labels.tolist() == [[1, 2, 0]] * 6
    validation = load_split(spec, "validation")
    assert validation.columns["token"].tolist() == [[2, 0, 1]] and validation.labels.tolist() == [[0, 1, 2]]
    assert validation.facts == train.facts
    assert (train.facts.vocabulary, train.facts.classes, train.facts.length) == (3, 3, 3)
    assert train.extra["characters"].tolist() == [3] * 6
    with pytest.raises(DatasetError, match=r"characters in its evaluation splits.*: '\\n'; choose another"):
        load_split(spec, "test")


def test_training_windows_begin_anywhere_and_bring_their_own_next_characters(spec, tmp_path):
    long = tmp_path / "long.txt"
    long.write_text("".join(chr(33 + number) for number in range(90)))
    spec = dataclasses.replace(spec, name=str(long), batch_size=14, length=4)
    batch = next(train_iterator(spec, seed=0))
    first = batch["token"][:, :1]
    np.testing.assert_array_equal(batch["token"], first + np.arange(4))
    np.testing.assert_array_equal(batch["label"], first + np.arange(1, 5))
    assert len(set(first[:, 0] % 4)) == 4, "windows begin at any offset"
    assert batch["token"].dtype == batch["label"].dtype == np.int32


def test_several_texts_and_splits_follow_one_another_in_a_tokenizer_s_tokens(tmp_path, monkeypatch):
    made = Tokenizer(models.WordLevel({"good": 0, "film": 1, "[UNK]": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    texts = {"train": ["good film"] * 4, "validation": ["film good", "good unheard film"], "test": ["good good film"]}
    stored = {split: [{"text": text.encode()} for text in of] for split, of in texts.items()}
    builder = in_memory("tiny", {"text": tfds.features.Text()}, stored)
    monkeypatch.setattr(builders, "open_builder", lambda *_: builder)
    both = "validation+test"
    spec = WindowsSpec(name="tiny", tokenizer=str(tmp_path), length=2, evaluation=both, batch_size=2, eval_batch_size=2)
    split = load_split(spec, both)
    assert split.columns["token"].tolist() == [[1, 0], [0, 2], [0, 0]] and split.labels[-1].tolist() == [0, 1]
    assert split.parts == (("validation", 2), ("test", 1)) and split.facts.vocabulary == 3
    # Of "film good\ngood unheard film": from behind "film" to behind the second "good", then to behind "film".
    assert split.extra["characters"].tolist() == [10, 13, 10]
    *_, last = eval_batches(spec)
    assert last["token"].tolist() == [[0, 0], [0, 0]] and last["weight"].tolist() == [1, 0]
    words = make_dataset(spec).show({"token": np.array([[0, 1]])})
    assert words["words"].tolist() == [["##good", "##film"]] and words["real"].all()
    assert load_split(dataclasses.replace(spec, eval_examples=1), both).parts == (("validation", 1), ("test", 0))


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"name": "nowhere.txt"}, SettingError, r"data\.name = 'nowhere.txt': there is no such file"),
        ({"eval_examples": 2}, SettingError, r"eval_examples = 2 is above the 1 windows of config\.data\.length = 3"),
        ({"length": 4}, DatasetError, r"has 4 tokens in its split 'validation', and a window of .* needs 5; shorten"),
        ({"tokenizer": "nowhere"}, SettingError, r"data\.tokenizer = 'nowhere': there is no such file or folder"),
    ],
)
def test_what_cannot_be_read_is_one_error(spec, fields, error, message):
    with pytest.raises(error, match=message):
        load_split(dataclasses.replace(spec, **fields), "validation")


def test_other_splits_and_other_features_are_named(spec, monkeypatch):
    with pytest.raises(DatasetError, match="has no split 'dev'; it has train, validation, test"):
        load_split(spec, "dev")
    features = {"text": tfds.features.Text(), "second": tfds.features.Text()}
    monkeypatch.setattr(builders, "open_builder", lambda *_: in_memory("tiny", features, {}))
    with pytest.raises(DatasetError, match="features second, text, 2 of them texts; running text"):
        load_split(dataclasses.replace(spec, name="tiny"), "train")
