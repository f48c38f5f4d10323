"""Kept patches over real images, layer by layer: what is dropped is greyed and hatched in the pixels.

Shape suffixes: h rows and w columns of pixels, r rows and s columns of patches.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float

from atis_jax.report.errors import ReportError
from atis_jax.report.formatting import count, one_line, percent
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, VERMILLION, WIDTH_IN, new_figure

_MOST_IMAGES = 8
_COLUMNS = 7
"""Tiles in a row at most (the image and six layers), so that twelve layers stay readable in two rows."""
_TILE_PIXELS = 224
_TALLEST = 2.0
"""Height over width of a tile at most; a taller image stands between margins."""
_LABELS_IN = 0.75
"""What the labels beside an image need."""
_WASH = np.array([0.905, 0.92, 0.945])
_HATCH = np.array([0.47, 0.52, 0.61])


def kept_patches(run: RunFiles) -> Section:
    """Each image, then the same image with the patches that do not go through layer 1, 2, ... washed out."""
    images, kept = run.array("images"), run.array("kept").astype(bool)
    images = np.clip(np.asarray(images, dtype=float), 0, 1)
    if images.shape[-1] not in (1, 3):
        raise ReportError(f"artifacts.npz: 'images' has {images.shape[-1]} channels; expected 1 (grey) or 3 (RGB)")
    total, layers, tokens = kept.shape
    grid = patch_grid(run)
    shown = min(total, _MOST_IMAGES)
    columns = min(layers + 1, _COLUMNS)
    per_row = columns - 1
    lines = math.ceil(layers / per_row)  # rows of tiles an image needs
    side = min((WIDTH_IN - 1.1) / columns, 1.25)
    width = 1.1 + side * columns
    high = max(side * shape_drawn(grid), _LABELS_IN)
    figure = new_figure(0.15 + shown * lines * (high + 0.24), max(width, 4.2))
    figure.set_layout_engine("constrained", w_pad=0.015, h_pad=0.02, wspace=0.01, hspace=0.01)
    panels = figure.subplots(shown * lines, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for k in range(shown):
        first = panels[k * lines, 0]
        first.set_axis_on()
        first.imshow(tile(images[k], None, grid))
        _bare(first)
        first.set_title("image", fontweight="normal", fontsize=8.2, pad=2.5, loc="center")
        text, right = _labels(run, k)
        first.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8.2, labelpad=5)
        first.yaxis.label.set_color(BLACK if right else VERMILLION)
        for layer in range(layers):
            axes = panels[k * lines + layer // per_row, 1 + layer % per_row]
            axes.set_axis_on()
            axes.imshow(tile(images[k], kept[k, layer].reshape(grid), grid))
            _bare(axes)
            title = f"layer {layer + 1}: {kept[k, layer].sum()}/{tokens}" if side > 0.95 else ""
            title = title or f"L{layer + 1}: {kept[k, layer].sum()}/{tokens}"
            axes.set_title(title, fontweight="normal", fontsize=8.2, pad=2.5, loc="center")
    caption = _caption(run, kept[:shown], total)
    alt = f"A grid of {count(shown, 'image')}, each followed by its kept patches at {count(layers, 'layer')}."
    absent = tuple(
        (f"{what} labels beside the images", f"artifacts.npz has no array '{name}'")
        for what, name in (("True", "labels"), ("Predicted", "predicted"))
        if run.optional(name) is None
    )
    picture = Picture("kept_patches", figure, alt, caption, vector=False)
    return Section("Kept patches, layer by layer", (picture,), absent)


def patch_grid(run: RunFiles) -> tuple[int, int]:
    """Rows and columns of patches; of a run that does not say they are a square.

    Raises:
        Absent: the run kept no patches.
        ReportError: they are not as many as there are of 'kept'.
    """
    tokens, found = run.array("kept").shape[-1], run.optional("grid")
    side = math.isqrt(tokens)
    rows, columns = (side, side) if found is None else map(int, found)
    if rows * columns != tokens:
        which = "which is not a square number" if found is None else f"but 'grid' says {rows} x {columns}"
        raise ReportError(f"artifacts.npz: 'kept' has {tokens} patches an image, {which}")
    return rows, columns


def shape_drawn(grid: tuple[int, int]) -> float:
    """Height over width of the room for an image of so many rows and columns of patches."""
    return min(grid[0] / grid[1], _TALLEST)


def _bare(axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_linewidth(0.6)


def tile(
    image: Float[np.ndarray, "h w c"], kept: Bool[np.ndarray, "r s"] | None, grid: tuple[int, int]
) -> Float[np.ndarray, "r*p s*p 3"]:
    """The image enlarged without smoothing; patches not kept nearly flat and crossed by slanted lines."""
    side = max(1, _TILE_PIXELS // max(grid))  # whole pixels a patch
    height, width = (side * patches for patches in grid)
    rows = np.arange(height) * image.shape[0] // height
    columns = np.arange(width) * image.shape[1] // width
    picture = image[rows][:, columns]
    picture = np.repeat(picture, 3, axis=2) if image.shape[2] == 1 else picture.copy()
    if kept is None:
        return picture
    dropped = ~np.repeat(np.repeat(kept, side, axis=0), side, axis=1)
    grey = picture.mean(axis=2, keepdims=True)
    washed = 0.86 * _WASH + 0.14 * grey
    slanted = np.add.outer(np.arange(height), np.arange(width)) % 12 < 2
    washed[slanted] = _HATCH
    return np.where(dropped[:, :, None], washed, picture)


def _labels(run: RunFiles, k: int) -> tuple[str, bool]:
    names, lines = run.class_names(), []
    values = {}
    for word, array in (("true", run.optional("labels")), ("predicted", run.optional("predicted"))):
        if array is not None:
            values[word] = int(array[k])
            known = names is not None and 0 <= values[word] < len(names)
            lines.append(f"{word}:\n{one_line(names[values[word]] if known else str(values[word]), 12)}")  # type: ignore[index]
    right = len(values) < 2 or values["true"] == values["predicted"]
    return "\n".join(lines) + ("" if right else "\n(wrong)"), right


def _caption(run: RunFiles, kept: Bool[np.ndarray, "k l t"], total: int) -> str:
    shown, layers, tokens = kept.shape
    last = kept[:, -1].sum(axis=1)
    sentences = [
        "Grey hatched patches were pruned before that layer and take no part in it; the class token is not drawn.",
        f"In {'this image' if shown == 1 else f'these {shown} images'} layer {layers} works on "
        + (f"{last[0]}" if shown == 1 else f"{last.min()} to {last.max()} (mean {last.mean():.3g})")
        + f" of {tokens} patches ({percent(last.mean() / tokens, 0)}).",
    ]
    labels, predicted = run.optional("labels"), run.optional("predicted")
    if labels is not None and predicted is not None:
        right = int((labels[:shown] == predicted[:shown]).sum())
        sentences.append(f"{right} of {shown} {'is' if shown == 1 else 'are'} classified correctly.")
    if total > shown:
        sentences.append(f"The first {shown} of {total} stored images are shown.")
    back = int((kept[:, 1:] & ~kept[:, :-1]).sum())
    if back:
        sentences.append(
            f"Careful: {count(back, 'patch', 'patches')} reappear after being pruned, so these masks do not cascade."
        )
    return " ".join(sentences)
