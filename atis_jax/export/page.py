"""The page of a bundle: what a designer reads first."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

_BAR_HEIGHT, _BAR_WIDTH = 90, 14


def page_html(document: Mapping[str, Any]) -> str:
    """One self-contained HTML page of a ``design.json``."""
    return _template().render(document=document, bars=_bars, built=_built, amperes=_amperes, percent=_percent)


@cache
def _template() -> jinja2.Template:
    undefined = jinja2.StrictUndefined
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=undefined)
    return environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


def _bars(currents_a: list[float]) -> list[dict[str, Any]]:
    """Rectangles of a bar chart, positive up and negative down, heights in proportion to the largest."""
    largest = max((abs(current) for current in currents_a), default=0.0) or 1.0
    bars = []
    for number, current in enumerate(currents_a):
        height = abs(current) / largest * (_BAR_HEIGHT - 4)
        bars.append(
            {
                "x": number * _BAR_WIDTH + 2,
                "y": _BAR_HEIGHT - height if current >= 0 else _BAR_HEIGHT,
                "height": height,
                "negative": current < 0,
                "label": f"input {number}: {_amperes(current)}",
            }
        )
    return bars


def _built(layer: Mapping[str, Any]) -> list[int]:
    """The inputs of a layer that are built."""
    return [number for number, built in enumerate(layer["converter"]["built"]) if built]


def _amperes(current: float) -> str:
    """In nA, four digits."""
    return f"{1e9 * current:.4g} nA"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"
