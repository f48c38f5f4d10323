"""Test benches: what is simulated of each cell. Decks and the arrays they give; nothing here knows our model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from atis_jax.cells.library import COMMON_MODE_V, COMPARATOR, COMPARATOR_CURRENT_A, OTA, SUPPLY_V
from atis_jax.spice.cells import OPTIONS, cells_text
from atis_jax.spice.models import Process
from atis_jax.spice.netlist import Amplifier, comparator_line, differential, ota_line, token_sources
from atis_jax.spice.simulator import Analysis, Deck, SpiceError, simulate, simulate_all

HALF_SPAN_V = 0.15
"""Transfer curves go from minus to plus this, V."""
AT_ONCE = 50
"""Mismatched OTAs in one deck."""
SEEDS_APART = 10_000
"""Seeds of the simulator that belong to one seed of ours: as many decks."""
RAMP_S = 1e-9


def head(
    title: str,
    process: Process,
    temperature_c: float,
    supply_v: float = SUPPLY_V,
    *,
    mismatch: bool = False,
    options: str = OPTIONS,
) -> str:
    """Title, models, cells, options, temperature, supply and common mode: what every deck starts with.

    The common mode stays where it is at any supply: it is a reference of its own, as the input's levels are.
    """
    return (
        f"* {title}\n{cells_text(process, mismatch=mismatch)}{options}\n.temp {temperature_c:g}\n"
        f"Vdd vdd 0 {supply_v}\nVcm cm 0 {COMMON_MODE_V}\n"
    )


def ota_deck(
    process: Process,
    bias_a: float,
    temperature_c: float,
    points: int = 301,
    supply_v: float = SUPPLY_V,
    *,
    differential_drive=True,
) -> Deck:
    """One OTA into a source at the common mode, its input swept over +-150 mV."""
    step_v = 2 * HALF_SPAN_V / (points - 1)
    drive = differential("1", "d") if differential_drive else "Ep1 p1 cm d 0 1\nVn1 n1 cm 0\n"
    text = (
        head(f"OTA, {bias_a:g} A, {temperature_c:g} C, {supply_v:g} V", process, temperature_c, supply_v)
        + f"Vd d 0 0\n{drive}{ota_line('1', bias_a, 'out')}Vo out 0 {COMMON_MODE_V}\n"
    )
    return Deck(text, (Analysis(_sweep("Vd", HALF_SPAN_V, step_v), ("i(Vo)",), points=points),))


def _sweep(source: str, half_span: float, step: float) -> str:
    """A sweep whose last point rounding cannot lose."""
    return f"dc {source} {-half_span:.9e} {half_span + 0.01 * step:.9e} {step:.9e}"


def ota_curves(
    process: Process,
    biases_a: Sequence[float],
    temperatures_c: Sequence[float],
    points: int = 301,
    supply_v: float = SUPPLY_V,
) -> list[tuple[float, float, np.ndarray, np.ndarray]]:
    """(bias, temperature, voltages, currents) of one OTA at each bias and temperature."""
    cases = [(bias_a, celsius) for bias_a in biases_a for celsius in temperatures_c]
    done = simulate_all(ota_deck(process, bias_a, celsius, points, supply_v) for bias_a, celsius in cases)
    return [(*case, one.results[0]["sweep"], one.results[0]["i(vo)"]) for case, one in zip(cases, done, strict=True)]


def mismatched_otas(
    process: Process,
    bias_a: float,
    temperature_c: float,
    count: int,
    seed: int,
    points: int = 61,
    *,
    own_diode: bool = False,
) -> tuple[Float[np.ndarray, "p"], Float[np.ndarray, "n p"]]:
    """Transfer curves of ``count`` OTAs whose transistors all drew their own mismatch: voltages and currents.

    Args:
        process: of the transistors.
        bias_a: of each, A.
        temperature_c: degrees Celsius.
        count: OTAs; ``AT_ONCE`` in one deck, each deck with a seed of its own.
        seed: of the draws.
        points: of a curve.
        own_diode: whether the mirror's input draws too (each OTA programmed by a current), or the tail's gate is held
            at the voltage of a diode without mismatch (a floating gate, or one diode for a whole array).
    """
    step_v = 2 * HALF_SPAN_V / (points - 1)
    gate_v = 0.0 if own_diode else _bias_voltage_v(process, bias_a, temperature_c)

    def deck(number: int, size: int) -> Deck:
        text = head(f"{size} mismatched OTAs, {bias_a:g} A", process, temperature_c, mismatch=True)
        text += f".option seed={seed * SEEDS_APART + number + 1}\nVd d 0 0\n" + differential("0", "d")
        for one in range(size):
            bias = f"Ib{one} vdd b{one} {bias_a:.9e}" if own_diode else f"Vb{one} b{one} 0 {gate_v:.9e}"
            text += f"{bias}\nXO{one} p0 n0 o{one} b{one} vdd {OTA.name}\nVo{one} o{one} 0 {COMMON_MODE_V}\n"
        vectors = tuple(f"i(Vo{one})" for one in range(size))
        return Deck(text, (Analysis(_sweep("Vd", HALF_SPAN_V, step_v), vectors, points=points),))

    sizes = [min(AT_ONCE, count - first) for first in range(0, count, AT_ONCE)]
    done = simulate_all([deck(number, size) for number, size in enumerate(sizes)], timeout_s=300.0)
    found = [one.results[0][f"i(vo{number})"] for one, size in zip(done, sizes, strict=True) for number in range(size)]
    return done[0].results[0]["sweep"], np.stack(found)


def _bias_voltage_v(process: Process, bias_a: float, temperature_c: float) -> float:
    """Gate voltage of a tail without mismatch, V."""
    deck = ota_deck(process, bias_a, temperature_c, points=3)
    analysis = dataclasses.replace(deck.analyses[0], vectors=("v(b1)",))
    return float(simulate(dataclasses.replace(deck, analyses=(analysis,))).results[0]["v(b1)"][1])


def array_sums(
    process: Process,
    signed_current_a: Float[np.ndarray, "n"],
    voltages_v: Float[np.ndarray, "t n"],
    temperature_c: float,
) -> Float[np.ndarray, "t"]:
    """Current of an array into a virtual ground for each row of input voltages, A."""
    tokens, inputs = voltages_v.shape
    if inputs != len(signed_current_a):
        raise SpiceError(f"{inputs} input voltages for {len(signed_current_a)} OTAs; give one a bias current")
    text = head(f"sum of {inputs} OTAs, {temperature_c:g} C", process, temperature_c)
    text += "Vtok tok 0 0\n" + token_sources(voltages_v)
    text += "".join(ota_line(f"{j}", current, "out") for j, current in enumerate(signed_current_a.tolist()))
    text += f"Vo out 0 {COMMON_MODE_V}\n"
    analysis = Analysis(f"dc Vtok 0 {tokens - 0.99:.9g} 1", ("i(Vo)",), points=tokens)
    return simulate(Deck(text, (analysis,)), timeout_s=300.0).results[0]["i(vo)"]


def supply_currents(
    process: Process,
    signed_current_a: Float[np.ndarray, "n"],
    voltages_v: Float[np.ndarray, "t n"],
    feedback_ohm: float,
    comparator_a: float,
    temperature_c: float,
) -> Float[np.ndarray, "3 t"]:
    """What array, op-amp and comparator of a row draw from the supply for each token, settled, A; threshold zero."""
    amplifier = Amplifier(feedback_ohm, float(np.sum(np.abs(signed_current_a))), 1e6)
    # A supply of its own each, so that its current tells.
    rails = ("vdd0", "vdd1", "vdd2")
    text = head(f"supply of {len(signed_current_a)} OTAs", process, temperature_c) + "Vtok tok 0 0\n"
    text += token_sources(voltages_v) + "".join(f"Vs{rail} {rail} 0 {SUPPLY_V}\n" for rail in rails)
    for number, current in enumerate(signed_current_a.tolist()):
        text += ota_line(f"{number}", current, "s", rail=rails[0])
    text += amplifier.lines("s", "y", rail=rails[1]) + comparator_line(0.0, comparator_a, "y", "keep", rail=rails[2])
    vectors = tuple(f"i(Vs{rail})" for rail in rails)
    tokens = len(voltages_v)
    analysis = Analysis(f"dc Vtok 0 {tokens - 0.99:.9g} 1", vectors, points=tokens)
    done = simulate(Deck(text, (analysis,)), timeout_s=300.0).results[0]
    return -np.stack([done[vector.lower()] for vector in vectors])


def loaded_sums(
    process: Process,
    signed_current_a: Float[np.ndarray, "n"],
    voltages_v: Float[np.ndarray, "t n"],
    load_ohm: float,
    temperature_c: float,
) -> Float[np.ndarray, "t"]:
    """Current of an array through a resistor to the common mode for each row of input voltages, A."""
    tokens = len(voltages_v)
    text = head(f"{len(signed_current_a)} OTAs into {load_ohm:g} ohm", process, temperature_c)
    text += "Vtok tok 0 0\n" + token_sources(voltages_v)
    text += "".join(ota_line(f"{j}", current, "out") for j, current in enumerate(signed_current_a.tolist()))
    text += f"Rl out cm {load_ohm:.9e}\n"
    analysis = Analysis(f"dc Vtok 0 {tokens - 0.99:.9g} 1", ("v(out)",), points=tokens)
    return (simulate(Deck(text, (analysis,)), timeout_s=300.0).results[0]["v(out)"] - COMMON_MODE_V) / load_ohm


def array_scores(
    process: Process,
    signed_current_a: Float[np.ndarray, "n"],
    voltages_v: Float[np.ndarray, "t n"],
    amplifier: Amplifier,
    threshold_v: float,
    temperature_c: float,
    supply_v: float = SUPPLY_V,
) -> tuple[Float[np.ndarray, "t"], Bool[np.ndarray, "t"]]:
    """A row of the exported scorer, TIA and comparator included: scores in V and keep bits of each row of voltages.

    Args:
        process: of the transistors.
        signed_current_a: bias currents, sign = swapped inputs; zero is an OTA that is not built, A.
        voltages_v: differential inputs, V.
        amplifier: of the row.
        threshold_v: asked of the comparator, V.
        temperature_c: degrees Celsius.
        supply_v: V.
    """
    tokens = len(voltages_v)
    text = head(f"row of {len(signed_current_a)} OTAs", process, temperature_c, supply_v)
    text += "Vtok tok 0 0\n" + token_sources(voltages_v)
    text += "".join(ota_line(f"{j}", one, "s") for j, one in enumerate(signed_current_a.tolist()) if one != 0)
    text += amplifier.lines("s", "y") + comparator_line(threshold_v, COMPARATOR_CURRENT_A, "y", "keep")
    analysis = Analysis(f"dc Vtok 0 {tokens - 0.99:.9g} 1", ("v(y)", "v(keep)"), points=tokens)
    found = simulate(Deck(text, (analysis,)), timeout_s=300.0).results[0]
    return COMMON_MODE_V - found["v(y)"], found["v(keep)"] > 0.5 * supply_v


def output_noise(
    process: Process, bias_a: float, temperature_c: float, low_hz: float = 1.0, high_hz: float = 1e6
) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and the noise current density of one balanced OTA into a virtual ground, A^2/Hz."""
    text = head(f"noise of an OTA, {bias_a:g} A", process, temperature_c)
    text += f"Vd d 0 DC 0 AC 1\n{differential('1', 'd')}{ota_line('1', bias_a, 'out')}"
    text += f"Vo out 0 {COMMON_MODE_V}\nHn noise 0 Vo 1\n"
    command = f"noise v(noise) Vd dec 10 {low_hz:g} {high_hz:g}"
    result = simulate(Deck(text, (Analysis(command, ("onoise_spectrum",), plot="noise1"),))).results[0]
    spectrum = next(values for name, values in result.items() if "onoise" in name)
    return np.real(result["sweep"]), np.real(spectrum) ** 2


