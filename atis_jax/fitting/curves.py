"""Transfer curves of OTAs, and the CSV file a laboratory or a simulator writes them to."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from atis_jax.circuits.thermal import check_temperature_c
from atis_jax.fitting.header import OPTIONAL, QUANTITIES, Column, column_of, has_column
from atis_jax.strict_json import read_bytes
from atis_jax.validation import SettingError, UserError

COLUMNS = ("device", "bias_a", "temperature_c", "voltage_v", "current_a")
"""Of the file as ``curves_csv`` writes it; ``device`` may be left out when every curve is of one OTA."""
SUPPLY = "supply_v"
"""One more, of curves that name their supply."""
LARGEST_VOLTAGE_V = 5.0
LARGEST_RATIO = 10.0
"""A current so many times the bias is in another unit than the bias."""
FEWEST_POINTS = 5
LARGEST_BYTES = 2**28
"""Of a file: a million points are 50 MB."""


class CurveError(UserError, ValueError):
    """A file of curves cannot be used; names the file, the line and the remedy."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """Output current of one OTA into a node held at the common mode.

    Attributes:
        device: which OTA.
        bias_a: wanted bias current, A.
        temperature_c: degrees Celsius.
        voltage_v: (n,) differential input, V, ascending.
        current_a: (n,) out of the OTA, A; positive for positive inputs.
        supply_v: V; None is the nominal supply of the hardware that is fitted.
    """

    device: str
    bias_a: float
    temperature_c: float
    voltage_v: np.ndarray
    current_a: np.ndarray
    supply_v: float | None = None


def read_curves(path: str | Path) -> list[Curve]:
    """The curves in a CSV file with the ``COLUMNS`` in any order; one row a point, lines of ``#`` are comments.

    A column's name may carry another unit (``fitting.header``): ``current_nA``, ``voltage_mV``, ``temperature_K``.
    A column ``supply_v`` may be left out: every curve is then at the nominal supply.

    Raises:
        CurveError: no such file, a missing column, a number that is none or out of bounds, a curve of fewer than 5
            points, or one whose voltages repeat.
    """
    path = Path(path)
    try:
        text = read_bytes(path, LARGEST_BYTES).decode("utf-8-sig")  # spreadsheets put a mark in front
    except (OSError, ValueError) as error:
        raise CurveError(f"{path}: cannot be read ({error}); give a CSV file with {', '.join(COLUMNS)}") from error
    lines = text.splitlines()
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not numbered:
        raise CurveError(f"{path}: is empty; give a CSV file with the columns {', '.join(COLUMNS)}")
    header = [name.strip() for name in _cells(numbered[0][1], f"{path}, line {numbered[0][0]}")]
    try:
        columns = [column_of(quantity, header) for quantity in QUANTITIES]
        supplies = [column_of(quantity, header) for quantity in OPTIONAL if has_column(quantity, header)]
    except ValueError as error:
        raise CurveError(f"{path}, line {numbered[0][0]}: {error}") from error
    device = next((name for name in header if name.lower() == "device"), "")
    points: dict[tuple[str, float, float, float | None], list[tuple[float, float]]] = {}
    for number, line in numbered[1:]:
        where = f"{path}, line {number}"
        cells = dict(zip(header, _cells(line, where), strict=False))
        bias_a, temperature_c, voltage_v, current_a = (_number(cells.get(one.name), one, where) for one in columns)
        bias, _, voltage, current = (f"{one.name} = {cells[one.name].strip()}" for one in columns)
        if not bias_a > 0:
            raise CurveError(f"{where}: {bias} must be above 0")
        if abs(voltage_v) > LARGEST_VOLTAGE_V:
            raise CurveError(
                f"{where}: {voltage} is above {LARGEST_VOLTAGE_V:g} V; name the unit in the header, as in voltage_mV"
            )
        if abs(current_a) > LARGEST_RATIO * bias_a:
            raise CurveError(
                f"{where}: {current} is more than {LARGEST_RATIO:g} times {bias}; name the unit of each in the header, "
                "as in bias_nA and current_nA"
            )
        supply_v = next((_number(cells.get(one.name), one, where) for one in supplies), None)
        if supply_v is not None and not supply_v > 0:
            raise CurveError(f"{where}: {supplies[0].name} = {cells[supplies[0].name].strip()} must be above 0")
        key = (cells.get(device) or "ota", bias_a, temperature_c, supply_v)
        points.setdefault(key, []).append((voltage_v, current_a))
    return [_curve(path, key, rows) for key, rows in points.items()]


def _cells(line: str, where: str) -> list[str]:
    try:
        return next(csv.reader([line]))
    except csv.Error as error:
        raise CurveError(f"{where}: is no line of a CSV file ({error})") from error


def _number(text: str | None, column: Column, where: str) -> float:
    """A cell in the unit of its quantity: A, V or degrees Celsius."""
    try:
        value = float(text or "")
    except ValueError:
        raise CurveError(f"{where}: {column.name} = {text!r} is not a number") from None
    if not math.isfinite(value):
        raise CurveError(f"{where}: {column.name} = {value} is not finite")
    value = column.value(text or "")
    if column.quantity == "temperature":
        try:
            check_temperature_c(value, f"{where}: {column.name}")
        except SettingError as error:
            raise CurveError(str(error)) from error
    return value


def _curve(path: Path, key: tuple[str, float, float, float | None], rows: Sequence[tuple[float, float]]) -> Curve:
    voltage_v, current_a = np.array(sorted(rows)).T
    device, bias_a, temperature_c, supply_v = key
    supply = "" if supply_v is None else f" and {supply_v:g} V"
    where = f"{path}: the curve of {device!r} at {bias_a:g} A and {temperature_c:g} C{supply}"
    if len(rows) < FEWEST_POINTS:
        raise CurveError(f"{where} has {len(rows)} points; give {FEWEST_POINTS} or more")
    if np.any(np.diff(voltage_v) <= 0):
        raise CurveError(f"{where} has the same voltage twice; average repeats first, or name them as two devices")
    return Curve(device, bias_a, temperature_c, voltage_v, current_a, supply_v)


def curves_csv(curves: Iterable[Curve]) -> str:
    """The text of a file that ``read_curves`` reads back to the bit."""
    curves = list(curves)
    supplies = any(curve.supply_v is not None for curve in curves)
    rows = [",".join((*COLUMNS, SUPPLY) if supplies else COLUMNS)]
    for curve in curves:
        quoted = '"' + curve.device.replace('"', '""') + '"'
        device = quoted if set(curve.device) & set(',"#') else curve.device
        start = f"{device},{float(curve.bias_a)!r},{float(curve.temperature_c)!r}"
        pairs = zip(curve.voltage_v.tolist(), curve.current_a.tolist(), strict=True)
        end = f",{float(curve.supply_v)!r}" if curve.supply_v is not None else ""
        rows += [f"{start},{voltage_v!r},{current_a!r}{end}" for voltage_v, current_a in pairs]
    return "\n".join(rows) + "\n"
