"""Mismatch of the pulse-width circuit: currents of branches, what switches leave on lines, thresholds of latches."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from atis_jax.cells.library import SUPPLY_V
from atis_jax.cells.pulse import BRANCH, LATCH, PRECHARGE
from atis_jax.spice.cells import OPTIONS, TRANSIENT_OPTIONS
from atis_jax.spice.models import Process
from atis_jax.spice.pulse import cells_text, gates_v
from atis_jax.spice.simulator import Analysis, Deck, SpiceError, simulate

_CYCLE_S, _EDGE_S = 20e-9, 0.2e-9


def _head(title: str, process: Process, options: str, temperature_c: float, seed: int) -> str:
    return (
        f"* {title}\n{cells_text(process, mismatch=True)}{options}\n.option seed={seed + 1}\n.temp {temperature_c:g}\n"
        f"Vdd vdd 0 {SUPPLY_V}\n"
    )


def branch_currents_a(
    process: Process, current_a: float, temperature_c: float, count: int, seed: int
) -> Float[np.ndarray, "n"]:
    """Currents of ``count`` mismatched branches whose gates are held at the voltage that gives ``current_a``, A."""
    gate_v = float(gates_v(process, np.array([current_a]), temperature_c)[0])
    text = _head(f"{count} branches", process, OPTIONS, temperature_c, seed) + f"Vg gate 0 {gate_v:.9e}\n"
    for one in range(count):
        text += f"Vl{one} l{one} 0 {SUPPLY_V}\nXb{one} l{one} vdd vdd vdd gate 0 vdd {BRANCH.name}\n"
    vectors = tuple(f"i(Vl{one})" for one in range(count))
    done = simulate(Deck(text, (Analysis("op", vectors, points=1),)), timeout_s=600.0).results[0]
    return np.array([-done[f"i(vl{one})"][0] for one in range(count)])


def precharge_offsets_v(
    process: Process, capacitance_f: float, temperature_c: float, count: int, seed: int
) -> Float[np.ndarray, "n"]:
    """Scores of ``count`` mismatched pairs of lines after their precharge, without a pulse, V."""
    text = _head(f"{count} precharges", process, TRANSIENT_OPTIONS, temperature_c, seed)
    text += f"Von on 0 PWL(0 {SUPPLY_V} 2e-8 {SUPPLY_V} {2e-8 + _EDGE_S} 0)\n"
    for one in range(count):
        text += f"Cp{one} p{one} 0 {capacitance_f:.6e}\nCm{one} m{one} 0 {capacitance_f:.6e}\n"
        text += f"Xp{one} p{one} m{one} vdd vdd on {PRECHARGE.name}\nEs{one} s{one} 0 m{one} p{one} 1\n"
    vectors = tuple(f"v(s{one})" for one in range(count))
    done = simulate(Deck(text, (Analysis("tran 1e-10 3e-8 0 5e-10", vectors),)), timeout_s=600.0).results[0]
    return np.array([done[vector][-1] for vector in vectors])


def latch_offsets_v(
    process: Process,
    common_v: float,
    temperature_c: float,
    count: int,
    seed: int,
    half_span_v: float = 0.03,
    decisions: int = 61,
) -> Float[np.ndarray, "n"]:
    """Score at which each of ``count`` mismatched latches turns, V: the score rises from clock to clock.

    Args:
        process: of the transistors.
        common_v: mean of both inputs, V.
        temperature_c: degrees Celsius.
        count: latches, in one deck.
        seed: of the draws.
        half_span_v: of the scores tried, V.
        decisions: scores tried; half their spacing is the resolution.

    Raises:
        SpiceError: a latch that never turns within the span.
    """
    text = _head(f"{count} latches", process, TRANSIENT_OPTIONS, temperature_c, seed)
    scores_v = np.linspace(-half_span_v, half_span_v, decisions)
    steps = " ".join(
        f"{n * _CYCLE_S + (_EDGE_S if n else 0):.6e} {value:.9e} {(n + 1) * _CYCLE_S:.6e} {value:.9e}"
        for n, value in enumerate(scores_v.tolist())
    )
    text += f"Vs s 0 PWL({steps})\nVc c 0 {common_v}\nEp p c s 0 -0.5\nEm m c s 0 0.5\n"
    half = 0.5 * _CYCLE_S
    text += f"Vk clkn 0 PULSE({SUPPLY_V} 0 {half} {_EDGE_S} {_EDGE_S} {half - 4 * _EDGE_S} {_CYCLE_S})\n"
    for one in range(count):
        text += f"Xl{one} m p keep{one} drop{one} clkn vdd {LATCH.name}\n"
    vectors = tuple(f"v(keep{one})" for one in range(count))
    command = f"tran 5e-10 {decisions * _CYCLE_S:.6e} 0 1e-9"
    done = simulate(Deck(text, (Analysis(command, vectors),)), timeout_s=600.0).results[0]
    look_s = (np.arange(decisions) + 1) * _CYCLE_S - 6 * _EDGE_S
    keep = np.stack([np.interp(look_s, done["sweep"], done[vector]) > 0.5 * SUPPLY_V for vector in vectors])
    if not np.all(keep[:, -1]) or np.any(keep[:, 0]):
        raise SpiceError(f"a latch does not turn within {1e3 * half_span_v:g} mV; give a larger half_span_v")
    first = np.argmax(keep, axis=1)
    return 0.5 * (scores_v[first] + scores_v[first - 1])
