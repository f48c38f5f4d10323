"""A config that is refused leaves nothing behind and never says that it starts, whatever the experiment."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jax
import pytest
from test_infra_launch import in_process

from atis_jax.spice.simulator import EXECUTABLE
from experiments import registry

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NOWHERE = "nowhere"
REFUSED = [
    # experiment, config, overrides, part of the message
    ("codesign", "quickstart", {"data.batch_size": 6400}, "config.data.batch_size = 6400 is above the"),
    ("codesign", "quickstart", {"start_from": NOWHERE}, "config.start_from = 'nowhere' holds no run"),
    ("codesign", "quickstart", {"evaluation.capacities": "(999, 9, 9)"}, "capacities[0] = 999"),
    ("dense", "quickstart", {"experiment": "dense", "data.batch_size": 6400}, "config.data.batch_size = 6400"),
    (
        "dense",
        "quickstart",
        {"experiment": "dense", "data.name": "unheard_of", "data.augmentation": "none"},
        "data set 'unheard_of'",
    ),
    ("yield", "yield", {"checkpoints": f"('{NOWHERE}',)"}, "'nowhere' holds no co-design run"),
    ("noise_sweep", "noise_sweep", {"checkpoint": NOWHERE}, "'nowhere' holds no co-design run"),
    ("temperature_sweep", "temperature_sweep", {"checkpoint": NOWHERE}, "'nowhere' holds no co-design run"),
    ("precision_sparsity", "precision_sparsity", {"checkpoints": f"('{NOWHERE}',)"}, "'nowhere' holds no co-design"),
    ("pretrained_attention", "pretrained_attention", {"data.tokenizer": NOWHERE}, "config.data.tokenizer = "),
    ("kv_methods", "kv_methods", {"data.tokenizer": NOWHERE}, "config.data.tokenizer = "),
    ("kv_gate", "kv_gate", {"data.tokenizer": NOWHERE}, "config.data.tokenizer = "),
    ("saliency", "vit_pretrained:saliency", {"data.name": "unheard_of"}, "data set 'unheard_of'"),
    ("zero_shot", "zero_shot:quickstart", {"checkpoint": NOWHERE}, "config.checkpoint = 'nowhere' holds no run"),
    ("scenarios", "scenarios", {"sensor_run": "unfinished"}, "config.sensor_run = 'unfinished' is no finished"),
    (
        "spice_validation",
        "spice_validation",
        {"process.name": "generic"},
        f"{EXECUTABLE} = 'nowhere' is not an executable",
    ),
    ("fit", "fit", {"curves": NOWHERE}, "nowhere: cannot be read"),
    ("fit", "fit", {"curves": "one.csv"}, "3 points; give"),
    ("export", "export", {"checkpoint": NOWHERE, "simulate": "False"}, "'nowhere' holds no co-design run"),
    ("retarget", "retarget", {"new": NOWHERE, "old": NOWHERE}, "'nowhere' holds no co-design run"),
    ("drift", "drift", {"checkpoint": NOWHERE}, "'nowhere' holds no co-design run"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.mark.slow
@pytest.mark.parametrize(("experiment", "config", "overrides", "message"), REFUSED)
def test_a_refused_config_leaves_no_folder(data, tmp_path, monkeypatch, capfd, experiment, config, overrides, message):
    jax.devices()  # now: a Monte-Carlo run would choose how many there are for all tests after this one
    monkeypatch.setenv(EXECUTABLE, NOWHERE)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "summary.json").write_text(json.dumps({}))
    header = "device,bias_a,temperature_c,voltage_v,current_a\n"
    (tmp_path / "one.csv").write_text(header + "".join(f"a,1e-9,27,{v},{v}e-9\n" for v in (-0.1, 0.0, 0.1)))
    if config == "quickstart":
        overrides = {"data.data_dir": data, **overrides}
    flags = [f"--config.{name}={value}" for name, value in overrides.items()]
    before = sorted(os.listdir(tmp_path))
    name, colon, variant = config.partition(":")
    code, out, err = in_process(
        monkeypatch, capfd, tmp_path, [f"--config={CONFIGS / name}.py{colon}{variant}", "--workdir=made/run", *flags]
    )
    told = [line for line in err.splitlines() if not line.startswith("note: ")]  # another process has the cache's lock
    assert code == 2 and told[0].startswith("error: "), err
    assert message in err
    assert "starting in" not in out
    assert sorted(os.listdir(tmp_path)) == before


def test_every_experiment_is_refused_once():
    assert {experiment for experiment, *_ in REFUSED} == set(registry.EXPERIMENTS)
