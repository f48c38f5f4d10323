"""A finished co-design run for the experiments that measure one; data and pages that cost little."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import coarse_pages
import pytest
import resume_config
from filelock import FileLock

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
def shared_by_workers(tmp_path_factory) -> Path:
    """A folder that all workers of this session have."""
    own = tmp_path_factory.getbasetemp()
    place = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared_by_workers"
    place.mkdir(exist_ok=True)
    return place


@pytest.fixture(scope="session")
def digits(shared_by_workers) -> str:
    """The folder of the data set that every whole run trains on: made by the first of them."""
    return str(shared_by_workers / "digits")


@pytest.fixture(scope="session")
def finished_run(shared_by_workers, digits) -> Path:
    """The folder of a run of one layer and sixteen patches; trained once, and none of its users writes into it."""
    with FileLock(shared_by_workers / "finished.lock"):
        if not (shared_by_workers / "finished" / "run" / "summary.json").exists():
            train_the_finished_run(shared_by_workers / "finished", digits)
    return shared_by_workers / "finished" / "run"


def train_the_finished_run(place: Path, digits: str) -> None:
    """Into ``place / "run"``; what a worker that was killed has left there is gone on with."""
    config = resume_config.get_config()
    config.scorer.prototype = "static"
    config.data.data_dir = digits
    config.data.eval_examples = 40
    settings = from_config_dict(CodesignSettings, config)
    with pages_drawn_coarsely(), open_run(place / "run", settings) as folder:
        codesign.run(settings, folder)


def pytest_collection_modifyitems(items):
    """Whatever needs a trained run is slow: the first of them trains it."""
    for item in items:
        if "finished_run" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
