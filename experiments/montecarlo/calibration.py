"""Cells on calibrated chips: what calibration finds on each chip, measured once and kept in the run folder."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.atis.calibration import CalibrationSpec, CalibrationTokens, Trim, calibrate_chip
from atis_jax.scoring.atis.calibration.currents import check_programmed_once
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.training.cells import Cells, chip_of
from atis_jax.validation import UserError
from experiments.chips import CALIBRATED_AT_ONCE, known_tokens
from experiments.files import write_arrays_atomically
from experiments.montecarlo.engine import Arm
from experiments.rundir import RunFolder
from experiments.trained_run import TrainedRun

TRIMS = "trims"
"""Folder of the trims in a run's folder, one file an arm."""


def check_calibration(method: CalibrationSpec | None, runs: Sequence[TrainedRun]) -> None:
    """Whether chips of every run can be calibrated by a method, None for none; before anything is measured.

    Raises:
        SettingError: the method programs currents that the scorer rewrites.
    """
    for run in runs if method is not None and "currents" in method.methods else ():
        check_programmed_once(run.settings.scorer)


def calibrated(arm: Arm, method: CalibrationSpec, run: TrainedRun, key: jax.Array, folder: RunFolder) -> Arm:
    """The arm with every cell's chip calibrated; what an earlier attempt found is read, not measured again.

    Args:
        arm: chips as fabricated, in the hardware that the method needs.
        method: what is calibrated.
        run: gives the known tokens.
        key: of chips and measurements.
        folder: of this evaluation, where the trims are kept.

    Raises:
        UserError: the stored trims are damaged or another arm's.
    """
    path = trim_file(folder.path, arm)
    if path.exists():
        trim = read_trim(path, arm.cells.trim)
    else:
        trim = calibrate(arm, method, calibration_tokens(run, method), key)
        path.parent.mkdir(exist_ok=True)
        write_arrays_atomically(path, vars(trim))
    return dataclasses.replace(arm, cells=dataclasses.replace(arm.cells, trim=trim))


def trim_file(folder: Path, arm: Arm) -> Path:
    """Where an arm's trims are kept: named by its labels, such as ``trims/quickstart-threshold.npz``."""
    return folder / TRIMS / ("-".join(str(value) for value in arm.labels.values()) + ".npz")


def read_trim(path: Path, like: Trim) -> Trim:
    """The trims in ``path``, leaves (cells, L, ...), which have to have the shapes of ``like``.

    Raises:
        UserError: they have not, or the file is damaged.
    """
    try:
        with np.load(path) as stored:
            trim = Trim(**stored)
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: holds no trims ({error}); remove it, and they are measured again") from error
    found, wanted = ({name: leaf.shape for name, leaf in vars(one).items()} for one in (trim, like))
    if found != wanted:
        raise UserError(
            f"{path}: its trims are another arm's, {found} where {wanted} are needed (cells, layers, ...); remove it, "
            "and they are measured again"
        )
    return trim


def calibration_tokens(run: TrainedRun, method: CalibrationSpec) -> CalibrationTokens:
    """The known tokens of every layer of a run."""
    return known_tokens(run.settings, run.trained, run.train, method, run.root)


def calibrate(arm: Arm, method: CalibrationSpec, tokens: CalibrationTokens, key: jax.Array) -> Trim:
    """What each cell's chip is trimmed to, measured on its own bench at the nominal supply; leaves (cells, L, ...)."""
    cells = jax.tree.map(jnp.asarray, dataclasses.replace(arm.cells, supply=None))
    state, fixed = arm.state, (arm.evaluator.spec, arm.evaluator.hardware, method)
    found = _calibrate(*fixed, state.design, state.scorer_state.query, cells, tokens, key)
    return jax.tree.map(np.asarray, found)


# Jitted here: arms of one structure, whatever their designs, share a compilation.
@partial(jax.jit, static_argnums=(0, 1, 2))
def _calibrate(
    spec: ScorerSpec,
    hardware: Hardware,
    method: CalibrationSpec,
    design: Design,
    query: jax.Array,
    cells: Cells,
    tokens: CalibrationTokens,
    key: jax.Array,
) -> Trim:
    def one(cell: Cells) -> Trim:
        made, chip, environment = chip_of(cell, spec, hardware, len(design.threshold), key)
        noise = jax.random.fold_in(jax.random.fold_in(key, 3), cell.chip)
        # What is measured before the chip leaves the factory is the same wherever it works, a reading in the field not.
        field = jax.random.fold_in(noise, jax.lax.bitcast_convert_type(cell.temperature_k, jnp.uint32))
        return calibrate_chip(design, chip, environment, tokens, spec, made, method, noise, query, field).trim

    return jax.lax.map(one, cells, batch_size=CALIBRATED_AT_ONCE)
