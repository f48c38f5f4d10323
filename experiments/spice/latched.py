"""What commands of circuits that end in a clocked latch print alike: gates, a latch's spread, lines of the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from atis_jax.gates import Gate
from atis_jax.spice.models import Process
from atis_jax.spice.pulse_spread import latch_offsets_v
from experiments.spice.gates import GATE_POWER

TEMPERATURE_C = 27.0
CORNERS = ((0.0, 1.8), (70.0, 1.8), (27.0, 1.62), (27.0, 1.98))
"""Temperature and supply, C and V."""
PRESETS = ("horowitz_45nm", "jouppi_7nm")
LATCHES_AT_ONCE = 24


def latched_gates(circuit: str, name: str, measured_c: float, charged_c: float, wrong: int, tokens: int) -> list[Gate]:
    """Charge over the charged one; decisions that differ from the sign of our score.

    Args:
        circuit: first word of the gates' names.
        name: of the row.
        measured_c: charge of a token in ngspice, C.
        charged_c: what the ledger charges for it, C.
        wrong: decisions that differ.
        tokens: of as many.
    """
    return [
        Gate(
            f"{circuit}_charge_{name}",
            f"charge a token, {name}: ngspice {1e15 * measured_c:.4g} fC over the ledger's {1e15 * charged_c:.4g} fC",
            100 * (measured_c / charged_c - 1),
            low=-GATE_POWER,
            high=GATE_POWER,
            unit="%",
        ),
        Gate(f"{circuit}_decisions_{name}", f"decisions of {tokens} that differ, {name}", wrong, high=0),
    ]


def print_gates(gates: Sequence[Gate]) -> None:
    """A line each."""
    for gate in gates:
        print(f"  {gate.what}: {gate.value:.3g} {gate.unit} {'holds' if gate.passed else 'DOES NOT HOLD'}")


def drawn_latches_v(process: Process, middle_v: float, latches: int, seed: int) -> Float[np.ndarray, "latches"]:
    """Offsets of that many latches whose inputs stand at ``middle_v``, a deck at a time from ``seed`` on, V."""
    decks = [min(LATCHES_AT_ONCE, latches - first) for first in range(0, latches, LATCHES_AT_ONCE)]
    return np.concatenate(
        [latch_offsets_v(process, middle_v, TEMPERATURE_C, size, seed + deck) for deck, size in enumerate(decks)]
    )


def moments(values_v: np.ndarray) -> str:
    """Mean and standard deviation, and of how many."""
    return f"{1e3 * np.mean(values_v):.2g} mV, sigma {1e3 * np.std(values_v):.2g} mV ({len(values_v)})"


def ledger_heading(column: str, parts: Sequence[str]) -> list[str]:
    """The two lines above ``ledger_line``; ``column`` is what tells rows of one preset, inputs and bits apart."""
    return [
        "pJ a token; a preset is the logic's, analog parts are sky130 at 1.8 V; sums, digital int8 and int4",
        f"{'preset':14s} inputs bits {column:7s} "
        + " ".join(f"{part:>10s}" for part in parts)
        + f" {'sum':>7s} {'int8':>6s} {'int4':>6s} {'us':>6s} {'um^2':>6s}",
    ]


def ledger_line(
    preset: str,
    inputs: int,
    bits: int,
    column: str,
    parts_j: Sequence[float],
    rivals_j: Sequence[float],
    token_s: float,
    area_um2: float,
) -> str:
    """Joules of each part, their sum and the rivals' in pJ; a token's time in us; um^2."""
    return (
        f"{preset:14s} {inputs:6d} {bits:4d} {column:7s} "
        + " ".join(f"{1e12 * part:10.3f}" for part in parts_j)
        + f" {1e12 * sum(parts_j):7.2f} "
        + " ".join(f"{1e12 * rival:6.2f}" for rival in rivals_j)
        + f" {1e6 * token_s:6.3f} {area_um2:6.0f}"
    )
