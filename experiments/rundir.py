"""The folder of a run: made once, gone on with when the config is the same, refused otherwise."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from atis_jax.config import as_dict, config_hash, differing_fields, results_part, to_json
from atis_jax.validation import UserError
from experiments.files import write_json_atomically, write_text_atomically
from experiments.jax_switches import refuse_switches

SUMMARY_SCHEMA = 1
_CONFIG, _LOCK = "config.json", ".lock"
INPUTS = "inputs.json"
"""What a run says of other runs that it reads and of JAX's switches, before there is any result."""
# What an attempt killed before config.json was in place may leave.
_OURS_BEFORE_CONFIG = {_LOCK, f".{_CONFIG}.tmp"}


class RunDirError(UserError):
    """The folder asked for cannot be the folder of this run."""


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Where one run keeps its files; held exclusively while ``open_run`` is open.

    Attributes:
        path: the folder.
        config_hash: hash of the settings that can change the result.
        config: those settings, as in ``config.json``.
        resumed: whether the folder existed with this config.
    """

    path: Path
    config_hash: str
    config: Mapping[str, Any]
    resumed: bool

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """The metrics file, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def figures(self) -> Path:
        """Folder of the figures, made on first use."""
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder

    def write_json(self, name: str, value: Any) -> Path:
        """Write ``value`` to the file ``name`` of the folder, whole or not at all."""
        write_json_atomically(self.path / name, value)
        return self.path / name

    def write_summary(self, summary: Mapping[str, Any]) -> Path:
        """Write ``summary.json``; entries that are None were not measured and are left out.

        Raises:
            FloatingPointError: a number is NaN or infinite.
        """
        return self.write_json("summary.json", {"schema": SUMMARY_SCHEMA, **_measured(summary)})


def _measured(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _measured(item) if isinstance(item, Mapping) else item for key, item in value.items() if item is not None
    }


@contextlib.contextmanager
def held(workdir: Path, lock_file: Path, busy: str) -> Iterator[None]:
    """Make the folder of ``lock_file``, in or below ``workdir``, and hold it until the block ends or the process dies.

    Args:
        workdir: named in the messages.
        lock_file: made if it does not exist.
        busy: what a second process is told.

    Raises:
        RunDirError: the folder cannot be written, or another process holds it.
    """
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        lock = open(lock_file, "a")
    except OSError as error:
        raise RunDirError(
            f"--workdir={workdir}: cannot be written ({error.strerror}); choose a folder you may write to"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunDirError(f"--workdir={workdir}: {busy}; wait for it or choose another folder") from None
        yield


@contextlib.contextmanager
def open_run(workdir: str | os.PathLike, settings: Any) -> Iterator[RunFolder]:
    """Make or reopen the folder of a run and hold it until the block ends (or the process dies).

    Nothing is written before the folder is known to be new or this config's own, and an existing
    ``config.json`` is never rewritten. A new folder in which a ``UserError`` comes before any result is free again.

    Args:
        workdir: the folder.
        settings: the run's settings, a dataclass tree.

    Raises:
        RunDirError: the folder cannot be written, holds something else, belongs to another config (the
            differing fields are named), or is in use by another process.
        UserError: JAX has a switch under which no run can be made.
    """
    refuse_switches()
    path = Path(os.path.abspath(workdir))
    belongs_to_run(path, settings)
    with held(path, path / _LOCK, "another process is running in this folder"):
        # A second look: another process may have made the folder its own before we held the lock.
        resumed = belongs_to_run(path, settings)
        if not resumed:
            try:
                write_text_atomically(path / _CONFIG, to_json(settings))
            except OSError as error:
                raise RunDirError(f"--workdir={path}: cannot be written ({error.strerror})") from error
        try:
            yield RunFolder(path, config_hash(settings), as_dict(settings, results_only=True), resumed)
        except UserError:
            # A mistake found before anything was computed: the corrected config may use the folder.
            with contextlib.suppress(OSError):
                if not resumed and {entry.name for entry in path.iterdir()} - {INPUTS} == {_CONFIG, _LOCK}:
                    (path / INPUTS).unlink(missing_ok=True)
                    (path / _CONFIG).unlink()
            raise


def belongs_to_run(path: Path, settings: Any) -> bool:
    """Whether the folder is this config's own (True) or free to take (False); writes nothing.

    Raises:
        RunDirError: the folder cannot be read, holds something else, or belongs to another config.
    """
    try:
        names = {entry.name for entry in path.iterdir()}
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        raise RunDirError(f"--workdir={path}: is or lies below a file; choose another folder") from None
    except OSError as error:
        raise RunDirError(f"--workdir={path}: cannot be read ({error.strerror})") from error
    if _CONFIG not in names:
        if names <= _OURS_BEFORE_CONFIG:
            return False
        raise RunDirError(
            f"--workdir={path}: is not empty and not a run ({_CONFIG} is missing; it holds "
            f"{', '.join(sorted(names)[:3])}{', ...' if len(names) > 3 else ''}); choose a new folder"
        )
    stored = _read_config(path)
    lines = differing_fields(results_part(type(settings), stored), as_dict(settings, results_only=True))
    if lines:
        shown = "\n  ".join(lines[:12]) + (f"\n  ... and {len(lines) - 12} more" if len(lines) > 12 else "")
        raise RunDirError(
            f"--workdir={path}: belongs to a run with another config:\n  {shown}\n"
            "Use that config to go on with it, or choose another --workdir."
        )
    return True


def _read_config(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads((path / _CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise RunDirError(f"{path / _CONFIG}: cannot be read ({error}); choose another --workdir") from None
    if not isinstance(stored, dict):
        raise RunDirError(f"{path / _CONFIG}: is not a config of ours; choose another --workdir")
    return stored
