"""The routing fabric: transistors against our model and the ledger, then what a token costs.

    python -m experiments.spice.fabric
    python -m experiments.spice.fabric --ledger
    python -m experiments.spice.fabric --corners
    python -m experiments.spice.fabric --hurried --inputs 8
    python -m experiments.spice.fabric --law
    python -m experiments.spice.fabric --spread
    python -m experiments.spice.fabric --inputs 8 --data tests/data/spice/fabric_tokens.csv

Random signed weights with a threshold's, random tokens as currents, one after the other in ngspice. Printed: the error
of our scores, decisions, charge from the supply over the one charged (gate: within 10 %); and pJ, us and um^2 of a
token beside the same score in digital. With ``--ledger`` only the last, without ngspice; with ``--corners`` what
temperature and supply move; with ``--hurried`` what is lost where lines have less time; with ``--law`` the constants of
``atis_jax.cells.fabric`` as ngspice gives them, and how weights move with temperature at other currents; with
``--spread`` the mismatch of latches at this circuit's voltage.
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

from atis_jax.cells import fabric as cells
from atis_jax.cells.fabric import (
    GREATEST_WEIGHT,
    LEAST_WEIGHT,
    MIDDLE_V,
    REST_A,
    Timing,
    integration_s,
    line_f,
    output_f,
    settling_s,
    static_weight,
    supply_current_a,
    token_charge_c,
)
from atis_jax.cells.library import SUPPLY_V
from atis_jax.circuits.fabric import fabric_score_v, nominal_fabric_chip, spec_of
from atis_jax.energy.components import fabric as ledger
from atis_jax.energy.components.pulse import folded_j
from atis_jax.energy.presets import energy_preset
from atis_jax.gates import Gate
from atis_jax.spice.fabric import Played, capacitances_f, modulated, play, products_a
from atis_jax.spice.models import Process, find_process
from atis_jax.spice.simulator import SpiceError
from atis_jax.units import celsius_to_kelvin, thermal_voltage_v
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

NOMINAL_K = celsius_to_kelvin(TEMPERATURE_C)
INPUTS = (8, 32, 64)
MEAN_WEIGHT = 0.75
"""Of all points: inputs' lines and outputs then cost about the same, and a token the least."""
ARRAY_LINE_F = 0.2e-12
"""Of each line, where a field-programmable array's are used. R: 0.1 to 1 pF."""


@dataclasses.dataclass(frozen=True)
class FabricPoint:
    """A row of the fabric.

    Attributes:
        inputs: N, without the threshold.
        bits: of an input.
        extra_f: of each line, inputs and outputs, beside its crossings, F.
        mean: weight, the threshold's among them.
    """

    inputs: int
    bits: int = 6
    extra_f: float = 0.0
    mean: float = MEAN_WEIGHT

    @property
    def capacitance_f(self) -> float:
        """Of each output, F."""
        return float(output_f(self.inputs, self.extra_f))

    def timing(self, weights: Float[np.ndarray, "n"] | None = None) -> Timing:
        """Of a token, for these weights or for mean ones."""
        weights = np.full(self.inputs + 1, self.mean) if weights is None else weights
        static_a = REST_A * float(jnp.sum(jnp.abs(static_weight(jnp.asarray(weights)))))
        return Timing(
            bits=self.bits,
            settle_s=settling_s(line_f(1.0, self.extra_f), self.bits),
            integrate_s=float(integration_s(static_a, self.capacitance_f)),
        )


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Tokens in ngspice and what is expected of them.

    Attributes:
        point: of the row.
        weights: signed; the threshold's is the last.
        codes: steps of each input but the threshold's.
        timing: of a token.
        temperature_c: degrees Celsius.
        played: ngspice's.
    """

    point: FabricPoint
    weights: Float[np.ndarray, "n"]
    codes: Int[np.ndarray, "t n"]
    timing: Timing
    temperature_c: float
    played: Played

    @property
    def changes(self) -> int:
        """Bits that change from token to token, the first from all inputs at zero."""
        middle = self.timing.steps + 1
        codes = np.vstack([np.full((1, self.point.inputs), middle), self.codes + middle])
        return int(sum(np.sum((codes[1:] ^ codes[:-1]) >> bit & 1) for bit in range(self.timing.bits)))

    @property
    def static_a(self) -> float:
        """Current at rest of each output, A."""
        return REST_A * float(jnp.sum(jnp.abs(static_weight(jnp.asarray(self.weights)))))

    def model_v(self, **fields: float) -> Float[np.ndarray, "t"]:
        """Our scores, V; ``fields`` of the spec other than the library's."""
        spec = spec_of(self.timing, self.point.capacitance_f, **fields)
        chip = nominal_fabric_chip(1, len(self.weights))
        inputs = np.hstack([self.codes / self.timing.steps, np.ones((len(self.codes), 1))])
        current_a = jnp.asarray(REST_A * self.weights)[None]
        score = jax.vmap(lambda x: fabric_score_v(current_a, x, spec, chip, celsius_to_kelvin(self.temperature_c))[0])
        return np.asarray(score(jnp.asarray(inputs)))

    def charged_c(self) -> float:
        """What the ledger charges a token from the 1.8 V supply, C."""
        return float(token_charge_c(supply_current_a(self.point.inputs, self.static_a), self.timing.token_s))


