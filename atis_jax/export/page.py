"""The page of a bundle: what a designer reads first."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import jinja2

from atis_jax.export.bars import bars_svg
from atis_jax.formatting import accuracy, percent, si


def page_html(document: Mapping[str, Any]) -> str:
    """One self-contained HTML page of a ``design.json``."""
    examples = document["accuracy"].get("examples")
    return _template().render(
        document=document,
        bars=bars_svg,
        built=_built,
        si=si,
        percent=percent,
        accuracy=partial(accuracy, examples=examples),
    )


@cache
def _template() -> jinja2.Template:
    undefined = jinja2.StrictUndefined
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=undefined)
    return environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


def _built(layer: Mapping[str, Any]) -> list[int]:
    """The inputs of a layer that are built."""
    return [number for number, built in enumerate(layer["converter"]["built"]) if built]
