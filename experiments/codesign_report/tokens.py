"""Kept tokens of examples that are no pictures, layer by layer: a row a layer, a mark a token."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import ListedColormap

from atis_jax.report.formatting import count, percent
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Picture, Section
from atis_jax.report.style import ANALOG, new_figure, panels_of

_MOST_EXAMPLES = 8
_LOOKS = ListedColormap(["#ffffff", "#d9dde3", ANALOG])
"""No token, dropped, kept."""


def kept_tokens(run: RunFiles) -> Section:
    """A panel an example: which of its tokens go through layer 1, 2, ..., from left to right in their order."""
    kept = run.array("kept").astype(bool)[:_MOST_EXAMPLES]
    shown, layers, length = kept.shape
    found = run.optional("real")
    real = np.ones((shown, length), bool) if found is None else found[:shown].astype(bool)
    figure = new_figure(0.5 + shown * (0.22 + 0.14 * layers))
    panels = panels_of(figure, shown, 1, sharex=True)
    for axes, masks, there in zip(panels, kept, real, strict=True):
        state = np.where(there, 1 + masks, 0)
        axes.pcolormesh(state, cmap=_LOOKS, vmin=0, vmax=2, edgecolors="white", linewidth=0.4)
        axes.set_yticks(np.arange(layers) + 0.5, [str(layer + 1) for layer in range(layers)])
        axes.set_ylim(layers, 0)
        axes.set_ylabel("layer")
        axes.grid(visible=False)
    panels[-1].set_xlabel(f"{run.words.token}, from the first to the last")
    last = (kept[:, -1] & real).sum() / real.sum()
    caption = (
        f"Each panel is {run.words.one}, each square a {run.words.token}: coloured where it goes through that "
        f"layer, grey where it was dropped before. In {'it' if shown == 1 else f'these {shown}'} layer {layers} works "
        f"on {percent(float(last), 0)} of the {run.words.tokens}."
    )
    alt = f"Grids of kept {run.words.tokens} of {count(shown, run.words.unit)} at {count(layers, 'layer')}."
    return Section(f"Kept {run.words.tokens}, layer by layer", (Picture("kept_tokens", figure, alt, caption),))
