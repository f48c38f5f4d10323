"""Shares of the cores: none idle, apart, given to whoever waits, and not to two."""

import os
import subprocess
import sys

import pytest
import tiny_sweep_config

from atis_jax.validation import UserError
from experiments import registry
from experiments.sweeps import launcher, store
from experiments.sweeps.cores import CoreShares
from experiments.sweeps.spec import ExecutorSpec


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 3, 4, 5, 6, 7, 9}, raising=False)


def test_shares_are_apart_and_leave_no_core_idle(eight_cores):
    for at_once, expected in [(3, [(1, 2, 3), (4, 5, 6), (7, 9)]), (4, [(1, 2), (3, 4), (5, 6), (7, 9)])]:
        cores = CoreShares(at_once)
        assert [cores.take(name) for name in "abcd"[:at_once]] == expected


def test_a_run_of_an_earlier_launch_keeps_the_cores_it_has(eight_cores):
    """Also where shares were others then; a run that may use every core is in everyone's way alike."""
    cores = CoreShares(3)
    cores.hold("anywhere", {1, 2, 3, 4, 5, 6, 7, 9})
    cores.hold("two shares", {3, 4})
    assert cores.take("a") == (7, 9)
    cores.give_back("two shares")
    assert cores.take("b") == (1, 2, 3)
    cores.hold("elsewhere", set())
    assert cores.take("c") == (4, 5, 6)


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


def test_the_next_launch_gives_a_free_share(tmp_path, monkeypatch):
    """The first of two runs is alive from an earlier launch, on core 0 of two; the second is handed to the executor."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0} if pid == os.getpid() else {0, 1}, raising=False)
    monkeypatch.setitem(
        registry.EXPERIMENTS, "tiny", registry.Experiment("tiny_experiment:TinySettings", "tiny_experiment:run")
    )
    handed = []

    class NoJobs:
        def __init__(self, *_):
            pass

        def submit(self, jobs):
            handed.extend((job.name, job.cores) for job in jobs)
            raise UserError("enough")

    monkeypatch.setattr(launcher, "Jobs", NoJobs)
    (tmp_path / store.JOBS).mkdir()
    store.Records(tmp_path, "seed=0").write_run(state="running", **store.this_process())
    with pytest.raises(UserError, match="enough"):
        launcher.run_sweep(
            "tiny_sweep_config.py",
            tiny_sweep_config.get_config(),
            tiny_sweep_config.get_sweep("seeds"),
            tmp_path,
            ExecutorSpec(parallel=2),
        )
    assert handed == [("seed=1", (1,))]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no core affinity")
def test_the_cores_of_a_process_that_has_ended_or_is_elsewhere_are_not_known():
    here = store.this_process()
    assert store.cores_of(here) == os.sched_getaffinity(0)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    for record in ({**here, "pid": ended.pid}, {**here, "host": "another"}, {}):
        assert store.cores_of(record) == set()
