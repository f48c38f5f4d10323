"""metrics.jsonl: one JSON object a step, read into columns, smoothed and thinned for drawing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from atis_jax.report.errors import ReportError
from atis_jax.strict_json import JsonError, parse_json


@dataclass(frozen=True)
class Phase:
    """Consecutive lines of one stage and phase; ``start`` and ``stop`` index the lines, as in a slice."""

    name: str
    start: int
    stop: int
    stage: str = ""


@dataclass(frozen=True)
class Metrics:
    """The lines of metrics.jsonl as columns.

    Attributes:
        step: (lines,) position on the horizontal axis.
        phases: consecutive stretches of lines.
        columns: name -> (line indices where the name is given, values (n,) or (n, layers)).
        remarks: what was odd about the file, in sentences for the page.
    """

    step: np.ndarray = field(default_factory=lambda: np.zeros(0))
    phases: tuple[Phase, ...] = ()
    columns: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def parse_metrics(path: Path) -> Metrics:
    """Read a metrics file. ``null`` and the NaN of Python's JSON both count as "not a number".

    A last line that was cut short (the run was killed while writing it) is left out and remarked on.

    Raises:
        ReportError: any other line is not a JSON object, or lists of different lengths under one name.
    """
    remarks: list[str] = []
    records: dict[tuple[str, str, float], dict[str, Any]] = {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    repeated = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line, nan=True)
        except JsonError as error:
            if number == len(lines):
                remarks.append("The last line of metrics.jsonl is cut short and was left out.")
                break
            raise ReportError(f"{path}, line {number} {error}; remove that line") from error
        step = record.get("step") if isinstance(record, dict) else None
        if isinstance(step, bool) or not isinstance(step, int | float):
            raise ReportError(f"{path}, line {number}: expected an object with a number under 'step'")
        key = (str(record.get("stage") or ""), str(record.get("phase") or "training"), step)
        earlier = records.get(key, {})
        # Records may share a step (training, evaluation); one written again by a resumed run replaces.
        repeated += bool((earlier.keys() & record.keys()) - {"step", "phase", "stage", "seconds"})
        records[key] = {**earlier, **record}
    if repeated:
        remarks.append(f"{repeated:,} steps were written more than once; the last writing of each is shown.")
    return _columns(list(records), list(records.values()), path, remarks)


def _columns(keys: list[tuple[str, str, float]], records: list[dict], path: Path, remarks: list[str]) -> Metrics:
    phases: list[Phase] = []
    steps = np.array([step for *_, step in keys], dtype=float)
    for index, (stage, name, _) in enumerate(keys):
        if not phases or (phases[-1].stage, phases[-1].name) != (stage, name):
            phases.append(Phase(name, index, index + 1, stage))
        else:
            phases[-1] = Phase(name, phases[-1].start, index + 1, stage)
    shifted = False
    for before, phase in zip(phases, phases[1:], strict=False):
        last, first = steps[before.stop - 1], steps[phase.start]
        if first <= last:  # a phase that counts its own steps: put it after the one before
            steps[phase.start :] += last - first + 1
            shifted = True
    if shifted:
        remarks.append("Some phases count their steps from the start again; they are drawn one after another.")
    lists: dict[str, tuple[list[int], list[Any]]] = {}
    for index, record in enumerate(records):
        for name, value in record.items():
            if name in ("step", "phase", "stage") or isinstance(value, str | bool | dict):
                continue
            where, values = lists.setdefault(name, ([], []))
            where.append(index)
            values.append(value)
    columns = {}
    for name, (where, values) in lists.items():
        width = next((len(v) for v in values if isinstance(v, list)), None)
        if width is not None:
            values = [[None] * width if v is None else v for v in values]
        try:
            columns[name] = (np.array(where), np.array(values, dtype=float))
        except (ValueError, TypeError) as error:
            raise ReportError(f"{path}: '{name}' changes its shape between lines ({error})") from error
    return Metrics(steps, tuple(phases), columns, tuple(remarks))


def moving_mean(values: Float[np.ndarray, " n"], window: int) -> Float[np.ndarray, " n"]:
    """Centred mean over ``window`` values, shorter at the ends; not finite stays not finite (a gap)."""
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    index = np.arange(values.size)
    low, high = np.maximum(index - window // 2, 0), np.minimum(index + window // 2 + 1, values.size)
    mean = (sums[high] - sums[low]) / np.maximum(counts[high] - counts[low], 1)
    return np.where(finite, mean, np.nan)


@dataclass(frozen=True)
class Curve:
    """A series thinned for drawing: mean line and the range of the raw values, a bin each (NaN: a gap)."""

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def thin(x: np.ndarray, values: Float[np.ndarray, " n"], window: int, bins: int = 300) -> Curve:
    """Smooth over ``window`` values, then at most ``bins`` points; a bin with a value not finite is a gap."""
    edges = np.unique(np.linspace(0, values.size, min(bins, values.size) + 1).astype(int)[:-1])
    raw = np.where(np.isfinite(values), values, np.nan)
    sizes = np.diff(np.append(edges, values.size))
    return Curve(
        x=np.add.reduceat(x, edges) / sizes,
        mean=np.add.reduceat(moving_mean(values, window), edges) / sizes,
        low=np.minimum.reduceat(raw, edges),
        high=np.maximum.reduceat(raw, edges),
    )
