"""Toy sentences: what tells a subject, padding, one set whatever is read of it, and what is refused."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from atis_jax.data.errors import DatasetError
from atis_jax.data.pipeline import by_shape, eval_batches, steps_per_epoch, train_iterator
from atis_jax.data.registry import load_split, make_dataset
from atis_jax.data.text import PADDING, SYNONYMS, TELLING, ToyTextSpec
from atis_jax.validation import SettingError

SPEC = ToyTextSpec(
    train_examples=300, eval_examples=110, length=12, shortest=5, vocabulary=30, batch_size=10, eval_batch_size=50
)
TRAIN = load_split(SPEC, "train")
BUCKETS = dataclasses.replace(SPEC, buckets=(6, 9, 12))
IN_BUCKETS = load_split(BUCKETS, "train")
TOKEN, REAL = TRAIN.columns["token"], TRAIN.columns["real"]


def test_a_split_is_of_the_promised_form():
    assert TOKEN.shape == REAL.shape == (300, 12)
    assert (TOKEN.dtype, REAL.dtype, TRAIN.labels.dtype) == (np.int32, bool, np.int32)
    facts = TRAIN.facts
    assert (facts.classes, facts.vocabulary, facts.length, facts.rows) == (4, 30, 12, 0)
    assert len(TRAIN.class_names) == 4 and len(load_split(SPEC, "test")) == 110
    dataset = make_dataset(SPEC)
    assert (dataset.unit, dataset.task) == ("sentence", "classify")


def test_padding_stands_behind_the_words_and_nowhere_else():
    words = REAL.sum(1)
    np.testing.assert_array_equal(REAL, np.arange(12) < words[:, None])
    np.testing.assert_array_equal(TOKEN[~REAL], PADDING)
    assert TOKEN[REAL].min() > PADDING and TOKEN.max() < 30
    assert set(words) == set(range(5, 13))
    assert TRAIN.facts.mean_length == words.mean()


def test_a_few_words_tell_the_subject_and_one_misleads():
    subject = np.where(REAL & (TOKEN <= 4 * SYNONYMS), (TOKEN - 1) // SYNONYMS, -1)
    counts = np.stack([(subject == number).sum(1) for number in range(4)], axis=1)
    np.testing.assert_array_equal(counts.argmax(1), TRAIN.labels)
    np.testing.assert_array_equal(np.sort(counts, axis=1), [[0, 0, 1, TELLING]] * 300)
    # Anywhere in a sentence: over 300 sentences every place holds a telling word and a silent one.
    first = subject[:, :5]
    assert np.all((first >= 0).any(0)) and np.all((first < 0).any(0))
    assert np.all(np.bincount(TRAIN.labels, minlength=4) > 40)


def test_fewer_sentences_are_the_first_ones_and_splits_differ():
    few = load_split(dataclasses.replace(SPEC, train_examples=40), "train")
    np.testing.assert_array_equal(few.columns["token"], TOKEN[:40])
    np.testing.assert_array_equal(few.labels, TRAIN.labels[:40])
    test = load_split(SPEC, "test")
    assert test.facts == TRAIN.facts
    assert not np.array_equal(test.columns["token"], TOKEN[:110])


def test_batches_hold_tokens_and_what_is_real():
    batch = next(train_iterator(SPEC, 1, TRAIN))
    assert batch.keys() == {"token", "real", "label"} and batch["token"].shape == (10, 12)
    last = list(eval_batches(SPEC))[-1]
    assert last["token"].shape == (50, 12) and last["weight"].sum() == 10
    assert not last["real"][10:].any(), "what fills the last batch up holds no word"


def test_an_unknown_split_is_named():
    with pytest.raises(DatasetError, match=r"'toy_text' has no split 'dev'; it has train, test, validation"):
        load_split(SPEC, "dev")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 0}, r"config\.data\.batch_size = 0 .*at least 1"),
        ({"length": 3}, r"data\.length = 3.*at least 4"),
        ({"shortest": 30}, r"data\.shortest = 30 is above config\.data\.length = 24; lower it"),
        ({"vocabulary": 17}, r"data\.vocabulary = 17 holds no padding, 4 words.*at least 18, or fewer classes"),
        ({"train_examples": 10}, r"train_examples = 10 is below config\.data\.batch_size = 64.*lower"),
        ({"kind": "images"}, r"data\.kind = 'images'.*toy_text"),
    ],
)
def test_bad_field_is_named_with_its_bound(fields, message):
    with pytest.raises(SettingError, match=message):
        ToyTextSpec(**fields)


def test_an_epoch_in_buckets_shows_every_sentence_at_most_once_and_few_are_left_out():
    train = IN_BUCKETS
    steps = steps_per_epoch(BUCKETS, train)
    assert steps == sum(len(group) // 10 for group in train.groups())
    orders = []
    batches = train_iterator(BUCKETS, 4, train)
    known = {row.tobytes(): number for number, row in enumerate(train.columns["token"])}
    for _ in range(2):
        shown, lengths = [], []
        for batch in itertools.islice(batches, steps):
            length = batch["token"].shape[1]
            words = batch["real"].sum(axis=1)
            assert words.max() <= length and (words > {6: 0, 9: 6, 12: 9}[length]).all()
            shown += [known[np.pad(row, (0, 12 - length)).tobytes()] for row in batch["token"]]
            lengths.append(length)
        assert len(set(shown)) == len(shown) == 10 * steps > 300 - 3 * 10
        np.testing.assert_array_equal(batch["label"], train.labels[shown[-10:]])
        orders.append((shown, lengths))
    assert orders[0][0] != orders[1][0] and orders[0][1] != orders[1][1]
    assert orders[0][1] != sorted(orders[0][1]), "the buckets take turns"


def test_batches_in_buckets_go_on_bit_for_bit():
    batches = train_iterator(BUCKETS, 5, IN_BUCKETS)
    list(itertools.islice(batches, 17))
    state = json.loads(json.dumps(batches.get_state()))
    again = train_iterator(BUCKETS, 5, IN_BUCKETS)
    again.set_state(state)
    for one, other in zip(itertools.islice(batches, 20), itertools.islice(again, 20), strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_evaluation_in_buckets_shows_every_sentence_once_by_its_number():
    test = load_split(BUCKETS, "test")
    found = list(eval_batches(dataclasses.replace(BUCKETS, eval_batch_size=20), test))
    assert {len(batch["weight"]) for batch in found} == {20}
    assert sorted(batch["token"].shape[1] for batch in found[:3]) == [6, 9, 12], "the first are of every length"
    number, real = (np.concatenate([batch[name] for batch in found]) for name in ("number", "weight"))
    assert sorted(number[real > 0]) == list(range(110)) and (number[real == 0] >= 110).all()
    for batch in found:
        there, length = batch["weight"] > 0, batch["token"].shape[1]
        np.testing.assert_array_equal(batch["token"][there], test.columns["token"][batch["number"][there], :length])
        np.testing.assert_array_equal(batch["label"][there], test.labels[batch["number"][there]])
    assert sum(len(group) for group in by_shape(found).values()) == len(found)


def test_a_bucket_that_would_never_be_trained_on_is_named():
    few = dataclasses.replace(SPEC, buckets=(5, 12), batch_size=60)
    with pytest.raises(SettingError, match=r"batch_size = 60 is above the \d+ training .* bucket of 5 tokens"):
        train_iterator(few, 0)
    with pytest.raises(SettingError, match=r"buckets = \(5, 10\) ends with 10, and .*length = 12; let both"):
        dataclasses.replace(SPEC, buckets=(5, 10))
