"""The drift experiment on a tiny trained run from start to end, the loader it uses, and what both refuse."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from atis_jax.config import as_dict
from atis_jax.data.pipeline import eval_batches
from atis_jax.training import evaluate
from atis_jax.validation import SettingError, UserError
from experiments import chips
from experiments.build import build_method
from experiments.drift import arms as drift_arms
from experiments.drift import experiment as drift
from experiments.drift.settings import DriftSettings
from experiments.final_table import final_table
from experiments.rundir import open_run
from experiments.trained_run import load_trained

MODES = ("fixed", "adaptive")


@pytest.mark.slow
def test_what_is_loaded_is_what_was_trained(finished_run, digits):
    folder = finished_run
    summary = json.loads((folder / "summary.json").read_text())
    run = load_trained(folder)
    assert run.settings.data.data_dir == digits
    assert int(run.trained.state.step) == run.settings.tune.steps and run.folder == folder
    batches = list(eval_batches(run.settings.data, run.test))
    perfect = chips.perfect_inputs(run.trained, run.settings.model.depth)
    evaluator = run.trained.evaluator
    counted = evaluate.count(evaluator.masked(), evaluator.task, batches, perfect, None)
    assert counted.accuracy == summary["accuracy"]["ideal"]
    assert np.array_equal(jax.random.key_data(run.root), jax.random.key_data(jax.random.key(run.settings.seed)))


def test_folders_that_are_no_finished_run_are_named(finished_run, tmp_path):
    with pytest.raises(UserError, match=r"nowhere' holds no co-design run .*No such file.*quickstart"):
        load_trained(tmp_path / "nowhere")
    copy = tmp_path / "copy"
    shutil.copytree(finished_run, copy)
    shutil.rmtree(copy / "checkpoints" / "codesign")
    with pytest.raises(UserError, match="no checkpoint of stage 'codesign'; launch its config again"):
        load_trained(copy)
    (copy / "config.json").write_text(json.dumps(as_dict(DriftSettings())))
    with pytest.raises(UserError, match="its experiment is 'drift', not 'codesign'"):
        load_trained(copy)
    (copy / "config.json").write_text("[1")
    with pytest.raises(UserError, match="holds no co-design run"):
        load_trained(copy)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(finished_run, unfinished)
    shutil.rmtree(unfinished / "checkpoints" / "codesign" / "step_00000006")
    with pytest.raises(UserError, match="done 4 of the 6 steps of stage 'codesign'"):
        load_trained(unfinished)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature_c": (-300.0, 85.0)}, r"temperature_c\[0\] = -300.*lower bound -55"),
        ({"temperature_c": (0.0, 151.0)}, r"temperature_c\[1\] = 151.*upper bound 150"),
        ({"temperature_c": (0.0,)}, "must be two temperatures"),
        ({"rest_temperature_c": -60.0}, "rest_temperature_c = -60.*lower bound -55"),
        ({"images": 0}, "config.images = 0.*lower bound 20"),
        ({"images": 30, "windows": 40}, "images = 30 is below config.windows = 40"),
        ({"hysteresis_fraction": -0.1}, "hysteresis_fraction = -0.1.*lower bound 0"),
        ({"band_fractions": (0.0, -0.2)}, r"band_fractions\[1\] = -0.2.*lower bound 0"),
        ({"adaptive_rate_v": 0.0}, "adaptive_rate_v = 0.0.*above"),
        ({"loop_rates_v": (0.0,)}, r"loop_rates_v\[0\] = 0.0 is not above"),
        ({"change_from": 0.7, "change_until": 0.6}, "change_from = 0.7 must be below"),
        ({"shifts": ("blur",)}, "shifts.*'blur'"),
        ({"shifts": ()}, r"config.shifts = \(\) is empty"),
    ],
)
def test_settings_that_make_no_sense_are_named(changes, words):
    with pytest.raises(SettingError, match=words):
        DriftSettings(**changes)


def test_the_experiment_from_start_to_end(finished_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(drift_arms, "MODES", MODES)  # each is one more program to compile
    settings = DriftSettings(
        checkpoint=str(finished_run),
        chips=2,
        images=40,
        windows=4,
        shifts=("brightness",),
        brightness=0.3,
        activity_rate=0.05,
        loop_rates_v=(1e-4, 1e-2),
        band_fractions=(0.0, 0.1),
    )
    with open_run(tmp_path / "run", settings) as run_folder:
        summary = drift.run(settings, run_folder)
    final_table(summary)
    assert "brightness, " in capsys.readouterr().out
    table = json.loads((tmp_path / "run" / "summary.json").read_text())["drift"]
    assert [arm["name"] for arm in table["arms"]] == [arm["name"] for arm in summary["drift"]["arms"]]
    own = load_trained(finished_run).trained.evaluator.hardware.thermal.bias
    assert {(arm["scenario"], arm["bias"]) for arm in table["arms"]} == {
        ("steady", own),
        ("ramp", own),
        ("brightness", own),
        ("ramp", "fixed_charge"),
    }
    arms = {(arm["scenario"], arm["bias"], arm["mode"]): arm for arm in table["arms"]}
    assert len(arms) == 4 * len(MODES)
    for arm in table["arms"]:
        assert (arm["largest_shift_v"] > 0) == (arm["mode"] == "adaptive")
        assert (arm["chips"], arm["images"]) == (2, 40)
    # Until something changes the arms of one mode and bias are the same sequence.
    for mode in MODES:
        before = {arms[scenario, own, mode]["accuracy_before"] for scenario in ("steady", "brightness")}
        assert len(before) == 1
    rows = list(csv.DictReader((tmp_path / "run" / "cells.csv").open()))
    assert len(rows) == len(arms) * settings.windows
    for key, arm in arms.items():
        mine = [row for row in rows if (row["scenario"], row["bias"], row["mode"]) == key]
        assert [int(row["first_image"]) for row in mine] == [0, 10, 20, 30]
        kept_after = arm["kept_after"][0]  # images 32 to 39 lie in the last window
        assert abs(float(mine[-1]["kept_layer1"]) - kept_after) < 0.2
        assert {row["images"] for row in mine} == {"10"}
    heated = [float(r["temperature_c"]) for r in rows if r["scenario"] == "ramp" and r["mode"] == "fixed"][:4]
    assert heated[0] == 0.0 and heated == sorted(heated) and heated[-1] > 80
    assert table["hysteresis"][0]["changed_decisions"] == 0.0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for title in ("Temperature ramp", "Shift of the images", "Step response", "Hysteresis"):
        assert title in page
    assert "Agreement with attention" not in page  # not missed: the run trains nothing


def test_a_run_with_a_digital_scorer_has_no_temperature(finished_run, tmp_path, monkeypatch):
    run = load_trained(finished_run)
    digital = build_method(run.settings, "digital")
    trained = dataclasses.replace(run.trained, evaluator=dataclasses.replace(run.trained.evaluator, method=digital))
    monkeypatch.setattr(drift, "load_trained", lambda path: dataclasses.replace(run, trained=trained))
    settings = DriftSettings(checkpoint=str(finished_run))
    with open_run(tmp_path / "run", settings) as run_folder, pytest.raises(UserError, match="has a digital scorer"):
        drift.run(settings, run_folder)
    assert not (tmp_path / "run").exists()
