"""Bench of the circuit with pulse-width inputs: tokens as pulses, in time; scores, decisions and charges."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.interpolate import CubicSpline

from atis_jax.cells.device import Cell
from atis_jax.cells.library import SUPPLY_V
from atis_jax.cells.pulse import BRANCH, LATCH, PRECHARGE, Timing
from atis_jax.spice.cells import OPTIONS, TRANSIENT_OPTIONS, transistor
from atis_jax.spice.models import Process
from atis_jax.spice.simulator import Analysis, Deck, SpiceError, simulate

EDGE_S = 0.2e-9
_PORTS = {
    BRANCH.name: "plus minus vdd vdp gate pn mn",
    LATCH.name: "inp inn keep drop clkn vdd",
    PRECHARGE.name: "plus minus vdd vdp on",
}
_CELLS: tuple[Cell, ...] = (BRANCH, LATCH, PRECHARGE)


@dataclasses.dataclass(frozen=True)
class Played:
    """What tokens gave.

    Attributes:
        score_v: how far the plus line has fallen below the minus line when the latch is clocked, V.
        fall_v: mean of both lines' fall, V.
        keep: the latch's decision.
        charge_c: drawn in each token from the supplies of lines, drivers and latch, C.
    """

    score_v: Float[np.ndarray, "t"]
    fall_v: Float[np.ndarray, "t"]
    keep: Bool[np.ndarray, "t"]
    charge_c: Float[np.ndarray, "t 3"]


def cells_text(process: Process, *, mismatch: bool = False) -> str:
    """The models and the three cells as subcircuits."""
    n_sizes, p_sizes = (
        tuple(dict.fromkeys(size for cell in _CELLS for size in cell.sizes(n_channel=which))) for which in (True, False)
    )
    text = process.text(n_sizes, p_sizes, mismatch)
    for cell in _CELLS:
        body = "".join(transistor(process, one.name, one.nodes, one.size) for one in cell.devices)
        text += f".subckt {cell.name} {_PORTS[cell.name]}\n{body}.ends\n"
    return text


def branch_curve(
    process: Process, temperature_c: float, *, sweep: str, low_v: float, high_v: float, gate_v: float = 0.6
) -> tuple[np.ndarray, np.ndarray]:
    """Voltages and the current of a branch on its plus line, A: of the source's gate, or of the line.

    Args:
        process: of the transistors.
        temperature_c: degrees Celsius.
        sweep: ``gate``, the line at the supply; or ``line``, the gate at ``gate_v``.
        low_v: start, V.
        high_v: end, V.
        gate_v: of the source, where the line is swept.
    """
    text = f"* one branch\n{cells_text(process)}{OPTIONS}\n.temp {temperature_c:g}\nVdd vdd 0 {SUPPLY_V}\n"
    text += f"Vgate gate 0 {gate_v}\nVline plus 0 {SUPPLY_V}\nXb plus vdd vdd vdd gate 0 vdd {BRANCH.name}\n"
    step_v = (high_v - low_v) / 80
    command = f"dc V{sweep} {low_v:.9e} {high_v + 0.01 * step_v:.9e} {step_v:.9e}"
    result = simulate(Deck(text, (Analysis(command, ("i(Vline)",), points=81),))).results[0]
    return result["sweep"], -result["i(vline)"]


def gates_v(process: Process, current_a: Float[np.ndarray, "n"], temperature_c: float) -> Float[np.ndarray, "n"]:
    """Gate voltages at which branches give ``current_a`` with their line at the supply: programmed by measurement.

    Raises:
        SpiceError: a current that no gate from 0.2 to 0.9 V gives.
    """
    gate_v, given_a = branch_curve(process, temperature_c, sweep="gate", low_v=0.2, high_v=0.9)
    if np.min(current_a) < given_a[0] or np.max(current_a) > given_a[-1]:
        raise SpiceError(
            f"currents of {np.min(current_a):.3g} to {np.max(current_a):.3g} A; a branch gives {given_a[0]:.2g} to "
            f"{given_a[-1]:.2g} A, scale the weights into that"
        )
    return CubicSpline(np.log(given_a), gate_v)(np.log(current_a))


def play(
    process: Process,
    current_a: Float[np.ndarray, "n"],
    codes: Int[np.ndarray, "t n"],
    timing: Timing,
    capacitance_f: float,
    temperature_c: float,
    supply_v: float = SUPPLY_V,
) -> Played:
    """Tokens one after the other through branches, lines and latch. A first token of zeros is not returned.

    Args:
        process: of the transistors.
        current_a: of each branch, A, above zero.
        codes: clock steps of each pulse, above zero on the plus line, below on the minus line.
        timing: of a token.
        capacitance_f: of each line's capacitor, F.
        temperature_c: degrees Celsius; the gates are programmed at it (currents do not move).
        supply_v: of lines, drivers and latch, V; the gates are programmed at ``SUPPLY_V``.
    """
    tokens, inputs = codes.shape
    if inputs != len(current_a):
        raise SpiceError(f"{inputs} inputs for {len(current_a)} branches; give one a current")
    if np.max(np.abs(codes)) > timing.steps:
        raise SpiceError(f"a pulse of {np.max(np.abs(codes))} steps; the full time is {timing.steps} steps")
    codes = np.vstack([np.zeros((1, inputs), int), codes])
    text = f"* {tokens} tokens of {inputs} pulses\n{cells_text(process)}{TRANSIENT_OPTIONS}\n.temp {temperature_c:g}\n"
    text += f"Vdd vdd 0 {supply_v}\nVdp vdp 0 {supply_v}\nVdl vdl 0 {supply_v}\n"
    text += f"Cp plus 0 {capacitance_f:.9e}\nCm minus 0 {capacitance_f:.9e}\n"
    period = timing.token_s
    starts = [token * period for token in range(len(codes))]
    for branch, gate_v in enumerate(gates_v(process, current_a, temperature_c).tolist()):
        text += f"Vg{branch} g{branch} 0 {gate_v:.9e}\n"
        for sign, port in ((1, "p"), (-1, "m")):
            windows = [
                (start + timing.pulses_at_s + first * timing.step_s, start + timing.pulses_at_s + last * timing.step_s)
                for start, code in zip(starts, codes[:, branch].tolist(), strict=True)
                for first, last in timing.windows(max(sign * code, 0))
            ]
            text += _source(f"{port}{branch}", windows, supply_v, 0.0)
        text += f"Xb{branch} plus minus vdd vdp g{branch} p{branch} m{branch} {BRANCH.name}\n"
    end_s = len(starts) * period
    text += _source("on", [(start, start + timing.precharge_s) for start in (*starts, end_s)], 0.0, supply_v)
    clock = [(start + timing.latch_at_s, start + period - 2 * EDGE_S) for start in starts]
    text += _source("clkn", clock, supply_v, 0.0)
    text += f"Xp plus minus vdd vdp on {PRECHARGE.name}\nXl minus plus keep drop clkn vdl {LATCH.name}\n"
    vectors = ("v(plus)", "v(minus)", "v(keep)", "v(drop)", "i(Vdd)", "i(Vdp)", "i(Vdl)")
    command = f"tran {0.1 * timing.step_s:.6e} {end_s + timing.precharge_s:.9e} 0 {0.2 * timing.step_s:.6e}"
    done = simulate(Deck(text, (Analysis(command, vectors),)), timeout_s=600.0).results[0]
    return _measured(done, starts, timing, supply_v)


def _measured(done: dict[str, np.ndarray], starts: Sequence[float], timing: Timing, supply_v: float) -> Played:
    time_s = done["sweep"]

    def at(name: str, moments: np.ndarray) -> np.ndarray:
        return np.interp(moments, time_s, done[name])

    begin = np.array(starts[1:])
    look = begin + timing.latch_at_s - EDGE_S
    plus_v, minus_v = at("v(plus)", look), at("v(minus)", look)
    end = begin + timing.token_s - 4 * EDGE_S
    drawn = []
    for name in ("i(vdd)", "i(vdp)", "i(vdl)"):
        so_far = np.concatenate([[0.0], np.cumsum(-0.5 * (done[name][1:] + done[name][:-1]) * np.diff(time_s))])
        # Until the lines are charged again: what a token took from them.
        charged = begin + timing.precharge_s
        drawn.append(np.interp(charged + timing.token_s, time_s, so_far) - np.interp(charged, time_s, so_far))
    keep_v, drop_v = at("v(keep)", end), at("v(drop)", end)
    if np.any((keep_v > 0.5 * supply_v) == (drop_v > 0.5 * supply_v)):
        raise SpiceError("the latch has not decided when it is reset; give it more time (Timing.latch_s)")
    return Played(minus_v - plus_v, supply_v - 0.5 * (plus_v + minus_v), keep_v > drop_v, np.stack(drawn, axis=1))


def _source(node: str, windows: Sequence[tuple[float, float]], outside_v: float, inside_v: float) -> str:
    """A source that is at one rail in the windows and at the other outside."""
    points = f"0 {outside_v}"
    for first, last in windows:
        points += f" {first + 1e-12:.6e} {outside_v} {first + EDGE_S:.6e} {inside_v}"
        points += f" {last:.6e} {inside_v} {last + EDGE_S:.6e} {outside_v}"
    return f"V{node} {node} 0 PWL({points})\n"
