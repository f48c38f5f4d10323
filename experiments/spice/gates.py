"""Gates: what was measured, the bound it must keep, whether it does. One row each of a table that every run shows.

    python -m experiments.spice.gates runs/spice_validation runs/export

ends with an error if one does not hold.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from atis_jax.validation import UserError


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


def failing(run: str | Path) -> list[str]:
    """The gates of a run that do not hold, in words.

    Raises:
        UserError: the folder holds no run with gates.
    """
    try:
        gates = json.loads((Path(run) / "summary.json").read_text(encoding="utf-8"))["gates"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{str(run)!r} holds no run with gates ({error}); give one of configs/export.py") from error
    return [f"{gate['what']}: {gate['value']:g} {gate['unit']}" for gate in gates if not gate["passed"]]


def main(arguments: list[str]) -> int:
    """Exit code 0 if every gate of every run given holds."""
    found = [line for run in arguments for line in failing(run)]
    for line in found:
        print(f"does not hold: {line}", file=sys.stderr)
    if not found:
        print(f"every gate of {', '.join(arguments)} holds")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
