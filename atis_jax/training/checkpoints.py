"""Checkpoints that survive SIGKILL: Orbax arrays and one JSON file, committed together by a single rename.

A checkpoint is written under ``.writing-<step>`` and renamed to ``step_<step>`` when complete, so a folder of
that name is whole by construction. ``checkpoint.json`` lists the size and SHA-256 of every other file and its own
checksum: one that is damaged later is named, instead of ending in a storage library's stack trace, being read as
zeros or being taken for another state.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from orbax.checkpoint import v1 as ocp

from atis_jax.config import differing_fields
from atis_jax.strict_json import read_json
from atis_jax.training.earlier import blocks_stacked, has_blocks_apart
from atis_jax.training.leaves import dtype_name, from_storage, named_leaves, to_storage
from atis_jax.typing import PyTree
from atis_jax.validation import UserError

SCHEMA = 1
_STEP = re.compile(r"step_(\d{8,})")
_WRITING, _DELETING, _REPLACED = ".writing-", ".deleting-", ".replaced-"
_RECORD, _ARRAYS = "checkpoint.json", "arrays"
_ENTRIES = {"schema", "step", "config_hash", "config", "leaves", "data_position", "extra", "files"}
_CHECKSUM = "sha256"
"""Entry of ``checkpoint.json`` on all others; older checkpoints have none."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or belongs to another run."""


