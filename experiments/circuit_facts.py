"""What one finished run says of its circuit: time and area by its own laws, and its supply in ngspice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax import rng
from atis_jax.cells import fabric as fabric_cells
from atis_jax.cells.area import scorer_um2
from atis_jax.cells.pulse import Timing, pulse_charge_c
from atis_jax.circuits.chip import nominal_environment
from atis_jax.circuits.tia import has_amplifier
from atis_jax.energy.components import fabric as fabric_costs
from atis_jax.energy.components.pulse import area_um2
from atis_jax.export.quantities import achieved
from atis_jax.export.spice import simulated_scores, spice_files, static_deck, supply_power_w
from atis_jax.export.structure import side_by_side
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.digital import Digital
from atis_jax.scoring.atis.fabric import RoutingFabric
from atis_jax.scoring.atis.knobs import active_inputs
from atis_jax.scoring.atis.latched import Latched, Row
from atis_jax.scoring.atis.method import Atis
from atis_jax.scoring.atis.pulse import PulseWidth
from atis_jax.spice.fabric import play as play_fabric
from atis_jax.spice.models import find_process
from atis_jax.spice.pulse import play
from atis_jax.spice.simulator import simulate
from atis_jax.validation import UserError
from experiments.export.bundle import bundle_from
from experiments.export.in_time import billed_times_s
from experiments.export.read_back import layer_tokens, reference_tokens
from experiments.export.spice import design_twin, netlisted_power_w, real_tokens
from experiments.ledgers import run_bill
from experiments.trained_run import TrainedRun

PROCESS, TEMPERATURE_C = "sky130", 27.0
EXAMPLES = 32
"""Test examples that the tokens of a netlist are from."""


class Played(NamedTuple):
    """Real tokens through one array's netlist in ngspice.

    Attributes:
        supply: what it draws, over what the ledger charges for the parts that are in the netlist.
        equal: bits that are those of the perfect chip of the run's hardware.
        bits: all of them.
    """

    supply: float
    equal: int
    bits: int


@dataclasses.dataclass(frozen=True)
class Circuit:
    """A kind of circuit in the table.

    Attributes:
        name: in its row, from the run.
        token_s: of the layer that takes longest, s.
        area_um2: of all arrays, um^2; None where nothing is counted.
        played: real tokens through the netlist of each array; None where there is none.
    """

    name: Callable[[TrainedRun], str]
    token_s: Callable[[TrainedRun], float] | None = None
    area_um2: Callable[[TrainedRun], float] | None = None
    played: Callable[[TrainedRun, int], Iterator[Played]] | None = None


def circuit_of(run: TrainedRun) -> Circuit:
    """The circuit of a run.

    Raises:
        UserError: a scorer that is none of the paper's.
    """
    method = run.trained.evaluator.method
    found = next((circuit for kind, circuit in CIRCUITS.items() if isinstance(method, kind)), None)
    if found is None:
        raise UserError(
            f"{run.folder}: scorer.kind = {run.settings.scorer.kind!r} has no circuit in this table; it knows "
            f"{', '.join(kind.__name__ for kind in CIRCUITS)}"
        )
    return found


def _reading(run: TrainedRun) -> list[int]:
    """Layers with an array."""
    method = run.trained.evaluator.method
    assert isinstance(method, Atis)
    shape = method.ledger(run_bill(run.settings, run.model)).scorer(run.trained.state.design)
    return [layer for layer, reads in enumerate(shape.reading) if reads]


def _inputs(run: TrainedRun, layer: int) -> int:
    return int(active_inputs(layer_of(run.trained.state.design, layer), run.settings.scorer))


def _analog_name(run: TrainedRun) -> str:
    name = "TIA" if has_amplifier(run.trained.evaluator.hardware.tia.readout) else "resistor"
    return f"{name}, one read, several thresholds" if run.settings.scorer.reads_once else name


def _analog_token_s(run: TrainedRun) -> float:
    return float(np.max(billed_times_s(run)[_reading(run)]))


def _analog_area_um2(run: TrainedRun) -> float:
    """Converters are not in it."""
    spec, bundle = run.settings.scorer, bundle_from(run.settings, run.trained, run.folder)
    rows, amplifier = spec.halves * spec.groups, has_amplifier(bundle.hardware.tia.readout)
    found = 0.0
    for layer in _reading(run):
        feedback_ohm = float(np.mean(achieved(bundle, layer).feedback_ohm))
        comparators = bundle.comparators
        found += scorer_um2(_inputs(run, layer), rows, comparators, feedback_ohm, amplifier=amplifier).total
    return found


def _analog_played(run: TrainedRun, count: int) -> Iterator[Played]:
    process = find_process(PROCESS)
    bundle = bundle_from(run.settings, run.trained, run.folder)
    circuit = dataclasses.replace(bundle, spec=side_by_side(bundle.spec))
    tokens = reference_tokens(run, bundle, count, EXAMPLES, 0)
    for layer in bundle.arrays:
        bench = real_tokens(circuit, layer, design_twin(circuit, layer), tokens.inputs[layer], TEMPERATURE_C)
        texts = spice_files(bundle, layer, process, bench, 1e-4, TEMPERATURE_C)
        done = simulate(static_deck(circuit, texts, count), timeout_s=600.0)
        _, keep = simulated_scores(circuit, done.results[0])
        charged_w = netlisted_power_w(circuit, achieved(circuit, layer))
        yield Played(supply_power_w(done.results[0]) / charged_w, int(np.sum(keep == bench.keep)), keep.size)


def _pulse_timing(run: TrainedRun) -> Timing:
    return run.settings.scorer.timing


def _pulse_name(run: TrainedRun) -> str:
    return f"pulse widths ({run.settings.scorer.windows}, {run.settings.scorer.bits} bit)"


def _rows(run: TrainedRun) -> Iterator[tuple[int, Row]]:
    """Layers with an array whose sum meets a latch, and their rows as programmed."""
    method, state = run.trained.evaluator.method, run.trained.state
    assert isinstance(method, Latched)
    for layer in _reading(run):
        design, memory = layer_of((state.design, state.scorer_state), layer)
        yield layer, jax.device_get(method.row(design, memory))


def _pulse_area_um2(run: TrainedRun) -> float:
    """Generators, clock and level shifters are in it."""
    return sum(
        area_um2(
            _inputs(run, layer),
            float(np.mean(row.circuit.capacitance_f)),
            _pulse_timing(run),
            run.settings.scorer.groups,
        )
        for layer, row in _rows(run)
    )


def _pulse_played(run: TrainedRun, count: int) -> Iterator[Played]:
    """Branches that are programmed to off are left out."""
    process, timing = find_process(PROCESS), _pulse_timing(run)
    found = layer_tokens(run, run.test, EXAMPLES, count, rng.key_of(jax.random.key(0), "evaluation"))
    method = run.trained.evaluator.method
    assert isinstance(method, PulseWidth)
    environment = nominal_environment(method.hardware)
    for layer, row in _rows(run):
        latch_v, _ = method.at_latch(row, method.perfect_chip(), environment, found.inputs[layer])
        inputs = np.clip(np.asarray(found.inputs[layer], np.float64), -1.0, 1.0)
        steps = np.column_stack([np.rint(timing.steps * inputs).astype(int), np.full(count, -timing.steps)])
        capacitances_f = np.asarray(row.circuit.capacitance_f).tolist()
        for score, (signed_a, capacitance_f) in enumerate(zip(row.current_a, capacitances_f, strict=True)):
            on = signed_a != 0
            codes = steps[:, on] * np.sign(signed_a[on]).astype(int)
            current_a = np.abs(signed_a[on]).astype(np.float64)
            played = play(process, current_a, codes, timing, capacitance_f, TEMPERATURE_C)
            pulses = np.mean([sum(len(timing.windows(abs(code))) for code in one) for one in codes.tolist()])
            charged_c = float(pulse_charge_c(float(np.sum(current_a)), float(pulses), timing.token_s))
            measured_c = float(np.mean(np.sum(played.charge_c, axis=1)))
            same = int(np.sum(played.keep == (np.asarray(latch_v)[:, score] > 0)))
            yield Played(measured_c / charged_c, same, count)


def _fabric_name(run: TrainedRun) -> str:
    extra_f = run.settings.scorer.line_f
    lines = f", {1e12 * extra_f:g} pF a line" if extra_f else ""
    return f"routing fabric ({run.settings.scorer.bits} bit{lines})"


def _fabric_area_um2(run: TrainedRun) -> float:
    """Converters are in it."""
    spec = run.settings.scorer
    return sum(fabric_costs.area_um2(_inputs(run, layer), spec.bits, spec.groups) for layer in _reading(run))


def _fabric_played(run: TrainedRun, count: int) -> Iterator[Played]:
    """With ideal currents into the lines: what a converter draws is a line's current, in series."""
    process, spec = find_process(PROCESS), run.settings.scorer
    found = layer_tokens(run, run.test, EXAMPLES, count, rng.key_of(jax.random.key(0), "evaluation"))
    method = run.trained.evaluator.method
    assert isinstance(method, RoutingFabric)
    environment = nominal_environment(method.hardware)
    for layer, row in _rows(run):
        latch_v, _ = method.at_latch(row, method.perfect_chip(), environment, found.inputs[layer])
        inputs = np.clip(np.asarray(found.inputs[layer], np.float64), -1.0, 1.0)
        codes = np.rint(method.steps * inputs).astype(int)
        settle_s = fabric_cells.settling_s(fabric_cells.line_f(spec.groups, spec.line_f), spec.bits)
        times_s = np.asarray(row.circuit.integrate_s).tolist()
        for score, (signed_a, integrate_s) in enumerate(zip(row.current_a, times_s, strict=True)):
            weights = np.asarray(signed_a, np.float64) / fabric_cells.REST_A
            weights[-1] *= -1.0  # the netlist's threshold stands at full scale, the design's at minus that
            timing = fabric_cells.Timing(spec.bits, settle_s, integrate_s)
            played = play_fabric(
                process, weights, codes, timing, TEMPERATURE_C, extra_f=spec.line_f, load_f=spec.line_f
            )
            static_a = fabric_cells.REST_A * float(np.sum(np.abs(fabric_cells.static_weight(jnp.asarray(weights)))))
            drawn_a = fabric_cells.supply_current_a(codes.shape[1], static_a)
            charged_c = float(fabric_cells.token_charge_c(drawn_a, timing.token_s))
            measured_c = float(np.mean(played.charge_c[:, 0] + played.charge_c[:, 2]))
            same = int(np.sum(played.keep == (np.asarray(latch_v)[:, score] > 0)))
            yield Played(measured_c / charged_c, same, count)


CIRCUITS: dict[type[Atis], Circuit] = {
    Analog: Circuit(_analog_name, _analog_token_s, _analog_area_um2, _analog_played),
    PulseWidth: Circuit(_pulse_name, lambda run: _pulse_timing(run).token_s, _pulse_area_um2, _pulse_played),
    RoutingFabric: Circuit(
        _fabric_name,
        lambda run: max(float(row.token_s) for _, row in _rows(run)),
        _fabric_area_um2,
        _fabric_played,
    ),
    Digital: Circuit(lambda run: "digital twin"),
}
"""By the method of the run."""
