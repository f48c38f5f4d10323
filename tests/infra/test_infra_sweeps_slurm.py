"""Sweeps in a real Slurm of one node on this machine; skipped where Slurm cannot run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_sweep_config
from slurm_cluster import NoSlurm, slurm_cluster
from test_infra_sweeps import CONFIG, DIES, FAILS, HERE, no_pixels, sweep_here, table_of, tiny, wait_for  # noqa: F401

from atis_jax.validation import UserError
from experiments.sweeps import executors, store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    try:
        with slurm_cluster() as environment:
            yield environment
    except NoSlurm as reason:
        pytest.skip(str(reason))


@pytest.fixture
def here(cluster, monkeypatch, tiny):  # noqa: F811
    """This process as a user of the cluster."""
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, cluster[name])
    monkeypatch.setenv("PYTHONPATH", str(HERE))


def test_an_array_of_which_one_raises_and_one_is_killed(tmp_path, here, monkeypatch, capsys):
    sweep = tmp_path / "sweep"
    options = {"executor": "slurm", "time_min": 5, "partition": "short", "parallel": 3}
    monkeypatch.setenv("TINY_FAULTS", "1")
    space = [{"seed": 0}, *tiny_sweep_config.get_sweep()[-2:]]
    assert sweep_here(sweep, space, **options) == 2
    table = table_of(sweep)
    assert table["seed=0"]["status"] == "finished"
    assert table[FAILS]["error"] == "ValueError: step 5 was told to fail"
    assert table[DIES]["error"] == "the worker died without a traceback (Slurm: FAILED, exit code 137:0)"
    assert "task 0: Killed" in (sweep / "report.html").read_text()  # srun's own words, from the log
    script = next((sweep / ".jobs" / "launch-1").glob("*_submission.sh")).read_text()
    for line in ("--array=0-2%3", "--partition=short", "--time=5", "--requeue", "--signal=USR2@75"):
        assert f"#SBATCH {line}\n" in script

    monkeypatch.delenv("TINY_FAULTS")
    capsys.readouterr()
    assert sweep_here(sweep, space, **options) == 0
    assert "3 runs, 1 finished before" in capsys.readouterr().out
    assert len(list((sweep / ".jobs" / "launch-2").glob("*_submitted.pkl"))) == 2


def test_runs_put_back_into_the_queue_go_on_and_a_killed_launcher_is_replaced(
    tmp_path, here, cluster, monkeypatch, capsys
):
    """One run is put back by the administrator's command, the other by the signal that precedes its time limit."""
    sweep, gate = tmp_path / "sweep", tmp_path / "gate"
    names = ("seed=0", "seed=1")
    flags = ["--executor=slurm", "--sweep.time_min=30", "--sweep.parallel=2", f"--workdir={sweep}"]
    command = [sys.executable, str(HERE / "tiny_launch.py"), "none", f"--config={CONFIG}:seeds", "--sweep", *flags]
    environment = {**cluster, "PYTHONPATH": str(HERE), "TINY_GATE": str(gate)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as launcher:
        wait_for(lambda: all(list(sweep.glob(f"{name}/checkpoints/step_*")) for name in names))
        launcher.kill()
    jobs = {name: store.Records(sweep, name).submitted()["job_id"] for name in names}
    subprocess.run(["scontrol", "requeue", jobs["seed=0"]], env=cluster, check=True)
    subprocess.run(["scancel", "--signal=USR2", jobs["seed=1"]], env=cluster, check=True)

    # The next launch watches until both have started again, and only then may they come to their end.
    asked = executors.in_slurm_queue

    def in_queue():
        if all(store.Records(sweep, name).run().get("restarts") == 1 for name in names):
            gate.touch()
        return asked()

    monkeypatch.setattr(executors, "in_slurm_queue", in_queue)
    space, config = tiny_sweep_config.get_sweep("seeds"), tiny_sweep_config.get_config()
    assert sweep_here(sweep, space, config=config, executor="slurm", time_min=30) == 0
    said = capsys.readouterr().out
    assert "2 still running" in said and "2 of 2 runs finished" in said
    assert [p.name for p in (sweep / ".jobs").glob("launch-*")] == ["launch-1"]  # nothing was submitted twice
    for name, job in jobs.items():
        assert table_of(sweep)[name]["restarts"] == "1", name
        steps = [json.loads(line)["step"] for line in (sweep / name / "metrics.jsonl").read_text().splitlines()]
        assert steps == list(range(1, 13))
        log = (sweep / ".jobs" / "launch-1" / f"{job}_0_log.out").read_text()
        assert log.count("Starting with JobEnvironment") == 2
        assert "step 1/12" in log and log.count("step 1/12") == 1  # the second start went on from a checkpoint


def test_a_single_run_with_its_resources(tmp_path, here):
    """One run is a job, not an array."""
    sweep = tmp_path / "sweep"
    assert sweep_here(sweep, [{"seed": 4}], executor="slurm", time_min=5, cpus=2, mem_gb=1.5) == 0
    script = next((sweep / ".jobs" / "launch-1").glob("*_submission.sh")).read_text()
    assert "#SBATCH --cpus-per-task=2\n" in script and "#SBATCH --mem=1536MB\n" in script and "--array" not in script
    assert table_of(sweep)["seed=4"]["status"] == "finished"


def test_what_sbatch_refuses_is_shown_in_its_own_words(tmp_path, here):
    with pytest.raises(UserError, match=r"--executor=slurm: refused the sweep: .*invalid partition specified: long"):
        sweep_here(tmp_path / "sweep", [{"seed": 0}, {"seed": 1}], executor="slurm", time_min=5, partition="long")


def test_a_run_that_went_to_slurm_is_not_started_elsewhere_while_slurm_cannot_be_asked(tmp_path, tiny, monkeypatch):  # noqa: F811
    sweep = tmp_path / "sweep"
    (sweep / ".jobs").mkdir(parents=True)
    store.Records(sweep, "seed=0").write_submitted("slurm", "12_0", ".jobs/launch-1/12_0_0_log.out")
    monkeypatch.setenv("PATH", str(Path(tmp_path) / "nothing"))
    with pytest.raises(UserError, match=r"run 'seed=0' went to Slurm as job 12_0 .* might run twice"):
        sweep_here(sweep, [{"seed": 0}], executor="debug")
    assert not (sweep / "seed=0").exists()