def random_tokens(
    process: Process,
    point: FabricPoint,
    tokens: int,
    seed: int,
    temperature_c: float = TEMPERATURE_C,
    supply_v: float = SUPPLY_V,
    converters: bool = False,
    hurry: float = 1.0,
) -> Tokens:
    """Normal weights, and inputs of half a full scale, clipped; the threshold takes half a mean weight off.

    Lines have ``hurry`` times the time to settle that they need.
    """
    random = np.random.default_rng(seed)
    weights = random.normal(size=point.inputs)
    size = np.clip(np.abs(weights) / np.mean(np.abs(weights)) * point.mean, LEAST_WEIGHT, GREATEST_WEIGHT)
    weights = np.append(np.sign(weights) * size, -0.5 * point.mean)
    timing = point.timing(weights)
    timing = dataclasses.replace(timing, settle_s=hurry * timing.settle_s)
    codes = np.rint(np.clip(0.5 * random.normal(size=(tokens, point.inputs)), -1.0, 1.0) * timing.steps).astype(int)
    played = play(
        process,
        weights,
        codes,
        timing,
        temperature_c,
        supply_v=supply_v,
        extra_f=point.extra_f,
        load_f=point.extra_f,
        converters=converters,
    )
    return Tokens(point, weights, codes, timing, temperature_c, played)


def fabric_gates(done: Tokens, name: str) -> list[Gate]:
    """Charge over the charged one; decisions that differ from the sign of our score."""
    measured_c, charged_c = done.played.charge_c[:, 0] + done.played.charge_c[:, 2], done.charged_c()
    wrong = int(np.sum(done.played.keep != (done.model_v() > 0)))
    return latched_gates("fabric", name, float(np.mean(measured_c)), charged_c, wrong, len(measured_c))


def shown(done: Tokens, name: str) -> str:
    """Scores, their error, the lines' rise, a token's charges."""
    error_v, parts_c = done.model_v() - done.played.score_v, 1e15 * np.mean(done.played.charge_c, axis=0)
    return (
        f"{name}: scores {1e3 * np.std(done.played.score_v):.3g} mV, RMS error "
        f"{1e3 * np.sqrt(np.mean(error_v**2)):.2g} mV, mean {1e3 * np.mean(error_v):.2g} mV; outputs of "
        f"{1e15 * done.point.capacitance_f:.3g} fF rise to {np.mean(done.played.middle_v):.3g} V, token "
        f"{1e6 * done.timing.token_s:.3g} us\n  fC of lines, converters' switches, reset and latch: "
        + ", ".join(f"{part:.4g}" for part in parts_c)
    )


