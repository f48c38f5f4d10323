"""Numbers as people read them: SI prefixes, percent, points, each with the digits that it can stand for.

The one place for it: tables in the terminal, reports, and the pages of an export write the same number the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

_PREFIXES = (
    (1e12, "T"),
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
_LEAST, _MOST = 1e-3 * _SMALLEST[0], 1e3 * _PREFIXES[0][0]
"""Between them a number is written with a prefix, outside with a power of ten."""
_LEAST_PERCENT = 1e-3
"""Nobody measures a smaller share: what is nearer to zero is said to be below it."""
NOT_A_NUMBER = "not a number"
SPACE = "\u00a0"
_MINUS = "\u2212"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_ASCII = {ord(one): other for one, other in zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True)} | {
    ord(SPACE): " ",
    ord(_MINUS): "-",
    ord("µ"): "u",
    ord("×"): "x",
    ord("Ω"): "ohm",
    ord("°"): "",
    ord("±"): "+-",
    ord("κ"): "kappa",
}


def significant(value: float, digits: int = 3) -> str:
    """``value`` to ``digits`` significant digits, never in exponent form between 1e-4 and 1e6."""
    if not math.isfinite(value):
        return NOT_A_NUMBER if math.isnan(value) else ("infinite" if value > 0 else "minus infinity")
    if value == 0:
        return "0"
    # Rounding can carry into the next decade (9.996 -> 10.0): the exponent is that of what is rounded.
    rounded = f"{value:.{digits - 1}e}"
    mantissa, _, power = rounded.partition("e")
    exponent = int(power)
    if not -5 < exponent < 6:
        return f"{mantissa.replace('-', _MINUS)}{SPACE}×{SPACE}10{str(exponent).translate(_SUPERSCRIPT)}"
    return f"{float(rounded):,.{max(digits - 1 - exponent, 0)}f}".replace("-", _MINUS)


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
    """``384e-12, "J"`` -> ``384 pJ``; beyond the prefixes ``5.40 × 10⁻²⁰ V``."""
    if not math.isfinite(value):
        return significant(value)
    # 999.9e-12 rounds to 1000 pJ; read it as 1 nJ.
    rounded = float(f"{value:.{digits - 1}e}")
    if not _LEAST <= abs(rounded) < _MOST:
        return f"{significant(value, digits)}{SPACE}{unit}".rstrip(SPACE)
    factor, prefix = si_scale([rounded])
    return f"{significant(rounded / factor, digits)}{SPACE}{prefix}{unit}".rstrip(SPACE)


def or_below(value: float, floor: float, words: Callable[[float], str]) -> str:
    """``words(value)``; nearer to zero than ``floor``, that it is below: a fit leaves 1e-17 where nothing is left."""
    if not value or not abs(value) < floor:
        return words(value)
    return f"below {words(floor)}" if value > 0 else f"above {words(-floor)}"


def percent(fraction: float, decimals: int = 1) -> str:
    """``0.9512`` -> ``95.1 %``; the whole is ``100 %``, nothing ``0 %``.

    Small shares keep two significant digits, down to ``below 0.001 %``.
    """
    if not math.isfinite(fraction):
        return NOT_A_NUMBER
    value = 100 * fraction
    if abs(value - 100) < 1e-11:
        return f"100{SPACE}%"
    if not value:
        return f"0{SPACE}%"
    if abs(value) < 10**-decimals / 2:
        return f"{or_below(value, _LEAST_PERCENT, _small)}{SPACE}%"
    return f"{value:.{decimals}f}{SPACE}%".replace("-", _MINUS)


def _small(value: float) -> str:
    return significant(value, 1 if abs(value) == _LEAST_PERCENT else 2)


def accuracy(fraction: float, examples: int | None = None) -> str:
    """A share of test examples in percent: ``95.4 %`` of 1,910.

    Args:
        fraction: of the examples.
        examples: how many; no digit below the first one of the standard error is written. None: one decimal.
    """
    return percent(fraction, accuracy_decimals(fraction, examples))


def accuracy_decimals(fraction: float, examples: int | None = None) -> int:
    """Decimals of ``accuracy``, for what is written beside it."""
    if not examples or not math.isfinite(fraction):
        return percent_decimals(None)
    return percent_decimals(sampling_error(fraction, examples))


def sampling_error(accuracy: float, examples: float) -> float:
    """One standard error of an accuracy p on n independent test examples, sqrt(p (1 - p) / n); at least 1 / n.

    A mean over seeds or chips has it too: all of them see the same examples.
    """
    return max(math.sqrt(max(accuracy * (1.0 - accuracy), 0.0) / examples), 1.0 / examples)


def percent_decimals(error: float | None, unknown: int = 1) -> int:
    """Decimals of a percentage down to the first digit of its error: 0.0048 gives 1, 0.011 gives 0.

    Args:
        error: as a fraction; None or 0 where nobody knows it.
        unknown: decimals there.
    """
    if not error:
        return unknown
    return max(0, -math.floor(math.log10(100 * error * (1 + 1e-9))))


def equal_words(fraction: float) -> str:
    """A share of equal decisions; only all of them are 100 %."""
    if fraction >= 1 - 1e-12:
        return percent(1.0)
    return next(text for decimals in range(2, 13) if not (text := percent(fraction, decimals)).startswith("100"))


def points(difference: float, decimals: int = 2) -> str:
    """A difference of two fractions in percentage points, with its sign: ``-0.0012`` -> ``−0.12 points``."""
    number = signed_points(difference, decimals)
    return number if number == NOT_A_NUMBER else f"{number}{SPACE}points"


def signed_points(difference: float, decimals: int = 2) -> str:
    """As ``points`` without the word, for tables that say it once."""
    if not math.isfinite(difference):
        return NOT_A_NUMBER
    return f"{100 * difference:+.{decimals}f}".replace("-", _MINUS)


def writable(text: str, encoding: str | None) -> str:
    """``text`` as an output of this encoding can hold it: µ becomes u, a true minus a hyphen, where they must.

    Args:
        text: with the characters of this file.
        encoding: of the output; None is taken as ASCII.
    """
    kept = []
    for character in text:
        try:
            character.encode(encoding or "ascii")
            kept.append(character)
        except (UnicodeEncodeError, LookupError):
            kept.append(_ASCII.get(ord(character), "?"))
    return "".join(kept)
