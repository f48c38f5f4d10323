"""Reading a run folder: every file is checked here once, so the figures can trust what they are given.

A file or value that is not there raises ``Absent`` where it is asked for; the page lists the reason. A file
that is there but wrong (broken JSON, contradicting shapes, an accuracy of 95) raises ``ReportError``.
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from atis_jax.report.errors import Absent, ReportError
from atis_jax.report.metrics import Metrics, parse_metrics
from atis_jax.report.wording import Words, words_for
from atis_jax.strict_json import JsonError, read_json


@dataclass(frozen=True)
class Arrays:
    """What artifacts.npz may hold.

    Attributes:
        shapes: axes of each array. Letters are sizes; the same letter means the same size in every array of the file,
            and a number is that size. {n} stands for every number that the file has.
        fractions: arrays whose values lie between 0 and 1.
        gaps: arrays that hold NaN where nothing was measured.
        texts: arrays that hold words.
    """

    shapes: Mapping[str, str] = field(default_factory=dict)
    fractions: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunFiles:
    """What was found in a run folder. ``missing`` maps a file's name to why it could not be used."""

    path: Path
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def experiment(self) -> str:
        """Which experiment the run was of, empty when neither file says."""
        return str(self.summary.get("experiment") or self.config.get("experiment") or "")

    @property
    def words(self) -> Words:
        """What the examples of its data set are called."""
        return words_for(self.table("dataset").get("unit"))

    def evaluated(self, plural: bool = True) -> str:
        """What its accuracies were counted on: ``test sentences``, of several splits ``validation and test sentences``.

        Args:
            plural: False for one of them.
        """
        split = str(self.table("dataset").get("split") or "test").replace("+", " and ")
        return f"{split} {self.words.units if plural else self.words.unit}"

    def array(self, name: str) -> np.ndarray:
        """An array of artifacts.npz; ``Absent`` when this run has none of that name."""
        if name in self.arrays:
            return self.arrays[name]
        raise Absent(self.missing.get("artifacts.npz", f"artifacts.npz has no array '{name}'"))

    def optional(self, name: str) -> np.ndarray | None:
        """An array of artifacts.npz, or None."""
        return self.arrays.get(name)

    def number(self, field_name: str) -> float | None:
        """A number of summary.json by its dotted name, None when it was not measured.

        Raises:
            ReportError: the value is there and is not a number.
        """
        value: Any = self.summary
        for part in field_name.split("."):
            if not isinstance(value, dict):
                raise ReportError(f"summary.json: '{field_name}' needs a table, found {value!r}")
            value = value.get(part)
            if value is None:
                return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ReportError(f"summary.json: '{field_name}' must be a number, found {value!r}")
        return float(value)

    def fraction(self, field_name: str) -> float | None:
        """Like ``number``, and between 0 and 1 (or not a number, which the page then says)."""
        value = self.number(field_name)
        if value is not None and not math.isnan(value) and not -1e-9 <= value <= 1 + 1e-9:
            raise ReportError(f"summary.json: '{field_name}' is {value}, outside [0, 1]; write a fraction")
        return value

    def table(self, name: str) -> dict[str, Any]:
        """A sub-table of summary.json, empty when absent."""
        value = self.summary.get(name) or {}
        if not isinstance(value, dict):
            raise ReportError(f"summary.json: '{name}' must be a table, found {value!r}")
        return value

    def part(self, name: str) -> Any:
        """A part of summary.json, whatever it is; ``Absent`` where this run has none."""
        value = self.summary.get(name)
        if not value:
            raise Absent(self.missing.get("summary.json", f"summary.json has no '{name}'"))
        return value

    def class_names(self) -> list[str] | None:
        """Names of the classes, from summary.json or config.json (top level, ``dataset`` or ``data``)."""
        for document in (self.summary, self.config):
            for place in (document, document.get("dataset"), document.get("data")):
                names = place.get("class_names") if isinstance(place, dict) else None
                if isinstance(names, list | tuple) and names:
                    return [str(name) for name in names]
        return None


def kind_of(run: RunFiles) -> str:
    """The scorer that a training run is about, analog where its configuration does not say."""
    scorer = run.config.get("scorer")
    kind = scorer.get("kind") if isinstance(scorer, dict) else None
    return str(kind or "analog")


