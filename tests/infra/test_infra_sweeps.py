"""Sweeps run for real: local processes of which some die, a second launch, a killed launcher, this process."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_sweep_config
from absl.testing import flagsaver
from test_infra_launch import in_process

from atis_jax.report import style
from atis_jax.validation import SettingError, UserError
from experiments import registry
from experiments.rundir import RunDirError, open_run
from experiments.sweeps import collect, launcher, store
from experiments.sweeps.cores import CoreShares
from experiments.sweeps.launcher import run_sweep
from experiments.sweeps.points import points_of
from experiments.sweeps.spec import ExecutorSpec

HERE = Path(__file__).resolve().parent
CONFIG = HERE / "tiny_sweep_config.py"
FAILS, DIES = "seed=7,training.fail_step=5", "seed=8,training.kill_step=5"
PATIENCE_S = 300
"""Until a test gives up on another process: many times what a busy machine takes."""


@pytest.fixture(autouse=True)
def no_pixels(monkeypatch):
    """Pages without the cost of their pictures, which are written again after every run; other tests draw them."""
    monkeypatch.setattr(style, "png_bytes", lambda figure: b"picture")


@pytest.fixture
def tiny(monkeypatch):
    entry = registry.Experiment("tiny_experiment:TinySettings", "tiny_experiment:run")
    monkeypatch.setitem(registry.EXPERIMENTS, "tiny", entry)


def command(workdir: Path, *flags: str, variant: str = "") -> list[str]:
    config = f"--config={CONFIG}{':' + variant if variant else ''}"
    return [sys.executable, str(HERE / "tiny_launch.py"), "none", config, "--sweep", f"--workdir={workdir}", *flags]


def table_of(workdir: Path) -> dict[str, dict[str, str]]:
    with open(workdir / "sweep.csv", newline="") as file:
        return {row["run"]: row for row in csv.DictReader(file)}


def sweep_here(workdir: Path, space, *, config=None, **options) -> int:
    config = config or tiny_sweep_config.get_config()
    return run_sweep("tiny_sweep_config.py", config, space, workdir, ExecutorSpec(**options))


@pytest.mark.slow
def test_local_processes_of_which_one_raises_and_one_is_killed(tmp_path, tiny, monkeypatch, capsys):
    """Four runs, two at once; the second launch runs the two that have no result, and no other."""
    sweep, space = tmp_path / "sweep", tiny_sweep_config.get_sweep()
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.chdir(tmp_path)  # not the repository: workers must find the package all the same
    monkeypatch.setenv("TINY_FAULTS", "1")
    assert sweep_here(sweep, space, executor="local", parallel=2) == 2
    assert "2 of 4 runs finished, 2 not; the same command tries those again" in capsys.readouterr().out
    table = table_of(sweep)
    assert {name: row["status"] for name, row in table.items() if row["status"] != "finished"} == {
        FAILS: "failed",
        DIES: "failed",
    }
    assert table[FAILS]["error"] == "ValueError: step 5 was told to fail"
    assert table[DIES]["error"].startswith("the worker died without a traceback")
    good = table["seed=1,training.rate=0.05"]
    assert (good["seed"], good["training.rate"], good["training.fail_step"]) == ("1", "0.05", "0")
    summary = json.loads((sweep / good["run"] / "summary.json").read_text())
    assert float(good["accuracy.hardware_mean"]) == summary["accuracy"]["hardware_mean"]
    page = (sweep / "report.html").read_text()
    assert "ValueError: step 5 was told to fail" in page and "the worker died without a traceback" in page
    assert "in run" in page  # a line of the traceback
    assert "submitit INFO" in page  # a line of the log of the worker that could say nothing itself
    # The run that died had come to its first checkpoint; the other logs stay as they are.
    assert os.listdir(sweep / DIES / "checkpoints") == ["step_00000003"]
    before = {path: path.stat().st_mtime_ns for path in sweep.glob("*/summary.json")}
    assert len(before) == 2

    monkeypatch.delenv("TINY_FAULTS")
    assert sweep_here(sweep, space, executor="local") == 0
    said = capsys.readouterr().out
    assert "4 runs, 2 finished before" in said and "4 of 4 runs finished" in said
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list((sweep / ".jobs" / "launch-2").glob("*_submitted.pkl"))) == 2
    table = table_of(sweep)
    assert all(row["status"] == "finished" and row["error"] == "" for row in table.values())
    metrics = [json.loads(line)["step"] for line in (sweep / DIES / "metrics.jsonl").read_text().splitlines()]
    assert metrics == list(range(1, 13))  # gone on with, not begun again


@pytest.mark.slow
def test_an_interrupted_launcher_stops_its_workers_and_a_killed_one_leaves_them_to_the_next(
    tmp_path, tiny, monkeypatch, capsys
):
    """The same two runs, stopped at their first checkpoints both times."""
    sweep, gate = tmp_path / "sweep", tmp_path / "gate"
    records = [store.Records(sweep, name) for name in ("seed=0", "seed=1")]
    with launched(sweep, gate) as process:
        wait_for(lambda: all(list(sweep.glob(f"seed={seed}/checkpoints/step_*")) for seed in (0, 1)))
        if hasattr(os, "sched_getaffinity"):
            workers = [store.cores_of(one.run()) for one in records]
            shares = CoreShares(2)
            assert workers == [set(shares.take(name) or os.sched_getaffinity(0)) for name in "ab"]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and b"the same command goes on" in err
    wait_for(lambda: not any(store.process_alive(one.run()) for one in records))
    assert set(table_of(sweep)) == {"seed=0", "seed=1"}
    assert [row.status for row in collect.write(sweep)] == ["interrupted"] * 2

    with launched(sweep, gate) as process:
        wait_for(lambda: all(one.status() == "running" for one in records))
        space, config = tiny_sweep_config.get_sweep("seeds"), tiny_sweep_config.get_config()
        with pytest.raises(RunDirError, match="another process is launching this sweep"):
            sweep_here(sweep, space, config=config)
        process.kill()
    open_when_watched(monkeypatch, gate)
    assert sweep_here(sweep, space, config=config) == 0
    said = capsys.readouterr().out
    assert "2 still running" in said and "2 of 2 runs finished" in said
    assert sorted(p.name for p in (sweep / ".jobs").glob("launch-*")) == ["launch-1", "launch-2"]
    assert {row["restarts"] for row in table_of(sweep).values()} == {"0"}


def launched(sweep: Path, gate: Path) -> subprocess.Popen:
    """A launcher whose two runs stop at their first checkpoint until ``gate`` is there."""
    return subprocess.Popen(
        command(sweep, "--executor=local", variant="seeds"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(HERE), "TINY_GATE": str(gate)},
        cwd=sweep.parent,
        # A shell's background job starts with SIGINT ignored, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def open_when_watched(monkeypatch, gate: Path) -> None:
    """Make ``gate`` when a launch of this process has seen which runs are under way, and not before."""
    watch = launcher._Launch._watch
    monkeypatch.setattr(launcher._Launch, "_watch", lambda *args: (gate.touch(), watch(*args)))


def wait_for(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_debug_runs_in_this_process_and_goes_on_after_a_failure(tmp_path, tiny, monkeypatch, capsys):
    sweep = tmp_path / "sweep"
    monkeypatch.setenv("TINY_FAULTS", "1")
    space = [{"seed": 1}, {"seed": 7, "training.fail_step": 5}, {"seed": 2}]
    assert sweep_here(sweep, space, executor="debug") == 1
    assert "1/3 seed=7,training.fail_step=5: failed: ValueError: step 5 was told to fail" in capsys.readouterr().out
    assert {store.Records(sweep, name).run()["pid"] for name in table_of(sweep)} == {os.getpid()}
    monkeypatch.delenv("TINY_FAULTS")
    assert sweep_here(sweep, space, executor="debug") == 0
    assert [row["status"] for row in table_of(sweep).values()] == ["finished"] * 3
    # Table and page can be written again from the files alone.
    written = {name: (sweep / name).read_bytes() for name in ("sweep.csv", "report.html")}
    for name in written:
        (sweep / name).unlink()
    assert collect.main([str(sweep)]) == 0
    assert {name: (sweep / name).read_bytes() for name in written} == written


def test_a_sweep_that_does_not_fit_its_folder_is_refused(tmp_path, tiny):
    sweep = tmp_path / "sweep"
    space = [{"seed": 1}]
    assert sweep_here(sweep, space, executor="debug") == 0
    before = {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}
    with pytest.raises(RunDirError, match=r"another sweep:\n  1 runs there, 2 now\n  only now: seed=2\n"):
        sweep_here(sweep, [*space, {"seed": 2}], executor="debug")
    other = tiny_sweep_config.get_config()
    other.training.rate = 0.2
    with pytest.raises(RunDirError, match=r"another sweep:\n  config\.training\.rate: 0\.1 there, 0\.2 now\n"):
        sweep_here(sweep, space, config=other, executor="debug")
    assert {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()} == before
    # A setting that cannot change a result may differ.
    other = tiny_sweep_config.get_config()
    other.training.pause_s = 0.25
    assert sweep_here(sweep, space, config=other, executor="debug") == 0

    with pytest.raises(RunDirError, match="not a sweep"):
        sweep_here(sweep / "seed=1", space, executor="debug")
    with pytest.raises(RunDirError, match="is or lies below a file"):
        sweep_here(sweep / "sweep.csv", space, executor="debug")


def test_a_run_folder_of_another_config_is_refused_before_anything_starts(tmp_path, tiny):
    sweep = tmp_path / "sweep"
    config = tiny_sweep_config.get_config()
    space = [{"seed": 1}, {"seed": 2}]
    first, second = points_of(config, space)
    sweep.mkdir()
    (sweep / "sweep.json").write_text(json.dumps(store.description("x", config.to_dict(), [first, second])))
    with open_run(sweep / second.name, first.settings) as folder:
        folder.begin()
        folder.metrics.write_text('{"step": 1}\n')
    with pytest.raises(RunDirError, match=r"seed=2: belongs to a run with another config"):
        sweep_here(sweep, space, executor="debug")
    assert not (sweep / first.name).exists() and not (sweep / ".jobs").exists()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"executor": "slrum"}, ["--executor = 'slrum'", "did you mean 'slurm'"]),
        ({"parallel": 0}, ["--sweep.parallel = 0", "lower bound 1"]),
        ({"mem_gb": 0.0, "executor": "slurm"}, ["--sweep.mem_gb = 0.0", "not above"]),
        ({"partition": "long"}, ["--sweep.partition = 'long'", "--executor=local", "only to slurm"]),
        ({"parallel": 2, "executor": "debug"}, ["--sweep.parallel = 2", "--executor=debug", "local, slurm"]),
        ({"executor": "slurm"}, ["--sweep.time_min is missing", "--sweep.time_min=240"]),
    ],
)
def test_wrong_options_are_one_clear_message(options, parts):
    with pytest.raises(SettingError) as caught:
        ExecutorSpec(**options)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_slurm_without_slurm_is_refused(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="there is no sbatch on this machine"):
        ExecutorSpec(executor="slurm", time_min=5)


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--executor=local"], ["--executor = 'local' without --sweep"]),
        (["--sweep.parallel=2"], ["--sweep.parallel = 2 without --sweep"]),
        (["--sweep", "--sweep.parallell=2"], ["sweep.parallell", "sweep.parallel"]),
        (["--sweep", "--sweep.parallel=many"], ["sweep.parallel", "many"]),
        (["--sweep", "--config.seed=3"], ["--config.seed is a field that get_sweep() sets"]),
        (["--sweep", "--config.training.steps=0"], ["point 0", "config.training.steps = 0", "lower bound 1"]),
    ],
)
def test_a_mistake_on_the_command_line_is_one_clear_message(tmp_path, monkeypatch, capfd, tiny, flags, parts):
    with flagsaver.flagsaver():
        code, _, err = in_process(monkeypatch, capfd, tmp_path, [f"--config={CONFIG}", *flags])
    assert code == 2 and err.startswith("error: ") and "Traceback" not in err
    assert all(part in err for part in parts), err
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_config_without_a_sweep_is_refused_and_a_whole_sweep_runs_from_the_command_line(
    tmp_path, monkeypatch, capfd, tiny
):
    with flagsaver.flagsaver():
        flags = [f"--config={HERE / 'tiny_config.py'}", "--sweep"]
        code, _, err = in_process(monkeypatch, capfd, tmp_path, flags)
    assert code == 2 and "has no get_sweep()" in err and os.listdir(tmp_path) == []
    with flagsaver.flagsaver():
        flags = [f"--config={CONFIG}:healthy", "--sweep", "--executor=debug", "--config.training.steps=2"]
        code, out, err = in_process(monkeypatch, capfd, tmp_path, flags)
    assert code == 0, err
    assert "6 of 6 runs finished" in out
    with flagsaver.flagsaver():
        flags = [f"--config={CONFIG}:seeds", "--sweep", "--executor=debug", "--config.training.poison_step=1"]
        code, out, err = in_process(monkeypatch, capfd, tmp_path, flags)
    assert code == 1 and "0 of 2 runs finished, 2 not" in out, err
    assert {
        row["training.rate"] for row in table_of(tmp_path / "runs" / "tiny_sweep_config-healthy-sweep").values()
    } == {
        "0.05",
        "0.1",
    }
