"""The picture of the signal chain, docs/signal_chain.svg: what stands in front of a layer, and what is inside it.

python -m experiments.signal_chain

A test draws it again and compares.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from atis_jax.report.style import BLACK, BLUE, GREEN, GREY, VERMILLION
from experiments.arguments import parser
from experiments.files import write_text_atomically
from experiments.svg import Point, arrow, circle, document, polyline, rectangle, text

PATH = Path(__file__).parents[1] / "docs" / "signal_chain.svg"
WIDTH, HEIGHT = 860, 474
DIGITAL, ANALOG = "#e3edf7", "#fbe9dc"

KEPT = (
    "........",
    "..####..",
    ".##..##.",
    ".....##.",
    "...###..",
    ".....##.",
    ".##..##.",
    "..####..",
)
"""A picture of 8 x 8 patches; # is a patch that the first scorer keeps."""


@dataclass(frozen=True)
class Part:
    """One part of the circuit: its picture, its name, what it does, what trains and what fabrication spreads."""

    name: str
    does: tuple[str, str]
    trained: str
    spread: str
    picture: Callable[[float, float], list[str]]
    digital: bool = False


def draw() -> str:
    """The picture as SVG."""
    title = "Signal chain of the analog token scorer"
    description = (
        "In front of every transformer layer a scorer looks at each token and says keep or prune; the layer computes "
        "kept tokens only. Inside: projection, converters, an array of OTAs whose currents add, an amplifier and a "
        "comparator."
    )
    return document(WIDTH, HEIGHT, title, description, [*_network(), *_scorer()])


def _network() -> list[str]:
    """The upper row: tokens, scorer, what is left of them, layer."""
    middle, grid = 76.0, 96.0
    kept = sum(row.count("#") for row in KEPT)
    return [
        *_patches(30, middle - grid / 2, grid, pruned=False),
        text(30 + grid / 2, 146, "64 tokens"),
        arrow((136, middle), (176, middle)),
        rectangle(180, middle - 34, 150, 68, ANALOG, VERMILLION, 8, 2),
        text(255, middle - 3, "Scorer", 18, bold=True),
        text(255, middle + 19, "one bit a token"),
        arrow((334, middle), (374, middle)),
        *_patches(380, middle - grid / 2, grid, pruned=True),
        text(380 + grid / 2, 146, f"{kept} kept"),
        arrow((486, middle), (526, middle)),
        rectangle(530, middle - 34, 190, 68, DIGITAL, BLUE, 8, 2),
        text(625, middle - 3, "Transformer layer", 18, bold=True),
        text(625, middle + 19, "kept tokens only"),
        arrow((724, middle), (764, middle)),
        text(770, middle - 3, "next", 15, "start", GREY),
        text(770, middle + 15, "scorer", 15, "start", GREY),
    ]


def _patches(left: float, top: float, size: float, pruned: bool) -> list[str]:
    """The picture's patches, with the pruned ones hollow."""
    cell, shapes = size / 8, []
    for row, line in enumerate(KEPT):
        for column, mark in enumerate(line):
            clutter = (3 * row + 5 * column) % 7 == 0
            fill = "#1f2937" if mark == "#" else "#9ca3af" if clutter else "#e5e7eb"
            place = left + column * cell + 1, top + row * cell + 1, cell - 2, cell - 2
            hollow = pruned and mark != "#"
            shapes.append(rectangle(*place, "none" if hollow else fill, "#d1d5db" if hollow else "none", 1.5, 1))
    return shapes


def _scorer() -> list[str]:
    """The lower panel: the scorer's parts from left to right."""
    left, top, wide, high = 20.0, 172.0, WIDTH - 40.0, 284.0
    shapes = [
        polyline([(186, 110), (150, top)], VERMILLION, 1.2, dash="4 4"),
        polyline([(324, 110), (360, top)], VERMILLION, 1.2, dash="4 4"),
        rectangle(left, top, wide, high, "#fafafa", VERMILLION, 10, 1.2),
    ]
    box, gap, first = 138.0, 22.0, left + 21.0
    for index, part in enumerate(PARTS):
        x, y = first + index * (box + gap), top + 22
        centre = x + box / 2
        fill, edge = (DIGITAL, BLUE) if part.digital else (ANALOG, VERMILLION)
        shapes += [rectangle(x, y, box, 84, fill, edge, 8, 1.5), *part.picture(centre, y + 42)]
        if index:
            shapes.append(arrow((x - gap + 2, y + 42), (x - 2, y + 42)))
        shapes.append(text(centre, y + 110, part.name, 18, bold=True))
        shapes += [text(centre, y + 132 + 18 * line, words, 15, fill=GREY) for line, words in enumerate(part.does)]
        shapes += [
            text(centre, y + 180, part.trained, 15.5, fill="#00704f"),
            text(centre, y + 204, part.spread, 15.5, fill="#a83f00"),
        ]
    return shapes + [
        circle(left + 130, top + high - 22, 6, GREEN),
        text(left + 143, top + high - 17, "moved by the gradient (in brackets: where asked)", 15, "start"),
        circle(left + 520, top + high - 22, 6, VERMILLION),
        text(left + 533, top + high - 17, "differs from chip to chip", 15, "start"),
    ]


