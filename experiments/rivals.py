"""Ways to choose tokens side by side, from finished runs of one network: accuracy by operations really done.

    python -m experiments.rivals runs/rivals

A row a method, the most accurate first; of runs that differ in their seed the mean. Operations are multiply-accumulates
over those of the dense network, the method's own included, at the tokens that it kept on the evaluation examples.
Differences from ATIS on chips are of the same examples, with 95 % intervals of the examples.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from atis_jax.formatting import sampling_error, writable
from atis_jax.scoring.method import Method
from atis_jax.scoring.registry import METHODS
from atis_jax.validation import UserError
from experiments import arguments, paired
from experiments.table import Run, read_runs

ATIS = "analog"
"""What the others are compared with."""
CONTROLS = {"dense": "no pruning, trained as long", "random": "random"}
"""Arms of ATIS's own run that are rows too."""
WHERE = {"before_attention": "before Q, K, V", "before_mlp": "behind attention", "after_feed": "behind the block"}
"""What each of ``scoring.method.SITES`` is called."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One method.

    Attributes:
        name: of the method.
        where: it looks.
        operations: share of the dense network's; None where its run does not say.
        kept: share of the tokens, mean of layers.
        accuracy: of the examples, mean of chips where there are any.
        examples: in an accuracy.
        less: difference of its accuracy from ATIS's, and half of the interval; None for ATIS.
        energy_j: of an example, None where unknown.
        seeds: runs in it.
    """

    name: str
    where: str
    operations: float | None
    kept: float
    accuracy: float
    examples: int
    less: tuple[float, float] | None
    energy_j: float | None
    seeds: int


def rows_of(runs: Sequence[Run]) -> list[Row]:
    """A row a method, the most accurate first.

    Raises:
        UserError: ATIS is not among them, one was measured on other examples, or a method has other seeds than ATIS.
    """
    by_kind: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.config["seed"]):
        by_kind.setdefault(run.config["scorer.kind"], []).append(run)
    if ATIS not in by_kind:
        raise UserError(f"no run has scorer.kind = {ATIS!r}, from which the others' difference is; found {[*by_kind]}")
    measured = {kind: [paired.load(run.folder) for run in found] for kind, found in by_kind.items()}
    atis, seeds = measured[ATIS], [run.config["seed"] for run in by_kind[ATIS]]
    rows = []
    for kind, found in by_kind.items():
        if [run.config["seed"] for run in found] != seeds:
            raise UserError(
                f"{kind} has seeds {[run.config['seed'] for run in found]}, {ATIS} {seeds}; run what is missing"
            )
        if any(one.parts != atis[0].parts for one in measured[kind]):
            raise UserError(f"{found[0].folder}: measured on other examples than {atis[0].folder}")
        right = [one.right["hardware"] for one in measured[kind]]
        operations = mean_of(found, "operations.share")
        name = f"{kind}, mean of chips" if METHODS[kind].perfect_chip is not Method.perfect_chip else kind
        where = WHERE[METHODS[kind].site]
        pruned = float(np.mean([one.pruned for one in measured[kind]]))
        rows.append(row(name, where, operations, 1.0 - pruned, right, atis, mean_of(found, "energy.total_j")))
    for arm, name in CONTROLS.items():
        if all(arm in one.right for one in atis):
            kept = 1.0 if arm == "dense" else 1.0 - float(np.mean([one.pruned for one in atis]))
            right = [one.right[arm] for one in atis]
            rows.append(row(name, "", 1.0 if arm == "dense" else None, kept, right, atis, None))
    return sorted(rows, key=lambda one: -one.accuracy)


def row(name, where, operations, kept, right, atis: Sequence[paired.Measured], energy_j) -> Row:
    """One row; the difference is of the same examples in the same seed."""
    each = np.mean([one - other.right["hardware"] for one, other in zip(right, atis, strict=True)], axis=0)
    itself = all(one is other.right["hardware"] for one, other in zip(right, atis, strict=True))
    half = paired.Z * float(each.std(ddof=1)) / len(each) ** 0.5
    less = None if itself else (float(each.mean()), half)
    accuracy = float(np.mean([one.mean() for one in right]))
    return Row(name, where, operations, kept, accuracy, len(each), less, energy_j, len(right))


def mean_of(runs: Sequence[Run], name: str) -> float | None:
    """Mean of a number of the summaries, None where one lacks it."""
    found = [run.number(name) for run in runs]
    return None if any(one is None for one in found) else float(np.mean([one for one in found if one is not None]))


def markdown(rows: Sequence[Row]) -> str:
    """The table."""
    head = ["method", "looks", "operations", "tokens kept", "accuracy", "less ATIS, points", "µJ an example"]
    lines = [head, ["---"] * len(head)]
    for one in rows:
        error = 100 * sampling_error(one.accuracy, one.examples)
        lines.append(
            [
                one.name,
                one.where,
                "" if one.operations is None else f"{100 * one.operations:.0f} %",
                f"{100 * one.kept:.0f} %",
                f"{100 * one.accuracy:.1f} ± {error:.1f} %",
                "" if one.less is None else f"{100 * one.less[0]:+.1f} ± {100 * one.less[1]:.1f}",
                "" if one.energy_j is None else f"{1e6 * one.energy_j:.2f}",
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(given: Sequence[str]) -> int:
    """Print the table; 2 for a mistake."""
    parser = arguments.parser("experiments.rivals", __doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run, or of a sweep of them")
    asked = parser.parse_args(given)
    try:
        runs, left_out = read_runs(asked.runs)
        table = markdown(rows_of(runs))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in left_out:
        print(f"note: {line}", file=sys.stderr)
    print(writable(table, sys.stdout.encoding))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
