"""Gates: what was measured, the bound it must keep, whether it does. One row each of a table that every run shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Gate:
    """One measured number and its bound.

    Attributes:
        name: short, unlike any other of the run.
        what: in words, with the conditions.
        value: as measured.
        low: smallest that passes, None for no limit.
        high: largest that passes, None for no limit.
        unit: of all three; ``%`` for percent.
    """

    name: str
    what: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""

    @property
    def passed(self) -> bool:
        """Whether the value keeps its bounds."""
        return (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)


def gates_summary(gates: Iterable[Gate]) -> list[dict[str, Any]]:
    """The gates as ``summary.json`` holds them."""
    return [{**dataclasses.asdict(gate), "passed": gate.passed} for gate in gates]
