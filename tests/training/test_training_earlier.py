"""Runs of earlier versions, whose networks had their blocks apart: read when finished, not gone on with."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tarfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_training import TASK, split

from atis_jax.config import as_stored_now, from_config_dict, results_part, stored_hash
from atis_jax.data.pipeline import eval_batches
from atis_jax.training import evaluate
from atis_jax.training.checkpoints import CheckpointError, Checkpoints
from atis_jax.validation import UserError
from experiments import chips, codesign
from experiments.codesign import dense_from
from experiments.energy.reprice import ledgers
from experiments.rundir import RunFolder, open_run
from experiments.settings import CodesignSettings
from experiments.trained_run import load_trained

STORED = Path(__file__).parent / "earlier_run.tar.xz"
"""A whole run of commit e873b7f: two layers of width 8 and a scorer; ``expected.npz`` is what that commit computed of
eight images of noise on the perfect chip."""
LAYERS = 12


def apart(layer: int) -> dict:
    return {"up": {"kernel": jnp.full((2, 3), layer, jnp.float32)}, "bias": jnp.full(3, -layer, jnp.int32)}


@pytest.fixture
def old_state():
    """Twelve blocks, whose names do not come in the order of the layers."""
    blocks = {f"blocks_{layer}": apart(layer) for layer in range(LAYERS)}
    return {"params": {"params": {**blocks, "cls": jnp.ones(2)}}, "opt_state": {"mu": blocks}}


@pytest.fixture
def store(tmp_path, old_state):
    Checkpoints(tmp_path, "a").save(3, old_state, {})
    return tmp_path


def test_blocks_are_stacked_in_the_order_of_the_layers(store, old_state):
    blocks = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(apart(layer) for layer in range(LAYERS)))
    wanted = {"params": {"blocks": blocks, "cls": jnp.ones(2)}}
    found, _, _ = Checkpoints(store, "a", read_only=True).restore(jax.eval_shape(lambda: wanted), part="params")
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


def test_another_number_of_layers_is_told_by_shape(store):
    wanted = {"params": {"blocks": jax.tree.map(lambda leaf: leaf[None], apart(0)), "cls": jnp.ones(2)}}
    with pytest.raises(CheckpointError, match=r"blocks.bias: int32\[12, 3\] there, int32\[1, 3\] here"):
        Checkpoints(store, "a", read_only=True).restore(wanted, part="params")


def test_a_store_of_an_earlier_version_is_not_written_to(store):
    before = sorted(path.name for path in store.rglob("*"))
    with pytest.raises(CheckpointError, match="earlier version.*version that began it, or start again in another"):
        Checkpoints(store, "a")
    assert sorted(path.name for path in store.rglob("*")) == before


@pytest.fixture(scope="module")
def earlier_run(tmp_path_factory, digits) -> Path:
    place = tmp_path_factory.mktemp("earlier")
    with tarfile.open(STORED) as archive:
        archive.extractall(place, filter="data")
    folder = place / "earlier_run"
    config = json.loads((folder / "config.json").read_text())
    config["data"]["data_dir"] = digits
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def loaded(earlier_run):
    return load_trained(earlier_run)


@pytest.mark.slow
def test_a_run_of_an_earlier_version_decides_and_answers_as_it_did(earlier_run, loaded):
    image = np.random.default_rng(0).random((8, 32, 32, 1), dtype=np.float32)
    perfect = chips.perfect_inputs(loaded.trained, 2)
    out = loaded.trained.evaluator.masked()({"image": image}, perfect, None)
    with np.load(earlier_run / "expected.npz") as expected:
        np.testing.assert_allclose(out.voltage, expected["voltage"], atol=1e-5)
        np.testing.assert_array_equal(out.alive, expected["alive"])  # none of them lies within 1e-5 of a threshold
        np.testing.assert_allclose(out.logits, expected["logits"], atol=1e-5)


@pytest.mark.slow
def test_a_run_of_an_earlier_version_measures_what_its_summary_says(earlier_run, loaded):
    summary = json.loads((earlier_run / "summary.json").read_text())
    perfect, batches = chips.perfect_inputs(loaded.trained, 2), list(eval_batches(loaded.settings.data, loaded.test))
    counted = evaluate.count(loaded.trained.evaluator.masked(), TASK, batches, perfect, None)
    # Rounding of another processor may turn one of the 40.
    assert counted.accuracy == pytest.approx(summary["accuracy"]["ideal"], abs=1.5 / 40)
    _, found = ledgers(earlier_run, [])
    assert float(found["run (analog)"].total_j) == pytest.approx(summary["energy"]["total_j"], rel=1e-6)
    assert float(found["dense"].total_j) == pytest.approx(summary["energy"]["dense_j"], rel=1e-6)


@pytest.mark.slow
def test_a_run_of_an_earlier_version_lends_its_dense_network(earlier_run, loaded):
    settings = dataclasses.replace(loaded.settings, start_from=str(earlier_run), seed=5)
    fresh = codesign.fresh_dense(settings, loaded.model, jax.random.key(5)).params
    lent = dense_from(settings, codesign.fresh_dense(settings, loaded.model, jax.random.key(5))).params
    assert jax.tree.structure(lent) == jax.tree.structure(fresh)
    # Six small steps of co-design away from the network it was trained into, and far from another seed's.
    for of_lent, of_fresh, after in zip(*map(jax.tree.leaves, (lent, fresh, loaded.trained.state.params)), strict=True):
        if of_fresh.ndim > 2 and of_fresh.shape[0] == 2:
            assert np.abs(of_lent - after).mean() < 0.2 * np.abs(of_lent - of_fresh).mean()


def test_an_unfinished_run_of_an_earlier_version_is_not_gone_on_with(earlier_run, tmp_path):
    """Refused in one line, in whatever stage it is, before a step is made or a record is cut."""
    shutil.copytree(earlier_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "codesign")
    (tmp_path / "run" / "summary.json").unlink()
    stored = json.loads((earlier_run / "config.json").read_text())
    settings = from_config_dict(CodesignSettings, as_stored_now(CodesignSettings, stored))
    kept = results_part(CodesignSettings, stored)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    folder = RunFolder(tmp_path / "run", stored_hash(kept), kept, resumed=True)
    stages = codesign.plan(settings, jax.random.key(0))
    with pytest.raises(CheckpointError, match="dense/step_00000005: written by an earlier version of this program"):
        codesign.train_stages(settings, folder, None, stages, split(), jax.random.key(0))
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(UserError, match="--workdir"), open_run(tmp_path / "run", settings) as opened:
        codesign.train_stages(settings, opened, None, stages, split(), jax.random.key(0))
    assert {path: path.read_bytes() for path in before} == before
