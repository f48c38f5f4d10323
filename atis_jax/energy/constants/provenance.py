"""One cited number: value, unit, technology node, source and kind of evidence."""

from __future__ import annotations

import dataclasses
import math

from atis_jax.validation import SettingError, check_choice

EVIDENCE = ("measured", "modelled", "recalled", "paper")
"""measured: on silicon, as published. modelled: an estimate or tabulated model. recalled: common knowledge of
the field, no single source. paper: stated (or stated as absent) in section 4.2 of the ATIS paper."""


UNITS = ("J", "J/bit", "J/B", "W", "F", "s", "")
"""The last is for a plain ratio or count."""


@dataclasses.dataclass(frozen=True)
class Constant:
    """One cited number.

    Attributes:
        name: short, unique, for tables.
        value: in ``unit``; finite and not negative.
        unit: one of ``UNITS``, SI without prefix.
        node_nm: technology node in nanometres, None where the source names none.
        source: where the number is from; never empty.
        evidence: one of ``EVIDENCE``.
        low: lower end of the range to sweep, None where the value is not in doubt.
        high: upper end of that range.

    Raises:
        SettingError: for a negative or infinite value, an empty source, an unknown kind of evidence, or a
            range that does not hold the value.
    """

    name: str
    value: float
    unit: str
    node_nm: int | None
    source: str
    evidence: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self):
        path = f"constant {self.name!r}"
        if not math.isfinite(self.value) or self.value < 0:
            raise SettingError(f"{path}: value = {self.value}; give a finite value of at least 0 {self.unit}")
        if not self.source.strip():
            raise SettingError(f"{path}: source is empty; say where {self.value} {self.unit} comes from")
        if self.node_nm is not None and self.node_nm <= 0:
            raise SettingError(f"{path}: node_nm = {self.node_nm}; give nanometres above 0, or None if unknown")
        check_choice(self.evidence, EVIDENCE, f"{path}: evidence")
        check_choice(self.unit, UNITS, f"{path}: unit")
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        if not low <= self.value <= high:
            raise SettingError(f"{path}: value = {self.value} is outside its range {low} to {high} {self.unit}")
