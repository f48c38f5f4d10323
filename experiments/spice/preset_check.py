"""A hardware preset against ngspice, row by row of an exported design or of random weights, on random tokens.

    python -m experiments.spice.preset_check sky130_fg --bundle runs/quickstart/export

Nothing is fitted: the preset alone predicts every score at every temperature and supply. Exit code 1 where scores below
0.5 V are off by more than 2 mV RMS, or a decision is wrong outside the grey zone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from atis_jax.export.store import read_bundle
from atis_jax.fitting.preset_file import named_hardware
from atis_jax.spice.models import PROCESSES, find_process
from atis_jax.validation import UserError
from experiments import arguments
from experiments.spice.rows import bundle_rows, gap_gates, random_row, row_gap
from experiments.spice.settings import SUPPLIES_V


def main(given: Sequence[str]) -> int:
    """Print a line for each row, temperature and supply, then the gates."""
    parser = arguments.parser("experiments.spice.preset_check", __doc__)
    parser.add_argument("preset", help="such as sky130_fg, or a hardware.json")
    parser.add_argument("--bundle", metavar="FOLDER", help="of an exported design; without it, two random rows")
    parser.add_argument("--process", default="sky130", choices=PROCESSES)
    parser.add_argument("--corner", default="tt")
    parser.add_argument("--temperatures", nargs="+", type=float, default=[0.0, 27.0, 70.0], metavar="C")
    parser.add_argument("--supplies", nargs="+", type=float, default=list(SUPPLIES_V), metavar="V")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args(given)
    process, hardware, rng = find_process(told.process, told.corner), named_hardware(told.preset), None
    rng = np.random.default_rng(told.seed)
    if told.bundle is None:
        rows = [random_row(rng, inputs, 1e-9, 1e-7, hardware) for inputs in (8, 24)]
    else:
        rows = bundle_rows(read_bundle(told.bundle))
    gaps = []
    print("row            C      V   scores < 0.5 V: RMS / mean   largest   decisions unequal / outside")
    for row in rows:
        for celsius in told.temperatures:
            for supply_v in told.supplies:
                shape = told.tokens, len(row.signed_current_a)
                voltages_v = float(hardware.dac.full_scale_v) * rng.uniform(-1.0, 1.0, shape)
                gap = row_gap(process, hardware, row, voltages_v, celsius, supply_v)
                print(
                    f"{gap.name:12} {celsius:4g} {supply_v:6.2f}   {gap.small:3} of {gap.tokens}: "
                    f"{1e3 * gap.small_rms_v:6.2f} {1e3 * gap.small_mean_v:6.2f} mV   {1e3 * gap.largest_v:6.2f} mV   "
                    f"{gap.unequal} / {gap.outside}",
                    flush=True,
                )
                gaps.append(gap)
    gates = gap_gates(gaps, hardware.name)
    for gate in gates:
        print(f"{gate.what}: {gate.value:.3g} {gate.unit} {'holds' if gate.passed else 'FAILS'}")
    return 0 if all(gate.passed for gate in gates) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
