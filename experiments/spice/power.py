"""Supply power of the scorer's cells in ngspice against what the ledger charges: array, op-amp, comparator."""

from __future__ import annotations

import dataclasses

import numpy as np

from atis_jax.cells.library import COMPARATOR_CURRENT_A, SUPPLY_V
from atis_jax.cells.supply import array_supply_a, comparator_supply_a, op_amp_supply_a
from atis_jax.gates import Gate
from atis_jax.spice import benches
from atis_jax.spice.models import Process
from experiments.spice.gates import GATE_POWER

SCORE_V = 0.15
"""Standard deviation of a trained design's scores, V."""
SLOPE_PER_V = 13.0
"""kappa / 2U_T, 1/V: for the size of a score alone."""
PARTS = ("array", "op-amp", "comparator")


@dataclasses.dataclass(frozen=True)
class PowerPoint:
    """A row of the array whose supply power is measured.

    Attributes:
        name: of its gates.
        inputs: OTAs.
        mean_a: mean bias current, A.
    """

    name: str
    inputs: int
    mean_a: float


POINTS = (
    PowerPoint("quickstart", 32, 17e-9),
    PowerPoint("codesigned", 8, 44e-9),
    PowerPoint("paper", 64, 100e-9),
)
"""As large as the quickstart's layers, a co-designed point, and the paper's section 4.2."""


def measured_power_w(point: PowerPoint, process: Process, temperature_c: float, tokens: int, seed: int) -> np.ndarray:
    """(3,) mean supply power of ``PARTS`` over random tokens of random weights, ngspice, W.

    R_f is what gives the scores the spread that trained designs have, ``SCORE_V``.
    """
    random = np.random.default_rng(seed)
    weights = random.normal(size=point.inputs)
    current_a = weights / np.mean(np.abs(weights)) * point.mean_a
    voltages_v = np.clip(0.05 * random.normal(size=(tokens, point.inputs)), -0.1, 0.1)
    signal_a = np.std(np.tanh(SLOPE_PER_V * voltages_v) @ current_a)
    feedback_ohm = SCORE_V / float(signal_a)
    drawn_a = benches.supply_currents(process, current_a, voltages_v, feedback_ohm, COMPARATOR_CURRENT_A, temperature_c)
    return SUPPLY_V * np.mean(drawn_a, axis=1)


def charged_power_w(point: PowerPoint) -> np.ndarray:
    """(3,) what the ledger charges for the same, as netlisted, W."""
    total_a = point.inputs * point.mean_a
    drawn_a = (array_supply_a(total_a, "netlisted"), op_amp_supply_a(total_a), comparator_supply_a())
    return SUPPLY_V * np.array([float(one) for one in drawn_a])


def power_gates(process: Process, temperature_c: float, tokens: int, seed: int) -> list[Gate]:
    """Power of each part and point in ngspice over what is charged, percent off."""
    gates = []
    for point in POINTS:
        measured_w = measured_power_w(point, process, temperature_c, tokens, seed)
        charged_w = charged_power_w(point)
        for part, mine, theirs in zip(
            (*PARTS, "all"), (*measured_w, sum(measured_w)), (*charged_w, sum(charged_w)), strict=True
        ):
            gates.append(
                Gate(
                    f"power_{point.name}_{part}",
                    f"supply power, {point.inputs} x {1e9 * point.mean_a:g} nA, {part}: ngspice {1e6 * mine:.3g} uW "
                    f"over the ledger's {1e6 * theirs:.3g} uW",
                    100 * (mine / theirs - 1),
                    low=-GATE_POWER,
                    high=GATE_POWER,
                    unit="%",
                )
            )
    return gates