def experiment_of(run_dir: str | Path) -> str:
    """Which experiment a run was of, empty when neither its summary nor its config says.

    Raises:
        ReportError: as ``read_run``.
    """
    path = Path(run_dir)
    missing = _missing(path)
    config, summary = ({} if name in missing else _read_json(path / name) for name in ("config.json", "summary.json"))
    return RunFiles(path, config, summary).experiment


def read_run(run_dir: str | Path, arrays: Arrays) -> RunFiles:
    """Read config.json, summary.json, metrics.jsonl and artifacts.npz, each of which may be absent.

    Args:
        run_dir: the folder.
        arrays: what artifacts.npz may hold; it may hold others, which are not checked.

    Raises:
        ReportError: the folder does not exist, holds none of them, or one of them is damaged.
    """
    path = Path(run_dir)
    missing = _missing(path)
    return RunFiles(
        path=path,
        config={} if "config.json" in missing else _read_json(path / "config.json"),
        summary={} if "summary.json" in missing else _read_json(path / "summary.json"),
        arrays={} if "artifacts.npz" in missing else _read_arrays(path / "artifacts.npz", arrays),
        metrics=Metrics() if "metrics.jsonl" in missing else parse_metrics(path / "metrics.jsonl"),
        missing=missing,
    )


def _missing(path: Path) -> dict[str, str]:
    """The files that a run's folder lacks, each with the reason."""
    if not path.is_dir():
        raise ReportError(f"{path} is not a folder; give the folder of a run, such as runs/quickstart")
    names = ("config.json", "summary.json", "metrics.jsonl", "artifacts.npz")
    missing = {name: f"{name} is not in the run folder" for name in names if not (path / name).is_file()}
    if len(missing) == len(names):
        raise ReportError(f"{path} has none of {', '.join(names)}; is it the folder of a run?")
    return missing


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path, nan=True)
    except JsonError as error:
        raise ReportError(f"{error}; write it again from its run") from error
    if not isinstance(value, dict):
        raise ReportError(f"{path} must hold one JSON object, found a {type(value).__name__}")
    return value


def _read_arrays(path: Path, known: Arrays) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        raise ReportError(
            f"{path} is damaged or not an .npz of plain arrays ({error}); delete it and evaluate again"
        ) from error
    _check_arrays(arrays, known, path)
    return arrays


def _shapes_of(arrays: dict[str, np.ndarray], shapes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Name and axes of each array there is, in the order of ``shapes``."""
    for name, letters in shapes.items():
        before, numbered, after = name.partition("{n}")
        pattern = re.compile(re.escape(before) + (r"(\d+)" if numbered else "()") + re.escape(after))
        for found in filter(None, map(pattern.fullmatch, arrays)):
            yield found[0], letters.replace("{n}", found[1])


def _check_arrays(arrays: dict[str, np.ndarray], known: Arrays, path: Path) -> None:
    sizes: dict[str, tuple[int, str]] = {}
    for name, letters in _shapes_of(arrays, known.shapes):
        array, axes = arrays[name], letters.split()
        if array.ndim != len(axes):
            raise ReportError(f"{path}: '{name}' has shape {array.shape}, expected axes ({', '.join(axes)})")
        kinds, wanted_ = ("U", "words") if name in known.texts else ("biuf", "numbers")
        if array.dtype.kind not in kinds:
            raise ReportError(f"{path}: '{name}' holds {array.dtype}, expected {wanted_}")
        for axis, size in zip(axes, array.shape, strict=True):
            letter, extra = (axis[:-2], 1) if axis.endswith("+1") else (axis, 0)
            if letter.isdigit() and size != int(letter):
                raise ReportError(f"{path}: '{name}' has shape {array.shape}, expected axes ({', '.join(axes)})")
            if size - extra < 1:
                raise ReportError(f"{path}: '{name}' is empty along {axis} (shape {array.shape})")
            wanted, owner = sizes.setdefault(letter, (size - extra, name))
            if wanted != size - extra:
                raise ReportError(f"{path}: '{name}' has {size} along {axis}, but '{owner}' says {letter} = {wanted}")
        if name in known.texts:
            continue
        finite = array[np.isfinite(array)]
        if name not in known.gaps and finite.size != array.size:
            raise ReportError(f"{path}: '{name}' holds {array.size - finite.size} values that are not finite")
        if name in known.fractions and finite.size and not (finite.min() >= -1e-6 and finite.max() <= 1 + 1e-6):
            raise ReportError(f"{path}: '{name}' must lie in [0, 1], found {finite.min():.4g} to {finite.max():.4g}")