def settling_s(
    process: Process, bias_a: float, capacitance_f: float, temperature_c: float, bits: int, step_v: float = 0.01
) -> float:
    """Time of an OTA as a follower loaded with ``capacitance_f`` to come within half an LSB of ``bits`` of a step, s.

    Half an LSB of a step is its 2^-(bits + 1).
    """
    guess_s = capacitance_f / (bias_a * 13.0) * np.log(2.0 ** (bits + 1))
    text = head(f"settling of an OTA, {bias_a:g} A, {capacitance_f:g} F", process, temperature_c)
    start_s = 0.02 * guess_s
    rest, there = f"{COMMON_MODE_V}", f"{COMMON_MODE_V + step_v}"
    text += f"Vi p1 0 PWL(0 {rest} {start_s:.6e} {rest} {start_s + RAMP_S:.6e} {there})\n"
    text += f"Ib1 vdd b1 {bias_a:.9e}\nXO1 p1 out out b1 vdd {OTA.name}\nCl out 0 {capacitance_f:.6e}\n"
    stop_s = 4.0 * guess_s
    result = simulate(
        Deck(text, (Analysis(f"tran {stop_s / 4000:.6e} {stop_s:.6e} 0 {stop_s / 2000:.6e}", ("v(out)",)),))
    ).results[0]
    time_s, out_v = result["sweep"], result["v(out)"]
    outside = np.abs(out_v - out_v[-1]) > np.abs(out_v[-1] - out_v[0]) * 2.0 ** -(bits + 1)
    last = int(np.flatnonzero(outside)[-1])
    return float(time_s[min(last + 1, len(time_s) - 1)] - start_s)


