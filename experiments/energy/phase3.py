"""Phase 3 of the paper's roadmap (section 6.3) with the built circuit: which arrays meet 1 us and 100 uW.

    python -m experiments.energy.phase3

prints the table of docs/energy.md: 256, 512 and 1,024 inputs at the paper's 100 nA and 6 bits, for the paper's own
arithmetic (array alone, 1 V, 0.2 pF) and for the built circuit at its 1.8 V and own capacitance, both ways to bias an
OTA.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

import jax.numpy as jnp

from atis_jax.cells.library import SUPPLY_V
from atis_jax.cells.timing import decision_s
from atis_jax.energy.constants.converters import MODERATE_DAC_TIME
from atis_jax.energy.deployments import PAPER_POINT, point_load_f
from atis_jax.energy.front_end import CIRCUITS, PRICED, FrontEnd
from atis_jax.energy.latency import PHASE_3_CORE_W, PHASE_3_LATENCY_S, Timing, timing
from atis_jax.energy.shapes import ScorerShape
from atis_jax.formatting import si
from experiments import arguments

ARRAYS = (256, 512, 1024)
HEADS = (
    "inputs",
    "circuit",
    "a token",
    "below 1 µs",
    "core",
    "below 100 µW",
    "currents for 100 µW",
    "a token then",
    "core for 1 µs, comparator apart",
)


def taken(inputs: int, circuit: str, bias_a: float = PAPER_POINT.bias_a) -> Timing:
    """Time and power of an array of one row at the paper's point."""
    scorer = ScorerShape(
        inputs=float(inputs),
        prototypes=1,
        dac_bits=float(PAPER_POINT.bits),
        projection="learned",
        arrangement="consensus",
        layers=(True,),
    )
    front_end = FrontEnd(
        jnp.full((1,), inputs * bias_a),
        PAPER_POINT.supply_v if circuit == PRICED else SUPPLY_V,
        PAPER_POINT.token_time_s,
        full_scale_v=PAPER_POINT.full_scale_v,
        load_f=point_load_f(dataclasses.replace(PAPER_POINT, bias_a=bias_a, circuit=circuit)),
        core="settling",
        circuit=circuit,
    )
    return timing(front_end, scorer, MODERATE_DAC_TIME.value)


def bias_of_power(inputs: int, circuit: str, power_w: float) -> float:
    """Bias current of an OTA at which the core draws ``power_w``, A.

    What a core draws is a straight line in its currents from where its op-amp is above the least that it is given.
    """
    bias_a = PAPER_POINT.bias_a
    once_w, twice_w = (float(taken(inputs, circuit, times * bias_a).core_w[0]) for times in (1.0, 2.0))
    return bias_a * (1.0 + (power_w - once_w) / (twice_w - once_w))


def power_of_settling(inputs: int, circuit: str, limit_s: float) -> float:
    """Power of the core whose array alone settles within ``limit_s``, W.

    Settling goes nearly as one over the currents: each turn multiplies them by what is still too slow.
    """
    decides_s, bias_a = 0.0 if circuit == PRICED else decision_s(), PAPER_POINT.bias_a
    for _ in range(5):
        bias_a *= (float(taken(inputs, circuit, bias_a).settling_s[0]) - decides_s) / limit_s
    return float(taken(inputs, circuit, bias_a).core_w[0])


def rows() -> list[tuple[str, ...]]:
    """A row an array and circuit, in the order of ``HEADS``."""
    found: list[tuple[str, ...]] = []
    for inputs in ARRAYS:
        for circuit in (PRICED, *(one for one in CIRCUITS if one != PRICED)):
            now = taken(inputs, circuit)
            token_s, core_w = float(now.token_s[0]), float(now.core_w[0])
            bias_a = bias_of_power(inputs, circuit, PHASE_3_CORE_W)
            then_s = float(taken(inputs, circuit, bias_a).token_s[0])
            limit_s = PHASE_3_LATENCY_S - MODERATE_DAC_TIME.value
            found.append(
                (
                    f"{inputs:,}",
                    "the paper's: array alone" if circuit == PRICED else f"built, {circuit.replace('_', ' ')}",
                    si(token_s, "s"),
                    "yes" if token_s <= PHASE_3_LATENCY_S else "no",
                    si(core_w, "W"),
                    "yes" if core_w <= PHASE_3_CORE_W else "no",
                    si(bias_a, "A"),
                    si(then_s, "s"),
                    si(power_of_settling(inputs, circuit, limit_s), "W"),
                )
            )
    return found


def phase3_markdown() -> str:
    """The table of ``docs/energy.md``."""
    lines = ["| " + " | ".join(HEADS) + " |", "|---" * len(HEADS) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows())]).replace("\u00a0", " ")


def main(given: Sequence[str] = ()) -> int:
    """Print the table."""
    arguments.parser("experiments.energy.phase3", __doc__).parse_args(given)
    print(phase3_markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
