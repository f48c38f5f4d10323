"""A text as the cache remembers it: each piece the paler, the more layers have refused it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from atis_jax.report.formatting import percent
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import BLACK, WIDTH_IN, new_figure

CONTINUES, NEW_LINE = "##", "\u21b5"
"""In front of a piece that goes on with the word before it, and what stands for the end of a line."""
SIZE, LINE = 9.0, 14.0
"""Of the letters, and from line to line, points."""
ADVANCE = 0.602
"""Width of a letter of DejaVu Sans Mono over its size."""
PALE = "#c9ced6"
"""Of what no layer remembers."""
MASK_IN = 1.7
"""Height of the mask below the text."""


def remembered(run: RunFiles) -> Section:
    """The first evaluation window's prefix, and which layers have which piece of it."""
    pieces, kept = [str(piece) for piece in run.array("pieces_0")], run.array("remembered_0").astype(bool)
    caption = (
        "The first window's prefix as the perfect chip's thresholds leave it: the paler a piece, the fewer layers keep "
        f"its key and value; on average {percent(float(kept.mean()), 0)} do. Below, layer by layer from the top: dark "
        "is kept. The first words and the last are always kept."
    )
    alt = "A text whose pieces are dark where many layers keep them, above a mask of layers by words."
    picture = Picture("remembered", drawn(pieces, kept), alt, caption, vector=False)
    return Section("What is remembered", (picture,))


def drawn(pieces: Sequence[str], kept: Bool[np.ndarray, "L N"], width_in: float = WIDTH_IN) -> Figure:
    """The text, wrapped, above the mask."""
    columns = int(width_in * 72 / (ADVANCE * SIZE)) - 1
    parts = list(layout(pieces, columns))
    lines = 1 + max(line for *_, line in parts)
    height_in = (lines + 1) * LINE / 72 + MASK_IN
    figure = new_figure(height_in, width_in)
    figure.set_layout_engine("none")
    above = figure.add_axes((0.0, MASK_IN / height_in, 1.0, 1.0 - MASK_IN / height_in))
    above.set_axis_off()
    above.set_xlim(0, columns + 1)
    above.set_ylim(lines + 0.5, 0)
    colours = mixed(kept.mean(axis=0))
    for number, text, column, line in parts:
        above.text(column, line + 1, text, family="DejaVu Sans Mono", size=SIZE, color=colours[number], va="baseline")
    below = figure.add_axes((0.08, 0.36 / height_in, 0.9, (MASK_IN - 0.5) / height_in))
    below.imshow(kept, aspect="auto", cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
    below.grid(False)
    below.set_xlabel("place in the text", fontsize=8)
    below.set_ylabel("layer", fontsize=8)
    below.tick_params(labelsize=7)
    return figure


def layout(pieces: Sequence[str], columns: int) -> Iterator[tuple[int, str, int, int]]:
    """Number, text, column and line of every piece."""
    column = line = 0
    for number, piece in enumerate(pieces):
        text = piece.removeprefix(CONTINUES) if piece.startswith(CONTINUES) else f" {piece}"
        if column + len(text) > columns and column > 0:
            column, line = 0, line + 1
        text = text.lstrip(" ") if column == 0 else text
        yield number, text, column, line
        column += len(text)
        if NEW_LINE in text:
            column, line = 0, line + 1


def mixed(share: Float[np.ndarray, " N"]) -> Float[np.ndarray, "N 3"]:
    """From pale to black."""
    pale, black = (np.array(to_rgb(colour)) for colour in (PALE, BLACK))
    return pale + share[:, None] * (black - pale)
