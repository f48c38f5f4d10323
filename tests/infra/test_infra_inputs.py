"""A run folder belongs to the runs it began to read, also when one of them is trained again in the same place."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from atis_jax.validation import UserError
from experiments import registry
from experiments.inputs import Input, check_inputs
from experiments.montecarlo.noise_sweep import NoiseSweepSettings
from experiments.rundir import INPUTS, RunDirError, open_run
from experiments.sweeps.store import DESCRIPTION

CONTENT = {"params": {"kernel": np.arange(6.0).reshape(2, 3)}, "keep": np.zeros(2, bool)}
OTHERS = [
    {**CONTENT, "params": {"kernel": CONTENT["params"]["kernel"] + np.eye(2, 3) * 1e-9}},
    {**CONTENT, "params": {"kernel": CONTENT["params"]["kernel"].reshape(3, 2)}},
    {**CONTENT, "params": {"kernel": CONTENT["params"]["kernel"].view(np.int64)}},
    {**CONTENT, "keep": np.asarray([False, True])},
    {**CONTENT, "keep": ()},
]


def inputs(content=CONTENT, name: str = "quickstart") -> dict[str, Input]:
    return {name: Input(f"runs/{name}", content)}


@pytest.fixture
def folder(tmp_path):
    with open_run(tmp_path / "yield", NoiseSweepSettings()) as opened:
        opened.begin()
        yield opened


def test_the_first_attempt_remembers_and_the_same_content_goes_on(folder):
    both = inputs() | inputs(OTHERS[0], "robust")
    check_inputs(folder, both)
    stored = json.loads((folder.path / INPUTS).read_text())["runs"]
    assert list(stored) == ["quickstart", "robust"] and len({one["sha256"] for one in stored.values()}) == 2
    check_inputs(folder, dict(reversed(both.items())))
    on_device = {**CONTENT, "keep": jnp.zeros(2, bool)}  # where an array lies is no matter
    check_inputs(folder, both | inputs(on_device))


@pytest.mark.parametrize("other", OTHERS)
def test_a_run_trained_again_is_refused(folder, other):
    check_inputs(folder, inputs(name="robust") | inputs())
    before = (folder.path / INPUTS).read_bytes()
    message = (
        f"--workdir={folder.path}: .* network or design than runs/quickstart now holds .*new --workdir, or remove this"
    )
    with pytest.raises(RunDirError, match=message):
        check_inputs(folder, inputs(name="robust") | inputs(other))
    assert (folder.path / INPUTS).read_bytes() == before


def test_a_run_more_or_less_is_refused(folder):
    check_inputs(folder, inputs() | inputs(name="other"))
    for runs, message in [(inputs(), "than other now"), (inputs() | inputs(name="a"), "than other, runs/a now")]:
        with pytest.raises(RunDirError, match=message):
            check_inputs(folder, runs)


@pytest.mark.parametrize(
    "text",
    ["[1", "[1]", "null", "\xff", '{"a": 1}', '{"runs": {"a": {"folder": "runs/a"}}}', '{"runs": {}, "switches": 1}'],
)
def test_a_damaged_file_is_named(folder, text):
    (folder.path / INPUTS).write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="inputs.json: cannot be read"):
        check_inputs(folder, inputs())


def test_a_mistake_found_before_any_result_still_frees_the_folder(tmp_path):
    with pytest.raises(UserError, match="too many"), open_run(tmp_path / "yield", NoiseSweepSettings()) as folder:
        folder.begin()
        check_inputs(folder, inputs())
        raise UserError("too many examples")
    with open_run(tmp_path / "yield", NoiseSweepSettings(seed=1)) as folder:
        assert not folder.resumed
        folder.begin()
        check_inputs(folder, inputs(OTHERS[0]))


def test_an_older_run_keeps_its_guard_or_gets_one(folder):
    """Monte-Carlo runs had designs.json, other runs nothing."""
    old = folder.path / "designs.json"
    written = "e374a63dfedd01f057ef5ed9d8f7ee8b69bceb9fd9f311cd6d5092395bcaf384"  # by an older version, for CONTENT
    old.write_text(json.dumps({"quickstart": written}))
    with pytest.raises(RunDirError, match="than runs/quickstart now holds"):
        check_inputs(folder, inputs(OTHERS[0]))
    check_inputs(folder, inputs())
    for file in (folder.path / INPUTS, old):
        file.unlink()
    check_inputs(folder, inputs(OTHERS[0]))
    with pytest.raises(RunDirError, match="than runs/quickstart now holds"):
        check_inputs(folder, inputs())


def test_the_runs_of_a_sweep_read_the_same_content(tmp_path):
    """Those that were finished before a folder was trained again would be compared with those that come after."""

    def point(sweep: str, name: str, content) -> None:
        with open_run(tmp_path / sweep / name, NoiseSweepSettings()) as folder:
            folder.begin()
            check_inputs(folder, inputs(content))
            (folder.path / "cells.csv").write_text("a row of a result")

    for sweep in ("sweep", "no-sweep"):
        (tmp_path / sweep).mkdir()
    (tmp_path / "sweep" / DESCRIPTION).write_text("{}")
    for sweep in ("sweep", "no-sweep"):
        point(sweep, "seed=0", CONTENT)
        point(sweep, "seed=1", CONTENT)
    with pytest.raises(RunDirError, match="seed=0 of the same sweep .*runs/quickstart now holds .*remove its folder"):
        point("sweep", "seed=2", OTHERS[0])
    assert not (tmp_path / "sweep" / "seed=2" / INPUTS).exists()
    point("no-sweep", "seed=2", OTHERS[0])  # runs beside one another are not compared


OTHER_SWITCHES = [
    ("jax_default_prng_impl", "rbg", "threefry2x32"),
    ("jax_threefry_partitionable", False, "True"),
    ("jax_random_seed_offset", 7, "0"),
    ("jax_default_matmul_precision", "bfloat16", "None"),
]


@pytest.fixture
def switched():
    """Sets switches of JAX; they are put back after the test."""
    before = {}

    def switch(name: str, value) -> None:
        before.setdefault(name, getattr(jax.config, name))
        jax.config.update(name, value)

    yield switch
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.parametrize(("name", "other", "usual"), OTHER_SWITCHES)
def test_a_switch_that_moves_numbers_stays_as_it_was(folder, switched, name, other, usual):
    check_inputs(folder, {})
    switched(name, other)
    message = f"began with {name} = {usual}, which is {other} now: .*Start with {name.upper()}={usual}, or"
    with pytest.raises(RunDirError, match=message):
        check_inputs(folder, {})


def test_another_machine_or_version_is_told_once_and_goes_on(folder, capsys):
    check_inputs(folder, {})
    check_inputs(folder, {})
    assert capsys.readouterr().err == ""
    stored = json.loads((folder.path / INPUTS).read_text())
    stored["machine"] |= {"jax": "0.9.2", "platform": "tpu", "XLA_FLAGS": ""}
    folder.write_json(INPUTS, stored)
    check_inputs(folder, {})
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"jax 0.9.2 (now {jax.__version__}), platform tpu (now " in said
    assert "XLA_FLAGS none (now --xla" in said and "may be rounded otherwise" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jax_enable_x64", True),
        ("jax_numpy_dtype_promotion", "strict"),
        ("jax_numpy_rank_promotion", "raise"),
    ],
)
def test_a_switch_that_no_run_works_under_is_refused_before_there_is_a_folder(tmp_path, switched, name, value):
    switched(name, value)
    with (
        pytest.raises(UserError, match=f"{name} = {value}: .*; start with {name.upper()}="),
        open_run(tmp_path / "run", NoiseSweepSettings()),
    ):
        pass
    assert not (tmp_path / "run").exists()


NAMES_A_RUN = {"start_from", "checkpoint", "checkpoints", "old", "new", "sensor_run"}


@pytest.mark.parametrize("name", registry.EXPERIMENTS)
def test_every_experiment_that_reads_a_run_checks_what_it_read(name):
    settings_class, run = registry.find(name)
    source = inspect.getsource(importlib.import_module(run.__module__))
    if "text_of(" in source:  # what those who read a text have in common
        source += inspect.getsource(importlib.import_module("experiments.kv.reading"))
    if NAMES_A_RUN & {field.name for field in dataclasses.fields(settings_class)}:
        assert "check_inputs(folder, " in source
    else:
        assert not any(reads in source for reads in ("load_trained(", "load_run", "dense_from("))
