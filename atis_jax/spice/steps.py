"""Test benches of cells in time: an OTA's output current and a comparator's bit after a step."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float

from atis_jax.cells.library import COMMON_MODE_V, COMPARATOR_CURRENT_A, SUPPLY_V
from atis_jax.spice.benches import head
from atis_jax.spice.cells import TRANSIENT_OPTIONS
from atis_jax.spice.models import Process
from atis_jax.spice.netlist import Amplifier, comparator_line, differential, ota_line, token_ends, token_waveforms
from atis_jax.spice.simulator import Analysis, Deck, SpiceError, simulate

RAMP_S = 1e-9


def ota_step(
    process: Process, bias_a: float, step_v: float, stop_s: float, temperature_c: float, points: int = 2000
) -> tuple[np.ndarray, np.ndarray]:
    """Times after a step of the input from plus to minus ``step_v``, s, and the current into a virtual ground, A."""
    start_s = 0.1 * stop_s
    drive = f"Vd d 0 PWL(0 {step_v} {start_s:.6e} {step_v} {start_s + RAMP_S:.6e} {-step_v})\n{differential('1', 'd')}"
    text = head(f"step of an OTA, {bias_a:g} A", process, temperature_c, options=TRANSIENT_OPTIONS)
    text += f"{drive}{ota_line('1', bias_a, 'out')}Vo out 0 {COMMON_MODE_V}\n"
    whole_s = start_s + stop_s
    analysis = Analysis(f"tran {whole_s / points:.6e} {whole_s:.6e} 0 {whole_s / points:.6e}", ("i(Vo)",))
    result = simulate(Deck(text, (analysis,))).results[0]
    after = result["sweep"] > start_s + 2 * RAMP_S
    return result["sweep"][after] - start_s - RAMP_S, result["i(vo)"][after]


def comparator_delay_s(
    process: Process, overdrive_v: float, bias_a: float, temperature_c: float, before_v: float = 0.06
) -> float:
    """Time from a step of the score, across the threshold to ``overdrive_v`` beyond it, until the bit has turned, s.

    Args:
        process: of the transistors.
        overdrive_v: score less threshold after the step, either sign, V.
        bias_a: of the comparator, A.
        temperature_c: degrees Celsius.
        before_v: distance from the threshold before it, V.

    Raises:
        SpiceError: the bit does not turn.
    """
    start_s, stop_s = 5e-6, 25e-6
    before = math.copysign(before_v, -overdrive_v)
    text = head(f"comparator at {overdrive_v:g} V", process, temperature_c, options=TRANSIENT_OPTIONS)
    text += f"Vd d 0 PWL(0 {before} {start_s} {before} {start_s + RAMP_S:.6e} {overdrive_v})\nEy y ref d 0 -1\n"
    text += comparator_line(0.0, bias_a, "y", "keep")
    result = simulate(Deck(text, (Analysis(f"tran 1e-8 {stop_s} 0 1e-8", ("v(keep)",)),))).results[0]
    turned = (result["v(keep)"] > 0.5 * SUPPLY_V) == (overdrive_v > 0)
    if not turned[-1]:
        raise SpiceError(f"the comparator does not turn within {stop_s - start_s:g} s at {overdrive_v:g} V")
    return float(result["sweep"][np.flatnonzero(~turned)[-1] + 1] - start_s)


def scores_in_time(
    process: Process,
    signed_current_a: Float[np.ndarray, "n"],
    voltages_v: Float[np.ndarray, "t n"],
    amplifier: Amplifier,
    threshold_v: float,
    token_s: float,
    temperature_c: float,
) -> tuple[Float[np.ndarray, "t"], Bool[np.ndarray, "t"]]:
    """A row of the scorer, TIA and comparator included, one token after the other: scores in V, bits, at their ends."""
    tokens = len(voltages_v)
    text = head(f"row of {len(signed_current_a)} OTAs in time", process, temperature_c, options=TRANSIENT_OPTIONS)
    text += token_waveforms(voltages_v, token_s)
    text += "".join(ota_line(f"{j}", one, "s") for j, one in enumerate(signed_current_a.tolist()) if one != 0)
    text += amplifier.lines("s", "y") + comparator_line(threshold_v, COMPARATOR_CURRENT_A, "y", "keep")
    analysis = Analysis(f"tran {token_s / 100:.6e} {tokens * token_s:.6e}", ("v(y)", "v(keep)"))
    result = simulate(Deck(text, (analysis,)), timeout_s=600.0).results[0]
    ends = token_ends(result["sweep"], tokens, token_s)
    return COMMON_MODE_V - result["v(y)"][ends], result["v(keep)"][ends] > 0.5 * SUPPLY_V


def node_capacitance_f(
    process: Process, cell: str, node: str, temperature_c: float, frequency_hz: float = 1e5
) -> float:
    """What ``cell``, a netlist's lines, adds to ``node`` at the common mode, F: the current into it over w V."""
    text = head(f"capacitance at {node}", process, temperature_c) + "Vd d 0 0\n" + differential("1", "d") + cell
    text += f"Vx {node} 0 DC {COMMON_MODE_V} AC 1\n"
    result = simulate(Deck(text, (Analysis(f"ac lin 1 {frequency_hz:g} {frequency_hz:g}", ("i(Vx)",)),))).results[0]
    return float(-np.imag(result["i(vx)"][0]) / (2.0 * np.pi * frequency_hz))
