"""The canvas renderer against scipy's resampling and against its own promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from atis_jax.data import canvas, cluttered_digits
from atis_jax.data.canvas import Jitter, Layout

DIGITS, LABELS = cluttered_digits.source_digits("train")
BARE = Layout(fragments=0, noise=0.0, min_contrast=1.0)


class HighestDraws:
    """Stands in for a generator: every uniform draw is the upper limit."""

    def uniform(self, low, high, size):
        return np.full(size, high, np.float64)


def forward_map(angle: float, shear: float, scale_y: float, scale_x: float) -> np.ndarray:
    """Source cells to canvas pixels, (row, column): stretch, then shear columns by rows, then turn."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.array([[1, 0], [shear, 1]]) @ np.diag([scale_y, scale_x])


@pytest.mark.parametrize(
    "jitter",
    [
        Jitter(),
        Jitter(rotation_rad=0.3),
        Jitter(shear=0.25),
        Jitter(log_scale=0.2, log_aspect=0.2),
        Jitter(0.2, 0.15, 0.1, 0.1, 0.0, 0.5),
    ],
)
def test_warp_equals_scipy_affine_transform(jitter):
    layout = Layout(digit_px=12)
    glyph = canvas._warp(HighestDraws(), DIGITS[:4], jitter, layout)
    size = canvas.window_px(jitter, layout)
    scale = 1.5 * np.exp(jitter.log_scale)
    forward = forward_map(
        jitter.rotation_rad,
        jitter.shear,
        scale * np.exp(jitter.log_aspect / 2),
        scale * np.exp(-jitter.log_aspect / 2),
    )
    inverse = np.linalg.inv(forward)
    middle = np.full(2, (size - 1) / 2) + jitter.shift_px
    for digit, drawn in zip(DIGITS, glyph, strict=False):
        expected = ndimage.affine_transform(
            digit.astype(np.float64),
            inverse,
            offset=np.full(2, 3.5) - inverse @ middle,
            output_shape=(size, size),
            order=1,
            mode="grid-constant",
        )
        np.testing.assert_allclose(drawn, expected, atol=2e-5)


def test_gamma_is_an_exponent_of_the_intensities():
    plain = canvas._warp(HighestDraws(), DIGITS[:4], Jitter(), Layout())
    thin = canvas._warp(HighestDraws(), DIGITS[:4], Jitter(log_gamma=0.5), Layout())
    np.testing.assert_allclose(thin, plain.astype(np.float64) ** np.exp(0.5), atol=1e-6)


def test_a_digit_at_its_own_size_is_pasted_unchanged_into_its_box():
    layout = Layout(digit_px=8, fragments=0, noise=0.0, min_contrast=1.0)
    drawn = canvas.render(np.random.default_rng(0), DIGITS[:50], canvas.fragment_pool(DIGITS[:5]), layout=layout)
    for digit, image, box in zip(DIGITS, drawn.image[..., 0], drawn.box, strict=False):
        ink = np.argwhere(digit > canvas._INK)
        (top, left), (bottom, right) = ink.min(axis=0), ink.max(axis=0) + 1
        np.testing.assert_allclose(image[box[0] : box[2], box[1] : box[3]], digit[top:bottom, left:right], atol=1e-6)
        assert image.sum() == pytest.approx(digit.sum(), rel=1e-5)


def test_box_holds_all_ink_and_no_empty_edge():
    drawn = canvas.render(
        np.random.default_rng(1), DIGITS[:300], np.zeros((1, 6, 6), np.float32), canvas.TRAIN_JITTER, BARE
    )
    for image, (top, left, bottom, right) in zip(drawn.image[..., 0], drawn.box, strict=True):
        rows, columns = np.nonzero(image > canvas._INK)
        assert (top, left) == (rows.min(), columns.min())
        assert (bottom, right) == (rows.max() + 1, columns.max() + 1)


def test_fragments_keep_clear_of_the_digit_and_most_are_placed():
    layout = Layout(fragments=4, noise=0.0, min_contrast=1.0)
    mark = np.float32(0.4321)
    pool = np.full((1, 6, 6), mark)
    drawn = canvas.render(np.random.default_rng(2), DIGITS[:500], pool, canvas.TRAIN_JITTER, layout)
    marked = drawn.image[..., 0] == mark
    for where, (top, left, bottom, right) in zip(marked, drawn.box, strict=True):
        around = where[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1]
        assert not around.any()
    # Four 6x6 fragments cover 144 pixels when none overlap; a quarter lost to overlap is still 108.
    assert np.median(marked.sum(axis=(1, 2))) > 108


def test_places_are_uniform():
    # The corner of a 12 px window is uniform on 0..20, the mean of n of them within 5 standard errors of 10:
    # 5 * sqrt((21**2 - 1) / 12 / 4000) = 0.48.
    solid = np.ones((4000, 8, 8), np.float32)
    drawn = canvas.render(np.random.default_rng(3), solid, np.zeros((1, 6, 6), np.float32), layout=BARE)
    assert np.abs(drawn.box[:, :2].mean(axis=0) - 10).max() < 0.48
    assert set(np.unique(drawn.box[:, 0])) == set(range(21))


def test_same_generator_state_same_canvas_and_values_in_range():
    pool = canvas.fragment_pool(DIGITS)
    first = canvas.render(np.random.default_rng(4), DIGITS[:64], pool, canvas.TRAIN_JITTER)
    again = canvas.render(np.random.default_rng(4), DIGITS[:64], pool, canvas.TRAIN_JITTER)
    other = canvas.render(np.random.default_rng(5), DIGITS[:64], pool, canvas.TRAIN_JITTER)
    np.testing.assert_array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
    assert first.image.dtype == np.float32
    assert first.image.min() >= 0
    assert first.image.max() <= 1


def test_pool_holds_quarters_of_digits_with_ink():
    pool = canvas.fragment_pool(DIGITS[:20], Layout(digit_px=8))
    crops = {digit[r : r + 4, c : c + 4].tobytes() for digit in DIGITS[:20] for r in range(5) for c in range(5)}
    assert {np.ascontiguousarray(p).tobytes() for p in pool} <= crops
    assert pool.mean(axis=(1, 2)).min() >= 0.25
