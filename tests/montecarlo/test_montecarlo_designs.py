"""A run folder belongs to the designs it began with, also when they are trained again under the same name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from atis_jax.training.state import TrainState
from atis_jax.validation import UserError
from experiments.montecarlo.designs import check_designs
from experiments.montecarlo.noise_sweep import NoiseSweepSettings
from experiments.rundir import DESIGNS, RunDirError, open_run

STATE = TrainState(
    step=jnp.asarray(1),
    params={"kernel": jnp.arange(6.0).reshape(2, 3)},
    design={"threshold": jnp.zeros(2)},
    scorer_state={"last_keep": jnp.zeros(2, bool)},
    opt_state=(),
    key=jax.random.key(0),
)


def trained(name: str = "quickstart", **changes):
    state = dataclasses.replace(STATE, **changes)
    return SimpleNamespace(folder=Path("runs") / name, trained=SimpleNamespace(state=state))


@pytest.fixture
def folder(tmp_path):
    with open_run(tmp_path / "yield", NoiseSweepSettings()) as opened:
        opened.begin()
        yield opened


def test_the_first_attempt_remembers_and_the_same_designs_go_on(folder):
    check_designs([trained(), trained("robust", params={"kernel": jnp.ones(3)})], folder)
    stored = json.loads((folder.path / DESIGNS).read_text())
    assert list(stored) == ["quickstart", "robust"] and len(set(stored.values())) == 2
    check_designs([trained("robust", params={"kernel": jnp.ones(3)}), trained()], folder)


@pytest.mark.parametrize(
    "changes",
    [
        dict(params={"kernel": jnp.arange(6.0).reshape(2, 3).at[1, 2].add(1e-6)}),
        dict(params={"kernel": jnp.arange(6.0).reshape(3, 2)}),
        dict(design={"threshold": jnp.zeros(2).at[0].set(1e-3)}),
        dict(scorer_state={"last_keep": jnp.asarray([False, True])}),
    ],
)
def test_a_run_trained_again_is_refused(folder, changes):
    check_designs([trained("other"), trained()], folder)
    before = (folder.path / DESIGNS).read_bytes()
    message = (
        f"--workdir={folder.path}: .* design than runs/quickstart now holds .*new --workdir, or remove this folder"
    )
    with pytest.raises(RunDirError, match=message):
        check_designs([trained("other"), trained(**changes)], folder)
    assert (folder.path / DESIGNS).read_bytes() == before


def test_a_run_more_or_less_is_refused(folder):
    check_designs([trained(), trained("other")], folder)
    for runs, message in [([trained()], "than other now"), ([trained(), trained("a")], "than other, runs/a now")]:
        with pytest.raises(RunDirError, match=message):
            check_designs(runs, folder)


def test_a_damaged_file_is_named(folder):
    (folder.path / DESIGNS).write_text("[1")
    with pytest.raises(UserError, match="designs.json: cannot be read"):
        check_designs([trained()], folder)


def test_a_mistake_found_before_any_result_still_frees_the_folder(tmp_path):
    with pytest.raises(UserError, match="too many"), open_run(tmp_path / "yield", NoiseSweepSettings()) as folder:
        folder.begin()
        check_designs([trained()], folder)
        raise UserError("too many examples")
    with open_run(tmp_path / "yield", NoiseSweepSettings(seed=1)) as folder:
        assert not folder.resumed
        folder.begin()
        check_designs([trained(design={"threshold": jnp.ones(2)})], folder)
