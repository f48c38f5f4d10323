"""A finished co-design run for the experiments that measure one; data and pages that cost little."""

from __future__ import annotations

import contextlib
from pathlib import Path

import coarse_pages
import pytest
import resume_config

from atis_jax.config import from_config_dict
from atis_jax.report import page
from experiments import codesign
from experiments.rundir import open_run
from experiments.settings import CodesignSettings


@contextlib.contextmanager
def pages_drawn_coarsely():
    """Whole runs write their pages, with figures that cost little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "save", coarse_pages.save)
        yield


@pytest.fixture(scope="module", autouse=True)
def _coarse_pages():
    """Of a module at most: other tests look at pages as they are."""
    with pages_drawn_coarsely():
        yield


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> str:
    """The folder of the data set that every whole run trains on: made by the first of them."""
    return str(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, digits) -> Path:
    """The folder of a run of one layer and sixteen patches; trained once, and none of its users writes into it."""
    place = tmp_path_factory.mktemp("finished")
    config = resume_config.get_config()
    config.compare = ()
    config.scorer.prototype = "static"
    config.data.data_dir = digits
    config.data.eval_examples = 40
    settings = from_config_dict(CodesignSettings, config)
    with pages_drawn_coarsely(), open_run(place / "run", settings) as folder:
        codesign.run(settings, folder)
    return place / "run"


def pytest_collection_modifyitems(items):
    """Whatever needs a trained run is slow: the first of them trains it."""
    for item in items:
        if "finished_run" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
