"""The circuit with pulse-width inputs: transistors against our model and the ledger, then what a token costs.

    python -m experiments.spice.pulse
    python -m experiments.spice.pulse --ledger
    python -m experiments.spice.pulse --spread
    python -m experiments.spice.pulse --corners
    python -m experiments.spice.pulse --inputs 8 --data tests/data/spice/pulse_tokens.csv

Random signed weights with a threshold's branch, random tokens as pulses, one after the other in ngspice. Printed: the
error of our scores, decisions, charge from the supply over the one charged (gate: within 10 %), the constants of
``atis_jax.cells.pulse`` as these tokens give them; and pJ, us and um^2 of a token beside the same score in digital.
With ``--ledger`` only the last, without ngspice; with ``--spread`` the mismatch of the cells, with ``--corners``
what temperature and supply move.
"""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import least_squares

from atis_jax.cells.library import SUPPLY_V
from atis_jax.cells.pulse import (
    BRANCH_LINE_F,
    HEADROOM_V,
    LATCH_F,
    LINE_F,
    OUTPUT_V,
    PRECHARGE_F,
    PULSE_F,
    TRIODE_OUTPUT_V,
    Timing,
    line_capacitor_f,
    pulse_charge_c,
)
from atis_jax.circuits.pulse import nominal_pulse_chip, pulse_score_v, spec_of
from atis_jax.energy.components import pulse as ledger
from atis_jax.energy.presets import energy_preset
from atis_jax.gates import Gate
from atis_jax.spice.models import Process, find_process
from atis_jax.spice.pulse import Played, branch_curve, gates_v, play
from atis_jax.spice.pulse_spread import branch_currents_a, precharge_offsets_v
from atis_jax.spice.simulator import SpiceError
from experiments import arguments
from experiments.spice.latched import (
    CORNERS,
    PRESETS,
    TEMPERATURE_C,
    drawn_latches_v,
    latched_gates,
    ledger_heading,
    ledger_line,
    moments,
    print_gates,
)

DEVICES = 40
"""Branches and precharges whose mismatch is drawn."""
LEAST_A = 50e-12
"""A floating gate's smallest current."""


@dataclasses.dataclass(frozen=True)
class PulsePoint:
    """A row of branches.

    Attributes:
        inputs: N, without the threshold's branch.
        mean_a: mean current, A.
    """

    inputs: int
    mean_a: float

    @property
    def array_current_a(self) -> float:
        """Of all branches, the threshold's of a mean current included, A."""
        return (self.inputs + 1) * self.mean_a

    def capacitance_f(self, timing: Timing) -> float:
        """Of each line's capacitor, F."""
        return line_capacitor_f(self.array_current_a, timing.full_time_s)


POINTS = {8: PulsePoint(8, 44e-9), 32: PulsePoint(32, 17e-9), 64: PulsePoint(64, 10e-9)}
"""By inputs: a co-designed point, the quickstart's mean current, and the paper's width at a current to match."""


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Tokens in ngspice and what is expected of them.

    Attributes:
        current_a: of each branch, A; the threshold's is the last.
        codes: steps of each pulse, signed by line.
        timing: of a token.
        capacitance_f: of each line's capacitor, F.
        played: ngspice's.
    """

    current_a: Float[np.ndarray, "n"]
    codes: Int[np.ndarray, "t n"]
    timing: Timing
    capacitance_f: float
    played: Played

    @property
    def pulses(self) -> Int[np.ndarray, "t"]:
        """Of each token."""
        return np.array([sum(len(self.timing.windows(abs(code))) for code in row) for row in self.codes.tolist()])

    def model_v(self, **fields: float) -> Float[np.ndarray, "t"]:
        """Our scores, V; ``fields`` of the spec other than the library's."""
        spec = spec_of(self.timing, self.capacitance_f, **fields)
        chip = nominal_pulse_chip(1, len(self.current_a))
        score = jax.vmap(lambda x: pulse_score_v(jnp.asarray(self.current_a)[None], x, spec, chip)[0])
        return np.asarray(score(jnp.asarray(self.codes / self.timing.steps)))

    def charged_c(self) -> Float[np.ndarray, "t"]:
        """What the ledger charges these tokens from the supply, C: their own pulses."""
        return np.asarray(pulse_charge_c(float(np.sum(self.current_a)), jnp.asarray(self.pulses), self.timing.token_s))


def random_tokens(
    process: Process,
    point: PulsePoint,
    timing: Timing,
    tokens: int,
    seed: int,
    temperature_c: float = TEMPERATURE_C,
    supply_v: float = SUPPLY_V,
) -> Tokens:
    """Normal weights, and inputs of half a full scale, clipped; the threshold takes the mean current off."""
    random = np.random.default_rng(seed)
    weights = random.normal(size=point.inputs)
    current_a = np.maximum(np.abs(weights) / np.mean(np.abs(weights)) * point.mean_a, LEAST_A)
    inputs = np.clip(0.5 * random.normal(size=(tokens, point.inputs)), -1.0, 1.0)
    codes = np.rint(inputs * np.sign(weights) * timing.steps).astype(int)
    current_a = np.append(current_a, point.mean_a)
    codes = np.hstack([codes, np.full((tokens, 1), -timing.steps)])
    capacitance_f = point.capacitance_f(timing)
    played = play(process, current_a, codes, timing, capacitance_f, temperature_c, supply_v)
    return Tokens(current_a, codes, timing, capacitance_f, played)


