"""A scorer of one's own by name: it trains and reads back, and only who starts a run may name its code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import own_method
import pytest
import resume_config

import atis_jax
import launch
from atis_jax.config import from_config_dict, to_config_dict
from atis_jax.scoring.registry import METHODS, load, register
from atis_jax.validation import SettingError, UserError
from experiments import command_line
from experiments.codesign import dense_from
from experiments.settings import CodesignSettings
from experiments.trained_run import load_trained

KIND = "own_method:Length"
CONFIG = f"--config={Path(resume_config.__file__)}"


@pytest.fixture(autouse=True)
def unregistered():
    own_method.forget()
    yield
    own_method.forget()


@pytest.fixture(scope="module")
def own_run(tmp_path_factory, digits) -> Path:
    place = tmp_path_factory.mktemp("own")
    flags = [f"--config.scorer.kind={KIND}", "--config.scorer.start=0.05"]
    where = [f"--workdir={place / 'run'}", f"--config.data.data_dir={digits}"]
    assert launch.cli(["launch.py", CONFIG, *where, *flags]) == 0
    return place / "run"


@pytest.mark.slow
def test_it_trains_and_its_run_loads_back(own_run):
    load(KIND)
    run, trained = atis_jax.load(own_run), load_trained(own_run)
    assert run.method.spec.start == 0.05 and type(run.method).__name__ == "Length"
    assert run.evaluate().kept_per_layer.shape == (1,)
    np.testing.assert_array_equal(trained.trained.state.design["threshold"], run.design["threshold"])


@pytest.mark.slow
@pytest.mark.parametrize("read", [atis_jax.load, load_trained])
def test_a_stored_run_imports_nothing_and_says_what_to_register(own_run, read):
    own_method.forget()
    with pytest.raises(UserError, match=r"cannot be read here: .*'own_method:Length' .*register it first.*register\("):
        read(own_run)
    assert KIND not in METHODS


@pytest.mark.slow
def test_a_run_may_not_start_from_one_that_is_not_registered(own_run):
    own_method.forget()
    with pytest.raises(UserError, match="start_from = .*cannot be read here"):
        dense_from(CodesignSettings(start_from=str(own_run)), None)


def test_a_config_file_may_name_it_and_set_its_fields():
    config = to_config_dict(CodesignSettings)
    config.scorer.kind = KIND
    config.scorer.start = 0.5
    config.energy.preset = "horowitz_45nm"
    assert from_config_dict(CodesignSettings, config).scorer.start == 0.5


def test_the_command_line_may_name_it_after_its_fields():
    config = to_config_dict(CodesignSettings)
    left = command_line.choose_kinds(config, ["--config.scorer.start=0.5", "--config.scorer.kind", KIND, "--x"])
    assert left == ["--config.scorer.start=0.5", "--x"] and set(config.scorer) == {"kind", "start"}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("own_metod:Length", "module 'own_metod' cannot be imported.*PYTHONPATH"),
        ("own_method:Lenght", "module 'own_method' has no 'Lenght'"),
        ("own_method:NoMethod", "is no subclass of atis_jax.scoring.method.Method"),
    ],
)
def test_code_that_is_not_there_is_one_clear_message(kind, message):
    with pytest.raises(SettingError, match=message):
        to_config_dict(CodesignSettings).scorer.kind = kind
    assert kind not in METHODS


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(SettingError, match="'analog' is atis_jax.scoring.atis.analog:Analog already"):
        register("analog", own_method.Length)


def test_a_module_that_is_loaded_anew_takes_its_own_place():
    load(KIND)
    again = type("Length", (own_method.Length,), {"__module__": "own_method"})
    register(KIND, again)
    assert METHODS[KIND] is again