def amplifier_curve(
    process: Process, amplifier: Amplifier, temperature_c: float, points: int = 121, supply_v: float = SUPPLY_V
) -> tuple[np.ndarray, np.ndarray]:
    """Currents into the node, up to the array's sum, and the score V_cm - V(out) of each, V."""
    total_a = amplifier.total_current_a
    text = head(f"TIA, {amplifier.feedback_ohm:g} ohm", process, temperature_c, supply_v)
    text += f"Ii 0 s 0\n{amplifier.lines('s', 'y')}"
    analysis = Analysis(_sweep("Ii", total_a, 2 * total_a / (points - 1)), ("v(y)",), points=points)
    result = simulate(Deck(text, (analysis,))).results[0]
    return result["sweep"], COMMON_MODE_V - result["v(y)"]


def comparator_offsets(
    process: Process,
    thresholds_v: Sequence[float],
    bias_a: float,
    temperature_c: float,
    half_span_v: float = 0.01,
    supply_v: float = SUPPLY_V,
    *,
    inverted: bool = True,
) -> Float[np.ndarray, "m"]:
    """Score at which the comparator says keep, less the threshold asked for, V: its systematic offset.

    Args:
        process: of the transistors.
        thresholds_v: asked for, V.
        bias_a: of the comparator, A.
        temperature_c: degrees Celsius.
        half_span_v: how far from each threshold is looked, V.
        supply_v: V.
        inverted: whether the score falls as its node rises, as behind a TIA.
    """
    sign = -1 if inverted else 1
    step_v = half_span_v / 100

    def deck(threshold_v: float) -> Deck:
        text = head(f"comparator at {threshold_v:g} V", process, temperature_c, supply_v)
        line = comparator_line(threshold_v, bias_a, "y", "keep", inverted=inverted)
        text += f"Vd d 0 0\nEy y ref d 0 {sign}\n{line}"
        return Deck(text, (Analysis(_sweep("Vd", half_span_v, step_v), ("v(keep)",), points=201),))

    done = simulate_all(deck(float(threshold_v)) for threshold_v in thresholds_v)
    results = [one.results[0] for one in done]
    return np.array([_trip(one["sweep"], one["v(keep)"], half_span_v, supply_v) for one in results])


