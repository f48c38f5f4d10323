"""Vary a batch of images at random: pure NumPy, a batch at once, all randomness from the generator given."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int, UInt8
from PIL import Image

_ERASE_SIDE = (0.2, 0.5)  # an erased rectangle's sides as a share of the image's


def to_float(images: UInt8[np.ndarray, "b h w c"]) -> Float32[np.ndarray, "b h w c"]:
    """Bytes to [0, 1]."""
    return images * np.float32(1 / 255)


def resized(images: Float32[np.ndarray, "b h w c"], side: int | None) -> Float32[np.ndarray, "b s t c"]:
    """Each channel at ``side`` x ``side`` pixels, bilinear, by Pillow, which averages where it shrinks; None: as is."""
    if side is None or images.shape[1:3] == (side, side):
        return images
    found = np.empty((len(images), side, side, images.shape[-1]), np.float32)
    for number, channel in np.ndindex(len(images), images.shape[-1]):
        plane = Image.fromarray(np.ascontiguousarray(images[number, :, :, channel]))
        found[number, :, :, channel] = np.asarray(plane.resize((side, side), Image.Resampling.BILINEAR))
    return found


def crop_flip(
    rng: np.random.Generator,
    images: UInt8[np.ndarray, "n h w c"],
    index: Int[np.ndarray, " b"],
    border: int = 4,
) -> UInt8[np.ndarray, "b h w c"]:
    """The images at ``index``, each shifted by up to ``border`` pixels and mirrored half the time.

    Borders are reflected. All three are a choice of rows and columns, so one gather does it.
    """
    count, (height, width) = len(index), images.shape[1:3]
    shift = rng.integers(-border, border + 1, size=(2, count, 1), dtype=np.int32)
    mirrored = rng.random((count, 1)) < 0.5
    rows = _reflect(np.arange(height, dtype=np.int32) + shift[0], height)
    columns = _reflect(np.arange(width, dtype=np.int32) + shift[1], width)
    columns = np.where(mirrored, columns[:, ::-1], columns)
    return images[index[:, None, None], rows[:, :, None], columns[:, None, :]]


def _reflect(at: Int[np.ndarray, "b s"], size: int) -> Int[np.ndarray, "b s"]:
    """Fold positions outside [0, size) back inside, the edge not repeated."""
    at = np.abs(at)
    return np.where(at >= size, 2 * (size - 1) - at, at)


def colour_jitter(
    rng: np.random.Generator, images: Float32[np.ndarray, "b h w c"], strength: float
) -> Float32[np.ndarray, "b h w c"]:
    """Brightness, contrast and, in colour, saturation by factors in [1 - strength, 1 + strength]; clipped."""
    factors = rng.uniform(1 - strength, 1 + strength, size=(3, len(images), 1, 1, 1)).astype(np.float32)
    brightness, contrast, saturation = factors
    if images.shape[-1] > 1:
        grey = images.mean(axis=-1, keepdims=True)
        images = grey + saturation * (images - grey)
    middle = images.mean(axis=(1, 2, 3), keepdims=True)
    images = brightness * middle + (brightness * contrast) * (images - middle)
    return np.clip(images, 0, 1, out=images)


def erase(
    rng: np.random.Generator, images: Float32[np.ndarray, "b h w c"], probability: float
) -> Float32[np.ndarray, "b h w c"]:
    """Blank a random rectangle of some images with one random grey (random erasing, arXiv 1708.04896)."""
    count, (height, width) = len(images), images.shape[1:3]
    size = rng.uniform(*_ERASE_SIDE, size=(2, count, 1)) * np.array([height, width])[:, None, None]
    start = rng.random((2, count, 1)) * (np.array([height, width])[:, None, None] - size)
    chosen = rng.random((count, 1, 1)) < probability
    rows, columns = (
        (np.arange(n) + 0.5 >= s) & (np.arange(n) + 0.5 < s + z)
        for n, s, z in zip((height, width), start, size, strict=True)
    )
    hidden = rows[:, :, None] & columns[:, None, :] & chosen
    fill = rng.random((count, 1, 1, 1), dtype=np.float32)
    return np.where(hidden[..., None], fill, images)
