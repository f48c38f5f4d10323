"""Cells against one chip at a time; chunks, widths, devices and room change nothing; the scale-zero chip is ideal."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import DATASET, EXAMPLES, MODEL, SPEC, arm, data

from atis_jax.circuits.chip import Environment
from atis_jax.models.forward import masked_forward
from atis_jax.models.passes import ScorerInputs
from atis_jax.training.cells import Inputs, draw_chip, noise_keys
from atis_jax.validation import SettingError
from experiments.montecarlo import engine, memory
from experiments.montecarlo.settings import MonteCarloSpec
from experiments.montecarlo.table import CellTable, read_table

HERE = Path(__file__).parent
KEY = jax.random.key(3)
# The budget counts what the process holds already, and one that has run many other tests holds much.
SMALL = MonteCarloSpec(chips=3, examples=EXAMPLES, batch_size=8, chunk=4, width=2, memory_mb=32768)
PORTIONS = dataclasses.replace(SMALL, width=3, chunk=10, batch_size=7)


def run(one, folder, spec=SMALL, runner=None, inputs=None):
    """Rows and what they took; ``runner``: an engine whose programs are used again."""
    runner = runner or engine.Engine(spec, KEY)
    runner.account = engine.Account()
    ideal = None
    if inputs is None:
        inputs, ideal = engine.with_reference(one, engine.batches(DATASET, data(), spec.batch_size))
    with CellTable(folder / "cells.csv", engine.columns(one)) as table:
        runner.run([(one, inputs)], table)
    return Run(one, inputs, ideal, read_table(folder / "cells.csv"), runner, runner.account, folder / "cells.csv")


@dataclasses.dataclass(frozen=True)
class Run:
    arm: engine.Arm
    inputs: list[Inputs]
    ideal: float | None
    rows: list[dict]
    runner: engine.Engine
    account: engine.Account
    table: Path

    @property
    def room(self) -> tuple[int, ...]:
        """Of each layer in the program that computed the cells."""
        return min(self.account.capacities)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return run(arm(), tmp_path_factory.mktemp("cells"))


def has_room(monkeypatch, room):
    """Every arm's layers have this room instead of what its cells are seen to need."""
    monkeypatch.setattr(engine.Engine, "room", lambda self, arm, inputs: room)


@pytest.mark.slow
def test_a_cell_is_its_chip_run_alone(tiny):
    """Against the masked pass on each chip drawn by itself, example by example, same noise."""
    examples, labels = data().columns, data().labels
    evaluator, state = tiny.arm.evaluator, tiny.arm.state

    @jax.jit
    def alone(number, temperature_k):
        chip = draw_chip(KEY, number, evaluator.hardware, MODEL.depth, SPEC.geometry)
        return masked_forward(
            evaluator.model,
            state.params,
            evaluator.method,
            {"image": jnp.asarray(examples["image"], jnp.float32) / 255.0},
            ScorerInputs(state.design, chip, Environment(temperature_k, jnp.float32(1.8)), state.scorer_state),
            noise_keys(KEY, number, jnp.arange(EXAMPLES)),
        )

    for row in tiny.rows:
        out = alone(row["chip"], np.float32(row["temperature_c"] + 273.15))
        assert row["correct"] == int((np.asarray(out.logits).argmax(-1) == labels).sum())
        kept = np.asarray(out.alive)[:, :, 1:].any(-1).mean(axis=(1, 2))
        np.testing.assert_allclose([row["kept_1"], row["kept_2"]], kept, atol=1e-6)
    # The chips differ: otherwise the comparison would hold for any chip.
    assert len({row["kept_1"] for row in tiny.rows}) > 2


def test_lost_and_gained_are_the_difference_to_the_perfect_chip(tiny):
    assert any(row["lost"] + row["gained"] for row in tiny.rows)
    for row in tiny.rows:
        assert row["correct"] - round(tiny.ideal * EXAMPLES) == row["gained"] - row["lost"]


def test_the_rate_counts_what_is_in_the_table(tiny):
    """Not what fills up chunks (6 cells in chunks of 4) and batches."""
    told = tiny.account.summary(SMALL)
    assert told["inputs_per_s"] * told["seconds"] == pytest.approx(len(tiny.rows) * EXAMPLES)


@pytest.mark.slow
def test_arms_that_differ_in_the_first_layer_alone_have_their_own_programs(tiny):
    """In one engine, one after the other: layers before the first keep everything."""
    one, inputs, runner, cells = tiny.arm, tiny.inputs[:1], tiny.runner, np.arange(engine.FEW)
    later = dataclasses.replace(one, evaluator=dataclasses.replace(one.evaluator, scored=range(1, MODEL.depth)))
    room = engine.full_room(one, inputs[0])
    kept, kept_later = (runner.count(arm, inputs, cells, room, engine.FEW).kept[0] for arm in (one, later))
    everything = one.evaluator.model.tokens * int(inputs[0].weight.sum())
    assert (kept[:, 0] < everything).any() and (kept_later[:, 0] == everything).all()
    assert (kept_later[:, 1] < everything).all()