def mismatched_comparators(
    process: Process,
    threshold_v: float,
    temperature_c: float,
    count: int,
    seed: int,
    half_span_v: float = 0.03,
    step_v: float = 2e-4,
) -> Float[np.ndarray, "n"]:
    """Score at which each of ``count`` comparators with their own mismatch says keep, less the threshold, V.

    The same seed gives the same devices at every temperature.

    Args:
        process: of the transistors.
        threshold_v: asked of each, V.
        temperature_c: degrees Celsius.
        count: comparators.
        seed: of the draws.
        half_span_v: the score is swept so far to either side, V.
        step_v: of the sweep; an offset is found within half of it.

    Raises:
        SpiceError: a comparator does not switch within the span.
    """
    points = 2 * round(half_span_v / step_v) + 1

    def deck(number: int, size: int) -> Deck:
        text = head(f"{size} mismatched comparators", process, temperature_c, mismatch=True)
        text += f".option seed={seed * SEEDS_APART + number + 1}\nVd d 0 0\n"
        text += f"Vtheta cm reference {threshold_v:.9e}\nEy y reference d 0 -1\n"
        for one in range(size):
            text += f"Ic{one} vdd bc{one} {COMPARATOR_CURRENT_A:.6e}\n"
            text += f"XC{one} reference y k{one} bc{one} vdd {COMPARATOR.name}\n"
        vectors = tuple(f"v(k{one})" for one in range(size))
        return Deck(text, (Analysis(_sweep("Vd", half_span_v, step_v), vectors, points=points),))

    done = _populations(deck, count)
    return np.array([_trip(sweep, keep, half_span_v, SUPPLY_V) for sweep, keep in done])


