"""Cells against one chip at a time; chunks, widths, devices and room change nothing; the scale-zero chip is ideal."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import EXAMPLES, MODEL, SPEC, arm, data

from atis_jax.circuits.chip import Environment
from atis_jax.models.forward import ScorerInputs, masked_forward
from atis_jax.pruning.masks import PROTECTED
from atis_jax.training import montecarlo
from atis_jax.validation import SettingError
from experiments.montecarlo import engine, memory
from experiments.montecarlo.settings import MonteCarloSpec
from experiments.montecarlo.table import CellTable, read_table

ROOT = Path(__file__).parents[2]
KEY = jax.random.key(3)
# The budget counts what the process holds already, and one that has run many other tests holds much.
SMALL = MonteCarloSpec(chips=3, examples=EXAMPLES, batch_size=8, chunk=4, width=2, memory_mb=32768)


def run(one, folder, spec=SMALL, key=KEY):
    inputs, ideal = engine.with_reference(one, engine.batches(*data(), spec.batch_size))
    runner = engine.Engine(spec, key)
    with CellTable(folder / "cells.csv", engine.columns(one)) as table:
        runner.run([(one, inputs)], table)
    return read_table(folder / "cells.csv"), ideal, runner.account


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    one = arm()
    return one, *run(one, tmp_path_factory.mktemp("cells"))


def test_a_cell_is_its_chip_run_alone(tiny):
    """Against the masked pass on each chip drawn by itself, image by image, same noise."""
    one, rows, _, _ = tiny
    images, labels = data()
    evaluator, state = one.evaluator, one.state
    for row in rows:
        chip = montecarlo.draw_chip(KEY, row["chip"], evaluator.hardware, MODEL.depth, SPEC.geometry)
        environment = Environment(jnp.float32(row["temperature_c"] + 273.15), jnp.float32(1.8))
        noise = montecarlo.noise_keys(KEY, row["chip"], jnp.arange(EXAMPLES))
        out = masked_forward(
            evaluator.model,
            state.params,
            evaluator.scorer,
            jnp.asarray(images, jnp.float32) / 255.0,
            ScorerInputs(state.design, chip, environment, state.scorer_state),
            noise,
        )
        assert row["correct"] == int((np.asarray(out.logits).argmax(-1) == labels).sum())
        kept = np.asarray(out.alive)[:, :, 1:].any(-1).mean(axis=(1, 2))
        np.testing.assert_allclose([row["kept_1"], row["kept_2"]], kept, atol=1e-6)


def test_the_chips_of_the_test_differ(tiny):
    """Otherwise the comparison above would hold for any chip."""
    rows = tiny[1]
    assert len({row["kept_2"] for row in rows}) > 2


def test_lost_and_gained_are_the_difference_to_the_perfect_chip(tiny):
    _, rows, ideal, _ = tiny
    assert any(row["lost"] + row["gained"] for row in rows)
    for row in rows:
        assert row["correct"] - round(ideal * EXAMPLES) == row["gained"] - row["lost"]


def test_the_rate_counts_what_is_in_the_table(tiny, tmp_path, monkeypatch):
    """Neither what fills up chunks (6 cells in chunks of 4) and batches, nor what is computed twice."""
    one, rows, _, account = tiny
    told = account.summary(SMALL)
    assert told["inputs_per_s"] * told["seconds"] == pytest.approx(len(rows) * EXAMPLES)
    monkeypatch.setattr(engine.Engine, "room", lambda self, arm, inputs: (6, 4))
    again = run(one, tmp_path)[2]
    assert again.redone > 0
    assert again.summary(SMALL)["inputs_per_s"] * again.seconds == pytest.approx(len(rows) * EXAMPLES)


@pytest.mark.parametrize("width,chunk,batch", [(1, 6, 8), (4, 4, 20), (3, 5, 7)])
def test_portions_change_nothing(tiny, tmp_path, width, chunk, batch):
    one, rows, _, _ = tiny
    again, _, _ = run(one, tmp_path, dataclasses.replace(SMALL, width=width, chunk=chunk, batch_size=batch))
    assert again == rows


def test_arms_that_differ_in_the_first_layer_alone_have_their_own_programs(tiny):
    """In one engine, one after the other: layers before the first keep everything."""
    one = tiny[0]
    later = dataclasses.replace(one, evaluator=dataclasses.replace(one.evaluator, scored=range(1, MODEL.depth)))
    inputs, runner, cells = engine.batches(*data(), SMALL.batch_size), engine.Engine(SMALL, KEY), np.arange(3)
    room = engine.full_room(one.evaluator.model)
    kept, kept_later = (runner.count(arm, inputs, cells, room).kept.sum(axis=0) for arm in (one, later))
    everything = one.evaluator.model.tokens * EXAMPLES
    assert (kept[:, 0] < everything).any() and (kept_later[:, 0] == everything).all()
    alone = engine.Engine(SMALL, KEY).count(later, inputs, cells, room).kept.sum(axis=0)
    np.testing.assert_array_equal(kept_later, alone)


def test_too_little_room_is_found_and_redone(tiny, tmp_path, monkeypatch):
    one, rows, _, _ = tiny
    monkeypatch.setattr(engine.Engine, "room", lambda self, arm, inputs: (6, 4))
    again, _, account = run(one, tmp_path)
    assert 0 < account.redone <= len(rows) * EXAMPLES
    assert again == rows


def test_only_the_batches_in_which_a_cell_found_too_little_room_are_redone(tiny, tmp_path, monkeypatch):
    """Room of the last layer for what half of all cells and batches need."""
    one, rows, _, _ = tiny
    inputs, _ = engine.with_reference(one, engine.batches(*data(), SMALL.batch_size))
    everything = engine.full_room(one.evaluator.model)
    needed = engine.Engine(SMALL, KEY).count(one, inputs, np.arange(6), everything).largest[..., -1] + PROTECTED
    room = int(np.median(needed))
    tight = needed > room
    assert 0 < tight.sum() < tight.size, "or the test shows nothing"
    monkeypatch.setattr(engine.Engine, "room", lambda self, arm, inputs: (*everything[:-1], room))
    again, _, account = run(one, tmp_path)
    assert account.redone == tight.sum(axis=1) @ [int(batch.weight.sum()) for batch in inputs]
    assert again == rows


def test_the_scale_zero_chip_is_exactly_the_ideal_one(tmp_path):
    one = arm(chips=2, temperature_c=(27.0,), factor=0.0)
    rows, ideal, _ = run(one, tmp_path)
    assert [(row["lost"], row["gained"]) for row in rows] == [(0, 0), (0, 0)]
    assert [row["accuracy"] for row in rows] == [pytest.approx(ideal)] * 2


def test_another_fabrication_run_has_other_chips(tiny, tmp_path):
    one, rows, _, _ = tiny
    again, _, _ = run(one, tmp_path, key=jax.random.key(4))
    assert [row["kept_2"] for row in again] != [row["kept_2"] for row in rows]


def test_the_same_chip_at_two_temperatures_is_the_same_chip():
    one = arm()
    keys = [montecarlo.noise_keys(KEY, chip, jnp.arange(2)) for chip in (0, 0, 1)]
    assert (jax.random.key_data(keys[0]) == jax.random.key_data(keys[1])).all()
    assert not (jax.random.key_data(keys[0]) == jax.random.key_data(keys[2])).any()
    drawn = [
        montecarlo.draw_chip(KEY, number, one.evaluator.hardware, MODEL.depth, SPEC.geometry) for number in (0, 0, 1)
    ]
    assert (drawn[0].offset_v == drawn[1].offset_v).all()
    assert not (drawn[0].offset_v == drawn[2].offset_v).any()


def test_going_on_computes_only_what_is_missing(tiny, tmp_path):
    one, rows, _, _ = tiny
    whole = tmp_path / "whole"
    whole.mkdir()
    run(one, whole)
    content = (whole / "cells.csv").read_bytes()
    lines = content.splitlines(keepends=True)
    torn = tmp_path / "cells.csv"
    torn.write_bytes(b"".join(lines[:4]) + lines[4][: len(lines[4]) // 2])
    again, _, account = run(one, tmp_path)
    assert again == rows
    assert torn.read_bytes() == content
    assert account.computed == len(rows) - 3


def test_devices_share_the_cells(tiny, tmp_path):
    """Two devices need a process of their own: their number is fixed at the start."""
    code = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "import jax; jax.config.update('jax_num_cpu_devices', 2)\n"
        "import pathlib, test_montecarlo_engine as t\n"
        "rows, _, account = t.run(t.arm(), pathlib.Path(sys.argv[3]))\n"
        "assert account.summary(t.SMALL)['devices'] == 2\n"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert read_table(tmp_path / "cells.csv") == tiny[1]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind a process to a core")
def test_a_process_bound_to_one_core_has_one_device():
    """As under a batch system that hands out fewer cores than the machine has."""
    code = (
        "import os; os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\n"
        "import jax; from experiments.montecarlo.arms import one_device_a_core; one_device_a_core()\n"
        "print(len(jax.devices('cpu')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["1"]


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
