"""What a sweep keeps on disk: ``sweep.json``, one record a run in ``.jobs/``, and what they say of a run.

The launcher alone writes ``.jobs/<run>.submitted.json`` and the worker alone ``.jobs/<run>.run.json``, except that
the launcher closes the record of a worker that is gone: so no two processes ever write one file at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atis_jax.config import differing_fields, results_part
from atis_jax.strict_json import read_json
from atis_jax.validation import UserError
from experiments import rundir
from experiments.files import write_json_atomically
from experiments.rundir import RunDirError, belongs_to_run
from experiments.sweeps.front import Front
from experiments.sweeps.points import Point, swept_fields

SCHEMA = 1
JOBS, DESCRIPTION, _LOCK = ".jobs", "sweep.json", ".lock"
LOG_LINES = 15
"""Lines of a traceback or a log that are kept with a failed run."""


def description(
    config: str, base: Mapping[str, Any], points: Sequence[Point], front: Front | None = None
) -> dict[str, Any]:
    """The content of ``sweep.json``.

    Args:
        config: the ``--config`` argument.
        base: the config without the sweep's overrides, as nested dicts.
        points: the runs.
        front: what its page compares, None for accuracy against the swept fields alone.
    """
    compared = {} if front is None else {"front": dataclasses.asdict(front)}
    return compared | {
        "schema": SCHEMA,
        "config": config,
        "fields": swept_fields(points),
        "base": json.loads(json.dumps(results_part(type(points[0].settings), base))),
        "points": [{"name": point.name, "overrides": dict(point.overrides)} for point in points],
    }


def read_description(folder: Path) -> dict[str, Any]:
    """``sweep.json`` of a folder.

    Raises:
        UserError: the folder is no sweep.
    """
    try:
        stored = read_json(folder / DESCRIPTION)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: is not a sweep ({DESCRIPTION}: {error}); give the --workdir of one") from error
    if not isinstance(stored, dict) or stored.get("schema") != SCHEMA:
        raise UserError(f"{folder / DESCRIPTION}: is not a sweep of this version; start it in a new --workdir")
    return stored


def runs_in(folder: Path) -> list[Path]:
    """The folders of a sweep's runs; of another folder itself alone.

    Raises:
        UserError: ``sweep.json`` is damaged.
    """
    if not (folder / DESCRIPTION).exists():
        return [folder]
    return [folder / point["name"] for point in read_description(folder)["points"]]


def check_folder(folder: Path, wanted: Mapping[str, Any], points: Sequence[Point]) -> None:
    """Refuse a folder that is not free and not this sweep's own; writes nothing.

    Raises:
        RunDirError: the folder cannot be read, holds something else, or belongs to another sweep (what differs is
            named), or one of its run folders belongs to another config.
    """
    try:
        names = {entry.name for entry in folder.iterdir()}
    except FileNotFoundError:
        names = set()
    except NotADirectoryError:
        raise RunDirError(f"--workdir={folder}: is or lies below a file; choose another folder") from None
    except OSError as error:
        raise RunDirError(f"--workdir={folder}: cannot be read ({error.strerror})") from error
    if DESCRIPTION in names:
        different = _differences(read_description(folder), wanted)
        if different:
            raise RunDirError(
                f"--workdir={folder}: belongs to another sweep:\n  " + "\n  ".join(different) + "\n"
                "Use that config and sweep to go on with it, or choose another --workdir."
            )
    elif names - {JOBS, f".{DESCRIPTION}.tmp"}:
        raise RunDirError(
            f"--workdir={folder}: is not empty and not a sweep ({DESCRIPTION} is missing; it holds "
            f"{', '.join(sorted(names)[:3])}{', ...' if len(names) > 3 else ''}); choose a new folder"
        )
    for point in points:
        belongs_to_run(folder / point.name, point.settings)


def _differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    lines = differing_fields(stored.get("base", {}), wanted["base"])[:12]
    there = {point["name"]: point["overrides"] for point in stored["points"]}
    now = {point["name"]: point["overrides"] for point in wanted["points"]}
    if there != now:
        lines.append(f"{len(there)} runs there, {len(now)} now")
        lines += [f"only there: {name}" for name in there if name not in now][:3]
        lines += [f"only now: {name}" for name in now if name not in there][:3]
    return lines


def lock_folder(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Make the folder of a sweep and hold it against a second launcher; raises as ``rundir.lock_folder`` does."""
    return rundir.lock_folder(folder, folder / JOBS / _LOCK, "another process is launching this sweep")


