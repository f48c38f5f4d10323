"""A training loop small enough to be killed many times; uses the run folder exactly as a real one does."""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.training.checkpoints import Checkpoints
from atis_jax.validation import check_settings, setting
from experiments.metrics import MetricsLog
from experiments.progress import Progress


@dataclasses.dataclass(frozen=True)
class LoopSpec:
    steps: int = setting(12, low=1, doc="updates in all")
    rate: float = setting(0.1, low=0.0, exclusive_low=True, doc="step size")
    checkpoint_every: int = setting(3, low=1)
    bits: int | None = setting(4, low=1, high=16, doc="converter bits; None is continuous")
    widths: tuple[int, ...] = setting((2, 3), low=1)
    log: bool = setting(False, affects_result=False)
    poison_step: int = setting(0, low=0, doc="step whose loss is NaN, 0 for none")
    pause_s: float = setting(0.0, low=0.0, affects_result=False, doc="pause of every step")
    # These two happen only while TINY_FAULTS is set, so that a later attempt can succeed.
    fail_step: int = setting(0, low=0, doc="step that raises, 0 for none")
    kill_step: int = setting(0, low=0, doc="step at which the process kills itself, 0 for none")


@dataclasses.dataclass(frozen=True)
class TinySettings:
    experiment: str = setting("tiny", choices=("tiny",))
    seed: int = setting(0, low=0)
    training: LoopSpec = setting(LoopSpec)

    def __post_init__(self):
        check_settings(self, "config")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    weights: jax.Array
    momentum: jax.Array
    key: jax.Array


# Compiled quickly rather than well: most runs make few steps, each in a process of its own.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@quick_jit
def initial_state(seed: int) -> State:
    init, run = jax.random.split(jax.random.key(seed))
    weights = jax.random.normal(init, (64, 64))
    return State(weights, jnp.zeros_like(weights), run)


@quick_jit
def update(state: State, batch: jax.Array, rate: jax.Array) -> tuple[State, jax.Array]:
    key, noise = jax.random.split(state.key)

    def loss_of(weights):
        return jnp.mean(jnp.tanh(weights @ batch + jax.random.normal(noise, (64,))) ** 2)

    loss, gradient = jax.value_and_grad(loss_of)(state.weights)
    momentum = 0.9 * state.momentum + gradient
    return State(state.weights - rate * momentum, momentum, key), loss


def wait_for_gate() -> None:
    """A test that names a file in TINY_GATE finds every run past its first checkpoint and not at its end.

    However busy the machine is, until the test makes that file.
    """
    gate = os.environ.get("TINY_GATE")
    while gate and not os.path.exists(gate):
        time.sleep(0.05)


def run(settings: TinySettings, folder) -> dict:
    spec = settings.training
    folder.begin()
    checkpoints = Checkpoints(folder.checkpoints, folder.config_hash, config=folder.config)
    state, position = initial_state(settings.seed), {"next_batch": 0}
    start = checkpoints.latest_step() or 0
    if start:
        state, position, _ = checkpoints.restore(state)
    batches = np.random.default_rng(7).normal(size=(5, 64)).astype(np.float32)
    with MetricsLog(folder.metrics, after_step=start) as log, Progress(spec.steps, start_step=start) as bar:
        for step in range(start + 1, spec.steps + 1):
            time.sleep(spec.pause_s)
            if step == spec.checkpoint_every + 1:
                wait_for_gate()
            if os.environ.get("TINY_FAULTS") and step == spec.fail_step:
                raise ValueError(f"step {step} was told to fail")
            if os.environ.get("TINY_FAULTS") and step == spec.kill_step:
                os.kill(os.getpid(), signal.SIGKILL)
            state, loss = update(state, batches[position["next_batch"] % 5], np.float32(spec.rate))
            position = {"next_batch": position["next_batch"] + 1}
            loss = float("nan") if step == spec.poison_step else float(loss)
            log.write({"step": step, "loss": loss})
            bar.update(step, loss=loss)
            if step % spec.checkpoint_every == 0 or step == spec.steps:
                checkpoints.save(step, state, position)
    weights = np.asarray(state.weights)
    summary = {
        "experiment": "tiny",
        "weights_sum": float(weights.sum()),
        "accuracy": {"dense": None, "hardware_mean": float(np.mean(np.abs(weights) < 1))},
    }
    folder.write_summary(summary)
    return summary