def _matrix(x: float, y: float) -> list[str]:
    """A wide matrix: more columns than rows."""
    shades = ("#0072B2", "#7fb8d8", "#bfdcec")
    cells = [(row, column) for row in range(4) for column in range(8)]
    return [
        rectangle(x - 48 + 12 * column, y - 24 + 12 * row, 10, 10, shades[(row * 5 + column * 3) % 7 % 3], corner=1.5)
        for row, column in cells
    ]


def _staircase(x: float, y: float) -> list[str]:
    """Codes to voltages, beside the straight line."""
    steps = [(x - 42 + 12 * (step + late), y + 27 - 9 * step) for step in range(7) for late in (0, 1)]
    return [polyline([(x - 42, y + 30), (x + 42, y - 30)], GREY, 1, dash="3 3"), polyline(steps, VERMILLION, 2.2)]


def _array(x: float, y: float) -> list[str]:
    """Three tanh curves whose currents meet on one wire."""
    shapes = []
    for row, sign in enumerate((1, -1, 1)):
        middle = y - 24 + 24 * row
        curve: list[Point] = [
            (x - 44 + 2.5 * step, middle - 8 * sign * math.tanh((step - 10) / 4)) for step in range(21)
        ]
        shapes += [polyline(curve, VERMILLION, 2.2), polyline([(x + 12, middle), (x + 36, middle)], BLACK, 1.5)]
        shapes.append(circle(x + 36, middle, 3, BLACK))
    return [*shapes, polyline([(x + 36, y - 32), (x + 36, y + 32)], BLACK, 2.5)]


def _amplifier(x: float, y: float) -> list[str]:
    """An amplifier with a resistor across it."""
    teeth = [(x - 17 + 5 * step, y - 25 + (5 if step % 2 else -5)) for step in range(1, 7)]
    across: list[Point] = [
        (x - 32, y + 4),
        (x - 32, y - 25),
        (x - 17, y - 25),
        *teeth,
        (x + 18, y - 25),
        (x + 34, y - 25),
        (x + 34, y + 4),
    ]
    return [
        polyline([(x - 22, y - 16), (x - 22, y + 28), (x + 20, y + 6)], VERMILLION, 2, "#ffffff", closed=True),
        polyline(across, BLACK, 1.5),
        polyline([(x - 46, y + 4), (x - 22, y + 4)], BLACK, 1.5),
        polyline([(x + 20, y + 6), (x + 46, y + 6)], BLACK, 1.5),
    ]


def _comparator(x: float, y: float) -> list[str]:
    """Scores on both sides of a threshold; those above are kept."""
    heights = (4, 12, 25, 34, 24, 11, 7, 12, 21, 14, 6)
    bars = [
        rectangle(x - 49.5 + 9 * index, y + 28 - 1.4 * height, 7.5, 1.4 * height, GREEN if index > 6 else "#b6bcc6")
        for index, height in enumerate(heights)
    ]
    return [*bars, polyline([(x + 13, y - 32), (x + 13, y + 32)], BLACK, 1.8, dash="5 3")]


PARTS = (
    Part("Projection", ("a token becomes", "N numbers"), "weights", "nothing", _matrix, digital=True),
    Part("Converters", ("N voltages", "of a few bits"), "(bits, range)", "steps", _staircase),
    Part("OTA array", ("N currents add", "on one wire"), "bias currents", "currents, offsets", _array),
    Part("Amplifier", ("current becomes", "voltage"), "gain", "gain, offset", _amplifier),
    Part("Comparator", ("above threshold:", "keep"), "threshold", "offset", _comparator),
)


def main() -> int:
    """Draw the picture of the pages."""
    write_text_atomically(PATH, draw())
    print(f"wrote {PATH.relative_to(PATH.parents[1])}")
    return 0


if __name__ == "__main__":
    parser("experiments.signal_chain", __doc__).parse_args()
    sys.exit(main())
