"""Training and evaluation batches: order, variation, resuming bit for bit."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from atis_jax.data import augment, cluttered_digits
from atis_jax.data.dataset import Facts, Split
from atis_jax.data.images import ImagesSpec
from atis_jax.data.pipeline import eval_batches, steps_per_epoch, train_iterator
from atis_jax.validation import SettingError

EXAMPLES, ROWS, COLUMNS = 53, 8, 6
PLAIN = ImagesSpec(name="numbered", augmentation="none", batch_size=10, eval_batch_size=20)
PLACED = ImagesSpec(batch_size=10)
CROPPED = ImagesSpec(name="numbered", augmentation="flip_crop", batch_size=10, colour_jitter=0.2, erase_probability=0.5)


def numbered_split() -> Split:
    """Example i has i in its first pixel, noise elsewhere and a real digit behind it."""
    images = np.random.default_rng(0).integers(0, 256, (EXAMPLES, ROWS, COLUMNS, 3), dtype=np.uint8)
    images[:, 0, 0, :] = np.arange(EXAMPLES)[:, None]
    digits, labels = cluttered_digits.source_digits("train")
    return Split(
        columns={"image": images},
        labels=labels[:EXAMPLES],
        class_names=tuple("0123456789"),
        facts=Facts(classes=10, rows=ROWS, columns=COLUMNS, channels=3, mean=(0.0,) * 3, std=(1.0,) * 3),
        extra={"digit": digits[:EXAMPLES]},
    )


SPLIT = numbered_split()
IMAGES = SPLIT.columns["image"]


def numbers(batch) -> list[int]:
    return np.round(batch["image"][:, 0, 0, 0] * 255).astype(int).tolist()


def take(iterator, count):
    return list(itertools.islice(iterator, count))


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def test_batches_have_the_promised_form():
    for spec in (PLAIN, PLACED, CROPPED):
        batch = next(train_iterator(spec, 1, SPLIT))
        assert batch["image"].dtype == np.float32
        assert batch["label"].dtype == np.int32
        assert batch["image"].shape[0] == batch["label"].shape[0] == 10
        assert 0 <= batch["image"].min() <= batch["image"].max() <= 1


def test_an_epoch_shows_an_example_at_most_once_with_its_label_and_the_next_reshuffles():
    steps = steps_per_epoch(PLAIN, SPLIT)
    assert steps == 5
    batches = take(train_iterator(PLAIN, 1, SPLIT), 3 * steps)
    for batch in batches:
        np.testing.assert_array_equal(batch["label"], SPLIT.labels[numbers(batch)])
    orders = [sum(map(numbers, batches[i * steps : (i + 1) * steps]), []) for i in range(3)]
    assert all(len(set(order)) == 50 for order in orders)
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize("spec", [PLAIN, PLACED, CROPPED])
def test_rerun_is_identical_and_another_seed_is_not(spec):
    first = take(train_iterator(spec, 7, SPLIT), 12)
    assert_same(first, take(train_iterator(spec, 7, SPLIT), 12))
    other = next(train_iterator(spec, 8, SPLIT))
    assert not np.array_equal(first[0]["image"], other["image"])


def test_every_epoch_draws_an_example_anew():
    one = dataclasses.replace(PLACED, batch_size=1)
    single = dataclasses.replace(
        SPLIT,
        columns=SPLIT.at(slice(1)),
        labels=SPLIT.labels[:1],
        extra={name: part[:1] for name, part in SPLIT.extra.items()},
    )
    drawn = [b["image"].tobytes() for b in take(train_iterator(one, 3, single), 6)]
    assert len(set(drawn)) == 6


@pytest.mark.parametrize("spec", [PLAIN, PLACED, CROPPED])
@pytest.mark.parametrize("consumed", [0, 3, 5, 13])  # start, mid-epoch, epoch boundary, mid third epoch
def test_resume_continues_bit_for_bit(spec, consumed):
    iterator = train_iterator(spec, 5, SPLIT)
    take(iterator, consumed)
    state = json.loads(json.dumps(iterator.get_state()))
    expected = take(iterator, 8)

    fresh = train_iterator(spec, 5, SPLIT)
    fresh.set_state(state)
    assert_same(expected, take(fresh, 8))

    iterator.set_state(state)  # and back in place, with batches already made ahead
    assert_same(expected, take(iterator, 8))


def test_evaluation_is_in_order_and_padded_with_weight_zero():
    batches = list(eval_batches(PLAIN, SPLIT))
    assert [len(b["image"]) for b in batches] == [20, 20, 20]
    weight = np.concatenate([b["weight"] for b in batches])
    np.testing.assert_array_equal(weight, [1] * EXAMPLES + [0] * 7)
    images = np.concatenate([b["image"] for b in batches])
    np.testing.assert_allclose(images[:EXAMPLES] * 255, IMAGES, atol=1e-4)
    np.testing.assert_array_equal(np.concatenate([b["label"] for b in batches])[:EXAMPLES], SPLIT.labels)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range_is_named(seed):
    with pytest.raises(ValueError, match=rf"seed is {seed}.*2\*\*32"):
        train_iterator(PLAIN, seed, SPLIT)


def test_batch_larger_than_the_split_is_named():
    with pytest.raises(SettingError, match=r"config\.data\.batch_size = 54.*53 training examples.*lower it"):
        train_iterator(dataclasses.replace(PLAIN, batch_size=54), 0, SPLIT)


def test_crop_flip_is_a_window_of_the_reflected_image():
    index = np.array([3, 9, 9, 30])
    for seed in range(20):
        varied = augment.crop_flip(np.random.default_rng(seed), IMAGES, index, border=2)
        for number, image in zip(index, varied, strict=True):
            padded = np.pad(IMAGES[number], ((2, 2), (2, 2), (0, 0)), mode="reflect")
            windows = [padded[r : r + ROWS, c : c + COLUMNS] for r in range(5) for c in range(5)]
            assert any(np.array_equal(image, w) or np.array_equal(image, w[:, ::-1]) for w in windows)


def test_crop_flip_draws_every_shift_and_both_mirrors():
    # 50 outcomes, 5,000 draws: each is missed with probability (49/50)^5000 < 1e-43.
    varied = augment.crop_flip(np.random.default_rng(0), IMAGES, np.full(5000, 4), border=2)
    assert len({v.tobytes() for v in varied}) == 50


def test_colour_jitter_of_strength_zero_changes_nothing_and_keeps_the_mean_otherwise():
    images = augment.to_float(IMAGES)
    np.testing.assert_allclose(augment.colour_jitter(np.random.default_rng(0), images, 0.0), images, atol=1e-6)
    grey = np.full((200, 4, 4, 3), 0.5, np.float32)  # contrast and saturation leave plain grey alone
    bright = augment.colour_jitter(np.random.default_rng(0), grey, 0.2)[:, 0, 0, 0]
    assert 0.4 <= bright.min() < 0.42
    assert 0.58 < bright.max() <= 0.6


def test_erase_blanks_one_rectangle_in_the_chosen_share():
    images = np.linspace(0, 0.9, 1000 * 32 * 24, dtype=np.float32).reshape(1000, 32, 24, 1)
    changed = (augment.erase(np.random.default_rng(0), images, 0.25) != images)[..., 0]
    share = changed.any(axis=(1, 2)).mean()
    # 1,000 draws: standard deviation sqrt(0.25 * 0.75 / 1000) = 0.0137, bound 5 of them.
    assert abs(share - 0.25) < 0.07
    for hidden in changed[changed.any(axis=(1, 2))]:
        rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
        assert hidden.sum() >= len(rows) * len(columns) - 1  # one pixel may have had the fill's value
        assert 6 <= len(rows) <= 17
        assert 4 <= len(columns) <= 13  # 0.2 to 0.5 of 24, and a pixel's rounding
