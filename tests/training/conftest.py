"""A finished co-design run for the experiments that measure one; trained once, and none of them writes into it."""

from __future__ import annotations

from pathlib import Path

import pytest
import resume_config
from tiny_training import quickly

from atis_jax.config import from_config_dict
from experiments import codesign
from experiments.rundir import open_run
from experiments.settings import CodesignSettings


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Path:
    """The folder of a run of one layer and sixteen patches."""
    place = tmp_path_factory.mktemp("finished")
    config = resume_config.get_config()
    config.compare = ()
    config.scorer.prototype = "static"
    config.data.data_dir = str(place / "data")
    config.data.eval_examples = 40
    settings = from_config_dict(CodesignSettings, config)
    with quickly(), open_run(place / "run", settings) as folder:
        codesign.run(settings, folder)
    return place / "run"


@pytest.fixture(scope="module")
def quick_to_compile():
    """For modules whose programs run for a moment: whole experiments on the finished run."""
    with quickly():
        yield
