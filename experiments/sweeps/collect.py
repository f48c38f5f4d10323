"""Write a sweep's table and page, sweep.csv and report.html, from the files of the sweep alone.

python -m experiments.sweeps.collect runs/sweep_quickstart-sweep
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from atis_jax.strict_json import read_json
from atis_jax.validation import UserError
from experiments.files import write_text_atomically
from experiments.sweeps import page
from experiments.sweeps.designs import designs_of
from experiments.sweeps.front import Front
from experiments.sweeps.points import SEED, name_of
from experiments.sweeps.row import Row
from experiments.sweeps.store import Records, read_description
from experiments.wording import is_measured_accuracy

TABLE, PAGE = "sweep.csv", "report.html"
UNCHANGED = "unchanged config"
"""Name of the design whose runs override nothing but the seed."""
_METRICS = ("accuracy.hardware_mean", "accuracy.ideal", "accuracy.dense")


def rows(folder: Path) -> list[Row]:
    """The runs of a sweep in its own order.

    Raises:
        UserError: the folder is no sweep, or a file in it is damaged.
    """
    stored = read_description(folder)
    return [_row(folder, point, stored["fields"], stored["base"]) for point in stored["points"]]


def metric_of(table: Sequence[Row]) -> str | None:
    """The accuracy by which designs are compared: the first that any finished run has; None without one."""
    found = list(dict.fromkeys(name for row in table for name in row.numbers))
    accuracies = [name for name in found if is_measured_accuracy(name)]
    return next((name for name in [*_METRICS, *accuracies] if name in found), None)


def csv_text(table: Sequence[Row]) -> str:
    """The table: run, design, swept fields, status, the summary's numbers, seconds, restarts, error; a row a run."""
    fields = list(table[0].fields)
    design_of = {row.name: design.name for design in designs_of(table) for row in design.rows}
    numbers = list(dict.fromkeys(name for row in table for name in row.numbers))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "design", *fields, "status", *numbers, "seconds", "restarts", "error"])
    for row in table:
        writer.writerow(
            [
                row.name,
                design_of[row.name],
                *(cell(row.fields[name]) for name in fields),
                row.status,
                *(row.numbers.get(name, "") for name in numbers),
                "" if row.seconds is None else f"{row.seconds:.1f}",
                row.restarts,
                row.error,
            ]
        )
    return out.getvalue()


def cell(value: Any) -> str:
    """A swept value as it is written on the command line."""
    return value if isinstance(value, str) else "None" if value is None else json.dumps(value)


def write(folder: Path) -> list[Row]:
    """Write ``sweep.csv`` and ``report.html``, each whole or not at all; returns the table.

    Raises:
        UserError: the folder is no sweep, a file in it is damaged, or it cannot be written.
    """
    table = rows(folder)
    asked = read_description(folder).get("front")
    html = page.render(folder, table, metric_of(table), None if asked is None else Front(**asked))
    try:
        write_text_atomically(folder / TABLE, csv_text(table))
        write_text_atomically(folder / PAGE, html)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error}); check its permissions") from error
    return table


def _row(folder: Path, point: Mapping[str, Any], fields: Sequence[str], base: Mapping[str, Any]) -> Row:
    records = Records(folder, point["name"])
    run, (error, detail) = records.run(), records.failure()
    values = {name: point["overrides"][name] if name in point["overrides"] else _at(base, name) for name in fields}
    taken = {*fields, "run", "design", "status", "seconds", "restarts", "error", "schema"}
    numbers = {}
    if records.finished():
        summary = _read_summary(folder / point["name"] / "summary.json")
        numbers = {name: value for name, value in _numbers(summary) if name not in taken}
    return Row(
        name=point["name"],
        design=name_of({field: value for field, value in point["overrides"].items() if field != SEED}) or UNCHANGED,
        fields=values,
        status=records.status(),
        numbers=numbers,
        seconds=run.get("seconds"),
        restarts=run.get("restarts", 0),
        error=error,
        detail=detail,
    )


def _read_summary(path: Path) -> Mapping[str, Any]:
    try:
        summary = read_json(path, nan=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete it to have that run measured again") from error
    if not isinstance(summary, dict):
        raise UserError(f"{path}: is no summary of ours; delete it to have that run measured again")
    return summary


def _numbers(summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Numbers of the summary and of its sections; what lies deeper is in the run's own report."""
    for name, value in summary.items():
        inner = {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, Mapping) else {name: value}
        for key, item in inner.items():
            if isinstance(item, (int, float)) and not isinstance(item, bool):
                yield key, item


def _at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def main(arguments: Sequence[str] | None = None) -> int:
    """Write table and page of each folder again; 2 for a mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.sweeps.collect", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of a sweep")
    try:
        for folder in parser.parse_args(arguments).folders:
            write(folder)
            print(f"{folder / TABLE}\n{folder / PAGE}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
