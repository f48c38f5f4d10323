"""What a run depends on beside its config: other runs, pretrained weights and JAX's switches. It goes on with the same.

A run names another by its folder, which stays when that one is trained again, and weights by their file. Neither the
config nor the checkpoint says what was in it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import jax
import numpy as np

from atis_jax.strict_json import read_json
from atis_jax.typing import PyTree
from atis_jax.validation import UserError
from experiments.files import write_json_atomically
from experiments.jax_switches import kept_switches, machine
from experiments.rundir import INPUTS, RunDirError, RunFolder
from experiments.sweeps.store import DESCRIPTION

_BEFORE = "designs.json"
"""Name that older Monte-Carlo runs gave the file: a digest of each run by name, and nothing else."""


@dataclasses.dataclass(frozen=True)
class Input:
    """Something read of another run, or a file.

    Attributes:
        folder: of that run; the file itself.
        content: everything of it that can move a result, such as the network's parameters.
        sha256: of the file, in place of that of ``content``.
    """

    folder: str | os.PathLike
    content: PyTree = None
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class _Record:
    """``inputs.json``.

    Attributes:
        runs: folder and digest of each run that is read, by name.
        switches: of JAX, that must stay.
        machine: what may differ, and is then told. Both are empty where an older version wrote the file.
    """

    runs: dict[str, dict[str, str | None]]
    switches: dict[str, str] = dataclasses.field(default_factory=dict)
    machine: dict[str, str] = dataclasses.field(default_factory=dict)


def check_inputs(folder: RunFolder, runs: Mapping[str, Input], past: Collection[str] = ()) -> None:
    """Refuse to go on with other inputs than the run began with; call before anything is computed from them.

    A folder without a record, as of an older run, gets one. The runs of a sweep are compared with one another. Another
    machine or version of JAX is told and no reason to stop.

    Args:
        folder: of the run that reads.
        runs: all others that it reads, by a name that stays, such as the config's field.
        past: names of what it read once and needs no more; the record of them stays as it is.

    Raises:
        UserError: one is not what it was, there is one more or less, a switch of JAX differs, or a record is damaged.
    """
    now = _Record(
        {
            name: {"folder": os.path.abspath(one.folder), "sha256": one.sha256 or digest(one.content)}
            for name, one in runs.items()
        },
        kept_switches(),
        machine(),
    )
    then = _read(folder.path)
    if then is None:
        for sibling in _siblings(folder.path):
            _check_sibling(folder.path, sibling, now)
    else:
        now = dataclasses.replace(now, runs=now.runs | {name: then.runs[name] for name in past if name in then.runs})
        _check_runs(folder.path, then, now, {name: str(one.folder) for name, one in runs.items()})
        _check_switches(folder.path, "it", then, now)
        _tell_machine(then, now)
    if then is None or not then.switches:
        write_json_atomically(folder.path / INPUTS, dataclasses.asdict(now))


def digest(content: PyTree) -> str:
    """SHA-256 of the leaves' types, shapes and bytes, in the tree's order."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(content):
        values = np.asarray(leaf)
        found.update(f"{values.dtype}{values.shape}".encode() + values.tobytes())
    return found.hexdigest()


def _check_runs(path: Path, then: _Record, now: _Record, folders: Mapping[str, str]) -> None:
    def sha256(record: _Record, name: str) -> str | None:
        return record.runs.get(name, {}).get("sha256")

    changed = [name for name in {**then.runs, **now.runs} if sha256(then, name) != sha256(now, name)]
    if changed:
        raise RunDirError(
            f"--workdir={path}: what it holds came of another network or design than "
            f"{', '.join(folders.get(name, name) for name in changed)} now holds (trained again since?); choose a new "
            "--workdir, or remove this folder to start again"
        )


def _check_switches(path: Path, who: str, then: _Record, now: _Record) -> None:
    for name, value in then.switches.items():
        if now.switches.get(name, value) != value:
            raise RunDirError(
                f"--workdir={path}: {who} began with {name} = {value}, which is {now.switches[name]} now: its numbers "
                f"would be of two kinds. Start with {name.upper()}={value}, or choose a new --workdir"
            )


def _check_sibling(path: Path, sibling: Path, now: _Record) -> None:
    then = _read(sibling)
    if then is None:
        return
    for one in then.runs.values():
        for mine in now.runs.values():
            if one["folder"] == mine["folder"] and one["sha256"] != mine["sha256"]:
                raise RunDirError(
                    f"--workdir={path}: {sibling.name} of the same sweep came of another network or design than "
                    f"{mine['folder']} now holds (trained again since?); choose a new --workdir for the sweep, or "
                    "remove its folder to start it again"
                )
    _check_switches(path, f"{sibling.name} of the same sweep", then, now)


def _tell_machine(then: _Record, now: _Record) -> None:
    changed = [
        f"{name} {value or 'none'} (now {now.machine[name] or 'none'})"
        for name, value in then.machine.items()
        if now.machine.get(name, value) != value
    ]
    if changed:
        print(
            f"note: this run began with {', '.join(changed)}; from here on its numbers may be rounded otherwise",
            file=sys.stderr,
        )


def _read(path: Path) -> _Record | None:
    """What a run's folder says of its inputs; None if nothing."""
    file = next((path / name for name in (INPUTS, _BEFORE) if (path / name).exists()), None)
    if file is None:
        return None
    try:
        stored = read_json(file)
        if file.name == _BEFORE:
            return _Record({name: {"folder": None, "sha256": sha256} for name, sha256 in stored.items()})
        found = _Record(**stored)
        for one in found.runs.values():
            if set(one) != {"folder", "sha256"}:
                raise ValueError(f"its entries are {', '.join(one)}")
        return _Record(found.runs, dict(found.switches.items()), dict(found.machine.items()))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: cannot be read ({error}); choose another --workdir") from error


def _siblings(path: Path) -> list[Path]:
    """The other runs of the sweep that a run's folder is in; none if it is in none."""
    if not (path.parent / DESCRIPTION).exists():
        return []
    return sorted(other.parent for other in path.parent.glob(f"*/{INPUTS}") if other.parent != path)
