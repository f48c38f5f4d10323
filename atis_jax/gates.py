"""A gate: a measured number and the bounds it must keep. What ``summary.json`` holds and the report shows."""

from __future__ import annotations

import dataclasses
import math
from typing import Any


@dataclasses.dataclass(frozen=True)
class Gate:
    """A measured number and the bounds it is held to.

    Attributes:
        name: short, unlike any other of the run.
        what: in words, with the conditions.
        value: as measured; NaN keeps nothing.
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
        return keeps(self.value, self.low, self.high)

    def table(self) -> dict[str, Any]:
        """As ``summary.json`` holds it."""
        return {**dataclasses.asdict(self), "passed": self.passed}


def keeps(value: float, low: float | None, high: float | None) -> bool:
    """Whether a value keeps its bounds; not a number keeps nothing."""
    if math.isnan(value):
        return False
    return (low is None or value >= low) and (high is None or value <= high)
