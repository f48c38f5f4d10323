"""The folder of a run: made when the run begins, gone on with when the config is the same, refused otherwise.

A run owns its folder from its first step on. Before that, whatever stops it, the folder is free for any config.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from atis_jax.config import (
    as_dict,
    as_stored_now,
    config_hash,
    differing_fields,
    results_part,
    stored_hash,
    to_json,
)
from atis_jax.strict_json import read_json
from atis_jax.validation import UserError
from experiments.files import write_json_atomically, write_text_atomically
from experiments.jax_switches import refuse_switches

SUMMARY_SCHEMA = 1
_CONFIG, _LOCK = "config.json", ".lock"
INPUTS = "inputs.json"
"""What a run says of other runs that it reads and of JAX's switches, before there is any result."""
_BEFORE_ANY_STEP = {name for file in (_CONFIG, INPUTS) for name in (file, f".{file}.tmp")} | {_LOCK}
"""Files that say nothing of a result."""
_EMPTY_BEFORE_ANY_STEP = {"checkpoints", "metrics.jsonl", "cells.csv", "figures"}
"""What is made ahead of the first step and empty until then."""


class RunDirError(UserError):
    """The folder asked for cannot be the folder of this run."""


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Where one run keeps its files.

    Attributes:
        path: the folder.
        config_hash: hash of the settings that can change the result.
        config: those settings, as in ``config.json``.
        resumed: whether this run has made a step there before.
        begin: makes the folder, holds it exclusively until ``open_run`` ends, and says so. A run calls it once it has
            checked all that can be checked without computing, and before it writes; called again, it does nothing.
    """

    path: Path
    config_hash: str
    config: Mapping[str, Any]
    resumed: bool
    begin: Callable[[], None] = lambda: None

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """The metrics file, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def report(self) -> Path:
        """The page that tells the result."""
        return self.path / "report.html"

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
def lock_folder(workdir: Path, lock_file: Path, busy: str) -> Iterator[None]:
    """Make the folder of ``lock_file``, in or below ``workdir``, and hold it until the block ends or the process dies.

    What is still empty of the folders made here goes again at the end.

    Args:
        workdir: named in the messages.
        lock_file: made if it does not exist.
        busy: what a second process is told.

    Raises:
        RunDirError: the folder cannot be written, or another process holds it.
    """
    made = [folder for folder in (lock_file.parent, *lock_file.parent.parents) if not folder.exists()]
    # The system's own lock, which dies with its process. A mere file would outlive a kill: never fall back to one.
    lock = FileLock(lock_file, timeout=0, fallback_to_soft=False)
    try:
        try:
            lock_file.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise RunDirError(f"--workdir={workdir}: {busy}; wait for it or choose another folder") from None
        except OSError as error:
            raise RunDirError(
                f"--workdir={workdir}: cannot be written ({error.strerror}); choose a folder you may write to"
            ) from error
        try:
            yield
        finally:
            lock.release()
    finally:
        with contextlib.suppress(OSError):  # not empty, or another process has taken one meanwhile
            for folder in made:
                folder.rmdir()


@contextlib.contextmanager
def open_run(workdir: str | os.PathLike, settings: Any) -> Iterator[RunFolder]:
    """The folder of a run, from the first look at it until the block ends (or the process dies).

    A folder in which this run has made a step is held at once. Any other is left alone until ``RunFolder.begin``, so
    that a run refused before that leaves nothing behind. A run that ends before its first step, for whatever reason,
    takes away what it wrote; one that was killed leaves a folder that any config may take.

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
    with contextlib.ExitStack() as stack:

        @functools.cache
        def hold() -> bool:
            """Take the lock; whether the run has made a step, now that no other process can make one."""
            stack.enter_context(lock_folder(path, path / _LOCK, "another process is running in this folder"))
            return belongs_to_run(path, settings)

        @functools.cache
        def begin() -> None:
            if not hold():
                stack.callback(_leave, path)
                try:
                    _remove_unused(path)
                    write_text_atomically(path / _CONFIG, to_json(settings))
                except OSError as error:
                    raise RunDirError(f"--workdir={path}: cannot be written ({error.strerror})") from error
            print(f"{'going on in' if hold() else 'starting in'} {path}", flush=True)

        resumed = belongs_to_run(path, settings) and hold()
        yield RunFolder(path, *_identity(path, settings, resumed), resumed, begin)


def _identity(path: Path, settings: Any, resumed: bool) -> tuple[str, dict[str, Any]]:
    """Hash and settings that the run's checkpoints carry: those it began with."""
    if not resumed:
        return config_hash(settings), as_dict(settings, results_only=True)
    stored = results_part(type(settings), _read_config(path))
    return stored_hash(stored), stored