def constants_of(played: Sequence[Tokens]) -> list[str]:
    """Constants of ``cells.fabric`` as these tokens give them, and the library's."""
    lines = []
    sizes = [one for one in played if not np.any(one.played.charge_c[:, 1])]
    if len(sizes) > 1:
        total_f = [
            one.point.capacitance_f
            * float(one.model_v() @ one.played.score_v / (one.played.score_v @ one.played.score_v))
            for one in sizes
        ]
        each_f, ends_f = np.polyfit([2 * (one.point.inputs + 1) for one in sizes], total_f, 1)
        drain_ff, reset_ff = 1e15 * (each_f - cells.WIRE_OUTPUT_F), 1e15 * ends_f
        lines.append(
            f"DRAIN_F {drain_ff:.3g} fF, RESET_LINE_F {reset_ff:.3g} fF; library {1e15 * cells.DRAIN_F:.3g}, "
            f"{1e15 * cells.RESET_LINE_F:.3g}"
        )
    ends_ff = 1e15 * np.mean(np.concatenate([one.played.charge_c[:, 2] for one in played])) / SUPPLY_V
    lines.append(f"ENDS_F {ends_ff:.3g} fF; library {1e15 * cells.ENDS_F:.3g}")
    for one in played:
        if np.any(one.played.charge_c[:, 1]):
            bit_ff = 1e15 * np.sum(one.played.charge_c[:, 1]) / cells.DRIVE_V / one.changes
            lines.append(f"STEERED_F {bit_ff:.3g} fF; library {1e15 * cells.STEERED_F:.3g}")
    return lines


def ledger_table() -> str:
    """pJ, us and um^2 of a token, by inputs, bits and lines, beside the folded digital score."""
    lines = ledger_heading("lines", ledger.PARTS)
    for name in PRESETS:
        preset = energy_preset(name)
        for inputs in INPUTS:
            rivals_j = [float(folded_j(preset, inputs, of)) for of in ("int8", "int4")]
            for bits, extra_f in ((6, 0.0), (4, 0.0), (6, ARRAY_LINE_F)):
                point = FabricPoint(inputs, bits, extra_f)
                timing = point.timing()
                static_a = REST_A * (inputs + 1) * float(static_weight(jnp.asarray(point.mean)))
                parts = ledger.parts_j(preset, inputs, static_a, bits, timing.token_s)
                parts_j = [float(parts[part]) for part in ledger.PARTS]
                kind, area_um2 = "+0.2 pF" if extra_f else "own", ledger.area_um2(inputs, bits)
                lines.append(ledger_line(name, inputs, bits, kind, parts_j, rivals_j, timing.token_s, area_um2))
    return "\n".join(lines)


def corners_table(process: Process, tokens: int, seed: int, inputs: Sequence[int]) -> str:
    """What temperature and supply move of scores, how much of it the model knows, and the decisions that differ."""
    lines = []
    for size in inputs:
        middle = random_tokens(process, FabricPoint(size), tokens, seed).played
        for temperature_c, supply_v in CORNERS:
            done = random_tokens(process, FabricPoint(size), tokens, seed, temperature_c, supply_v)
            here = done.played
            gain = float(here.score_v @ middle.score_v / (middle.score_v @ middle.score_v))
            left_v = here.score_v - gain * middle.score_v
            error_v = done.model_v() - here.score_v
            lines.append(
                f"{size} inputs, {temperature_c:g} C, {supply_v:g} V: scores of {1e3 * np.std(middle.score_v):.3g} mV, "
                f"gain {100 * (gain - 1):+.2f} %, left {1e3 * np.sqrt(np.mean(left_v**2)):.2g} mV RMS; model's error "
                f"{1e3 * np.sqrt(np.mean(error_v**2)):.2g} mV; "
                f"{int(np.sum(here.keep != middle.keep))} of {tokens} unlike 27 C and 1.8 V, "
                f"{int(np.sum(here.keep != (done.model_v() > 0)))} unlike the model"
            )
    return "\n".join(lines)