@pytest.mark.slow
def test_too_little_room_is_found_and_only_the_batches_that_had_it_are_redone(tiny, tmp_path, monkeypatch):
    """In the last layer for half of all cells and batches, then everywhere; what is computed twice counts once."""
    everything = engine.full_room(tiny.arm, tiny.inputs[0])
    protected = tiny.arm.evaluator.model.length - tiny.arm.evaluator.model.tokens
    cells, examples = np.arange(len(tiny.rows)), [int(batch.weight.sum()) for batch in tiny.inputs]
    needed = tiny.runner.count(tiny.arm, tiny.inputs, cells, everything, engine.FEW).largest + protected
    half = (*everything[:-1], int(np.median(needed[..., -1])))
    for name, room in (("half", half), ("all", (6, 4))):
        tight = (needed > room).any(axis=-1)
        assert tight.all() if name == "all" else 0 < tight.sum() < tight.size, "or the test shows nothing"
        has_room(monkeypatch, room)
        (tmp_path / name).mkdir()
        again = run(tiny.arm, tmp_path / name, runner=tiny.runner, inputs=tiny.inputs)
        assert again.account.redone == tight.sum(axis=1) @ examples
        assert again.rows == tiny.rows
        told = again.account.summary(SMALL)
        assert told["inputs_per_s"] * told["seconds"] == pytest.approx(len(tiny.rows) * EXAMPLES)


def test_the_scale_zero_chip_is_exactly_the_ideal_one(tiny, tmp_path, monkeypatch):
    has_room(monkeypatch, tiny.room)
    ideal = arm(chips=2, temperature_c=(27.0,), factor=0.0)
    rows = run(ideal, tmp_path, runner=tiny.runner, inputs=tiny.inputs).rows
    assert [(row["lost"], row["gained"]) for row in rows] == [(0, 0), (0, 0)]
    assert [row["accuracy"] for row in rows] == [pytest.approx(tiny.ideal)] * 2


def test_the_same_chip_at_two_temperatures_is_the_same_chip():
    """Another number, or the same of another fabrication run, is another chip."""
    hardware = arm().evaluator.hardware

    @jax.jit
    def drawn(key, number):
        chip = draw_chip(key, number, hardware, MODEL.depth, SPEC.geometry)
        return chip.offset_v, jax.random.key_data(noise_keys(key, number, jnp.arange(2)))

    same, again, other, elsewhere = (
        drawn(key, number) for key, number in ((KEY, 0), (KEY, 0), (KEY, 1), (jax.random.key(4), 0))
    )
    for name, _ in enumerate(same):
        assert (same[name] == again[name]).all()
        assert not (same[name] == other[name]).any()
        assert not (same[name] == elsewhere[name]).any()


def test_going_on_computes_only_what_is_missing(tiny, tmp_path, monkeypatch):
    has_room(monkeypatch, tiny.room)
    content = tiny.table.read_bytes()
    lines = content.splitlines(keepends=True)
    torn = tmp_path / "cells.csv"
    torn.write_bytes(b"".join(lines[:4]) + lines[4][: len(lines[4]) // 2])
    again = run(tiny.arm, tmp_path, runner=tiny.runner, inputs=tiny.inputs)
    assert again.rows == tiny.rows
    assert torn.read_bytes() == content
    assert again.account.computed == len(tiny.rows) - 3


@pytest.mark.slow
def test_devices_share_the_cells_and_portions_change_nothing(tiny, tmp_path):
    """Two devices, and chunks of cells and batches of examples that do not come out even."""
    command = [sys.executable, str(HERE / "two_devices.py"), str(tmp_path), json.dumps(tiny.room)]
    path = os.pathsep.join((str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr[-2000:]
    assert read_table(tmp_path / "cells.csv") == tiny.rows


class Compiled:
    """Stands for a compiled program that plans for so many bytes a cell."""

    def __init__(self, width: int, each: int):
        self.temp_size_in_bytes, self.output_size_in_bytes = width * each, 0

    def memory_analysis(self):
        return self


def test_the_width_keeps_to_the_budget(monkeypatch):
    monkeypatch.setattr(memory, "resident_bytes", lambda: 500 * memory.MIB)
    found, width, planned = memory.fit(lambda width: Compiled(width, 100 * memory.MIB), 64, 1500)
    assert 1 < width < 9
    assert planned <= 1000 * memory.MIB
    assert memory.fit(lambda width: Compiled(width, memory.MIB), 64, 1500)[1] == 64
    with pytest.raises(SettingError, match="montecarlo.memory_mb = 550 is too little.*give at least 625"):
        memory.fit(lambda width: Compiled(width, 100 * memory.MIB), 64, 550)
