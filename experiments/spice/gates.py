"""Gates: what was measured, the bound it must keep, whether it does. One row each of a table that every run shows.

    python -m experiments.spice.gates runs/spice_validation runs/export

ends with an error if one does not hold.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from atis_jax.gates import Gate
from atis_jax.strict_json import read_json
from atis_jax.validation import UserError
from experiments import arguments

GATE_SINGLE, GATE_SUM, GATE_LOADED, GATE_GM = 0.15, 0.5, 0.15, 0.3
"""Percent: of I_b, of the sum of I_b into a virtual ground and into a resistor, and per 10 C. Measured on sky130; a PDK
of another process has others."""
GATE_NOISE, GATE_SETTLING = 0.15, 0.10
"""Relative: of the RMS noise in the read-out's bandwidth, and of the settling time at a load far above parasitics."""


GATE_POWER = 10.0
"""Percent: supply power of a cell against what is charged for it."""


def gates_summary(gates: Iterable[Gate]) -> list[dict[str, Any]]:
    """The gates as ``summary.json`` holds them."""
    return [gate.table() for gate in gates]


def failing(run: str | Path) -> list[str]:
    """The gates of a run that do not hold, in words.

    Raises:
        UserError: the folder holds no run with gates.
    """
    try:
        gates = read_json(Path(run) / "summary.json", nan=True)["gates"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{str(run)!r} holds no run with gates ({error}); give one of configs/export.py") from error
    return [f"{gate['what']}: {gate['value']:g} {gate['unit']}" for gate in gates if not gate["passed"]]


def main(given: Sequence[str]) -> int:
    """Exit code 0 if every gate of every run given holds."""
    parser = arguments.parser("experiments.spice.gates", __doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run with gates, such as runs/export")
    runs = parser.parse_args(given).runs
    found = [line for run in runs for line in failing(run)]
    for line in found:
        print(f"does not hold: {line}", file=sys.stderr)
    if not found:
        print(f"every gate of {', '.join(runs)} holds")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
