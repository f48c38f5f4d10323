"""Which designs the cells and trims in a run folder are of: a digest of each, remembered at the first attempt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import jax
import numpy as np

from atis_jax.training.state import TrainState
from atis_jax.validation import UserError
from experiments.rundir import DESIGNS, RunDirError, RunFolder
from experiments.trained_run import TrainedRun


def check_designs(runs: Sequence[TrainedRun], folder: RunFolder) -> None:
    """Refuse to go on with what was measured on other designs than these; call it before anything is measured.

    Cells and trims go by the name of a run's folder, which stays when the run is trained again. A folder without
    ``designs.json`` gets one.

    Args:
        runs: that are measured, no two of one name.
        folder: of this evaluation.

    Raises:
        UserError: a run is not what it was at the first attempt, or ``designs.json`` is damaged.
    """
    path, now = folder.path / DESIGNS, {run.folder.name: digest(run.trained.state) for run in runs}
    if not path.exists():
        folder.write_json(DESIGNS, now)
        return
    try:
        then = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); choose another --workdir") from error
    where = {run.folder.name: str(run.folder) for run in runs}
    others = [where.get(name, name) for name in {**then, **now} if then.get(name) != now.get(name)]
    if others:
        raise RunDirError(
            f"--workdir={folder.path}: its cells and trims are of another design than {', '.join(others)} now holds "
            "(trained again since the first attempt?); choose a new --workdir, or remove this folder to start again"
        )


def digest(state: TrainState) -> str:
    """SHA-256 of the network's parameters, the design and the scorer's memory."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves((state.params, state.design, state.scorer_state)):
        values = np.asarray(leaf)
        found.update(f"{values.dtype}{values.shape}".encode() + values.tobytes())
    return found.hexdigest()
