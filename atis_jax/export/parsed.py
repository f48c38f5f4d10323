"""Numbers in the text of an export that is read back; whoever edits one by hand is told the place."""

from __future__ import annotations

import math
import re

from atis_jax.export.errors import ExportError

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d{1,9}", re.ASCII)


def number(text: str, where: str) -> float:
    """``text`` as a finite number.

    Raises:
        ExportError: it is none; the message starts with ``where``.
    """
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ExportError(f"{where}: {text[:40]!r} is no number; edited? export it anew")
    return value


def whole(text: str, where: str, low: int, high: int) -> int:
    """``text`` as a whole number from ``low`` to ``high``.

    Raises:
        ExportError: it is none or outside; the message starts with ``where``.
    """
    if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
        raise ExportError(f"{where}: {text[:40]!r} is no whole number of {low} to {high}; edited? export it anew")
    return int(text)