def hurried_table(process: Process, tokens: int, seed: int, inputs: Sequence[int]) -> str:
    """What the token before leaves on the lines, with more and less time than they are given."""
    lines = []
    for size in inputs:
        for hurry in (2.0, 1.0, 0.5, 0.2):
            done = random_tokens(process, FabricPoint(size), tokens, seed, hurry=hurry)
            error_v = done.model_v() - done.played.score_v
            lines.append(
                f"{size} inputs, {1e6 * done.timing.settle_s:.3g} us to settle: scores of "
                f"{1e3 * np.std(done.played.score_v):.3g} mV, error of the settled model "
                f"{1e3 * np.sqrt(np.mean(error_v**2)):.2g} mV RMS; "
                f"{int(np.sum(done.played.keep != (done.model_v() > 0)))} of {tokens} differ"
            )
    return "\n".join(lines)


def law_table(process: Process) -> str:
    """The constants of ``cells.fabric`` that a switch on its line gives, and its drift at other currents."""
    modulation = Timing(6, 1.0, 1.0).modulation
    charge_v = np.linspace(-0.093, 0.183, 15)
    at = 1.0 + modulation * np.linspace(-1.0, 1.0, 9)
    products = products_a(process, charge_v, REST_A * at, 27.0)
    weight = modulated(products[:, [0, 4, 8]], modulation, REST_A)
    log = np.log(weight)
    half = modulated(products[:, [2, 4, 6]], 0.5 * modulation, REST_A)
    static = np.polyfit(log, np.log(products[:, 4] / REST_A / weight), 2)[::-1]
    shape = np.polyfit(log, (1.0 - half / weight) / 0.75, 1)[::-1]
    rows, moved, celsius = [], [], (0.0, 10.0, 50.0, 70.0)
    for one in celsius:
        theta = NOMINAL_K / celsius_to_kelvin(one) - 1.0
        warm = modulated(products_a(process, charge_v, REST_A * at[[0, 4, 8]], one), modulation, REST_A)
        rows.append(theta * np.stack([log**power for power in range(4)], axis=1))
        moved.append(np.log(warm / weight))
    drift = np.linalg.lstsq(np.concatenate(rows), np.concatenate(moved), rcond=None)[0]
    left = np.concatenate(moved) - np.concatenate(rows) @ drift
    step = products_a(process, np.array([0.0, 2e-3]), REST_A * at, 27.0)
    slope = float(np.log(step[0, 0] / step[1, 0]) / 2e-3 * float(thermal_voltage_v(NOMINAL_K)))
    outputs_v = np.linspace(0.0, 1.7, 18)
    given = np.array(
        [products_a(process, np.array([0.0, 0.03]), REST_A * at, 27.0, output_v=v)[1, 4] for v in outputs_v]
    )
    ratio = given / given[0]
    upper, lower = np.polyfit(outputs_v[:11], ratio[:11], 1), np.polyfit(outputs_v[-3:], ratio[-3:], 1)
    gate_f, drain_f = capacitances_f(process)
    lines = [
        f"weights {weight.min():.3g} to {weight.max():.3g}",
        f"GATE_F {1e15 * gate_f:.3g} fF, DRAIN_F {1e15 * drain_f:.3g} fF; library {1e15 * cells.GATE_F:.3g}, "
        f"{1e15 * cells.DRAIN_F:.3g}",
        f"SLOPE {slope:.3f}; library {cells.SLOPE}",
        f"OUTPUT_V {-1.0 / upper[0]:.3g}, HEADROOM_V {(lower[1] - upper[1]) / (upper[0] - lower[0]):.3g}, "
        f"TRIODE_OUTPUT_V {-1.0 / lower[0]:.3g}; library {cells.OUTPUT_V}, {cells.HEADROOM_V}, {cells.TRIODE_OUTPUT_V}",
        f"STATIC {_series(static)}; library {cells.STATIC}",
        f"SHAPE {_series(shape)}; library {cells.SHAPE}",
        f"DRIFT {_series(drift)}, left {100 * np.sqrt(np.mean(left**2)):.2g} % RMS; library {cells.DRIFT}",
        "ln w at a temperature over ln w at 27 C (weak inversion and a kappa that stays: T_0 / T):",
    ]
    for rest_a in (0.3e-9, 2e-9, 20e-9, 200e-9):
        found = {
            one: np.log(modulated(products_a(process, charge_v, rest_a * at[[0, 4, 8]], one), modulation, rest_a))
            for one in (0.0, 27.0, 70.0)
        }
        slopes = {
            one: (-np.diff(np.log(products_a(process, np.array([0.0, 2e-3]), rest_a * at, one)), axis=0)[0, 4])
            for one in found
        }
        lines.append(
            f"  {1e9 * rest_a:g} nA: "
            + "; ".join(
                f"{one:g} C {np.polyfit(found[27.0], found[one], 1)[0]:.3f}, of small charges "
                f"{slopes[one] / slopes[27.0]:.3f} (T_0 / T {NOMINAL_K / celsius_to_kelvin(one):.3f})"
                for one in (0.0, 70.0)
            )
        )
    return "\n".join(lines)


