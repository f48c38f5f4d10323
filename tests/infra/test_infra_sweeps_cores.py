"""Shares of the cores: equal, apart, and given to whoever waits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.sweeps.cores import CoreShares

ROOT = Path(__file__).parents[2]


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 3, 4, 5, 6, 7, 9}, raising=False)


def test_shares_are_equal_and_apart(eight_cores):
    cores = CoreShares(3)
    taken = [cores.take(name) for name in "abc"]
    assert taken == [(1, 2), (3, 4), (5, 6)]


def test_a_share_given_back_goes_to_the_next(eight_cores):
    cores = CoreShares(2)
    first, second = cores.take("a"), cores.take("b")
    cores.give_back("a")
    assert cores.take("c") == first != second
    cores.give_back("unknown")


def test_more_runs_than_cores_have_no_share(eight_cores):
    assert CoreShares(9).take("a") is None


def test_without_affinity_there_are_no_shares(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert CoreShares(1).take("a") is None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no core affinity")
def test_a_worker_keeps_to_its_share():
    core = min(os.sched_getaffinity(0))
    code = (
        "import os; from pathlib import Path; from experiments import registry; "
        "from experiments.sweeps.jobs import RunJob; "
        f"job = RunJob(Path('x'), 'a', {{}}, registry.entry('codesign'), None, True, cores=({core},)); "
        "job._prepare_process(); import jax; jax.numpy.zeros(1); print(os.sched_getaffinity(0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == f"{{{core}}}"