@dataclasses.dataclass(frozen=True)
class Records:
    """The records of one run.

    Attributes:
        folder: of the sweep.
        name: of the run.
    """

    folder: Path
    name: str

    @property
    def _submitted(self) -> Path:
        return self.folder / JOBS / f"{self.name}.submitted.json"

    @property
    def run_file(self) -> Path:
        """Where the worker says how it is doing."""
        return self.folder / JOBS / f"{self.name}.run.json"

    def submitted(self) -> dict[str, Any]:
        """``executor``, ``job_id`` and ``log`` of the newest submission; empty before the first."""
        return _read(self._submitted)

    def run(self) -> dict[str, Any]:
        """What the worker says: ``state``, ``pid``, ``host``, ``restarts``, ``seconds``, ``error``; or empty."""
        return _read(self.run_file)

    def forget_run(self) -> None:
        """Drop the record of the last attempt, before a new one is submitted."""
        self.run_file.unlink(missing_ok=True)

    def write_submitted(self, executor: str, job_id: str, log: str) -> None:
        """Say where the run was submitted to; ``log`` is relative to the sweep's folder."""
        write_json_atomically(self._submitted, {"executor": executor, "job_id": job_id, "log": log})

    def write_run(self, **values: Any) -> None:
        """Replace the worker's record."""
        write_json_atomically(self.run_file, values)

    def log_tail(self) -> str:
        """The last lines of the newest submission's log, empty when it has none."""
        log = self.submitted().get("log")
        try:
            text = (self.folder / log).read_text(errors="replace") if log else ""
        except OSError:
            return ""
        return last_lines(text)

    def finished(self) -> bool:
        """Whether the run has its result."""
        return (self.folder / self.name / "summary.json").is_file()

    def status(self) -> str:
        """One of ``finished``, ``failed``, ``running``, ``interrupted`` and ``waiting``."""
        if self.finished():
            return "finished"
        record = self.run()
        state = record.get("state", "waiting")
        return "interrupted" if state == "running" and not process_alive(record) else state

    def failure(self) -> tuple[str, str]:
        """One line and the last lines of what went wrong, empty for a run that has not failed.

        A run can have its result and yet have failed after it, in drawing its report.
        """
        record = self.run()
        if record.get("state") != "failed":
            return "", ""
        result = self.folder / self.name / "summary.json"
        if result.is_file() and result.stat().st_mtime > self.run_file.stat().st_mtime:
            return "", ""  # finished since, by hand
        return record["error"], record["detail"]


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, nan=True)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete it to start that run again") from error


def last_lines(text: str) -> str:
    """The last lines of a log or a traceback."""
    return "\n".join(line[:300] for line in text.rstrip().splitlines()[-LOG_LINES:])


def this_process() -> dict[str, Any]:
    """What tells this process from any other, also from a later one with its number."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": _start_ticks(os.getpid())}


def elsewhere(record: Mapping[str, Any]) -> bool:
    """Whether the process of a record belongs to another host."""
    return record.get("host") != socket.gethostname()


def process_alive(record: Mapping[str, Any]) -> bool:
    """Whether the process of a record is alive; True for another host, of which nothing can be said here."""
    if elsewhere(record):
        return True
    try:
        os.kill(record["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _start_ticks(record["pid"]) == record.get("started")


def cores_of(record: Mapping[str, Any]) -> set[int]:
    """The cores of this machine that the process of a record may use; none where it has ended or runs elsewhere."""
    if elsewhere(record) or not hasattr(os, "sched_getaffinity"):
        return set()
    with contextlib.suppress(OSError):
        return os.sched_getaffinity(record["pid"])
    return set()


def _start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None where there is no /proc, or for a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
