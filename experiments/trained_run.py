"""A finished run read back: network, design and memory, ready to be measured again; or the dense network alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp

from atis_jax.config import as_stored_now, from_config_dict, results_part, stored_hash
from atis_jax.data.dataset import Split
from atis_jax.data.registry import load_split
from atis_jax.models.backbone import Model
from atis_jax.run import STAGE, check_finished, no_run, read_config, restore
from atis_jax.training.checkpoints import Checkpoints
from atis_jax.training.state import TrainState
from atis_jax.typing import PyTree
from experiments import codesign
from experiments.build import build_model
from experiments.chips import Trained, with_scorer
from experiments.inputs import Input
from experiments.loop import Stage
from experiments.settings import CodesignSettings


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """What a finished co-design run leaves behind.

    Attributes:
        settings: of that run, as its config.json holds them.
        model: the network's structure.
        trained: its parameters, design and scorer memory after the last step of co-design. The optimiser's memory
            is not read: ``trained.state.opt_state`` is empty.
        train: the training examples.
        test: examples of the split that it is evaluated on.
        root: the run's root key.
        folder: where it was read from.
    """

    settings: CodesignSettings
    model: Model
    trained: Trained
    train: Split
    test: Split
    root: jax.Array
    folder: Path

    def as_input(self) -> Input:
        """What an experiment reads of this run, to be remembered with its results."""
        state = self.trained.state
        return Input(self.folder, (state.params, state.design, state.scorer_state))


def load_trained(folder: str | Path) -> TrainedRun:
    """Read the co-design stage of a finished run; nothing in ``folder`` is written.

    Args:
        folder: of the run, such as runs/quickstart.

    Raises:
        UserError: the folder holds no run, another experiment's, an unfinished one, or a damaged checkpoint; the
            message says which and what to do.
        DatasetError: the run's data set is not on this machine.
    """
    folder = Path(folder)
    settings, stored_as = _settings_of(folder)
    store = Checkpoints(folder / "checkpoints" / STAGE, stored_as, read_only=True)
    done = check_finished(folder, store, settings.tune.steps)
    train, test = load_split(settings.data, "train"), load_split(settings.data, settings.data.evaluation)
    root = jax.random.key(settings.seed)
    model = build_model(settings, train)

    # Traced, not run: only shapes and types are wanted, and calibration would cost seconds.
    def states() -> TrainState:
        dense = codesign.fresh_dense(settings, model, root)
        stage = Stage(STAGE, settings.tune.steps, 0, 0, lambda step: STAGE)
        return codesign.prepare(settings, stage, model, train, root, {"dense": dense})[1]

    found = restore(store, jax.eval_shape(states))
    state = TrainState(step=jnp.asarray(done, jnp.int32), opt_state=(), key=root, **found)
    trained = with_scorer(settings, model, state, settings.scorer.kind)
    return TrainedRun(settings, model, trained, train, test, root, folder)


@dataclasses.dataclass(frozen=True)
class DenseRun:
    """The dense network that a run trained, and its data.

    Attributes:
        settings: of that run.
        model: the network's structure.
        params: its parameters.
        train: the training examples.
        test: examples of the split that it is evaluated on.
        folder: where it was read from.
    """

    settings: CodesignSettings
    model: Model
    params: PyTree
    train: Split
    test: Split
    folder: Path

    def as_input(self) -> Input:
        """What an experiment reads of this run, to be remembered with its results."""
        return Input(self.folder, self.params)


def load_dense(folder: str | Path, field: str = "checkpoint") -> DenseRun:
    """Read the dense network of a run; nothing in ``folder`` is written.

    Args:
        folder: of the run, such as runs/sst2-dense.
        field: of the config that names it, for errors.

    Raises:
        UserError: the folder holds no run, or one whose dense network is not trained there, or not to the end.
        DatasetError: the run's data set is not on this machine.
    """
    folder = Path(folder)
    settings, stored_as = codesign.dense_settings(folder, field)
    train, test = load_split(settings.data, "train"), load_split(settings.data, settings.data.evaluation)
    model = build_model(settings, train)
    abstract = jax.eval_shape(lambda: codesign.fresh_dense(settings, model, jax.random.key(0)))
    state = codesign.dense_state(folder, field, settings, stored_as, abstract)
    return DenseRun(settings, model, jax.tree.map(jnp.asarray, state.params), train, test, folder)


def _settings_of(folder: Path) -> tuple[CodesignSettings, str]:
    """The settings in ``folder`` and the hash its checkpoints carry."""
    stored = read_config(folder)
    try:
        settings = from_config_dict(CodesignSettings, as_stored_now(CodesignSettings, stored))
    except ValueError as error:
        raise no_run(folder, error) from error
    return settings, stored_hash(results_part(CodesignSettings, stored))


__all__ = ["STAGE", "DenseRun", "TrainedRun", "load_dense", "load_trained"]