def pulse_gates(done: Tokens, name: str) -> list[Gate]:
    """Charge over the charged one; decisions that differ from the sign of our score."""
    measured_c, charged_c = np.sum(done.played.charge_c, axis=1), done.charged_c()
    wrong = int(np.sum(done.played.keep != (done.model_v() > 0)))
    return latched_gates("pulse", name, float(np.mean(measured_c)), float(np.mean(charged_c)), wrong, len(measured_c))


def constants_of(played: Sequence[Tokens], process: Process) -> dict[str, tuple[float, float, str]]:
    """Constants of ``cells.pulse``: from these tokens and a branch's curve, in the library, unit."""
    found: dict[str, tuple[float, float, str]] = {}
    counted = [one for one in played if not one.timing.slots]
    if len({len(one.current_a) for one in counted}) > 1:
        # Two sizes tell what is of each branch. Relative to each row's scores, and of one pulse an input: slots lose a
        # little at each.
        def left(extra_ff: np.ndarray) -> np.ndarray:
            branch_f, line_f = (1e-15 * extra_ff).tolist()
            return np.concatenate(
                [
                    (one.model_v(branch_f=branch_f, line_f=line_f) - one.played.score_v) / np.std(one.played.score_v)
                    for one in counted
                ]
            )

        start = (1e15 * BRANCH_LINE_F, 1e15 * LINE_F)
        branch_ff, line_ff = least_squares(left, start, diff_step=0.02).x
        found |= {"BRANCH_LINE_F": (branch_ff, start[0], "fF"), "LINE_F": (line_ff, start[1], "fF")}
    pulses = np.concatenate([one.pulses for one in played])
    charge_c = np.concatenate([one.played.charge_c[:, 1] for one in played])
    pulse_f, precharge_f = np.polyfit(pulses, charge_c, 1) / SUPPLY_V
    latch_f = np.mean(np.concatenate([one.played.charge_c[:, 2] for one in played])) / SUPPLY_V
    line_v, current_a = branch_curve(
        process,
        TEMPERATURE_C,
        sweep="line",
        low_v=0.5,
        high_v=SUPPLY_V,
        gate_v=float(gates_v(process, np.array([POINTS[8].mean_a]), TEMPERATURE_C)[0]),
    )
    ratio = current_a / current_a[-1]
    upper, lower = line_v > 1.2, line_v < 0.95
    slope, at = np.polyfit(line_v[upper], ratio[upper], 1)
    low_slope, low_at = np.polyfit(line_v[lower], ratio[lower], 1)
    knee_v = (low_at - at) / (slope - low_slope)
    return found | {
        "PULSE_F": (1e15 * pulse_f, 1e15 * PULSE_F, "fF"),
        "PRECHARGE_F": (1e15 * precharge_f, 1e15 * PRECHARGE_F, "fF"),
        "LATCH_F": (1e15 * latch_f, 1e15 * LATCH_F, "fF"),
        "OUTPUT_V": (1.0 / slope, OUTPUT_V, "V"),
        "HEADROOM_V": (SUPPLY_V - knee_v, HEADROOM_V, "V"),
        "TRIODE_OUTPUT_V": (1.0 / low_slope, TRIODE_OUTPUT_V, "V"),
    }


def ledger_table() -> str:
    """pJ, us and um^2 of a token, by inputs, bits and generator, beside the folded digital score."""
    lines = ledger_heading("pulses", ledger.PARTS)
    for name in PRESETS:
        preset = energy_preset(name)
        for inputs, point in POINTS.items():
            rivals_j = [float(ledger.folded_j(preset, inputs, of)) for of in ("int8", "int4")]
            for timing in (Timing(), Timing(slots=True), Timing(bits=4, slots=True)):
                parts = ledger.parts_j(preset, inputs, point.array_current_a, timing)
                parts_j = [float(parts[part]) for part in ledger.PARTS]
                area_um2 = ledger.area_um2(inputs, point.capacitance_f(timing), timing)
                kind = "slots" if timing.slots else "counter"
                lines.append(ledger_line(name, inputs, timing.bits, kind, parts_j, rivals_j, timing.token_s, area_um2))
    return "\n".join(lines)


