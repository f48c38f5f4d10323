"""A network pruned without being trained for it: shares, scores of the dense network, a whole run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from atis_jax.report.run_files import Arrays, read_run
from atis_jax.validation import UserError
from experiments.rundir import open_run
from experiments.zero_shot import compare, experiment
from experiments.zero_shot.arms import ARMS
from experiments.zero_shot.settings import ZeroShotSettings, kept_by

SOME = ("analog", "chips", "votes", "linear", "attention_received", "norm", "random")


@pytest.mark.parametrize(("pruned", "depth"), [(0.3, 1), (0.5, 6), (0.7, 12)])
def test_each_layer_keeps_the_same_part_and_the_mean_is_what_was_asked_for(pruned, depth):
    kept = np.array(kept_by(pruned, depth))
    assert kept.mean() == pytest.approx(1 - pruned, abs=1e-9)
    np.testing.assert_allclose(kept[1:] / kept[:-1], kept[0], rtol=1e-9)


def settings_for(run, **fields) -> ZeroShotSettings:
    sizes = {"inputs": 8, "selection_inputs": 4, "fit_examples": 16, "examples": 8, "chips": 2, "pruned": (0.5,)}
    return ZeroShotSettings(checkpoint=str(run), **{**sizes, **fields})


def test_a_run_prunes_by_each_score_and_draws_it(finished_run, tmp_path):
    settings = settings_for(finished_run, arms=SOME)
    with open_run(tmp_path / "run", settings) as folder:
        summary = experiment.run(settings, folder)
    arms, dense = summary["zero_shot"]["arms"], summary["accuracy"]["dense"]
    assert tuple(arms) == SOME
    right = np.load(tmp_path / "run" / "artifacts.npz")
    for name, found in arms.items():
        one = found["shares"]["0.5"]
        assert one["pruned"] == pytest.approx(
            0.5, abs=0.15 if name in ("analog", "chips", "votes", "linear") else 1e-6
        ), name
        assert 0 < one["operations"] < 1
        each = right[f"right_0.5_{name}"]
        assert len(each) == (2 if name == "chips" else 1)
        assert one["less"]["dense"]["mean"] == pytest.approx(each.mean() - dense, abs=1e-6)
    assert [name for name, one in arms.items() if "agreement" in one] == [name for name in SOME if ARMS[name].scores]
    itself = arms["attention_received"]["agreement"]["received"]
    assert np.allclose(itself["spearman"], 1.0) and np.allclose(itself["recall"]["0.5"], 1.0)
    assert arms["votes"]["agreement"]["received"] != arms["analog"]["agreement"]["received"]
    assert np.all(np.abs(arms["norm"]["agreement"]["received"]["spearman"]) < 0.99)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["zero_shot"]["arms"].keys() == arms.keys()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Tokens removed, nothing trained" in page and "Scores and attention" in page
    run = read_run(tmp_path / "run", Arrays())
    (axes,) = compare.draw({"digits": run, "the same": run}).axes
    labels = [line.get_label() for line in axes.get_lines()]
    assert [ARMS[name].words for name in SOME] == labels[: len(SOME)] and axes.get_title() == "digits"
    start = axes.get_lines()[0].get_xydata()[0]
    np.testing.assert_allclose(start, (0.0, 100 * dense))


@pytest.mark.parametrize("field", ["fit_examples", "examples", "inputs", "selection_inputs"])
def test_more_than_there_is_is_refused(finished_run, tmp_path, field):
    settings = settings_for(finished_run, **{field: 4096})
    with open_run(tmp_path / "run", settings) as folder, pytest.raises(UserError, match=rf"config\.{field} = 4096"):
        experiment.run(settings, folder)
    assert not (tmp_path / "run").exists()


def test_what_trained_no_dense_network_is_refused(tmp_path):
    settings = settings_for(tmp_path)
    with (
        open_run(tmp_path / "run", settings) as folder,
        pytest.raises(UserError, match=r"config\.checkpoint = .*holds"),
    ):
        experiment.run(settings, folder)