class Checkpoints:
    """The checkpoints of one run, newest last; only the last ``keep`` stay on disk.

    The state's leaves are arrays, NumPy arrays, typed PRNG keys or Python numbers, in any registered pytree.
    They are stored under their path in the tree, so a stored checkpoint can be inspected without our classes.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        config_hash: str | None,
        keep: int = 2,
        *,
        config: Mapping[str, Any] | None = None,
        read_only: bool = False,
    ):
        """Open (and create) the folder, and clear what an interrupted save or deletion left behind.

        Args:
            directory: the folder that holds the checkpoints.
            config_hash: ``config_hash(settings)``; checkpoints of another hash are refused. None: none are.
            keep: how many of the newest checkpoints stay.
            config: ``as_dict(settings, results_only=True)``, stored in each checkpoint so that a refusal can
                name the fields that differ.
            read_only: touch nothing in the folder, which another process may be writing to. Networks of earlier
                versions can be read then; to go on with such a run is refused.

        Raises:
            CheckpointError: the folder cannot be written, or holds checkpoints of another config or of an earlier
                version.
        """
        if keep < 1:
            raise ValueError(f"keep = {keep} must be at least 1")
        self.directory = Path(os.path.abspath(directory))
        self.config_hash, self.keep, self._config = config_hash, keep, dict(config or {})
        try:
            if not read_only:
                self.directory.mkdir(parents=True, exist_ok=True)
                self._clear_leftovers()
        except OSError as error:
            raise CheckpointError(
                f"{self.directory}: cannot be written ({error.strerror}); choose another --workdir"
            ) from error
        for step in self.steps():
            self._refuse_other_config(step)
            if not read_only:
                self._refuse_earlier_version(step)

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        if not self.directory.is_dir():
            return []
        found = (_STEP.fullmatch(entry.name) for entry in self.directory.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def latest_step(self) -> int | None:
        """The newest step that has a checkpoint, None if there is none."""
        return max(self.steps(), default=None)

    def config_of(self, step: int) -> dict[str, Any]:
        """The config that a checkpoint was saved with.

        Raises:
            CheckpointError: the checkpoint is damaged.
        """
        return self._read_record(step)["config"]

    def save(
        self,
        step: int,
        state: PyTree,
        data_position: Mapping[str, Any],
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Store everything needed to go on after ``step``; returns when it is on disk.

        An existing checkpoint of the same step is replaced; one of a later step, left over from an abandoned
        continuation, is removed.

        Args:
            step: number of updates done.
            state: the training state.
            data_position: where the data stream stands (JSON).
            extra: anything else that JSON can hold.

        Raises:
            CheckpointError: the disk refuses (full, read-only); the earlier checkpoints are untouched.
            TypeError: a leaf is not a number or an array, or its type is weak.
        """
        arrays, leaves = to_storage(state)
        writing = self.directory / f"{_WRITING}{step:08d}"
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "step": step,
            "config_hash": self.config_hash,
            "config": self._config,
            "leaves": leaves,
            "data_position": dict(data_position),
            "extra": dict(extra or {}),
        }
        # As JSON holds it, which the checksum is of; what it cannot hold fails before anything is written.
        record = json.loads(json.dumps(record))
        try:
            shutil.rmtree(writing, ignore_errors=True)
            writing.mkdir()
            if arrays:
                with _raised_only():
                    ocp.save(writing / _ARRAYS, arrays)
            record["files"] = {name: _fingerprint(writing / name) for name in _files(writing)}
            record[_CHECKSUM] = _checksum(record)
            _write(writing / _RECORD, json.dumps(record, indent=1))
            for name in record["files"]:
                _sync(writing / name)
            for folder in [writing, *(path for path in writing.rglob("*") if path.is_dir())]:
                _sync(folder)
            replaced = self.directory / f"{_REPLACED}{self._folder(step).name}"
            if self._folder(step).exists():
                os.rename(self._folder(step), replaced)
            os.rename(writing, self._folder(step))
            _sync(self.directory)
            shutil.rmtree(replaced, ignore_errors=True)
        except (
            OSError,
            ValueError,
            RuntimeError,
        ) as error:  # the storage library has no class for a full disk
            shutil.rmtree(writing, ignore_errors=True)
            raise CheckpointError(
                f"{self._folder(step)}: could not be written ({_reason(error)}); put that right, and the same command "
                "goes on from the checkpoint before it"
            ) from error
        for other in self.steps():
            if other > step:
                self._discard(other)
        for old in self.steps()[: -self.keep]:
            self._discard(old)

    def restore(
        self, abstract_state: PyTree, step: int | None = None, part: str | None = None
    ) -> tuple[PyTree, dict[str, Any], dict[str, Any]]:
        """Read a checkpoint back, bit for bit.

        Args:
            abstract_state: a state of the wanted structure, shapes and dtypes (``jax.eval_shape`` or an
                initial state).
            step: which checkpoint; None for the newest. A damaged newest one is never passed over: ask for
                the earlier step.
            part: name of one field of the stored state (such as ``params``), of which ``abstract_state`` is then
                the structure; the others are not looked at. None for the whole state.

        Returns:
            ``(state, data_position, extra)``.

        Raises:
            CheckpointError: none there, damaged, of another config, or of another structure.
        """
        steps = self.steps()
        if step is None:
            step = self.latest_step()
        if step is None or step not in steps:
            missing = "no checkpoint" if step is None else f"no checkpoint of step {step}"
            raise CheckpointError(f"{self.directory}: {missing}; there are: {steps or 'none'}")
        self._refuse_other_config(step)
        record = self._read_record(step)
        self._verify(step, record)
        wanted, definition = named_leaves(abstract_state)
        leaves, parts = blocks_stacked(record["leaves"])
        if part is not None:
            # A part may be one array, which has no name of its own.
            wanted = {f"{part}.{name}" if name else part: leaf for name, leaf in wanted.items()}
            leaves = {name: leaf for name, leaf in leaves.items() if name == part or name.startswith(f"{part}.")}
        self._compare_structure(step, leaves, wanted)
        stored = {name: leaf for name, leaf in record["leaves"].items() if leaf["stored"]}
        try:
            like: dict[str, Any] = {
                name: np.empty(leaf["shape"], np.dtype(leaf["raw_dtype"])) for name, leaf in stored.items()
            }
            arrays = ocp.load(self._folder(step) / _ARRAYS, like) if like else {}
        except Exception as error:  # the storage library raises many kinds
            raise self._damaged(step, f"the arrays cannot be read ({error})") from error
        for name, of_layer in parts.items():
            if leaves.get(name, {}).get("stored"):
                arrays[name] = np.stack([arrays[part] for part in of_layer])
        values = [from_storage(arrays.get(name), leaves[name], leaf) for name, leaf in wanted.items()]
        return jax.tree.unflatten(definition, values), record["data_position"], record["extra"]

    def _folder(self, step: int) -> Path:
        return self.directory / f"step_{step:08d}"

    def _clear_leftovers(self) -> None:
        for leftover in list(self.directory.iterdir()):
            original = self.directory / leftover.name.removeprefix(_REPLACED)
            if leftover.name.startswith(_REPLACED) and not original.exists():
                os.rename(leftover, original)  # killed between the two renames of a replacement
            elif leftover.name.startswith((_WRITING, _DELETING, _REPLACED)):
                shutil.rmtree(leftover)

    def _discard(self, step: int) -> None:
        """Remove a checkpoint; the rename makes it vanish at once, so no half of it is ever seen."""
        folder = self._folder(step)
        if folder.exists():
            doomed = self.directory / f"{_DELETING}{folder.name}"
            os.rename(folder, doomed)
            shutil.rmtree(doomed)

    def _damaged(self, step: int, what: str) -> CheckpointError:
        earlier = [other for other in self.steps() if other < step]
        go_on = f"resume from step {earlier[-1]}" if earlier else "start again from the beginning"
        return CheckpointError(f"{self._folder(step)}: damaged checkpoint: {what}. Delete that folder to {go_on}.")

    def _read_record(self, step: int) -> dict[str, Any]:
        try:
            record = read_json(self._folder(step) / _RECORD)
        except FileNotFoundError:
            raise self._damaged(step, f"{_RECORD} is missing") from None
        except (OSError, ValueError) as error:
            raise self._damaged(step, f"{_RECORD} cannot be read ({error})") from None
        if not isinstance(record, dict) or set(record) - {_CHECKSUM} != _ENTRIES:
            raise self._damaged(step, f"{_RECORD} lacks an entry or has one too many")
        if _CHECKSUM in record and record[_CHECKSUM] != _checksum(record):
            raise self._damaged(step, f"the content of {_RECORD} has changed")
        if record["schema"] != SCHEMA:
            raise CheckpointError(
                f"{self._folder(step)}: written in format {record['schema']}, this program reads {SCHEMA}; "
                "use the version that wrote it or start in a new --workdir"
            )
        return record

    def _refuse_other_config(self, step: int) -> None:
        try:
            record = self._read_record(step)
        except CheckpointError:
            return  # damage is reported when the checkpoint is asked for
        if self.config_hash is not None and record["config_hash"] != self.config_hash:
            lines = differing_fields(record["config"], self._config) if record["config"] and self._config else []
            raise CheckpointError(
                f"{self._folder(step)}: belongs to another config"
                + (":\n  " + "\n  ".join(lines) if lines else "")
                + "\nUse that config, or another --workdir."
            )

    def _refuse_earlier_version(self, step: int) -> None:
        try:
            names = self._read_record(step)["leaves"]
        except CheckpointError:
            return
        if has_blocks_apart(names):
            raise CheckpointError(
                f"{self._folder(step)}: written by an earlier version of this program, which kept every block of the "
                "network apart. This version reads such a run once it is finished, and does not go on with it: go on "
                "with the version that began it, or start again in another --workdir."
            )

    def _verify(self, step: int, record: dict[str, Any]) -> None:
        folder = self._folder(step)
        for name, stored in record["files"].items():
            path = folder / name
            if not path.is_file():
                raise self._damaged(step, f"{name} is missing")
            if path.stat().st_size != stored["bytes"]:
                raise self._damaged(step, f"{name} has {path.stat().st_size} bytes of {stored['bytes']}")
            if _fingerprint(path) != stored:
                raise self._damaged(step, f"the content of {name} has changed")

    def _compare_structure(self, step: int, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
        lines = [f"{name}: in the checkpoint only" for name in stored if name not in wanted]
        lines += [f"{name}: in the program only" for name in wanted if name not in stored]
        for name in wanted:
            if name in stored:
                there = (tuple(stored[name]["shape_seen"]), stored[name]["dtype"])
                here = (tuple(np.shape(wanted[name])), dtype_name(wanted[name]))
                if there != here:
                    lines.append(f"{name}: {there[1]}{list(there[0])} there, {here[1]}{list(here[0])} here")
        if lines:
            more = f"\n  ... and {len(lines) - 8} more" if len(lines) > 8 else ""
            raise CheckpointError(
                f"{self._folder(step)}: holds another state than the program's:\n  "
                + "\n  ".join(lines[:8])
                + more
                + "\nUse the version of the program that wrote it, or another --workdir."
            )


@contextlib.contextmanager
def _raised_only() -> Iterator[None]:
    """Keep the storage library from logging, with a traceback a thread, the errors that it raises as well."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.FATAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _reason(error: Exception) -> str:
    """What the system said, where the storage library wraps it into a page of its own; else the error's first line."""
    code = re.search(r"os_error_code='(\d+)'", str(error))
    return os.strerror(int(code[1])) if code else str(error).partition("\n")[0]


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _fingerprint(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _checksum(record: Mapping[str, Any]) -> str:
    """SHA-256 of all other entries of ``checkpoint.json``, as JSON holds them."""
    text = json.dumps({name: value for name, value in record.items() if name != _CHECKSUM}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    _sync(path)


def _sync(path: Path) -> None:
    """Ask the disk to hold what is in its cache, so that a power cut is no worse than a kill."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no such request for a folder
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
