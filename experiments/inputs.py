"""What a run reads of other runs: a digest of each is kept, so that it goes on with the same content or not at all.

A run names another by its folder, which stays when that one is trained again. Neither the config nor the checkpoint
says what the folder held.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from atis_jax.typing import PyTree
from atis_jax.validation import UserError
from experiments.rundir import INPUTS, RunDirError, RunFolder
from experiments.sweeps.store import DESCRIPTION

_BEFORE = "designs.json"
"""Name that older Monte-Carlo runs gave the file: a digest by name, without folders."""
_REMEDY = "trained again since?); choose a new --workdir, or remove"


@dataclasses.dataclass(frozen=True)
class Input:
    """Something read of another run.

    Attributes:
        folder: of that run.
        content: everything of it that can move a result, such as the network's parameters.
    """

    folder: str | os.PathLike
    content: PyTree


def check_inputs(folder: RunFolder, inputs: Mapping[str, Input]) -> None:
    """Refuse to go on with other inputs than the run began with; call before anything is computed from them.

    A folder without a record, as of an older run, gets one. The runs of a sweep are compared with one another: those
    that read one folder must have found the same in it.

    Args:
        folder: of the run that reads.
        inputs: all that it reads, by a name that stays, such as the config's field.

    Raises:
        UserError: an input is not what it was, there is one more or less, or a record is damaged.
    """
    now = {name: {"folder": os.path.abspath(one.folder), "sha256": digest(one.content)} for name, one in inputs.items()}
    then = _recorded(folder.path)
    if then is not None:
        changed = [name for name in {**then, **now} if _sha256(then, name) != _sha256(now, name)]
        if changed:
            where = ", ".join(str(inputs[name].folder) if name in inputs else name for name in changed)
            raise RunDirError(
                f"--workdir={folder.path}: what it holds came of another network or design than {where} now holds "
                f"({_REMEDY} this folder to start again"
            )
        return
    for sibling in _siblings(folder.path):
        for one in (_recorded(sibling) or {}).values():
            for mine in now.values():
                if one["folder"] == mine["folder"] and one["sha256"] != mine["sha256"]:
                    raise RunDirError(
                        f"--workdir={folder.path}: {sibling.name} of the same sweep came of another network or design "
                        f"than {mine['folder']} now holds ({_REMEDY} this sweep to start it again"
                    )
    folder.write_json(INPUTS, now)


def digest(content: PyTree) -> str:
    """SHA-256 of the leaves' types, shapes and bytes, in the tree's order."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(content):
        values = np.asarray(leaf)
        found.update(f"{values.dtype}{values.shape}".encode() + values.tobytes())
    return found.hexdigest()


def _recorded(path: Path) -> dict[str, dict[str, str | None]] | None:
    """What a run's folder says of its inputs; None if nothing."""
    file = next((path / name for name in (INPUTS, _BEFORE) if (path / name).exists()), None)
    if file is None:
        return None
    try:
        stored = json.loads(file.read_text())
        if file.name == _BEFORE:
            stored = {name: {"folder": None, "sha256": sha256} for name, sha256 in stored.items()}
        return {name: {"folder": one["folder"], "sha256": one["sha256"]} for name, one in stored.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{file}: cannot be read ({error}); choose another --workdir") from error


def _sha256(record: Mapping[str, Mapping[str, str | None]], name: str) -> str | None:
    return record[name]["sha256"] if name in record else None


def _siblings(path: Path) -> list[Path]:
    """The other runs of the sweep that a run's folder is in; none if it is in none."""
    if not (path.parent / DESCRIPTION).exists():
        return []
    return sorted(other.parent for other in path.parent.glob(f"*/{INPUTS}") if other.parent != path)
