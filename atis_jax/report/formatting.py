"""Numbers and names as people read them: those of ``atis_jax.formatting``, counts, durations, lists, imperfections."""

from __future__ import annotations

import math
from collections.abc import Sequence

from atis_jax.formatting import (
    NOT_A_NUMBER,
    accuracy,
    equal_words,
    or_below,
    percent,
    points,
    si,
    si_scale,
    signed_points,
    significant,
)
from atis_jax.formatting import SPACE as _SPACE

__all__ = [
    "NOT_A_NUMBER",
    "accuracy",
    "count",
    "duration",
    "equal_words",
    "imperfection",
    "join",
    "one_line",
    "or_below",
    "percent",
    "points",
    "si",
    "si_scale",
    "signed_points",
    "significant",
    "size_of",
]


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 chip``, ``64 chips``, ``10,000 runs``."""
    return f"{number:,}{_SPACE}{noun if number == 1 else plural or noun + 's'}"


def join(words: Sequence[str]) -> str:
    """``a, b and c``."""
    words = list(words)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def duration(seconds: float) -> str:
    """Seconds as ``42 s``, ``5 min 12 s`` or ``3 h 20 min``."""
    if not math.isfinite(seconds):
        return NOT_A_NUMBER
    if seconds < 60:
        return f"{significant(seconds, 2)}{_SPACE}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}{_SPACE}min {whole % 60}{_SPACE}s"
    return f"{whole // 3600}{_SPACE}h {whole % 3600 // 60}{_SPACE}min"


def one_line(text: str, limit: int = 22) -> str:
    """Text from outside made fit for a figure: one line, printable, at most ``limit`` characters."""
    text = "".join(c if c.isprintable() else " " for c in str(text))
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


_IMPERFECTIONS = {
    "all": "all together",
    "offset": "OTA offset",
    "current": "bias current",
    "dac": "DAC INL",
    "drift": "offset drift",
    "lot": "lot to lot",
}


def imperfection(name: str) -> str:
    """The name of an imperfection as settings have it, in words."""
    return _IMPERFECTIONS.get(name, name.replace("_", " ").replace("tia", "TIA"))


def size_of(value: float, unit: str) -> str:
    """``0.0042, "V"`` -> ``4.20 mV``; ``0.01, "of I_b"`` -> ``1.0 % of I_b``."""
    if unit.startswith("of "):
        return f"{percent(value)} {unit}"
    return f"{significant(value)}{_SPACE}{unit}" if unit == "LSB" else si(value, unit)
