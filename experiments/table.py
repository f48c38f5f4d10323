"""One table from finished co-design runs: runs that differ only in seed, teacher and controls share a row.

python -m experiments.table runs/vit_cifar10-0.5 runs/vit_cifar10-0.5-1 runs/vit_cifar10-0.5-2
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from atis_jax.config import as_dict, results_part
from atis_jax.formatting import sampling_error
from atis_jax.strict_json import read_json
from atis_jax.validation import UserError
from experiments.seeds import Repeats
from experiments.settings import CodesignSettings
from experiments.sweeps.points import name_of
from experiments.sweeps.store import runs_in
from experiments.table_formats import FORMATS

_PER_RUN = {"seed", "start_from", "checkpoint_every", "compare"}
"""Fields in which the runs of one row may differ."""
_MOST_FIELDS, _LONGEST = 3, 60
"""Differing fields, and characters, up to which they name a row; with more it has the name of its run."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished co-design run.

    Attributes:
        folder: as given.
        config: its settings, dotted, those it was made before at their defaults.
        summary: its ``summary.json``.
    """

    folder: Path
    config: Mapping[str, Any]
    summary: Mapping[str, Any]

    def training(self) -> dict[str, Any]:
        """The fields that say which training it was: two runs with the same are no repeats of one another."""
        return {name: value for name, value in self.config.items() if name != "compare"}

    def number(self, name: str) -> float | None:
        """A number of the summary by its dotted name, None where it has none.

        The accuracy of the dense network is one only where it was trained as long as the pruned one.
        """
        if name == "accuracy.dense" and "dense" not in self.config["compare"]:
            return None
        section, _, field = name.partition(".")
        holder = self.summary.get(section)
        value = holder.get(field) if isinstance(holder, Mapping) else None
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


@dataclasses.dataclass(frozen=True)
class Line:
    """A row: one design.

    Attributes:
        design: the fields in which it differs from the other rows, or the name of its run.
        runs: one a seed.
    """

    design: str
    runs: Sequence[Run]

    def repeats(self, name: str, less: str | None = None) -> Repeats | None:
        """A number over the runs that have it; ``less``: another one, taken from it run by run."""
        pairs = [(run.number(name), 0.0 if less is None else run.number(less)) for run in self.runs]
        values = tuple(one - other for one, other in pairs if one is not None and other is not None)
        return Repeats(values) if values else None

    def examples(self) -> float | None:
        """Test examples of one accuracy: of its runs the fewest, None where one does not say."""
        found = [run.number("dataset.examples") for run in self.runs]
        return min((count for count in found if count), default=None) if all(found) else None

    def split(self) -> str:
        """What its accuracies were counted on; the same for all of its runs."""
        return str(self.runs[0].config.get("data.evaluation", "test"))

    def error(self, name: str) -> float | None:
        """Sampling error of one such accuracy."""
        repeats, examples = self.repeats(name), self.examples()
        return sampling_error(repeats.mean, examples) if repeats and examples else None


def read_run(folder: Path) -> Run:
    """A finished co-design run.

    Raises:
        UserError: the folder holds none; says what is missing.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder")
    read = {}
    for name in ("config.json", "summary.json"):
        try:
            read[name] = read_json(folder / name, nan=True)
        except FileNotFoundError:
            raise UserError(f"{folder}: is not finished (no {name}); finish it with launch.py") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: {name} cannot be read ({error})") from error
        if not isinstance(read[name], dict):
            raise UserError(f"{folder}: {name} is not one of ours")
    stored = _dotted(as_dict(CodesignSettings(), results_only=True)) | _dotted(
        results_part(CodesignSettings, read["config.json"])
    )
    run = Run(folder, stored, read["summary.json"])
    if run.number("accuracy.hardware_mean") is None:
        raise UserError(f"{folder}: measured no chips; only codesign runs have a row")
    return run


def read_runs(folders: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """The finished co-design runs, and a line for each folder that holds none; a sweep stands for its runs."""
    runs: list[Run] = []
    left_out: list[str] = []
    for given in folders:
        try:
            inside = runs_in(given)
        except UserError as error:
            inside = []
            left_out.append(str(error))
        for folder in inside:
            try:
                run = read_run(folder)
            except UserError as error:
                left_out.append(str(error))
                continue
            same = next((one for one in runs if one.training() == run.training()), None)
            if same is None:
                runs.append(run)
            else:
                left_out.append(f"{folder}: is the training of {same.folder} again, the same seed; give one of them")
    return runs, left_out


def lines(runs: Iterable[Run]) -> list[Line]:
    """A row for each set of runs that differ only in seed, teacher and controls, the least pruned first."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        design = {name: value for name, value in run.config.items() if name not in _PER_RUN}
        groups.setdefault(json.dumps(design, sort_keys=True), []).append(run)
    found = list(groups.values())
    named = [Line(name, group) for name, group in zip(_names(found), found, strict=True)]
    return sorted(named, key=lambda line: _order(line.repeats("tokens.pruned_fraction")))


def _order(pruned: Repeats | None) -> float:
    return math.inf if pruned is None else pruned.mean


def _names(groups: Sequence[Sequence[Run]]) -> list[str]:
    """Of each group the fields in which the groups differ; the name of its first run where these are too many."""
    configs = [group[0].config for group in groups]
    fields = dict.fromkeys(name for config in configs for name in config if name not in _PER_RUN)
    differ = [name for name in fields if any(config.get(name) != configs[0].get(name) for config in configs)]
    names = [name_of({name: config.get(name) for name in differ}).replace(",", ", ") for config in configs]
    if 0 < len(differ) <= _MOST_FIELDS and max(map(len, names)) <= _LONGEST:
        return names
    folders = [group[0].folder for group in groups]
    alone = len({folder.name for folder in folders}) == len(folders)
    return [
        (folder.resolve().name if alone else str(folder)) + (f" and {len(group) - 1} more" if len(group) > 1 else "")
        for folder, group in zip(folders, groups, strict=True)
    ]


def _dotted(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _dotted(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 2 where no folder has a finished co-design run."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.table",
        description="Print one table of finished co-design runs, a row a design: means over seeds +- their standard "
        "deviation. Folders without a finished run are left out and named on standard error.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="of a run; that of a sweep stands for its runs"
    )
    parser.add_argument("--format", choices=tuple(FORMATS), default="markdown", help="of the table (default: markdown)")
    given = parser.parse_args(arguments)
    runs, left_out = read_runs(given.folders)
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    if not runs:
        print("error: none of the folders has a finished co-design run", file=sys.stderr)
        return 2
    print(FORMATS[given.format](lines(runs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
