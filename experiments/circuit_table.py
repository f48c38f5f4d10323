"""One table of circuits: accuracy on chips, pJ and us a token, um^2, each netlist's supply beside the ledger's.

    python -m experiments.circuit_table runs/quickstart runs/resistor runs/pulse_width runs/routing_fabric runs/digital

A row a finished run, and two of a digital score: its twin (the projection, then N products) and folded with the
projection to one vector. They have the accuracy of a digital run if one is given, and are priced at its design, else at
the first run's. pJ are of a token that is scored, nJ of all scoring of an example; memory reads are in neither. Areas
are of all layers' arrays: pulse generators and the fabric's converters are in them; DACs, projection and digital scores
are not. The last columns are of real tokens through each array's netlist (ngspice, sky130, 27 C): what it draws over
the ledger's charge for the same parts, of the array that is farthest off; and bits that are those of the run's perfect
chip. They are empty without ngspice, or with --tokens 0.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from atis_jax.energy.ledger import Ledger, counts
from atis_jax.formatting import accuracy_decimals, sampling_error, significant, writable
from atis_jax.scoring.atis.digital import Digital
from atis_jax.scoring.atis.method import Atis
from atis_jax.spice.models import find_process
from atis_jax.spice.simulator import SpiceError, find_ngspice
from atis_jax.strict_json import read_json
from atis_jax.validation import UserError
from experiments import arguments
from experiments.circuit_facts import PROCESS, Played, circuit_of
from experiments.ledgers import run_bill
from experiments.trained_run import TrainedRun, load_trained

NODES = {"45 nm": "horowitz_45nm", "7 nm": "jouppi_7nm"}
EMPTY = "-"


@dataclasses.dataclass(frozen=True)
class Costs:
    """What scoring costs at one node.

    Attributes:
        alone_j: of a token that is scored, without its projection, J.
        projected_j: with it, J.
        example_j: of all tokens of an example, J.
    """

    alone_j: float
    projected_j: float
    example_j: float


@dataclasses.dataclass(frozen=True)
class Row:
    """A circuit.

    Attributes:
        name: of it.
        costs: by ``NODES``.
        accuracy: section of the run's summary; empty for what was not trained.
        examples: test examples.
        token_s: s.
        area_um2: um^2.
        played: through the netlist of each array.
    """

    name: str
    costs: dict[str, Costs]
    accuracy: dict[str, Any]
    examples: int
    token_s: float | None = None
    area_um2: float | None = None
    played: tuple[Played, ...] = ()

    @property
    def mean(self) -> float | None:
        """Accuracy, mean of chips."""
        return self.accuracy.get("hardware_mean")


def rows_of(runs: Sequence[TrainedRun], tokens: int) -> tuple[list[Row], list[str]]:
    """A row a run and the two digital ones; notes on what is missing.

    Args:
        runs: finished, of one data set.
        tokens: played through every netlist; 0: none.

    Raises:
        UserError: several digital runs, or a scorer that is none of the paper's.
    """
    notes: list[str] = []
    if tokens:
        try:
            find_ngspice()
            find_process(PROCESS)
        except SpiceError as error:
            tokens, notes = 0, [f"No supply of netlists: {error}."]
    digital = [run for run in runs if isinstance(run.trained.evaluator.method, Digital)]
    if len(digital) > 1:
        raise UserError(f"{digital[1].folder}: a second digital run; both digital rows are of one, give one alone")
    names = [circuit_of(run).name(run) for run in runs]
    rows = []
    for run, name in zip(runs, names, strict=True):
        if run not in digital:
            unique = name if names.count(name) == 1 else f"{name}, {run.folder.name}"
            rows.append(_row(run, unique, tokens))
    priced = (digital or list(runs))[0]
    for name, folded in (("digital twin", False), ("digital, folded", True)):
        row = _digital_row(priced, name, folded)
        rows.append(row if digital else dataclasses.replace(row, accuracy={}))
    if not digital:
        notes.append(f"Digital rows are priced at the design of {priced.folder.name}; give a digital run for accuracy.")
    return rows, notes


def _row(run: TrainedRun, name: str, tokens: int) -> Row:
    circuit = circuit_of(run)
    played = tuple(circuit.played(run, tokens)) if tokens and circuit.played is not None else ()
    state = run.trained.state
    return _with_summary(
        run,
        name,
        lambda lines, costs, kept: lines.bill(costs, kept, state.design, state.scorer_state),
        token_s=None if circuit.token_s is None else circuit.token_s(run),
        area_um2=None if circuit.area_um2 is None else circuit.area_um2(run),
        played=played,
    )


def _digital_row(run: TrainedRun, name: str, folded: bool) -> Row:
    design = run.trained.state.design
    return _with_summary(
        run, name, lambda method, costs, kept: method.ledger(costs).digital(kept, design, folded=folded)
    )


def _with_summary(run: TrainedRun, name: str, bill: Callable[[Atis, Any, Any], Ledger], **facts: Any) -> Row:
    """A row with the accuracies that the run found, priced at the fractions that it kept."""
    summary = read_json(run.folder / "summary.json", nan=True)
    kept = jnp.asarray(summary["tokens"]["kept_per_layer"])
    method = run.trained.evaluator.method
    assert isinstance(method, Atis)
    found = {}
    for node, preset in NODES.items():
        energy = dataclasses.replace(run.settings.energy, preset=preset)
        costs = run_bill(dataclasses.replace(run.settings, energy=energy), run.model)
        spent = bill(method, costs, kept)
        shape = method.ledger(costs).scorer(run.trained.state.design)
        scored = float(jnp.sum(counts(costs.network, shape, costs.tokens(kept))[0]))
        projected_j = float(spent.scoring_j - spent.scorer_memory_j)
        alone_j = projected_j - float(spent.projection_j)
        found[node] = Costs(alone_j / scored, projected_j / scored, projected_j)
    return Row(name, found, summary["accuracy"], summary["dataset"]["examples"], **facts)


def markdown(rows: Sequence[Row]) -> str:
    """The table; accuracies to the digits of their sampling error."""
    title = ["circuit", "accuracy, mean of chips (%)", "worst", "chips"]
    title += [f"pJ a token, {node}" for node in NODES] + [f"with its projection, {node}" for node in NODES]
    title += [f"nJ an example, {node}" for node in NODES]
    title += ["µs a token", "µm²", "supply, ngspice over ledger", "bits as ngspice"]
    lines = [title, ["---"] * len(title), *map(_cells, rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _cells(row: Row) -> list[str]:
    def share(value: float | None) -> str:
        return EMPTY if value is None else f"{100 * value:.{accuracy_decimals(value, row.examples)}f}"

    def number(value: float | None, factor: float) -> str:
        return EMPTY if value is None else significant(value / factor)

    analog = row.token_s is not None
    costs = list(row.costs.values())
    return [
        row.name,
        share(row.mean),
        share(row.accuracy.get("hardware_worst")) if analog else EMPTY,
        str(row.accuracy.get("chips", EMPTY)) if analog else EMPTY,
        *(number(one.alone_j, 1e-12) for one in costs),
        *(number(one.projected_j, 1e-12) for one in costs),
        *(number(one.example_j, 1e-9) for one in costs),
        number(row.token_s, 1e-6),
        EMPTY if row.area_um2 is None else f"{row.area_um2:,.0f}",
        f"{max((100 * (one.supply - 1) for one in row.played), key=abs):+.1f} %" if row.played else EMPTY,
        f"{sum(one.equal for one in row.played)} of {sum(one.bits for one in row.played)}" if row.played else EMPTY,
    ]


def verdicts(rows: Sequence[Row]) -> str:
    """Which row wins each column, and which is second; of accuracy, all within one sampling error of the best."""
    found = []
    measured = [row for row in rows if row.mean is not None]
    if measured:
        best = max(measured, key=lambda row: row.mean or 0.0)
        error = sampling_error(best.mean or 0.0, best.examples)
        level = [row.name for row in measured if (best.mean or 0.0) - (row.mean or 0.0) <= error]
        below = [row.name for row in measured if row.name not in level]
        others = ", ".join(name for name in level if name != best.name)
        text = f"Accuracy: {best.name}" + (f", level with {others}" if others else "")
        found.append(text + (f"; below by more than one sampling error: {', '.join(below)}" if below else ""))
    columns: list[tuple[str, float, Callable[[Row], float | None]]] = []
    for node in NODES:
        columns += [
            (f"pJ a token, {node}", 1e-12, _cost(node, "alone_j")),
            (f"pJ with its projection, {node}", 1e-12, _cost(node, "projected_j")),
            (f"nJ an example, {node}", 1e-9, _cost(node, "example_j")),
        ]
    columns += [("µs a token", 1e-6, lambda row: row.token_s), ("µm²", 1.0, lambda row: row.area_um2)]
    for title, factor, of in columns:
        order = sorted((value, row.name) for row in rows if (value := of(row)) is not None)
        if order:
            shown = [f"{name} ({significant(value / factor)})" for value, name in order[:2]]
            found.append(f"{title}: " + " before ".join(shown))
    return "Wins. " + ". ".join(found) + "."


def _cost(node: str, name: str) -> Callable[[Row], float | None]:
    return lambda row: getattr(row.costs[node], name)


def main(given: Sequence[str]) -> int:
    """Print the table, what wins, and what is missing; 2 for a mistake."""
    parser = arguments.parser("experiments.circuit_table", __doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished co-design run")
    parser.add_argument("--tokens", type=int, default=6, help="played through every netlist; 0: none (default: 6)")
    asked = parser.parse_args(given)
    try:
        rows, notes = rows_of([load_trained(folder) for folder in asked.runs], asked.tokens)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for text in (markdown(rows), verdicts(rows), *notes):
        print(writable(text, sys.stdout.encoding) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
