"""A finished run used from Python: ``atis_jax.load``, ``score``, ``evaluate``, ``energy``."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import atis_jax
from atis_jax.validation import UserError


@pytest.fixture(scope="module")
def run(finished_run):
    return atis_jax.load(finished_run)


@pytest.fixture(scope="module")
def summary(finished_run):
    return json.loads((finished_run / "summary.json").read_text())


def test_importing_the_package_imports_no_layer():
    code = (
        "import sys, atis_jax; assert {'load', 'register'} <= set(dir(atis_jax))\n"
        "print([m for m in ('jax', 'flax', 'optax', 'grain') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_that_it_does_not_offer_is_an_attribute_error():
    with pytest.raises(
        AttributeError, match="no attribute 'lod'; it offers fit_preset, language_model, load, register"
    ):
        atis_jax.lod  # noqa: B018


def test_the_perfect_chip_has_the_accuracy_of_the_summary(run, summary):
    found = run.evaluate()
    assert found.accuracy == pytest.approx(summary["accuracy"]["ideal"])
    assert found.examples == summary["dataset"]["examples"] and found.kept_per_layer.shape == (1,)


def test_the_ledger_is_that_of_the_summary(run, summary):
    spent = run.energy(summary["tokens"]["kept_per_layer"])
    assert float(spent.total_j) == pytest.approx(summary["energy"]["total_j"], rel=1e-5)
    assert float(run.costs.dense().total_j) == pytest.approx(summary["energy"]["dense_j"], rel=1e-5)
    assert float(run.energy().total_j) == pytest.approx(float(run.energy((0.5,)).total_j)), "trained for half of them"


def test_scores_are_of_each_layer_example_and_token(run):
    out = run.score(run.test.at(slice(3)))
    layers, tokens = run.model.depth, run.model.length
    assert out.voltage.shape == out.alive.shape == (layers, 3, tokens, 1) and out.logits.shape[0] == 3


def test_a_chip_has_its_number(run):
    """And its own noise; a perfect chip reads without any."""
    columns = run.test.at(slice(3))
    first, again, other, perfect = (np.asarray(run.score(columns, chip=chip).voltage) for chip in (0, 0, 1, None))
    np.testing.assert_array_equal(first, again)
    assert np.max(np.abs(first - other)) > 1e-4 and np.max(np.abs(first - perfect)) > 1e-4


def test_a_chip_has_a_temperature(run):
    columns = run.test.at(slice(3))
    cold, hot = (np.asarray(run.score(columns, temperature_c=celsius).voltage) for celsius in (0.0, 70.0))
    assert np.max(np.abs(cold - hot)) > 1e-4


def test_examples_of_ones_own_are_evaluated(run):
    few = dataclasses.replace(run.test, columns=run.test.at(slice(5)), labels=run.test.labels[:5])
    assert run.evaluate(few, chip=1).examples == 5


@pytest.mark.slow
def test_what_is_no_finished_run_is_refused(finished_run, tmp_path):
    with pytest.raises(UserError, match="holds no co-design run .*runs/quickstart"):
        atis_jax.load(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(finished_run, copy)
    stored = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(stored | {"pruning": stored["pruning"] | {"ramp": 0.5}}))
    with pytest.raises(UserError, match="config.json has changed.*\n.*config.pruning.ramp: 0.4 there, 0.5 now"):
        atis_jax.load(copy)
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(UserError, match="no finished co-design run: it has no checkpoint"):
        atis_jax.load(copy)
