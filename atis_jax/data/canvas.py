"""Draw handwritten digits at random places among fragments of other digits: pure NumPy, a batch at once.

Everything random comes from the generator passed in, so a canvas is a function of (generator state, digits,
pool). The dataset builder and the training pipeline call the same ``render``.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Int32

SOURCE_SIZE = 8
"""Rows and columns of a scikit-learn digit."""
CANVAS_SIZE = 32
"""Rows and columns of a canvas."""
FRAGMENT_CELLS = 4
"""Rows and columns of the crop, in source cells, that a distractor fragment is made of."""
PLACEMENT_TRIES = 6
"""Places drawn for each fragment; the first one clear of the digit is taken, none clear: no fragment."""

_PAD = 4  # zero cells around a source digit, so that a sample outside it reads 0 without a test
_INK = 0.15  # what counts as ink when the bounding box is measured
_MIN_FRAGMENT_INK = 0.25  # mean intensity below which a crop is too empty to distract


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a canvas looks like.

    Attributes:
        digit_px: height of an unjittered digit in pixels (8 source cells are stretched to it).
        fragments: number of distractor fragments drawn at most.
        clearance_px: empty pixels kept between the digit's bounding box and a fragment.
        noise: background noise, uniform in [0, noise].
        min_contrast: the digit's and each fragment's intensity factor is uniform in [min_contrast, 1].
    """

    digit_px: float = 12.0
    fragments: int = 4
    clearance_px: int = 1
    noise: float = 0.15
    min_contrast: float = 0.7

    @property
    def scale(self) -> float:
        """Canvas pixels for one source cell."""
        return self.digit_px / SOURCE_SIZE

    @property
    def fragment_px(self) -> int:
        """Rows and columns of a fragment on the canvas."""
        return round(FRAGMENT_CELLS * self.scale)


@dataclasses.dataclass(frozen=True)
class Jitter:
    """How far a digit's shape is moved, each drawn uniformly and independently for each canvas.

    Attributes:
        rotation_rad: rotation in [-rotation_rad, rotation_rad].
        shear: horizontal shear in [-shear, shear] (pixels of shift for each pixel of height).
        log_scale: natural logarithm of the size factor, in [-log_scale, log_scale].
        log_aspect: the same for height over width, half of it to each axis.
        log_gamma: natural logarithm of the exponent put on the intensities (thinner or thicker strokes).
        shift_px: sub-pixel shift in [-shift_px, shift_px] on each axis.
    """

    rotation_rad: float = 0.0
    shear: float = 0.0
    log_scale: float = 0.0
    log_aspect: float = 0.0
    log_gamma: float = 0.0
    shift_px: float = 0.0


NO_JITTER = Jitter()
TRAIN_JITTER = Jitter(rotation_rad=0.39, shear=0.3, log_scale=0.18, log_aspect=0.18, log_gamma=0.52, shift_px=0.75)
"""Wide, because the digits to be recognised come from other writers than the training digits."""


class Canvases(NamedTuple):
    """A batch of canvases.

    Attributes:
        image: intensities in [0, 1], (b, 32, 32, 1).
        box: bounding box of the digit's ink, pixels (top, left, bottom, right), ends excluded, (b, 4).
    """

    image: Float32[np.ndarray, "b 32 32 1"]
    box: Int32[np.ndarray, "b 4"]


def fragment_pool(digits: Float[np.ndarray, "n 8 8"], layout: Layout = Layout()) -> Float32[np.ndarray, "p f f"]:
    """Every crop of 4x4 cells of the digits that holds enough ink, stretched to canvas pixels.

    A crop is a quarter of a digit's area: a stroke end, a corner or an arc, which many classes share.
    """
    crops = np.lib.stride_tricks.sliding_window_view(digits, (FRAGMENT_CELLS, FRAGMENT_CELLS), axis=(1, 2))
    crops = crops.reshape(-1, FRAGMENT_CELLS, FRAGMENT_CELLS)
    crops = crops[crops.mean(axis=(1, 2)) >= _MIN_FRAGMENT_INK].astype(np.float32)
    weights = _stretch_weights(FRAGMENT_CELLS, layout.fragment_px)
    return np.einsum("ri,pij,cj->prc", weights, crops, weights, optimize=True).astype(np.float32)


def _stretch_weights(cells: int, pixels: int) -> Float32[np.ndarray, "pixels cells"]:
    """Bilinear weights from cell centres to pixel centres over the same extent, edge cells repeated."""
    at = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(cells))).astype(np.float32)


