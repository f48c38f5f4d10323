"""A table of positions for another grid of patches than it was trained for."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

CUBIC = -0.75
"""The free number of the cubic kernel: PyTorch's and ONNX's; Keys 1981 (doi 10.1109/TASSP.1981.1163711) has -0.5."""


def resized(table: Float[np.ndarray, "R S D"], rows: int, columns: int) -> Float[np.ndarray, "rows columns D"]:
    """Bicubic, pixel centres at half, borders repeated, nothing smoothed before: as the networks do it themselves."""
    down, across = (resampling(there, wanted) for there, wanted in zip(table.shape[:2], (rows, columns), strict=True))
    return np.einsum("ir,js,rsd->ijd", down, across, table, optimize=True).astype(table.dtype)


def resampling(there: int, wanted: int) -> Float[np.ndarray, "wanted there"]:
    """Weights of ``there`` samples in each of ``wanted``: place (i + 1/2) there / wanted - 1/2, four neighbours."""
    place = (np.arange(wanted) + 0.5) * there / wanted - 0.5
    first = np.floor(place).astype(int) - 1
    weights = np.zeros((wanted, there))
    for step in range(4):
        neighbour = first + step
        np.add.at(weights, (np.arange(wanted), np.clip(neighbour, 0, there - 1)), _cubic(np.abs(place - neighbour)))
    return weights


def _cubic(x: np.ndarray) -> np.ndarray:
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
