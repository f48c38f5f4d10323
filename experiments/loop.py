"""The training loop: owns data, metrics, progress and checkpoints; the steps themselves are pure."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.data.dataset import Split
from atis_jax.data.pipeline import train_iterator
from atis_jax.training.checkpoints import Checkpoints
from atis_jax.training.state import TrainState
from atis_jax.training.step import Step
from atis_jax.typing import PyTree
from experiments.metrics import MetricsLog
from experiments.progress import Progress
from experiments.rundir import RunFolder


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stretch of training inside a run.

    Attributes:
        name: of the stage, its checkpoint folder and its records.
        steps: how long.
        offset: steps of the stages before it; metrics count on from there.
        data_seed: which batches it sees.
        phase: name of the part of the schedule at a step of this stage, for the records.
    """

    name: str
    steps: int
    offset: int
    data_seed: int
    phase: Callable[[int], str]

    def shown(self, step: int) -> str:
        """Stage and phase for a person; a stage of a single phase, which it is named after, goes by its own name."""
        phase = self.phase(step)
        return self.name if self.name.startswith(phase) else f"{self.name}:{phase}"


@dataclasses.dataclass(frozen=True)
class Loop:
    """What all stages of a run share."""

    folder: RunFolder
    data: Any
    train: Split
    log: MetricsLog
    bar: Progress
    checkpoint_every: int

    def run(self, stage: Stage, step_fn: Step, state: TrainState, teacher: PyTree) -> TrainState:
        """Train ``stage`` from its newest checkpoint, or from ``state``, to its end.

        The metrics of a step are fetched after the next one is dispatched, and always before a checkpoint, so no
        checkpoint is ever written after a number that is not finite.

        Raises:
            FloatingPointError: a loss term or the gradient is not finite; names it and the step.
        """
        store = stage_checkpoints(self.folder, stage.name)
        start = store.latest_step() or 0
        position = None
        if start:
            state, position, _ = store.restore(state)
        if start >= stage.steps:
            return state
        batches = train_iterator(self.data, stage.data_seed, self.train)
        if position is not None:
            batches.set_state(position)
        jitted = jax.jit(step_fn, donate_argnums=0)
        # Donation must not take buffers that the caller still holds (the teacher is often the starting network).
        state = jax.jit(partial(jax.tree.map, jnp.copy))(state)
        waiting: tuple[int, dict[str, Any]] | None = None
        self.bar.announce(f"{stage.name}: compiling")
        for step in range(start + 1, stage.steps + 1):
            state, metrics = jitted(state, next(batches), teacher)
            if waiting is not None:
                self._record(stage, *waiting)
            waiting = (step, metrics)
            if step % self.checkpoint_every == 0 or step == stage.steps:
                self._record(stage, *waiting)
                waiting = None
                store.save(step, state, batches.get_state())
        return state

    def _record(self, stage: Stage, step: int, metrics: dict[str, Any]) -> None:
        values = {name: np.asarray(value) for name, value in jax.device_get(metrics).items()}
        for name, value in sorted(values.items(), key=lambda item: item[0] in ("loss", "gradient_norm")):
            if not np.all(np.isfinite(value)):
                raise FloatingPointError(
                    f"stage {stage.name!r}, step {step}: {name} is {value}; the last good checkpoint is in "
                    f"{self.folder.checkpoints / stage.name}. Lower a learning rate or the gradient clip and start "
                    "again in another --workdir"
                )
        record: dict[str, Any] = {"step": stage.offset + step, "stage": stage.name, "phase": stage.phase(step)}
        record |= {name: value.tolist() for name, value in values.items()}
        self.log.write(record | {"seconds": time.time()})
        self.bar.update(
            stage.offset + step,
            count=self.data.batch_size,
            phase=stage.shown(step),
            loss=record["loss"],
            accuracy=record["accuracy"],
            kept_fraction=record.get("kept_fraction"),
            energy_ratio=record.get("energy_ratio"),
        )


def stage_checkpoints(folder: RunFolder, name: str) -> Checkpoints:
    """The checkpoints of one stage of a run."""
    return Checkpoints(folder.checkpoints / name, folder.config_hash, config=folder.config)


def steps_done(folder: RunFolder, stages: list[Stage]) -> int:
    """Global step from which an interrupted run goes on: the newest checkpoint of the last stage begun."""
    done = 0
    for stage in stages:
        latest = stage_checkpoints(folder, stage.name).latest_step()
        if latest is None:
            break
        done = stage.offset + latest
    return done
