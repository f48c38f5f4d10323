"""Bench of the routing fabric: switches programmed by measurement, tokens as currents, in time; scores and charges.

A floating gate is a voltage source between the input's line and the switch's gate: its stored charge over its
capacitance. The control gate's divider is left out, so a line moves its gates by all of its voltage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.interpolate import CubicSpline

from atis_jax.cells.device import Cell
from atis_jax.cells.fabric import (
    DRIVE_V,
    GREATEST_WEIGHT,
    LINE,
    MODULATION,
    RESET,
    REST_A,
    STEERED,
    SWITCH,
    WIRE_GATE_F,
    WIRE_OUTPUT_F,
    Timing,
)
from atis_jax.cells.library import SUPPLY_V
from atis_jax.cells.pulse import LATCH
from atis_jax.spice.cells import OPTIONS, TRANSIENT_OPTIONS, transistor
from atis_jax.spice.models import Process
from atis_jax.spice.simulator import Analysis, Deck, SpiceError, simulate

EDGE_S = 2e-9
OFF_V = 0.6
"""Of a switch that is off: its gate above the line."""
_PORTS = {
    LINE.name: "line vdd",
    SWITCH.name: "out gate vdd",
    STEERED.name: "plus minus vdr gate bit",
    RESET.name: "plus minus vdd in",
    LATCH.name: "inp inn keep drop clkn vdd",
}
_CELLS: tuple[Cell, ...] = (LINE, SWITCH, STEERED, RESET, LATCH)


@dataclasses.dataclass(frozen=True)
class Played:
    """What tokens gave.

    Attributes:
        score_v: how far the plus line is above the minus line when the latch is clocked, V.
        middle_v: mean of both lines, V.
        keep: the latch's decision.
        charge_c: drawn in each token from the supplies of lines, of converters' switches, of reset and latch, C.
    """

    score_v: Float[np.ndarray, "t"]
    middle_v: Float[np.ndarray, "t"]
    keep: Bool[np.ndarray, "t"]
    charge_c: Float[np.ndarray, "t 3"]


def cells_text(process: Process, *, mismatch: bool = False) -> str:
    """The models and the cells as subcircuits."""
    n_sizes, p_sizes = (
        tuple(dict.fromkeys(size for cell in _CELLS for size in cell.sizes(n_channel=which))) for which in (True, False)
    )
    text = process.text(n_sizes, p_sizes, mismatch)
    for cell in _CELLS:
        body = "".join(transistor(process, one.name, one.nodes, one.size) for one in cell.devices)
        text += f".subckt {cell.name} {_PORTS[cell.name]}\n{body}.ends\n"
    return text


def products_a(
    process: Process,
    charge_v: Float[np.ndarray, "w"],
    current_a: Float[np.ndarray, "c"],
    temperature_c: float,
    *,
    supply_v: float = SUPPLY_V,
    output_v: float = 0.0,
) -> Float[np.ndarray, "w c"]:
    """Currents of switches whose gates stand ``charge_v`` above a line, for equally spaced currents into it, A."""
    text = f"* {len(charge_v)} switches\n{cells_text(process)}{OPTIONS}\n.temp {temperature_c:g}\n"
    text += f"Vdd vdd 0 {supply_v}\nIin line 0 1n\nXl line vdd {LINE.name}\n"
    for one, volts in enumerate(charge_v.tolist()):
        text += (
            f"Vw{one} g{one} line {volts:.9e}\nVo{one} o{one} 0 {output_v}\nXs{one} o{one} g{one} vdd {SWITCH.name}\n"
        )
    step_a = current_a[1] - current_a[0]
    command = f"dc Iin {current_a[0]:.9e} {current_a[-1] + 0.01 * step_a:.9e} {step_a:.9e}"
    vectors = tuple(f"i(Vo{one})" for one in range(len(charge_v)))
    done = simulate(Deck(text, (Analysis(command, vectors, points=len(current_a)),))).results[0]
    return np.stack([done[f"i(vo{one})"] for one in range(len(charge_v))])


def modulated(products_a: Float[np.ndarray, "w 3"], modulation: float, rest_a: float) -> Float[np.ndarray, "w"]:
    """Weights of switches from their currents at I_0 (1 - m), I_0, I_0 (1 + m): what a full input moves, over m I_0."""
    return (products_a[:, 2] - products_a[:, 0]) / (2.0 * modulation * rest_a)


def charges_v(
    process: Process, weights: Float[np.ndarray, "w"], modulation: float, rest_a: float = REST_A
) -> Float[np.ndarray, "w"]:
    """Stored charges as voltages that give ``weights`` at 27 C: programmed by measurement.

    Raises:
        SpiceError: a weight outside 0.01 to 8.
    """
    tried_v = np.linspace(-0.13, 0.24, 38)
    found = modulated(
        products_a(process, tried_v, rest_a * np.array([1.0 - modulation, 1.0, 1.0 + modulation]), 27.0),
        modulation,
        rest_a,
    )[::-1]
    if np.min(weights) < found[0] or np.max(weights) > found[-1]:
        raise SpiceError(
            f"weights of {np.min(weights):.3g} to {np.max(weights):.3g}; a switch gives {found[0]:.2g} to "
            f"{found[-1]:.2g}, scale the weights into that"
        )
    return CubicSpline(np.log(found), tried_v[::-1])(np.log(weights))


def capacitances_f(process: Process, rest_a: float = REST_A) -> tuple[float, float]:
    """Small-signal capacitance that an input transistor or a switch adds to a line, and a switch to an output, F.

    The line from its own current; the output averaged from 0 to 0.9 V.
    """
    text = f"* capacitances\n{cells_text(process)}{OPTIONS}\nVdd vdd 0 {SUPPLY_V}\nIin line 0 {rest_a}\n"
    text += f"Xl line vdd {LINE.name}\nVw g line 0\nEc c 0 line 0 1\nVa a c dc 0 ac 1\nVs h a 0\n"
    text += f"Vo out 0 dc 0 ac 0\nXs out h vdd {SWITCH.name}\nVz p 0 dc 0 ac 1\nXz p line vdd {SWITCH.name}\n"
    frequency_hz = 1e5
    analyses = [Analysis(f"ac lin 1 {frequency_hz} {frequency_hz}", ("i(Vs)", "i(Vz)"))]
    results = []
    for volts in (0.0, 0.45, 0.9):
        deck = Deck(text.replace("Vz p 0 dc 0", f"Vz p 0 dc {volts}"), tuple(analyses))
        results.append(simulate(deck).results[0])
    of_gate = [abs(one["i(vs)"][0].imag) for one in results]
    of_drain = [abs(one["i(vz)"][0].imag) for one in results]
    return float(np.mean(of_gate) / (2 * np.pi * frequency_hz)), float(np.mean(of_drain) / (2 * np.pi * frequency_hz))


def steered_gates_v(
    process: Process, current_a: Float[np.ndarray, "n"], temperature_c: float = 27.0, line_v: float = 1.05
) -> Float[np.ndarray, "n"]:
    """Gate voltages at which a converter's sources give ``current_a`` into a line at ``line_v``.

    Raises:
        SpiceError: a current that no gate from 0.1 to 0.8 V gives.
    """
    text = f"* one bit\n{cells_text(process)}{OPTIONS}\n.temp {temperature_c:g}\nVr vdr 0 {DRIVE_V}\n"
    text += f"Vg gate 0 0.5\nVl plus 0 {line_v}\nXb plus plus vdr gate vdr {STEERED.name}\n"
    step_v = 0.7 / 70
    command = f"dc Vg 0.1 {0.8 + 0.01 * step_v:.9e} {step_v:.9e}"
    done = simulate(Deck(text, (Analysis(command, ("i(Vl)",), points=71),))).results[0]
    given_a = -done["i(vl)"]
    if np.min(current_a) < given_a[0] or np.max(current_a) > given_a[-1]:
        raise SpiceError(
            f"currents of {np.min(current_a):.3g} to {np.max(current_a):.3g} A; a converter's source gives "
            f"{given_a[0]:.2g} to {given_a[-1]:.2g} A"
        )
    return CubicSpline(np.log(given_a), done["sweep"])(np.log(current_a))


def play(
    process: Process,
    weights: Float[np.ndarray, "n"],
    codes: Int[np.ndarray, "t n"],
    timing: Timing,
    temperature_c: float,
    *,
    supply_v: float = SUPPLY_V,
    rest_a: float = REST_A,
    extra_f: float = 0.0,
    load_f: float = 0.0,
    converters: bool = False,
) -> Played:
    """Tokens one after the other through lines, switches, outputs and latch. A first token of zeros is not returned.

    Args:
        process: of the transistors.
        weights: signed, zero for a switch that is off; the last is the threshold's, whose input stands at full scale.
            One that is greater than ``GREATEST_WEIGHT`` is several switches.
        codes: of each input but the threshold's, -steps to steps.
        timing: of a token.
        temperature_c: degrees Celsius; switches are programmed at 27 C, their charge stays.
        supply_v: of lines, resets and latches, V; switches are programmed at ``SUPPLY_V``.
        rest_a: I_0, A.
        extra_f: of each input's line beside its crossings, F.
        load_f: the same of each output.
        converters: whether transistors make the inputs' currents; else ideal sources do.
    """
    tokens, inputs = codes.shape
    if inputs + 1 != len(weights):
        raise SpiceError(f"{inputs} inputs for {len(weights)} weights; give one an input, and one the threshold")
    if np.max(np.abs(codes)) > timing.steps:
        raise SpiceError(f"an input of {np.max(np.abs(codes))} steps; full scale is {timing.steps} steps")
    codes = np.vstack([np.zeros((1, inputs), int), codes])
    codes = np.hstack([codes, np.full((tokens + 1, 1), timing.steps)])
    switches = np.maximum(np.ceil(np.abs(weights) / GREATEST_WEIGHT), 1.0).astype(int)
    charge_v = np.full(len(weights), OFF_V)
    on = weights != 0
    charge_v[on] = charges_v(process, np.abs(weights[on]) / switches[on], timing.modulation, rest_a)
    text = (
        f"* {tokens} tokens of {inputs} currents\n{cells_text(process)}{TRANSIENT_OPTIONS}\n.temp {temperature_c:g}\n"
    )
    text += f"Vdd vdd 0 {supply_v}\nVdr vdr 0 {DRIVE_V}\nVdl vdl 0 {supply_v}\n"
    wire_f = 2 * (inputs + 1) * WIRE_OUTPUT_F + load_f
    text += f"Cp plus 0 {wire_f:.6e}\nCm minus 0 {wire_f:.6e}\n"
    starts = [token * timing.token_s for token in range(len(codes))]
    bits_a = rest_a * MODULATION * 2.0 ** -np.arange(timing.bits)
    lowest_a = bits_a[-1]
    # What each line always has: the lower one the step that the bits cannot reach.
    always_a = rest_a * (1.0 - MODULATION) + lowest_a * np.array([0.0, 1.0])
    gates_v = steered_gates_v(process, np.concatenate([bits_a, always_a])) if converters else np.zeros(0)
    for one, (weight, volts) in enumerate(zip(weights.tolist(), charge_v.tolist(), strict=True)):
        for sign, name in ((1, "a"), (-1, "b")):
            line = f"{name}{one}"
            text += f"Xi{line} {line} vdd {LINE.name}\nCw{line} {line} 0 {2 * WIRE_GATE_F + extra_f:.6e}\n"
            chosen, other = ("plus", "minus") if sign * weight > 0 else ("minus", "plus")
            text += f"Vn{line} n{line} {line} {volts:.9e}\n"
            for copy in range(switches[one]):
                text += f"Xn{line}_{copy} {chosen} n{line} vdd {SWITCH.name}\n"
            text += f"Vf{line} f{line} {line} {OFF_V}\nXf{line} {other} f{line} vdd {SWITCH.name}\n"
            if converters and one < inputs:
                text += f"Vk{line} k{line} 0 {gates_v[-2] if sign > 0 else gates_v[-1]:.9e}\n"
                text += f"Xk{line} {line} {line} vdr k{line} vdr {STEERED.name}\n"
            else:
                currents_a = rest_a * (1.0 + sign * MODULATION * codes[:, one] / 2 ** (timing.bits - 1))
                text += f"I{line} {line} 0 PWL({_steps(starts, currents_a.tolist())})\n"
        if converters and one < inputs:
            for bit in range(timing.bits):
                high = (codes[:, one] + 2 ** (timing.bits - 1)) >> (timing.bits - 1 - bit) & 1
                text += f"Vb{one}_{bit} t{one}_{bit} 0 PWL({_steps(starts, (DRIVE_V * high).tolist())})\n"
                text += f"Vg{one}_{bit} g{one}_{bit} 0 {gates_v[bit]:.9e}\n"
                text += f"Xb{one}_{bit} a{one} b{one} vdr g{one}_{bit} t{one}_{bit} {STEERED.name}\n"
    end_s = len(starts) * timing.token_s
    text += _pulses("in", [(start, start + timing.settle_s) for start in starts], 0.0, supply_v)
    clock = [(start + timing.latch_at_s, start + timing.token_s - EDGE_S) for start in starts]
    text += _pulses("clkn", clock, supply_v, 0.0)
    text += f"Xr plus minus vdl in {RESET.name}\nXl plus minus keep drop clkn vdl {LATCH.name}\n"
    vectors = ("v(plus)", "v(minus)", "v(keep)", "v(drop)", "i(Vdd)", "i(Vdr)", "i(Vdl)")
    longest_s = min(timing.integrate_s, timing.settle_s) / 30
    command = f"tran {longest_s:.6e} {end_s:.9e} 0 {longest_s:.6e}"
    done = simulate(Deck(text, (Analysis(command, vectors),)), timeout_s=600.0).results[0]
    return _measured(done, starts[1:], timing, supply_v)


def _measured(done: dict[str, np.ndarray], starts: Sequence[float], timing: Timing, supply_v: float) -> Played:
    time_s, begin = done["sweep"], np.array(starts)

    def at(name: str, moments: np.ndarray) -> np.ndarray:
        return np.interp(moments, time_s, done[name])

    look = begin + timing.latch_at_s
    plus_v, minus_v = at("v(plus)", look), at("v(minus)", look)
    drawn = []
    for name in ("i(vdd)", "i(vdr)", "i(vdl)"):
        so_far = np.concatenate([[0.0], np.cumsum(-0.5 * (done[name][1:] + done[name][:-1]) * np.diff(time_s))])
        drawn.append(np.interp(begin + timing.token_s, time_s, so_far) - np.interp(begin, time_s, so_far))
    end = begin + timing.token_s - 1.5 * EDGE_S
    keep_v, drop_v = at("v(keep)", end), at("v(drop)", end)
    if np.any((keep_v > 0.5 * supply_v) == (drop_v > 0.5 * supply_v)):
        raise SpiceError("the latch has not decided when it is reset; give it more time (Timing.latch_s)")
    return Played(plus_v - minus_v, 0.5 * (plus_v + minus_v), keep_v > drop_v, np.stack(drawn, axis=1))


def _steps(starts: Sequence[float], values: Sequence[float]) -> str:
    """A level for each token."""
    points = f"0 {values[0]:.9e}"
    for start, before, value in zip(starts[1:], values[:-1], values[1:], strict=True):
        points += f" {start:.9e} {before:.9e} {start + EDGE_S:.9e} {value:.9e}"
    return points


def _pulses(node: str, windows: Sequence[tuple[float, float]], outside_v: float, inside_v: float) -> str:
    """A source that is at one level in the windows and at the other outside; edges within the windows' first moment."""
    edge_s = 0.1 * EDGE_S
    points = f"0 {inside_v if windows[0][0] == 0.0 else outside_v}"
    for first, last in windows:
        if first > 0.0:
            points += f" {first + 1e-12:.9e} {outside_v} {first + edge_s:.9e} {inside_v}"
        points += f" {last:.9e} {inside_v} {last + edge_s:.9e} {outside_v}"
    return f"V{node} {node} 0 PWL({points})\n"
