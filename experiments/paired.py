"""Accuracies of runs, arm by arm, and their differences on the same examples, with 95 % intervals.

    python -m experiments.paired runs/sst2-0.5 runs/sst2-0.5-seed1

A row an arm that is in every run: the design on chips, on the perfect chip, and what it was compared with. Of a run on
several splits each has columns of its own. A difference is of the same example in the same run, the mean over chips
where there are any; its interval is that of the examples (normal, examples drawn anew), the runs' mean difference where
there are several: the same examples stand in each, so their differences are averaged first.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from atis_jax.formatting import writable
from atis_jax.strict_json import read_json
from atis_jax.validation import UserError
from experiments import arguments

PREFIX = "right_"
ARMS = {
    "dense": "dense, trained as long",
    "dense_before": "dense, before",
    "hardware": "the design, mean of chips",
    "ideal": "the design, perfect chip",
    "digital": "digital",
    "attention_received": "most attended (sees Q and K)",
    "random": "random",
}
"""Arrays of a run, and what a table calls them; others by their own name."""
BEHIND = ("dense", "random", "attention_received")
"""Arms that the others are subtracted from, where they are there."""
Z = 1.959964
"""Normal quantile of a two-sided 95 % interval."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """One run's answers.

    Attributes:
        folder: of the run.
        right: by arm, (n,) share of chips that are right of each example.
        parts: name and examples of each split.
        pruned: share of tokens pruned, mean of layers.
    """

    folder: Path
    right: dict[str, Float[np.ndarray, " n"]]
    parts: dict[str, int]
    pruned: float


def load(folder: Path) -> Measured:
    """Read a finished run.

    Raises:
        UserError: it is not finished, or from before answers were kept.
    """
    try:
        summary = read_json(folder / "summary.json")
        with np.load(folder / "artifacts.npz") as arrays:
            found = {name.removeprefix(PREFIX): arrays[name] for name in arrays.files if name.startswith(PREFIX)}
    except OSError as error:
        raise UserError(
            f"{folder} is no finished run: {error}; give the folder of one that wrote summary.json"
        ) from error
    if not found:
        raise UserError(f"{folder} keeps no answers of single examples; run its config again in another folder")
    right = {arm: values.astype(float).reshape(-1, values.shape[-1]).mean(axis=0) for arm, values in found.items()}
    data = summary["dataset"]
    parts = data.get("parts", {data["split"]: data["examples"]})
    return Measured(folder, right, parts, summary["tokens"]["pruned_fraction"])


def difference(runs: Sequence[Measured], one: str, other: str, where: slice) -> tuple[float, float]:
    """Mean over runs and examples of ``one`` less ``other``, and half of its 95 % interval."""
    each = np.mean([run.right[one][where] - run.right[other][where] for run in runs], axis=0)
    return float(each.mean()), Z * float(each.std(ddof=1)) / len(each) ** 0.5


def markdown(runs: Sequence[Measured]) -> str:
    """The table, one row an arm.

    Raises:
        UserError: the runs were not measured on the same examples.
    """
    parts = runs[0].parts
    if any(run.parts != parts for run in runs):
        raise UserError(f"runs on other examples: {', '.join(f'{run.folder} {run.parts}' for run in runs)}")
    arms = [arm for arm in ARMS if all(arm in run.right for run in runs)]
    arms += sorted(arm for arm in runs[0].right if arm not in ARMS and all(arm in run.right for run in runs))
    places, first = {}, 0
    for name, count in parts.items():
        places[name] = slice(first, first + count)
        first += count
    if len(places) > 1:
        places = {"all": slice(0, first)} | places
    behind = [arm for arm in BEHIND if arm in arms]
    head = ["", *(f"{name}, {place.stop - place.start}" for name, place in places.items())]
    head += [f"less {ARMS[arm]}, points" for arm in behind]
    rows = [head, ["---"] * len(head)]
    for arm in arms:
        row = [ARMS.get(arm, arm)]
        for place in places.values():
            mean = np.mean([run.right[arm][place].mean() for run in runs])
            row.append(f"{100 * mean:.1f} %")
        for other in behind:
            if other == arm:
                row.append("")
                continue
            mean, half = difference(runs, arm, other, slice(0, first))
            row.append(f"{100 * mean:+.1f} ± {100 * half:.1f}")
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main(given: Sequence[str]) -> int:
    """Print the table; 2 for a mistake."""
    parser = arguments.parser("experiments.paired", __doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished co-design run")
    asked = parser.parse_args(given)
    try:
        runs = [load(folder) for folder in asked.runs]
        table = markdown(runs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    pruned = np.mean([run.pruned for run in runs])
    print(writable(table, sys.stdout.encoding))
    print(f"\n{len(runs)} run{'s' if len(runs) > 1 else ''}, {100 * pruned:.0f} % of the tokens pruned, mean of layers")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
