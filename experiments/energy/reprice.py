"""A finished run's ledger under other prices, memories or converters: nothing is trained or measured again.

    python -m experiments.energy.reprice runs/quickstart weights=sram_1m tokens=sram_32k
    python -m experiments.energy.reprice runs/quickstart preset=jouppi_7nm dac=capacitive

prints every line for the analog scorer, its digital rivals and the dense network, with the run's own fields of
``config.energy`` where none is given. The design and the tokens it kept are those of the run.
"""

from __future__ import annotations

import ast
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from atis_jax.config import as_dict, from_config_dict
from atis_jax.energy.ledger import LINE_ENTRIES, LINES, SCORING_LINES, Ledger
from atis_jax.energy.presets import nodes_nm
from atis_jax.energy.spec import EnergySpec
from atis_jax.formatting import si, significant, writable
from atis_jax.scoring.atis.method import Atis
from atis_jax.strict_json import read_json
from atis_jax.validation import UserError
from experiments import arguments
from experiments.ledgers import run_bill
from experiments.trained_run import load_trained


def changed(spec: EnergySpec, given: Sequence[str]) -> EnergySpec:
    """``spec`` with fields replaced.

    Args:
        spec: the run's own.
        given: ``field=value`` each.

    Raises:
        UserError: not of that form, an unknown field, or a value that is refused.
    """
    values = as_dict(spec)
    for one in given:
        name, equals, text = one.partition("=")
        if not equals:
            raise UserError(f"{one!r} is not field=value; write for instance preset=jouppi_7nm")
        try:
            values[name] = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            values[name] = text
    return from_config_dict(EnergySpec, values, "energy")


def ledgers(folder: Path, given: Sequence[str]) -> tuple[EnergySpec, dict[str, Ledger]]:
    """The run's scorer, its digital rivals and the dense network, by name, under the fields ``given``.

    Raises:
        UserError: no finished co-design run, or a field that is refused.
    """
    run = load_trained(folder)
    summary = read_json(folder / "summary.json", nan=True)
    energy = changed(run.settings.energy, given)
    settings = dataclasses.replace(run.settings, energy=energy)
    costs, method = run_bill(settings, run.model, run.trained.state.params), run.trained.evaluator.method
    kept = jnp.asarray(summary["tokens"]["kept_per_layer"])
    state = run.trained.state
    found = {f"run ({run.settings.scorer.kind})": method.bill(costs, kept, state.design, state.scorer_state)}
    if isinstance(method, Atis):
        lines = method.ledger(costs)
        found["digital"] = lines.digital(kept, state.design, folded=False)
        if lines.folds:
            found["folded"] = lines.digital(kept, state.design, folded=True)
    return energy, found | {"dense": costs.dense()}


def table(found: dict[str, Ledger], preset: str) -> str:
    """A line of the ledger a row, a contender a column; lines that nobody pays are left out."""
    columns: dict[str, dict[str, Any]] = {name: one.as_dict() for name, one in found.items()}
    nodes = nodes_nm(preset)
    rows = [["", *columns, "nodes (nm)"]]
    for line in LINES:
        values = [float(one[line]) for one in columns.values()]
        if any(values):
            of_line = dict.fromkeys(node for entry in LINE_ENTRIES[line] for node in nodes[entry])
            mark = "* " if line in SCORING_LINES else "  "
            rows.append([mark + line, *map(_joules, values), ", ".join(str(n) if n else "-" for n in of_line)])
    rows.append(["scoring (*)", *(_joules(float(one.scoring_j)) for one in found.values()), ""])
    rows.append(["total", *(_joules(float(one.total_j)) for one in found.values()), ""])
    dense = float(found["dense"].total_j)
    rows.append(["over dense", *(significant(float(one.total_j) / dense) for one in found.values()), ""])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(_padded(row, widths)) for row in rows)


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The first cell to the left, numbers to the right."""
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]


def _joules(value: float) -> str:
    return si(value, "J").replace("\u00a0", " ") if value else "0"


def main(given: Sequence[str]) -> int:
    """Print the ledger of a run; 2 for a mistake."""
    parser = arguments.parser("experiments.energy.reprice", __doc__)
    parser.add_argument("run", metavar="RUN", help="folder of a finished co-design run, such as runs/quickstart")
    parser.add_argument("fields", nargs="*", metavar="FIELD=VALUE", help="of config.energy, such as preset=jouppi_7nm")
    asked = parser.parse_args(given)
    try:
        energy, found = ledgers(Path(asked.run), asked.fields)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{asked.run}, joules an example: " + ", ".join(f"{k}={v}" for k, v in as_dict(energy).items()) + "\n")
    print(writable(table(found, str(energy.preset)), sys.stdout.encoding))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