def mismatched_amplifiers(
    process: Process, amplifier: Amplifier, temperature_c: float, count: int, seed: int
) -> Float[np.ndarray, "n"]:
    """Score V_cm - V(out) of each of ``count`` TIAs with their own mismatch that nothing drives, V.

    The same seed gives the same devices at every temperature.
    """

    def deck(number: int, size: int) -> Deck:
        text = head(f"{size} mismatched op-amps", process, temperature_c, mismatch=True)
        text += f".option seed={seed * SEEDS_APART + number + 1}\nVd d 0 0\n"
        text += "".join(amplifier.lines(f"s{one}", f"k{one}", f"{one}") for one in range(size))
        return Deck(text, (Analysis("dc Vd 0 1 1", tuple(f"v(k{one})" for one in range(size)), points=2),))

    return np.array([COMMON_MODE_V - out_v[0] for _, out_v in _populations(deck, count)])


def _populations(deck: Callable[[int, int], Deck], count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Sweep and output ``k0`` .. of every device, ``AT_ONCE`` in a deck."""
    sizes = [min(AT_ONCE, count - first) for first in range(0, count, AT_ONCE)]
    done = simulate_all([deck(number, size) for number, size in enumerate(sizes)], timeout_s=600.0)
    return [
        (one.results[0]["sweep"], one.results[0][f"v(k{number})"])
        for one, size in zip(done, sizes, strict=True)
        for number in range(size)
    ]


def _trip(sweep: np.ndarray, output_v: np.ndarray, half_span_v: float, supply_v: float) -> float:
    """Where the output passes half the supply, V."""
    keep = output_v > 0.5 * supply_v
    if keep.all() or not keep.any() or np.any(np.diff(keep.astype(int)) < 0):
        raise SpiceError(
            f"the comparator does not switch once within {half_span_v * 1e3:g} mV of its reference; it cannot work at "
            "this threshold, supply or temperature"
        )
    first = int(np.argmax(keep))
    return float(0.5 * (sweep[first - 1] + sweep[first]))
