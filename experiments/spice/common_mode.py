"""What the two halves of a differential array share, in ngspice: how far it moves one half, and half their difference.

    python -m experiments.spice.common_mode runs/differential/export

Temperature and supply disturb both halves alike. Each half of every layer is a netlist of its own, played the same
random tokens, the half of -w with its inputs swapped. A line says by how much scores have moved, in the mean over
tokens, since 27 C and 1.8 V; what a gain does to them is in the RMS alone.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from atis_jax.cells.library import SUPPLY_V
from atis_jax.export.store import read_bundle
from atis_jax.spice import benches
from atis_jax.spice.models import PROCESSES, Process, find_process
from atis_jax.validation import UserError
from experiments import arguments
from experiments.spice.rows import Row, bundle_rows

NOMINAL_C = 27.0
PLACES = ((NOMINAL_C, 1.62), (NOMINAL_C, 1.98), (0.0, SUPPLY_V), (85.0, SUPPLY_V), (0.0, 1.62), (85.0, 1.98))
"""Temperature and supply, C and V."""


@dataclasses.dataclass(frozen=True)
class Shift:
    """How the scores of a row have moved from the nominal place.

    Attributes:
        temperature_c, supply_v: where to.
        half_v: mean shift of the half of w, V.
        difference_v: mean shift of half the difference of both halves, V.
        half_rms_v, difference_rms_v: RMS of the same.
    """

    temperature_c: float
    supply_v: float
    half_v: float
    difference_v: float
    half_rms_v: float
    difference_rms_v: float


def halves_v(
    process: Process, row: Row, voltages_v: Float[np.ndarray, "t n"], temperature_c: float, supply_v: float
) -> Float[np.ndarray, "2 t"]:
    """Scores of w and of -w, V."""
    return np.stack(
        [
            benches.array_scores(
                process, sign * row.signed_current_a, voltages_v, row.amplifier, 0.0, temperature_c, supply_v
            )[0]
            for sign in (1.0, -1.0)
        ]
    )


def shifts(process: Process, row: Row, voltages_v: Float[np.ndarray, "t n"]) -> Iterator[Shift]:
    """One for each of ``PLACES``."""
    before = halves_v(process, row, voltages_v, NOMINAL_C, SUPPLY_V)
    for celsius, supply_v in PLACES:
        moved = halves_v(process, row, voltages_v, celsius, supply_v) - before
        half, difference = moved[0], (moved[0] - moved[1]) / 2.0
        rms = [float(np.sqrt(np.mean(one**2))) for one in (half, difference)]
        yield Shift(celsius, supply_v, float(half.mean()), float(difference.mean()), *rms)


def main(given: Sequence[str]) -> int:
    """Print a line for each row and place."""
    parser = arguments.parser("experiments.spice.common_mode", __doc__)
    parser.add_argument("bundle", help="folder of an exported design")
    parser.add_argument("--process", default="sky130", choices=PROCESSES)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args(given)
    process, bundle = find_process(told.process), read_bundle(told.bundle)
    rng, full_scale_v = np.random.default_rng(told.seed), float(bundle.hardware.dac.full_scale_v)
    print("row            C      V   shift of a half: mean, RMS   of half the difference: mean, RMS")
    for row in bundle_rows(bundle):
        voltages_v = full_scale_v * rng.uniform(-1.0, 1.0, (told.tokens, len(row.signed_current_a)))
        for one in shifts(process, row, voltages_v):
            print(
                f"{row.name:12} {one.temperature_c:4g} {one.supply_v:6.2f}   {1e3 * one.half_v:6.2f} "
                f"{1e3 * one.half_rms_v:6.2f} mV   {1e3 * one.difference_v:6.2f} {1e3 * one.difference_rms_v:6.2f} mV",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
