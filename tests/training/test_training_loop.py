"""The loop: a number that is not finite stops it, by name, and every checkpoint it leaves is sound."""

from __future__ import annotations

import contextlib
import io
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_training import CLASSES, SETTINGS, SIDE, TASK, batch, lively_params, split

import experiments.loop
from atis_jax.training import losses
from atis_jax.training.checkpoints import Checkpoints
from atis_jax.training.state import create_state, optimiser
from atis_jax.training.step import dense_step
from experiments.build import build_model
from experiments.loop import Loop, Stage, stage_checkpoints, steps_done
from experiments.metrics import MetricsLog, read_metrics
from experiments.progress import Progress
from experiments.rundir import RunFolder

SPLIT = split()
MODEL = build_model(SETTINGS, SPLIT)


class Batches:
    """Numbered batches; the one numbered ``poisoned`` holds a NaN in one pixel."""

    def __init__(self, poisoned: int | None = None):
        self.taken, self.poisoned = 0, poisoned

    def __next__(self):
        self.taken += 1
        made = batch(self.taken)
        if self.taken == self.poisoned:
            made["image"][0, 0, 0, 0] = np.nan
        return made

    def get_state(self):
        return {"taken": self.taken}

    def set_state(self, state):
        self.taken = state["taken"]


@contextlib.contextmanager
def loop_in(path, monkeypatch, poisoned=None, after_step=0):
    folder = RunFolder(path, config_hash="h", config={}, resumed=False)
    monkeypatch.setattr(experiments.loop, "train_iterator", lambda *_: Batches(poisoned))
    bar = Progress(6, stream=io.StringIO())
    with MetricsLog(folder.metrics, after_step=after_step) as log, bar:
        yield Loop(folder, SETTINGS.data, SPLIT, log, bar, checkpoint_every=2)


def stage(steps=6):
    return Stage("dense", steps, 0, 1, lambda step: "dense")


def dense():
    """The dense step and the state it starts from."""
    transform = optimiser(SETTINGS.dense, SETTINGS.codesign)
    step = dense_step(MODEL, TASK, SETTINGS.dense, transform)
    return step, lambda: create_state(lively_params(MODEL), (), (), jax.random.key(0), transform)


def toy():
    """A linear classifier with momentum: compiled in no time where the loop is the matter."""

    def step(state, batch, teacher):
        def loss_of(weights):
            logits = batch["image"].reshape(len(batch["label"]), -1) @ weights
            return losses.cross_entropy(logits, batch["label"])

        loss, gradient = jax.value_and_grad(loss_of)(state["weights"])
        opt_state = 0.9 * state["opt_state"] + gradient
        after = {"weights": state["weights"] - 0.1 * opt_state, "opt_state": opt_state, "step": state["step"] + 1}
        norm = jnp.linalg.norm(gradient)
        return after, {"loss_ce": loss, "loss": loss, "gradient_norm": norm, "accuracy": jnp.float32(0)}

    shape = SIDE * SIDE, CLASSES
    return step, lambda: {
        "weights": jnp.zeros(shape),
        "opt_state": jnp.zeros(shape),
        "step": jnp.zeros((), jnp.int32),
    }


def finite(tree):
    return all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating))


@pytest.mark.slow
def test_a_nan_in_a_batch_stops_with_term_step_and_stage_and_keeps_what_was_good(tmp_path, monkeypatch):
    step, start = dense()
    with loop_in(tmp_path, monkeypatch, poisoned=5) as loop:
        with pytest.raises(FloatingPointError) as caught:
            loop.run(stage(), step, start(), {})
    message = str(caught.value)
    for part in ("stage 'dense'", "step 5", "loss_ce is nan", str(tmp_path / "checkpoints" / "dense"), "learning rate"):
        assert part in message
    store = stage_checkpoints(RunFolder(tmp_path, "h", {}, True), "dense")
    assert store.steps() == [2, 4]
    for number in store.steps():
        state, position, _ = store.restore(start(), number)
        assert int(state.step) == number and position == {"taken": number}
        assert finite(state)
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]


