"""Drawing plain SVG: a few shapes as text, the same bytes on every machine.

The pictures of README.md and docs/ are made of these. They stand on a light card of their own, so that they read
alike on a light and on a dark page, and their words are text, so that they stay sharp at every size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from atis_jax.report.style import BLACK

CARD, EDGE = "#ffffff", "#d0d7de"
FONT = "-apple-system, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif"

Point = tuple[float, float]


def number(value: float) -> str:
    """A coordinate with one decimal at most: what is finer is not seen and differs between machines."""
    return (
        f"{value:.1f}".removesuffix(".0").replace("-0", "0") if abs(value) < 0.05 else f"{value:.1f}".removesuffix(".0")
    )


def text(
    x: float, y: float, words: str, size: float = 15, anchor: str = "middle", fill: str = BLACK, bold: bool = False
) -> str:
    """Words with their base line at ``y``; ``anchor`` is start, middle or end."""
    weight = ' font-weight="600"' if bold else ""
    place = f'x="{number(x)}" y="{number(y)}" font-size="{number(size)}" text-anchor="{anchor}"'
    return f'<text {place} fill="{fill}"{weight}>{escape(words, quote=False)}</text>'


def rectangle(
    x: float,
    y: float,
    width: float,
    height: float,
    fill: str,
    stroke: str = "none",
    corner: float = 0,
    line: float = 1.5,
) -> str:
    """A rectangle with rounded corners."""
    box = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}" rx="{number(corner)}"'
    edge = "" if stroke == "none" else f' stroke="{stroke}" stroke-width="{number(line)}"'
    return f'<rect {box} fill="{fill}"{edge}/>'


def polyline(
    points: Iterable[Point],
    stroke: str = BLACK,
    line: float = 1.5,
    fill: str = "none",
    dash: str = "",
    closed: bool = False,
) -> str:
    """Straight lines through ``points``."""
    path = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    shape = "polygon" if closed else "polyline"
    drawn = f'fill="{fill}" stroke="{stroke}" stroke-width="{number(line)}"'
    return f'<{shape} points="{path}" {drawn} stroke-linejoin="round"{dashes}/>'


def circle(x: float, y: float, radius: float, fill: str, stroke: str = "none") -> str:
    """A disc, or a ring around ``fill``."""
    edge = "" if stroke == "none" else f' stroke="{stroke}" stroke-width="1.5"'
    return f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" fill="{fill}"{edge}/>'


def arrow(start: Point, end: Point, stroke: str = BLACK, line: float = 2) -> str:
    """A horizontal arrow from ``start`` to the tip ``end``."""
    (x, y), head = end, 7 if end[0] > start[0] else -7
    shaft = polyline([start, (x - head, y)], stroke, line)
    return shaft + polyline([(x, y), (x - head, y - 5), (x - head, y + 5)], stroke, 1, stroke, closed=True)


def document(width: float, height: float, title: str, description: str, shapes: Sequence[str]) -> str:
    """The whole picture; title and description are what a screen reader reads."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" '
        f'width="{number(width)}" height="{number(height)}" role="img" font-family="{FONT}">',
        f"<title>{escape(title, quote=False)}</title>",
        f"<desc>{escape(description, quote=False)}</desc>",
        rectangle(0.5, 0.5, width - 1, height - 1, CARD, EDGE, 10, 1),
        *shapes,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
