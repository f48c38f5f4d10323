"""From a trained run, a hardware and a grid of chips to the cells of an arm; and the evaluation of all arms."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax import rng
from atis_jax.circuits.hardware import Hardware
from atis_jax.circuits.imperfections import IMPERFECTIONS
from atis_jax.data.registry import make_dataset
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.calibration import Trim, no_trim
from atis_jax.training.cells import Cells, Inputs
from atis_jax.units import celsius_to_kelvin
from atis_jax.validation import SettingError, UserError
from experiments.files import write_text_atomically
from experiments.montecarlo.engine import Account, Arm, Engine, batches, columns, with_reference
from experiments.montecarlo.inputs import test_inputs
from experiments.montecarlo.settings import MonteCarloSpec
from experiments.montecarlo.table import NAME, CellTable, read_table
from experiments.rundir import RunFolder
from experiments.sweeps.store import runs_in
from experiments.trained_run import TrainedRun, load_trained


def one_device_a_core() -> None:
    """Make every core that this process may use a device of its own, so that they share chunks of cells.

    Two devices of one core each do a third more than one device of two cores: the work is many small operations, of
    which one core is the fastest user. Nothing happens if JAX runs already, or on another back end.
    """
    with contextlib.suppress(RuntimeError):
        # A batch system may have given fewer cores than the machine has; not every system says so.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        jax.config.update("jax_num_cpu_devices", cores or 1)


def load_runs(folders: Sequence[str]) -> list[TrainedRun]:
    """The finished co-design runs in ``folders``; the folder of a sweep stands for all its runs.

    Raises:
        UserError: none given, one twice, two of one name, no finished run, no analog scorer, or networks on different
            data sets.
    """
    if not folders or len(set(folders)) != len(folders):
        raise SettingError(f"config.checkpoints = {tuple(folders)} must name at least one run folder, and none twice")
    places = [folder for given in folders for folder in runs_in(Path(given))]
    names = [place.name for place in places]
    if len(set(names)) != len(names):
        raise SettingError(
            f"config.checkpoints = {tuple(folders)} holds two folders of one name ({', '.join(names)}): the table, the "
            "report and the stored trims go by it; rename one"
        )
    runs = [load_trained(place) for place in places]
    for run in runs:
        if not isinstance(run.trained.evaluator.method, Analog):
            raise UserError(
                f"{run.folder}: its scorer is {run.settings.scorer.kind!r}; an array of OTAs is drawn and "
                "calibrated here: give runs with scorer.kind = 'analog'"
            )
        if run.settings.data.name != runs[0].settings.data.name:
            raise UserError(
                f"{run.folder}: its data set is {run.settings.data.name!r}, that of {runs[0].folder} is "
                f"{runs[0].settings.data.name!r}; compare runs on one data set"
            )
    return runs


def load_run(folder: str) -> TrainedRun:
    """The one finished co-design run in ``folder``.

    Raises:
        UserError: as ``load_runs``, or a sweep of several.
    """
    runs = load_runs([folder])
    if len(runs) > 1:
        raise SettingError(
            f"config.checkpoint = {folder!r} is a sweep of {len(runs)} runs; name one of them, such as "
            f"{str(runs[0].folder)!r}"
        )
    return runs[0]


def make_arm(
    run: TrainedRun,
    labels: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    hardware: Hardware | None = None,
    factors: np.ndarray | None = None,
    trim: Trim | None = None,
) -> Arm:
    """An arm of cells.

    Args:
        run: network and design.
        labels: what the table says of every cell.
        rows: of each cell at least ``chip`` and ``temperature_c``, and ``supply`` where it is not the nominal one.
        hardware: the run's own unless given. The cells are compared with the run's own perfect chip all the same.
        factors: (cells, K) of each imperfection; ones unless given.
        trim: what calibration set, leaves (cells, L, ...).
    """
    evaluator = run.trained.evaluator
    target = run.settings.pruning.kept_of_incoming(run.settings.model.depth)
    if hardware is not None:
        evaluator = evaluator.on(hardware, jnp.asarray(target))
    temperature_k = np.asarray([celsius_to_kelvin(row["temperature_c"]) for row in rows], np.float32)
    leaves: Any = dict(
        chip=np.asarray([row["chip"] for row in rows], np.int32),
        temperature_k=temperature_k,
        factors=np.ones((len(rows), len(IMPERFECTIONS)), np.float32) if factors is None else factors,
        trim=untrimmed(run, len(rows)) if trim is None else trim,
        supply=np.asarray([row["supply"] for row in rows], np.float32) if rows and "supply" in rows[0] else None,
    )
    cells = Cells(**leaves)
    return Arm(labels, evaluator, run.trained.evaluator, run.trained.state, target, cells, rows)


def untrimmed(run: TrainedRun, cells: int) -> Trim:
    """Chips as fabricated: trims of zero, leaves (cells, L, ...)."""
    shape = cells, run.settings.model.depth
    return jax.tree.map(lambda leaf: np.zeros((*shape, *leaf.shape), np.float32), no_trim(run.settings.scorer))


def chip_rows(spec: MonteCarloSpec) -> list[dict[str, Any]]:
    """Every chip at every temperature, chip by chip."""
    return [{"chip": chip, "temperature_c": t} for chip in range(spec.chips) for t in spec.temperature_c]


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Arms, the rows of their cells in order, and what they are compared with.

    Attributes:
        rows: of the whole table, in the order of the cells.
        ideal: accuracy of the perfect chip that each arm is compared with, on the same inputs.
        account: what it took.
    """

    rows: list[dict[str, Any]]
    ideal: list[float]
    account: Account


def inputs_of(run: TrainedRun, spec: MonteCarloSpec) -> list[Inputs]:
    """The inputs of every cell, in batches; before anything is measured, for there may not be as many.

    Raises:
        SettingError: more are asked for than there are.
    """
    examples = test_inputs(run.settings.data.name, run.test, spec.examples)
    return batches(make_dataset(run.settings.data), examples, spec.batch_size)


def evaluate(
    arms: Sequence[Arm], spec: MonteCarloSpec, folder: RunFolder, key: jax.Array, inputs: Sequence[Inputs]
) -> Evaluated:
    """Every cell of every arm, going on where an earlier attempt stopped; the table ends sorted by cell."""
    known: dict[Any, tuple[list[Inputs], float]] = {}
    work, ideal = [], []
    for arm in arms:
        # Arms of one design share their perfect chip.
        of = (id(arm.state), arm.reference.spec, arm.reference.hardware, arm.reference.scored)
        if of not in known:
            known[of] = with_reference(arm, inputs)
        work.append((arm, known[of][0]))
        ideal.append(known[of][1])
    engine = Engine(spec, key)
    path = folder.path / NAME
    with CellTable(path, columns(arms[0])) as table:
        engine.run(work, table)
    rows = read_table(path)
    _sort(path, rows)
    return Evaluated(rows, ideal, engine.account)


def _sort(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The table's lines in the order of the cells, whatever the order they were finished in."""
    lines = path.read_text().splitlines(keepends=True)
    if [row["cell"] for row in rows] != [int(line.split(",", 1)[0]) for line in lines[1:]]:
        ordered = sorted(lines[1:], key=lambda line: int(line.split(",", 1)[0]))
        write_text_atomically(path, "".join([lines[0], *ordered]))


def fabrication_key(seed: int) -> jax.Array:
    """The root of every chip and every read of an evaluation."""
    return rng.key_of(jax.random.key(seed), "evaluation")