def corners_table(process: Process, tokens: int, seed: int) -> str:
    """What temperature and supply move of 8 inputs' scores at constant currents, and the decisions that differ."""
    middle = random_tokens(process, POINTS[8], Timing(slots=True), tokens, seed).played
    lines = []
    for temperature_c, supply_v in CORNERS:
        here = random_tokens(process, POINTS[8], Timing(slots=True), tokens, seed, temperature_c, supply_v).played
        moved_v = here.score_v - middle.score_v
        gain = float(here.score_v @ middle.score_v / (middle.score_v @ middle.score_v))
        left_v = here.score_v - gain * middle.score_v
        lines.append(
            f"{temperature_c:g} C, {supply_v:g} V: scores of {1e3 * np.std(middle.score_v):.3g} mV move by "
            f"{1e3 * np.sqrt(np.mean(moved_v**2)):.2g} mV RMS, of it gain {100 * (gain - 1):+.2f} %, left "
            f"{1e3 * np.sqrt(np.mean(left_v**2)):.2g} mV; {int(np.sum(here.keep != middle.keep))} of {tokens} differ"
        )
    return "\n".join(lines)


def spread_table(process: Process, latches: int) -> str:
    """Mismatch of currents before programming, of what the switches leave, of latches."""
    capacitance_f = POINTS[8].capacitance_f(Timing())
    currents_a = branch_currents_a(process, POINTS[8].mean_a, TEMPERATURE_C, DEVICES, 0)
    switches_v = precharge_offsets_v(process, capacitance_f, TEMPERATURE_C, DEVICES, 1)
    latches_v = drawn_latches_v(process, SUPPLY_V - 0.26, latches, 2)
    return "\n".join(
        (
            f"sigma of ln I at {1e9 * POINTS[8].mean_a:g} nA, gate kept, not programmed: "
            f"{100 * np.std(np.log(currents_a)):.2g} % ({DEVICES})",
            f"switches on {1e15 * capacitance_f:.3g} fF: {moments(switches_v)}",
            f"latch: {moments(latches_v)}",
        )
    )


def write_data(path: Path, played: Sequence[Tokens]) -> None:
    """One row a token and branch."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow("slots capacitance_F token branch current_A steps score_V fall_V keep charge_C pulses".split())
        for one in played:
            for token, row in enumerate(one.codes.tolist()):
                seen = one.played
                ends = [f"{seen.score_v[token]:.6f}", f"{seen.fall_v[token]:.6f}", int(seen.keep[token])]
                ends += [f"{np.sum(seen.charge_c[token]):.5e}", one.pulses[token]]
                for branch, (current_a, steps) in enumerate(zip(one.current_a.tolist(), row, strict=True)):
                    start = [int(one.timing.slots), f"{one.capacitance_f:.6e}", token, branch]
                    writer.writerow([*start, f"{current_a:.6e}", steps, *ends])


def main(given: Sequence[str]) -> int:
    """Print the tables; exit code 1 if a gate does not hold."""
    parser = arguments.parser("experiments.spice.pulse", __doc__)
    parser.add_argument("--ledger", action="store_true", help="costs alone, without ngspice")
    parser.add_argument("--spread", action="store_true", help="mismatch of the cells alone")
    parser.add_argument("--corners", action="store_true", help="temperature and supply alone")
    parser.add_argument("--inputs", type=int, nargs="+", choices=tuple(POINTS), default=list(POINTS))
    parser.add_argument("--tokens", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latches", type=int, default=24, help="with --spread")
    parser.add_argument("--data", type=Path, help="write the tokens of the first size of --inputs")
    options = parser.parse_args(given)
    if options.ledger:
        print(ledger_table())
        return 0
    process = find_process("sky130")
    print(f"{process.name}, {TEMPERATURE_C:g} C")
    if options.spread:
        print(spread_table(process, options.latches))
        return 0
    if options.corners:
        print(corners_table(process, options.tokens, options.seed))
        return 0
    played, gates = [], []
    for inputs in options.inputs:
        for timing in (Timing(), Timing(slots=True)):
            done = random_tokens(process, POINTS[inputs], timing, options.tokens, options.seed)
            name = f"{inputs}_{'slots' if timing.slots else 'counter'}"
            error_v = done.model_v() - done.played.score_v
            print(
                f"{name}: scores {1e3 * np.std(done.played.score_v):.3g} mV, RMS error "
                f"{1e3 * np.sqrt(np.mean(error_v**2)):.2g} mV, capacitors {1e15 * done.capacitance_f:.3g} fF, lines "
                f"fall up to {np.max(done.played.fall_v):.2g} V, token {1e6 * timing.token_s:.3g} us",
                flush=True,
            )
            parts_c = 1e15 * np.mean(done.played.charge_c, axis=0)
            print("  fC of lines, drivers, latch: " + ", ".join(f"{part:.4g}" for part in parts_c))
            verdicts = pulse_gates(done, name)
            print_gates(verdicts)
            gates += verdicts
            played.append(done)
    if options.data is not None:
        write_data(options.data, [one for one in played if len(one.current_a) == options.inputs[0] + 1])
    for name, (here, there, unit) in constants_of(played, process).items():
        print(f"{name}: {here:.4g} {unit}; library {there:.4g}")
    print(ledger_table())
    return 0 if all(gate.passed for gate in gates) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SpiceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
