"""Silicon of the built circuit: its cells, whole scorers, and the factors behind both.

    python -m experiments.area

prints the tables of docs/energy.md. Nothing here is drawn as a layout; every factor says where it is from.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from atis_jax.cells.area import FACTORS, bias_diode_um2, cell_um2, scorer_um2
from atis_jax.cells.device import Cell
from atis_jax.cells.library import CELLS, OTA
from atis_jax.cells.supply import BIASES
from atis_jax.formatting import significant
from experiments import arguments

SCORERS = (
    ("quickstart, a layer", 64, 17e-9),
    ("co-designed", 8, 44e-9),
    ("the paper's", 64, 100e-9),
    ("phase 3", 256, 100e-9),
    ("phase 3", 1024, 100e-9),
)
"""What, inputs of its one row, mean bias current of an OTA, A."""
SWING_V = 0.5
"""Of a score when every OTA steers its whole bias the same way: sets the feedback resistor (PHYSICS, R_f)."""


def area_markdown() -> str:
    """The three tables of ``docs/energy.md``."""
    return "\n\n".join("\n".join(rows) for rows in (_cells(), _scorers(), _factors()))


def _cells() -> Iterator[str]:
    yield "| cell | transistors | gates, µm² | with layout, µm² |"
    yield "|---|---|---|---|"
    named: list[tuple[str, Cell, bool]] = [(cell.name, cell, True) for cell in CELLS]
    for name, cell, branch in (*named, ("ota without its bias diode", OTA, False)):
        gates = cell.gate_area_um2 - (0.0 if branch else bias_diode_um2(cell))
        count = len(cell.devices) - (not branch)
        yield f"| {name} | {count} | {gates:.1f} | {cell_um2(cell, bias_branch=branch):.0f} |"


def _scorers() -> Iterator[str]:
    yield "| scorer, one row | bias | OTAs | floating gates | op-amp | R_f | comparator | in all, µm² |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, inputs, bias_a in SCORERS:
        for bias in BIASES:
            area = scorer_um2(inputs, 1, 1, SWING_V / (inputs * bias_a), bias)
            parts = (area.otas, area.floating_gates, area.read_out, area.feedback, area.comparators, area.total)
            shown = " | ".join(f"{float(part):,.0f}" for part in parts)
            yield f"| {name}, {inputs} x {1e9 * bias_a:g} nA | {bias.replace('_', ' ')} | {shown} |"


def _factors() -> Iterator[str]:
    yield "| factor | value | range | evidence | source |"
    yield "|---|---|---|---|---|"
    for one in FACTORS:
        low, value, high = (_number(number) for number in (one.low, one.value, one.high))
        span = "" if one.low == one.high else f"{low} to {high}"
        yield f"| {one.name} | {value} {one.unit} | {span} | {one.evidence} | {one.source} |"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1e-4 else significant(value).replace("\u00a0", " ")


def main(given: Sequence[str] = ()) -> int:
    """Print the tables."""
    arguments.parser("experiments.area", __doc__).parse_args(given)
    print(area_markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
