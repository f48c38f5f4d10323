"""How every figure looks and how it is saved: colours told apart without colour vision, no global state.

Colours are those of Okabe and Ito (2008, "Color Universal Design"); a second cue (dash, marker, hatch) goes
with each wherever two of them meet in one panel.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

BLACK, GREY = "#222222", "#6b7280"
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY = "#CC79A7", "#56B4E9"
# One colour a thing on every page: whatever is analog, digital, not pruned, or pruned at random.
ANALOG, DIGITAL, DENSE, RANDOM = VERMILLION, BLUE, "#4b5563", PURPLE
KINDS = {
    "analog": ANALOG,
    "pulse_width": ANALOG,
    "routing_fabric": ANALOG,
    "digital": DIGITAL,
    "dense": DENSE,
    "dense_longer": DENSE,
    "random": RANDOM,
}
"""Colours by the name that a run gives a scorer or a stage of training."""
LINES = (
    (BLUE, "-"),
    (VERMILLION, "--"),
    (GREEN, "-."),
    (PURPLE, ":"),
    (ORANGE, (0, (5, 1))),
    (SKY, (0, (1, 1))),
)
SHADES = ("#f1f3f6", "#e3edf7", "#fbf0dc", "#e4f3ec", "#f6e6ef", "#e9e6f6")
WIDTH_IN = 7.2
"""Width of every figure: with 9.5 point text it reads like the page's own text at full width."""
STRIP_WIDTH_IN = 4.3
"""Width of a figure that stands beside another one in a strip, and alone on a telephone."""
DPI = 170
SMALL_SVG_BYTES = 250_000

_RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the picture is the same on every machine
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#d9dde3",
    "grid.linewidth": 0.6,
    "xtick.color": BLACK,
    "ytick.color": BLACK,
    "xtick.labelsize": 8.8,
    "ytick.labelsize": 8.8,
    "legend.fontsize": 8.8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "hatch.linewidth": 0.7,
    "figure.facecolor": "white",
    "svg.hashsalt": "atis_jax",  # otherwise element names differ from run to run
    "text.parse_math": False,  # a class called "$x$" is a name, not a formula
    "axes.unicode_minus": True,
}


@contextmanager
def drawing() -> Iterator[None]:
    """The settings above for as long as the block lasts; the caller's matplotlib is as it was afterwards."""
    defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    settings: Any = {**defaults, **_RC}
    with matplotlib.rc_context(rc=settings):
        yield


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure of its own (not pyplot's)."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels_of(figure: Figure, rows: int, columns: int, **arguments: Any) -> list[Axes]:
    """The figure divided into panels, row by row."""
    return list(np.ravel(figure.subplots(rows, columns, squeeze=False, **arguments)))


def png_bytes(figure: Figure) -> bytes:
    """The picture as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def save(figure: Figure, folder: Path, name: str, vector: bool) -> bytes:
    """Write ``name.png``, and ``name.svg`` when asked for and small; returns the PNG."""
    png = png_bytes(figure)
    (folder / f"{name}.png").write_bytes(png)
    (folder / f"{name}.svg").unlink(missing_ok=True)
    if vector:
        figure.set_layout_engine("none")  # the places found for the PNG hold, finding them again takes time
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        if buffer.tell() <= SMALL_SVG_BYTES:
            (folder / f"{name}.svg").write_bytes(buffer.getvalue())
    return png


def layer_axis(axes: Axes, layers: int) -> None:
    """A horizontal axis of layer numbers 1..L, all of them or every other one when there are many."""
    axes.set_xlim(0.4, layers + 0.6)
    axes.set_xticks(range(1, layers + 1, 1 if layers <= 16 else 2))
    axes.set_xlabel("layer")
    axes.grid(axis="x", visible=False)


def legend_above(axes: Axes, *order: str) -> None:
    """The legend in a row above the panel, where it hides nothing; ``order``: labels from left to right."""
    handles, labels = axes.get_legend_handles_labels()
    found = dict(zip(labels, handles, strict=True))
    shown = [label for label in order if label in found]
    axes.legend(
        [found[label] for label in shown],
        shown,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=len(shown),
        borderaxespad=0.2,
        handlelength=2.2,
    )


def plain_log_ticks(axis: Axis) -> None:
    """Decades written as numbers (0.01, 1, 1,000) on a logarithmic axis, nothing at the marks between."""
    axis.set_major_formatter(lambda x, _: f"{x:,.12g}" if 1e-4 < x < 1e6 else f"{x:.0e}")
    axis.set_minor_formatter(NullFormatter())


_MARKS = (
    (1, 3),
    (1, 2, 5),
    (1, 1.2, 1.5, 2, 3, 5, 7),
    (1, 1.05, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 3, 4, 5, 6, 7, 8, 9, 9.5),
    (1, 1.01, 1.02, 1.03, 1.05, 1.07, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 3, 4, 5, 6, 7, 8, 9, 9.3, 9.5, 9.7, 9.8, 9.9),
)
_APART = 0.12


def ratio_ticks(low: float, high: float, fewest: int = 4) -> list[float]:
    """Round numbers for a logarithmic axis that may span less than a decade, far enough apart to be read.

    1, where it is inside, is always among them.
    """
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    kept: list[float] = []
    for marks in ((1,), *_MARKS):
        found = [mark * 10.0**exponent for exponent in exponents for mark in marks]
        kept = []
        for tick in sorted(found, key=lambda tick: (tick != 1, found.index(tick))):
            near = _APART * math.log(high / low)
            if low <= tick <= high and all(abs(math.log(tick / other)) >= near for other in kept):
                kept.append(tick)
        if len(kept) >= fewest:
            break
    return sorted(kept)


def ratio_axis(axes: Axes, which: Literal["x", "y"], low: float, high: float) -> None:
    """A logarithmic axis from ``low`` to ``high`` with round numbers written as people write them."""
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(ratio_ticks(low, high))
    axis.set_major_formatter(lambda x, _: f"{x:,.10g}")
    axis.set_minor_locator(NullLocator())