def belongs_to_run(path: Path, settings: Any) -> bool:
    """Whether the folder is this config's own (True) or free to take (False); writes nothing.

    Free is also the folder of a run, of this config or another, that never made a step.

    Raises:
        RunDirError: the folder cannot be read, holds something else, or belongs to another config.
    """
    try:
        names = {entry.name for entry in path.iterdir()}
        unused = _unused(path, names)
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        raise RunDirError(f"--workdir={path}: is or lies below a file; choose another folder") from None
    except OSError as error:
        raise RunDirError(f"--workdir={path}: cannot be read ({error.strerror})") from error
    if unused:
        return False
    if _CONFIG not in names:
        raise RunDirError(
            f"--workdir={path}: is not empty and not a run ({_CONFIG} is missing; it holds "
            f"{', '.join(sorted(names)[:3])}{', ...' if len(names) > 3 else ''}); choose a new folder"
        )
    stored = results_part(type(settings), _read_config(path))
    lines = differing_fields(as_stored_now(type(settings), stored), as_dict(settings, results_only=True))
    if lines:
        shown = "\n  ".join(lines[:12]) + (f"\n  ... and {len(lines) - 12} more" if len(lines) > 12 else "")
        raise RunDirError(
            f"--workdir={path}: belongs to a run with another config:\n  {shown}\n"
            "Use that config to go on with it, or choose another --workdir."
        )
    return True


def _unused(path: Path, names: set[str]) -> bool:
    """Whether a folder holds nothing but what an attempt without a step left, if anything."""
    if _CONFIG not in names:
        return names <= {_LOCK, f".{_CONFIG}.tmp"}
    if _LOCK not in names or names - _BEFORE_ANY_STEP - _EMPTY_BEFORE_ANY_STEP:
        return False
    if any(_has_content(path / name) for name in names & _EMPTY_BEFORE_ANY_STEP):
        return False
    return "experiment" in _read_config(path)  # a config of ours, not only a file of that name


def _has_content(path: Path) -> bool:
    """Whether a file is not empty, or a folder holds a file at any depth."""
    return any(entry.is_file() for entry in path.rglob("*")) if path.is_dir() else path.stat().st_size > 0


def _leave(path: Path) -> None:
    """At the end, while the folder is still held: take away what an attempt without a step wrote, the lock too."""
    with contextlib.suppress(OSError):
        _remove_unused(path)
        if {entry.name for entry in path.iterdir()} == {_LOCK}:
            (path / _LOCK).unlink()  # where an open file cannot be removed, letting go of the lock removes it


def _remove_unused(path: Path) -> None:
    """Take away what an attempt without a step wrote, but for the lock; nothing where a step was made."""
    names = {entry.name for entry in path.iterdir()}
    if not _unused(path, names):
        return
    for name in sorted(names & _EMPTY_BEFORE_ANY_STEP):
        if (path / name).is_dir():
            for folder in sorted((path / name).rglob("*"), reverse=True):  # the deepest first
                folder.rmdir()
            (path / name).rmdir()
        else:
            (path / name).unlink()
    for name in sorted(names & _BEFORE_ANY_STEP - {_CONFIG, _LOCK}):
        (path / name).unlink()
    # Last: it is what makes the rest ours.
    (path / _CONFIG).unlink(missing_ok=True)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        stored = read_json(path / _CONFIG)
    except (OSError, ValueError) as error:
        raise RunDirError(f"{path / _CONFIG}: cannot be read ({error}); choose another --workdir") from None
    if not isinstance(stored, dict):
        raise RunDirError(f"{path / _CONFIG}: is not a config of ours; choose another --workdir")
    return stored