def test_a_nan_in_the_step_of_a_checkpoint_is_not_stored(tmp_path, monkeypatch):
    step, start = toy()
    with loop_in(tmp_path, monkeypatch, poisoned=4) as loop, pytest.raises(FloatingPointError, match="step 4: loss_ce"):
        loop.run(stage(), step, start(), {})
    assert stage_checkpoints(RunFolder(tmp_path, "h", {}, True), "dense").steps() == [2]


def test_going_on_from_a_checkpoint_is_never_having_stopped(tmp_path, monkeypatch):
    step, start = toy()
    (tmp_path / "whole").mkdir()
    with loop_in(tmp_path / "whole", monkeypatch) as loop:
        whole = loop.run(stage(), step, start(), {})
    (tmp_path / "parts").mkdir()
    with loop_in(tmp_path / "parts", monkeypatch, poisoned=5) as loop, pytest.raises(FloatingPointError):
        loop.run(stage(), step, start(), {})
    folder = RunFolder(tmp_path / "parts", "h", {}, True)
    assert steps_done(folder, [stage()]) == 4
    with loop_in(tmp_path / "parts", monkeypatch, after_step=4) as loop:
        parts = loop.run(stage(), step, start(), {})
        again = loop.run(stage(), step, start(), {})  # finished: restored, no step taken
    for other in (parts, again):
        jax.tree.map(np.testing.assert_array_equal, other, whole)
    assert np.any(whole["weights"])

    def lines(name):
        return [
            {k: v for k, v in json.loads(line).items() if k != "seconds"}
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]

    assert lines("parts") == lines("whole")


def test_the_first_term_that_is_not_finite_is_named_before_the_sum(tmp_path, monkeypatch):
    """The loss and the gradient are not finite either, but say less."""

    def step(state, batch, teacher):
        bad = jnp.where(state["step"] == 1, jnp.inf, 0.0)
        terms = {"gradient_norm": bad, "loss": bad, "loss_ce": jnp.float32(1), "loss_keep": bad}
        return {"step": state["step"] + 1}, terms | {"accuracy": jnp.float32(0.5)}

    with loop_in(tmp_path, monkeypatch) as loop, pytest.raises(FloatingPointError, match="step 2: loss_keep is inf"):
        loop.run(stage(), step, {"step": jnp.zeros((), jnp.int32)}, {})


def test_a_gradient_that_is_not_finite_stops_it_too(tmp_path, monkeypatch):
    def step(state, batch, teacher):
        return state, {"loss": jnp.float32(1), "gradient_norm": jnp.float32(jnp.nan), "accuracy": jnp.float32(0)}

    with (
        loop_in(tmp_path, monkeypatch) as loop,
        pytest.raises(FloatingPointError, match="step 1: gradient_norm is nan"),
    ):
        loop.run(stage(), step, {"step": jnp.zeros((), jnp.int32)}, {})
    assert Checkpoints(tmp_path / "checkpoints" / "dense", "h").steps() == []


def test_steps_done_counts_the_stages_before():
    def folder_with(**latest):
        return types.SimpleNamespace(latest=latest)

    stages = [Stage("a", 10, 0, 0, str), Stage("b", 5, 10, 0, str), Stage("c", 5, 15, 0, str)]
    for latest, expected in (({}, 0), ({"a": 4}, 4), ({"a": 10}, 10), ({"a": 10, "b": 3}, 13), ({"b": 3}, 0)):
        with pytest.MonkeyPatch.context() as patch:
            store = lambda folder, name: types.SimpleNamespace(latest_step=lambda: folder.latest.get(name))  # noqa: E731
            patch.setattr(experiments.loop, "stage_checkpoints", store)
            assert steps_done(folder_with(**latest), stages) == expected
