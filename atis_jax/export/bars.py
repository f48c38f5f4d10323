"""Signed bias currents as a bar chart: SVG with an axis in amperes and the inputs' numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from atis_jax.formatting import si

_PITCH, _BAR, _LEFT, _TOP, _HALF, _BOTTOM = 14, 10, 72, 10, 84, 34
"""Pixels: from bar to bar, of a bar, and around the bars; half of the height is for each sign."""
_TICKS = 3
"""On each side of zero, at most."""
_EVERY = 8
"""Inputs from one number on the axis to the next."""
_POSITIVE, _NEGATIVE, _LINE, _GRID = "#0072B2", "#D55E00", "#6b7280", "#e5e7eb"


def bars_svg(currents_a: Sequence[float], label: str) -> str:
    """The chart of one score's currents; a bar up is a positive current, one down a negative.

    Args:
        currents_a: of the inputs in their order, A.
        label: what the chart shows, for whoever does not see it.
    """
    largest = max(map(abs, currents_a), default=0.0)
    step = _step(largest)
    zero, width = _TOP + _HALF, _LEFT + max(_PITCH * len(currents_a), 3 * _PITCH) + 4
    height = zero + _HALF + _BOTTOM
    lines = []
    for number in range(-_TICKS, _TICKS + 1):
        level = number * step
        if abs(level) > largest * (1 + 1e-9):
            continue
        y = zero - level / largest * _HALF if largest else zero
        color, told = _GRID if number else _LINE, si(level, "A", 2)
        lines.append(f'<line x1="{_LEFT - 4}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="{color}"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{told}</text>')
    for number, current_a in enumerate(currents_a):
        x, size = _LEFT + number * _PITCH + 2, abs(current_a) / largest * _HALF if largest else 0.0
        y, color = (zero - size, _POSITIVE) if current_a >= 0 else (zero, _NEGATIVE)
        lines.append(
            f'<rect x="{x}" y="{y:.1f}" width="{_BAR}" height="{size:.1f}" fill="{color}">'
            f"<title>input {number}: {si(current_a, 'A')}</title></rect>"
        )
        if number % _EVERY == 0:
            lines.append(f'<text x="{x + _BAR / 2:g}" y="{zero + _HALF + 14}" text-anchor="middle">{number}</text>')
    lines.append(f'<text x="{_LEFT}" y="{height - 4}">input</text>')
    head = f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
    style = f'aria-label="{escape(label)}" font-size="11" fill="{_LINE}">'
    return "\n".join([head + style, *lines, "</svg>"])


def _step(largest: float) -> float:
    """1, 2 or 5 times a power of ten, the smallest that comes up to ``_TICKS`` times below ``largest``."""
    if not largest:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest / _TICKS))
    return next(step * power for step in (1, 2, 5, 10) if step * power * (_TICKS + 1) > largest)
