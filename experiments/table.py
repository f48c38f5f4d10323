"""One Markdown table from finished co-design runs: runs that differ only in seed and controls share a row.

python -m experiments.table runs/vit_cifar10-0.5 runs/vit_cifar10-0.5-1 runs/vit_cifar10-0.5-2
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from atis_jax.validation import UserError

COLUMNS = (
    "pruned, mean of layers",
    "pruned, final layer",
    "seeds",
    "dense",
    "analog: mean over chips",
    "std over chips",
    "worst chip",
    "perfect chip",
    "digital",
    "random",
    "analog - random",
    "chips",
)
_PER_RUN = {"seed", "start_from", "checkpoint_every", "compare"}


def read_run(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Config and summary of a finished co-design run.

    Raises:
        UserError: the folder holds none.
    """
    try:
        config, summary = (json.loads((folder / name).read_text()) for name in ("config.json", "summary.json"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no finished run ({error}); finish it with launch.py, or leave it out") from error
    if "hardware_mean" not in summary.get("accuracy", {}):
        raise UserError(f"{folder}: measured no chips; give folders of codesign runs")
    if "dense" not in config["compare"]:
        del summary["accuracy"]["dense"]  # the network before co-design: not trained as long as the pruned one
    return config, summary


def rows(folders: Sequence[Path]) -> list[list[str]]:
    """A row for each set of runs that differ only in their seed, the least pruned first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for folder in folders:
        config, summary = read_run(folder)
        name = json.dumps({k: v for k, v in config.items() if k not in _PER_RUN}, sort_keys=True)
        groups.setdefault(name, []).append(summary)
    ordered = sorted(groups.values(), key=lambda runs: _mean(runs, "tokens", "pruned_fraction"))
    return [_row(runs) for runs in ordered]


def _row(runs: list[dict[str, Any]]) -> list[str]:
    difference = [
        run["accuracy"]["hardware_mean"] - run["accuracy"]["random"] for run in runs if "random" in run["accuracy"]
    ]
    worst = [run["accuracy"]["hardware_worst"] for run in runs]
    return [
        f"{_mean(runs, 'tokens', 'pruned_fraction'):.3f}",
        f"{_mean(runs, 'tokens', 'pruned_fraction_final_layer'):.3f}",
        str(len(runs)),
        _percent([run["accuracy"].get("dense") for run in runs]),
        _percent([run["accuracy"]["hardware_mean"] for run in runs]),
        f"{100 * _mean(runs, 'accuracy', 'hardware_std'):.2f}",
        f"{100 * min(worst):.2f}",
        _percent([run["accuracy"].get("ideal") for run in runs]),
        _percent([run["accuracy"].get("digital") for run in runs]),
        _percent([run["accuracy"].get("random") for run in runs]),
        _percent(difference, sign=True),
        str(sum(run["accuracy"]["chips"] for run in runs)),
    ]


def _mean(runs: list[dict[str, Any]], section: str, name: str) -> float:
    return float(np.mean([run[section][name] for run in runs]))


def _percent(values: Sequence[float | None], sign: bool = False) -> str:
    """Mean in percent, with the standard deviation over seeds where there are several."""
    measured = [100 * value for value in values if value is not None]
    if not measured:
        return ""
    text = f"{np.mean(measured):+.2f}" if sign else f"{np.mean(measured):.2f}"
    return text if len(measured) == 1 else f"{text} +- {np.std(measured, ddof=1):.2f}"


def markdown(folders: Sequence[Path]) -> str:
    """The table; accuracies in percent, +- the standard deviation over seeds."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows(folders)])


if __name__ == "__main__":
    try:
        print(markdown([Path(argument) for argument in sys.argv[1:]]))
    except UserError as error:
        sys.exit(f"error: {error}")
