"""Numbers and names as people read them: SI prefixes, percent, points, lists of words, imperfections."""

from __future__ import annotations

import math
from collections.abc import Sequence

_PREFIXES = (
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
    (1e-12, "p"),
)
_SMALLEST = (1e-15, "f")
NOT_A_NUMBER = "not a number"
_SPACE = "\u00a0"
_MINUS = "\u2212"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def significant(value: float, digits: int = 3) -> str:
    """``value`` to ``digits`` significant digits, never in exponent form between 1e-4 and 1e6."""
    if not math.isfinite(value):
        return NOT_A_NUMBER if math.isnan(value) else ("infinite" if value > 0 else "minus infinity")
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    # Rounding can carry into the next decade (9.996 -> 10.0), so ask again after it.
    exponent = math.floor(math.log10(abs(round(value, digits - 1 - exponent))))
    if not -5 < exponent < 6:
        mantissa, power = f"{value:.{digits - 1}e}".replace("-", _MINUS).split("e")
        return f"{mantissa}{_SPACE}×{_SPACE}10{str(int(power.replace(_MINUS, '-'))).translate(_SUPERSCRIPT)}"
    text = f"{round(value, digits - 1 - exponent):,.{max(digits - 1 - exponent, 0)}f}"
    return text.replace("-", _MINUS)


def si_scale(values: Sequence[float]) -> tuple[float, str]:
    """The factor and prefix under which the largest finite magnitude reads between 1 and 1000."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    if largest == 0:
        return 1.0, ""
    for factor, prefix in _PREFIXES:
        if largest >= factor * (1 - 1e-9):
            return factor, prefix
    return _SMALLEST


def si(value: float, unit: str, digits: int = 3) -> str:
    """``384e-12, "J"`` -> ``384 pJ``."""
    if not math.isfinite(value):
        return significant(value)
    factor, prefix = si_scale([value])
    # 999.9e-12 rounds to 1000 pJ; read it as 1 nJ.
    if float(significant(value / factor, digits).replace(",", "").replace(_MINUS, "-")) in (
        1000.0,
        -1000.0,
    ):
        factor, prefix = si_scale([value * 1.001])
    return f"{significant(value / factor, digits)}{_SPACE}{prefix}{unit}".rstrip(_SPACE)


def percent(fraction: float, decimals: int = 1) -> str:
    """``0.9512`` -> ``95.1 %``; small non-zero fractions keep two significant digits."""
    if not math.isfinite(fraction):
        return NOT_A_NUMBER
    value = 100 * fraction
    if value and abs(value) < 10**-decimals / 2:
        return f"{significant(value, 2)}{_SPACE}%"
    return f"{value:.{decimals}f}{_SPACE}%".replace("-", _MINUS)


def points(difference: float, decimals: int = 2) -> str:
    """A difference of two fractions in percentage points, with its sign: ``-0.0012`` -> ``−0.12 points``."""
    number = signed_points(difference, decimals)
    return number if number == NOT_A_NUMBER else f"{number}{_SPACE}points"


def signed_points(difference: float, decimals: int = 2) -> str:
    """As ``points`` without the word, for tables that say it once."""
    if not math.isfinite(difference):
        return NOT_A_NUMBER
    return f"{100 * difference:+.{decimals}f}".replace("-", _MINUS)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 chip``, ``64 chips``, ``10,000 images``."""
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


_IMPERFECTIONS = {"all": "all together", "offset": "OTA offset", "current": "bias current", "dac": "DAC INL"}


def imperfection(name: str) -> str:
    """The name of an imperfection as settings have it, in words."""
    return _IMPERFECTIONS.get(name, name.replace("_", " ").replace("tia", "TIA"))


def size_of(value: float, unit: str) -> str:
    """``0.0042, "V"`` -> ``4.20 mV``; ``0.01, "of I_b"`` -> ``1.0 % of I_b``."""
    if unit.startswith("of "):
        return f"{percent(value)} {unit}"
    return f"{significant(value)}{_SPACE}{unit}" if unit == "LSB" else si(value, unit)
