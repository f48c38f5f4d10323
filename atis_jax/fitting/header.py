"""Columns of a laboratory's file: which quantity, and in which unit, their names say."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from decimal import Decimal

QUANTITIES = {"bias": "A", "temperature": "C", "voltage": "V", "current": "A"}
"""Of each point, with the unit that it is used in."""
OPTIONAL = {"supply": "V"}
"""Of each point, where the file has it."""
_PREFIXES = {"": 0, "m": -3, "u": -6, "µ": -6, "μ": -6, "n": -9, "p": -12, "f": -15, "k": 3}
"""Powers of ten; the Greek letter and the sign of the unit are two characters that look the same."""
_CELSIUS, _KELVIN = ("c", "°c", "degc", "celsius"), ("k", "kelvin")
_ZERO_CELSIUS = Decimal("273.15")
# current_nA, current (nA), current [nA], current/nA, current nA
_NAME = re.compile(r"(\w+?)(?:_|\s*[ /(\[]\s*)([^\s_()\[\]/]+)\s*[)\]]?")
_ACCEPTED = (
    "name the columns bias_A, temperature_C, voltage_V and current_A, or give them any of the units A, mA, uA, nA, pA, "
    "fA; V, mV, uV; C, K, as in bias_nA, current_nA, voltage_mV, temperature_K"
)


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        name: as the header has it.
        quantity: one of ``QUANTITIES``.
        power: of ten that makes its numbers A or V.
        kelvin: whether they are kelvin, of a temperature.
    """

    name: str
    quantity: str
    power: int = 0
    kelvin: bool = False

    def value(self, text: str) -> float:
        """A cell in the quantity's own unit, rounded once: 3 nA are 3e-9 A to the bit."""
        number = Decimal(text.strip())
        return float(number - _ZERO_CELSIUS if self.kelvin else number.scaleb(self.power))


def has_column(quantity: str, header: Sequence[str]) -> bool:
    """Whether the header names the quantity, in whatever unit."""
    return any(re.match(rf"{quantity}(?![a-z])", name, re.IGNORECASE) for name in header)


def column_of(quantity: str, header: Sequence[str]) -> Column:
    """The column of a quantity.

    Args:
        quantity: one of ``QUANTITIES`` or ``OPTIONAL``.
        header: names of all columns.

    Raises:
        ValueError: none, more than one, or one in a unit that is not known; says which are.
    """
    named = [name for name in header if re.match(rf"{quantity}(?![a-z])", name, re.IGNORECASE)]
    found = [column for name in named if (column := _column(name, quantity)) is not None]
    if len(found) > 1:
        raise ValueError(f"the {quantity} is in {' and in '.join(repr(one.name) for one in found)}; leave one out")
    if found:
        return found[0]
    if named:
        raise ValueError(f"the column {named[0]!r} is in no unit that is known; {_ACCEPTED}")
    commas = "" if len(header) > 1 else " and separate them by commas"
    listed = ", ".join(map(repr, header[:9]))
    raise ValueError(f"has no column '{quantity}_{QUANTITIES[quantity]}' among {listed}; {_ACCEPTED}{commas}")


def _column(name: str, quantity: str) -> Column | None:
    """The column of this name, if it is of the quantity and in a unit of it."""
    match = _NAME.fullmatch(name)
    if match is None or match[1].lower() != quantity:
        return None
    unit = match[2]
    if quantity == "temperature":
        kelvin = unit.lower() in _KELVIN
        return Column(name, quantity, kelvin=kelvin) if kelvin or unit.lower() in _CELSIUS else None
    prefix, symbol = unit[:-1], unit[-1]
    if symbol.upper() != (QUANTITIES | OPTIONAL)[quantity] or prefix not in _PREFIXES:
        return None
    return Column(name, quantity, _PREFIXES[prefix])