def spread_table(process: Process, latches: int) -> str:
    """Mismatch of latches with both inputs at ``MIDDLE_V``."""
    return f"latch: {moments(drawn_latches_v(process, MIDDLE_V, latches, 0))}"


def _series(coefficients: np.ndarray) -> str:
    return "(" + ", ".join(f"{one:.4f}" for one in coefficients) + ")"


def write_data(path: Path, done: Tokens) -> None:
    """One row a token and weight; the threshold's code is full scale."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow("settle_s integrate_s token branch weight code score_V middle_V keep charge_C".split())
        for token, row in enumerate(done.codes.tolist()):
            seen = done.played
            ends = [f"{seen.score_v[token]:.6f}", f"{seen.middle_v[token]:.6f}", int(seen.keep[token])]
            ends.append(f"{seen.charge_c[token, 0] + seen.charge_c[token, 2]:.5e}")
            for branch, (weight, code) in enumerate(zip(done.weights.tolist(), [*row, done.timing.steps], strict=True)):
                start = [f"{done.timing.settle_s:.6e}", f"{done.timing.integrate_s:.6e}", token, branch]
                writer.writerow([*start, f"{weight:.6f}", code, *ends])


def main(given: Sequence[str]) -> int:
    """Print the tables; exit code 1 if a gate does not hold."""
    parser = arguments.parser("experiments.spice.fabric", __doc__)
    parser.add_argument("--ledger", action="store_true", help="costs alone, without ngspice")
    parser.add_argument("--corners", action="store_true", help="temperature and supply alone")
    parser.add_argument("--hurried", action="store_true", help="more and less time for the lines alone")
    parser.add_argument("--law", action="store_true", help="constants of a switch alone")
    parser.add_argument("--spread", action="store_true", help="mismatch of latches alone")
    parser.add_argument("--inputs", type=int, nargs="+", choices=INPUTS, default=list(INPUTS))
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
    for asked, table in (
        (options.law, lambda: law_table(process)),
        (options.hurried, lambda: hurried_table(process, options.tokens, options.seed, options.inputs)),
        (options.spread, lambda: spread_table(process, options.latches)),
        (options.corners, lambda: corners_table(process, options.tokens, options.seed, options.inputs)),
    ):
        if asked:
            print(table())
            return 0
    played, gates = [], []
    runs = [(f"{size}", FabricPoint(size), False) for size in options.inputs]
    runs += [(f"{min(options.inputs)}_converters", FabricPoint(min(options.inputs)), True)]
    for name, point, converters in runs:
        done = random_tokens(process, point, options.tokens, options.seed, converters=converters)
        print(shown(done, name), flush=True)
        verdicts = fabric_gates(done, name)
        print_gates(verdicts)
        gates += verdicts
        played.append(done)
        if options.data is not None and name == f"{options.inputs[0]}":
            write_data(options.data, done)
    print("\n".join(constants_of(played)))
    print(ledger_table())
    return 0 if all(gate.passed for gate in gates) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SpiceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