def render(
    rng: np.random.Generator,
    digits: Float[np.ndarray, "b 8 8"],
    pool: Float32[np.ndarray, "p f f"],
    jitter: Jitter = NO_JITTER,
    layout: Layout = Layout(),
) -> Canvases:
    """Place each digit at random on its own canvas, with fragments from the pool and background noise.

    Args:
        rng: the only source of randomness.
        digits: intensities in [0, 1].
        pool: ``fragment_pool`` of the same split.
        jitter: how the digit's shape is varied.
        layout: what the canvas looks like.

    Returns:
        The canvases and the digits' bounding boxes.
    """
    count = len(digits)
    image = rng.random((count, CANVAS_SIZE**2), dtype=np.float32)
    image *= layout.noise
    glyph = _warp(rng, digits, jitter, layout)
    window = glyph.shape[1]
    corner = rng.integers(0, CANVAS_SIZE - window + 1, size=(count, 2))
    box = _bounding_box(glyph) + np.tile(corner, 2)
    glyph *= rng.uniform(layout.min_contrast, 1, size=(count, 1, 1)).astype(np.float32)
    _paste(image, glyph, corner)

    size = layout.fragment_px
    tries = rng.integers(0, CANVAS_SIZE - size + 1, size=(layout.fragments, PLACEMENT_TRIES, count, 2), dtype=np.int32)
    low, high = box[:, :2] - (size + layout.clearance_px), box[:, 2:] + layout.clearance_px
    clear = np.any((tries <= low) | (tries >= high), axis=-1)  # (fragments, tries, b)
    place = np.take_along_axis(tries, clear.argmax(axis=1)[:, None, :, None], axis=1)[:, 0]
    strength = rng.uniform(layout.min_contrast, 1, size=(layout.fragments, count)) * clear.any(axis=1)
    which = rng.integers(0, len(pool), size=(layout.fragments, count))
    for k in range(layout.fragments):
        _paste(image, pool[which[k]] * strength[k, :, None, None].astype(np.float32), place[k])
    return Canvases(image.reshape(count, CANVAS_SIZE, CANVAS_SIZE, 1), box.astype(np.int32))


def window_px(jitter: Jitter, layout: Layout) -> int:
    """Rows and columns of the square that a jittered digit is drawn in: its height at the largest size."""
    largest = np.exp(jitter.log_scale + jitter.log_aspect / 2)
    return int(np.ceil(layout.digit_px * largest + 2 * jitter.shift_px))


def _warp(rng: np.random.Generator, digits, jitter: Jitter, layout: Layout) -> Float32[np.ndarray, "b w w"]:
    """Each digit under its own small affine map, sampled bilinearly on a square of ``window_px`` pixels."""
    count, window = len(digits), window_px(jitter, layout)
    limits = (jitter.rotation_rad, jitter.shear, jitter.log_scale, jitter.log_aspect / 2, jitter.log_gamma)
    draws = rng.uniform(-1, 1, size=(7, count, 1, 1)).astype(np.float32)
    angle, shear, log_scale, half_aspect, log_gamma = (d * np.float32(m) for d, m in zip(draws, limits, strict=False))
    shift_y, shift_x = draws[5] * np.float32(jitter.shift_px), draws[6] * np.float32(jitter.shift_px)

    # Canvas offsets from the window's centre, back through rotation, shear and stretch into source cells.
    centre = np.arange(window, dtype=np.float32) - np.float32((window - 1) / 2)
    y, x = centre[:, None] - shift_y, centre[None, :] - shift_x
    cos, sin = np.cos(angle), np.sin(angle)
    along_y, along_x = cos * y + sin * x, cos * x - sin * y
    along_x = along_x - shear * along_y
    middle = np.float32((SOURCE_SIZE - 1) / 2 + _PAD)
    inverse = np.exp(-log_scale) / np.float32(layout.scale)
    source_y = along_y * (inverse * np.exp(-half_aspect)) + middle
    source_x = along_x * (inverse * np.exp(half_aspect)) + middle

    padded = SOURCE_SIZE + 2 * _PAD
    cells = np.zeros((count, padded, padded), np.float32)
    cells[:, _PAD:-_PAD, _PAD:-_PAD] = digits
    np.clip(source_y, 0, padded - 1.001, out=source_y)
    np.clip(source_x, 0, padded - 1.001, out=source_x)
    row, column = source_y.astype(np.int32), source_x.astype(np.int32)
    source_y -= row
    source_x -= column
    first = row * padded + column + np.arange(0, count * padded**2, padded**2, dtype=np.int32)[:, None, None]
    flat = cells.reshape(-1)
    top = flat[first] + source_x * (flat[first + 1] - flat[first])
    first += padded
    bottom = flat[first] + source_x * (flat[first + 1] - flat[first])
    glyph = top + source_y * (bottom - top)
    return glyph if jitter.log_gamma == 0 else glyph ** np.exp(log_gamma)


def _bounding_box(glyph: Float32[np.ndarray, "b w w"]) -> Int[np.ndarray, "b 4"]:
    """(top, left, bottom, right) of the ink in the window, ends excluded; all of it where there is none."""
    ink = glyph > _INK
    ends = []
    for axis in (2, 1):
        line = np.asarray(np.any(ink, axis=axis))
        ends.append((line.argmax(axis=1), line.shape[1] - line[:, ::-1].argmax(axis=1)))
    (top, bottom), (left, right) = ends
    return np.stack([top, left, bottom, right], axis=1)


def _paste(image: Float32[np.ndarray, "b pixels"], patch: Float32[np.ndarray, "b s s"], corner) -> None:
    """Lay patches on the canvases at their corners, in place; where both have ink the brighter one shows."""
    count, size = patch.shape[:2]
    offsets = (np.arange(size)[:, None] * CANVAS_SIZE + np.arange(size)).reshape(-1)
    first = corner[:, 0] * CANVAS_SIZE + corner[:, 1] + np.arange(count) * CANVAS_SIZE**2
    at = first[:, None] + offsets
    flat = image.reshape(-1)
    flat[at] = np.maximum(flat[at], patch.reshape(count, -1))
