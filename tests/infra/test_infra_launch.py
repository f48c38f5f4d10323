"""The launcher, run as a user runs it: help, mistakes, exit codes, and SIGKILL at many moments."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from absl import logging
from fork_server import Launcher

import launch
from atis_jax.validation import SettingError, UserError
from experiments import command_line, registry

HERE = Path(__file__).resolve().parent
CONFIG = f"--config={HERE / 'tiny_config.py'}"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    with Launcher(HERE / "tiny_launch.py", tmp_path_factory.mktemp("launcher")) as launcher:
        yield launcher


def result_of(folder: Path) -> dict[str, object]:
    """What must not depend on interruptions: metrics, summary, and every checkpoint's state."""
    found: dict[str, object] = {name: (folder / name).read_bytes() for name in ("metrics.jsonl", "summary.json")}
    for step in sorted((folder / "checkpoints").iterdir()):
        record = json.loads((step / "checkpoint.json").read_text())
        found[step.name] = (record["leaves"], record["data_position"])
    return found


def final_arrays(folder: Path) -> list[bytes]:
    import jax
    import numpy as np
    from tiny_experiment import TinySettings, initial_state

    from atis_jax.config import config_hash
    from atis_jax.training.checkpoints import Checkpoints

    restored, _, _ = Checkpoints(folder / "checkpoints", config_hash(TinySettings())).restore(initial_state(1))
    return [np.asarray(x).tobytes() for x in (restored.weights, restored.momentum, jax.random.key_data(restored.key))]


def kill_while_orbax_writes(start: Launcher, workdir: Path) -> None:
    """Start the run and kill it from outside as soon as Orbax's unfinished folder is seen."""
    number = start.begin(CONFIG, f"--workdir={workdir}")
    while not list(workdir.glob("checkpoints/.writing-*/arrays*tmp*")) and runs(number):
        time.sleep(0.004)
    kill(number)
    assert start.end().returncode == -signal.SIGKILL
    assert not (workdir / "summary.json").exists()


def kill(number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself, which its exit status tells
        os.kill(number, signal.SIGKILL)


def runs(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_killed_at_any_moment_ends_the_same(tmp_path, start):
    """One run is killed six times, each start going on from the last; the other is never stopped."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = start(CONFIG, f"--workdir={whole}")
    assert done.returncode == 0, done.stderr
    moments = [
        "write:2:after",  # before the first checkpoint
        "rename:2:before",  # first checkpoint complete, not committed (Orbax renames once itself)
        "rename:2:after",  # just committed
        "_sync:3:before",  # while the second is brought to disk
        "write:5:before",  # between the second and the third
    ]
    steps = []
    for moment in moments:
        died = start(CONFIG, f"--workdir={killed}", die=moment)
        assert died.returncode == -signal.SIGKILL, (moment, died.stdout, died.stderr)
        assert not (killed / "summary.json").exists()
        committed = sorted(name for name in os.listdir(killed / "checkpoints") if name.startswith("step_"))
        steps.append(int(committed[-1][5:]) if committed else 0)
    assert steps == [0, 0, 3, 3, 6]
    kill_while_orbax_writes(start, killed)
    done = start(CONFIG, f"--workdir={killed}")
    assert done.returncode == 0, done.stderr
    assert "going on in" in done.stdout
    assert result_of(killed) == result_of(whole)
    assert final_arrays(killed) == final_arrays(whole)
    assert len(result_of(whole)) == 4  # two files, two checkpoints


@pytest.mark.slow
def test_killed_at_random_moments_ends_the_same(tmp_path, start):
    """Killed from outside, anywhere from the making of its folder to its last step, and started again each time."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    pause = "--config.training.pause_s=0.1"  # so that 12 steps take longer than it takes to look and kill
    assert start(CONFIG, f"--workdir={whole}", pause).returncode == 0
    chance = random.Random(13)
    kills = 0
    for awaited in ("config.json", *["metrics.jsonl"] * 5):
        before = newest_change(killed / awaited)
        number = start.begin(CONFIG, f"--workdir={killed}", pause)
        while newest_change(killed / awaited) == before and runs(number):
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.5))
        kill(number)
        ended = start.end()
        assert ended.returncode in (-signal.SIGKILL, 0), ended.stderr
        kills += ended.returncode == -signal.SIGKILL
    assert kills >= 4
    done = start(CONFIG, f"--workdir={killed}")
    assert done.returncode == 0, done.stderr
    assert result_of(killed) == result_of(whole)
    assert final_arrays(killed) == final_arrays(whole)


def newest_change(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def test_a_nan_stops_with_its_message_and_keeps_the_last_checkpoint(tmp_path, start):
    stopped = start(CONFIG, f"--workdir={tmp_path / 'run'}", "--config.training.poison_step=5")
    assert stopped.returncode == 3
    assert "stopped: step 5: loss is nan" in stopped.stderr and "Traceback" not in stopped.stderr
    assert os.listdir(tmp_path / "run" / "checkpoints") == ["step_00000003"]


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(
        registry.EXPERIMENTS,
        "tiny",
        registry.Experiment("tiny_experiment:TinySettings", "tiny_experiment:run"),
    )


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (
            ["--config.trainnig.steps=3"],
            ["config.trainnig does not exist", "did you mean 'training'", "seed"],
        ),
        (["--config.training.stesp=3"], ["config.training.stesp does not exist", "did you mean 'steps'"]),
        (["--config.training.steps.x=3"], ["config.training.steps.x does not exist", "is a value"]),
        (["--config.training=3"], ["config.training is a section", "--config.training."]),
        (["--config.training.steps=many"], ["config.training.steps = 'many'", "whole number", "12"]),
        (["--config.training.steps", "many"], ["config.training.steps = 'many'", "whole number"]),
        (["--config.training.steps=1.5"], ["config.training.steps = '1.5'", "whole number"]),
        (["--config.training.log=maybe"], ["config.training.log = 'maybe'", "True or False"]),
        (["--config.training.steps=0"], ["config.training.steps = 0", "lower bound 1", "updates in all"]),
        (["--config.training.bits=four"], ["config.training.bits = 'four'", "whole number, or None"]),
        (["--config.training.bits=0"], ["config.training.bits = 0", "lower bound 1"]),
        (["--config.training.widths=(1,0)"], ["config.training.widths[1] = 0", "lower bound 1"]),
        (["--config.training.rate=nan"], ["config.training.rate = nan", "not finite"]),
        (["--config.experiment=tinny"], ["config.experiment = 'tinny'", "did you mean 'tiny'"]),
        (["--wrokdir=x"], ["wrokdir", "workdir"]),
        (["stray"], ["unexpected argument 'stray'"]),
        (["--workdir=/proc/atis"], ["--workdir=/proc/atis"]),
    ],
)
def test_a_mistake_is_one_clear_message_and_exit_code_2(tmp_path, monkeypatch, capfd, tiny, flags, parts):
    code, _, err = in_process(monkeypatch, capfd, tmp_path, [CONFIG, f"--workdir={tmp_path / 'run'}", *flags])
    assert code == 2
    for part in parts:
        assert part in err
    assert err.startswith("error: ") and "Traceback" not in err
    assert os.listdir(tmp_path) == []


def in_process(monkeypatch, capfd, cwd, flags):
    """Exit code, output and error output of the launcher, run in the folder ``cwd``."""
    monkeypatch.chdir(cwd)
    code = launch.cli(["launch.py", *flags])
    out, err = capfd.readouterr()
    return code, out, err


def test_a_finished_run_stays_as_it_is_and_damage_is_repaired(tmp_path, monkeypatch, capfd, tiny):
    run = tmp_path / "runs" / "tiny_config"

    def again(*flags):
        code, _, err = in_process(monkeypatch, capfd, tmp_path, [CONFIG, *flags])
        return code, err

    assert again()[0] == 0
    before = result_of(run)
    assert again()[0] == 0
    assert result_of(run) == before

    code, err = again("--config.training.rate=0.2", "--config.training.bits=None")
    assert code == 2
    assert "config.training.rate: 0.1 there, 0.2 now" in err
    assert "config.training.bits: 4 there, null now" in err
    assert result_of(run) == before

    newest = run / "checkpoints" / "step_00000012"
    largest = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    os.truncate(largest, 100)
    code, err = again()
    assert code == 2 and "Traceback" not in err
    assert largest.name in err and "Delete that folder to resume from step 9" in err
    shutil.rmtree(newest)
    assert again()[0] == 0
    assert result_of(run) == before


@pytest.fixture
def drawing(tmp_path):
    """A config with a tagged section of analog and digital scorers' fields, and of the random control's none."""
    path = tmp_path / "drawing.py"
    path.write_text(
        "from atis_jax.config import to_config_dict\n"
        "from experiments.settings import CodesignSettings\n\n\n"
        "def get_config():\n"
        "    config = to_config_dict(CodesignSettings)\n"
        "    config.scorer.inputs = 16\n"
        "    return config\n"
    )
    return f"--config={path}"


@pytest.mark.parametrize(
    ("flags", "scorer"),
    [
        ([], {"kind": "analog", "inputs": 16}),
        (["--config.scorer.kind=digital"], {"kind": "digital", "inputs": 16}),
        (["--config.scorer.kind", "random"], {"kind": "random"}),
        (["--config.scorer.inputs=8", "--config.scorer.kind=digital"], {"kind": "digital", "inputs": 8}),
        (["--config.scorer.kind=random", "--config.scorer.kind=digital"], {"kind": "digital", "inputs": 16}),
    ],
)
def test_a_kind_is_chosen_before_any_other_override(drawing, flags, scorer):
    values, _ = launch._parse(["launch.py", *flags, drawing])
    found = values["config"].value.scorer.to_dict()
    assert {name: found[name] for name in scorer} == scorer
    assert len(found) > 1 or scorer == {"kind": "random"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config.scorer.kind=anlog"], "config.scorer.kind = 'anlog' is not one of: analog.*did you mean 'analog'"),
        (["--config.scorer.kind=random", "--config.scorer.inputs=3"], "config.scorer.inputs does not exist"),
        (["--config.data.kind=sounds"], "config.data.kind = 'sounds' is not one of: images"),
    ],
)
def test_a_kind_that_is_not_there_and_fields_of_another_are_refused(drawing, flags, message):
    with pytest.raises(SettingError, match=message):
        launch._parse(["launch.py", drawing, *flags])


def test_overrides_reach_the_run_and_the_folder_takes_the_configs_name(tmp_path, monkeypatch, capfd, tiny):
    overrides = ["--config.training.bits=None", "--config.training.widths=(5,)", "--config.training.log"]
    code, out, err = in_process(monkeypatch, capfd, tmp_path, [CONFIG + ":fast", *overrides])
    assert code == 0, err
    stored = json.loads((tmp_path / "runs" / "tiny_config-fast" / "config.json").read_text())
    assert stored["training"]["bits"] is None and stored["training"]["widths"] == [5]
    assert stored["training"]["log"] is True and stored["training"]["steps"] == 2
    assert "step 2/2" in err and "starting in" in out
    # Nothing of the first command line is left for the second.
    code, out, err = in_process(monkeypatch, capfd, tmp_path, [CONFIG + ":fast", "--workdir=second"])
    assert code == 0, err
    assert json.loads((tmp_path / "second" / "config.json").read_text())["training"]["bits"] == 4


def test_a_home_folder_is_one_in_every_flag_and_for_an_old_run(tmp_path, monkeypatch, capfd, tiny):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(HERE / "tiny_config.py", tmp_path)
    flags = ["--config=~/tiny_config.py:fast", "--workdir=~/runs/a"]
    for said in ("starting in", "going on in"):
        code, out, err = in_process(monkeypatch, capfd, tmp_path, flags)
        assert code == 0 and f"{said} {tmp_path / 'runs' / 'a'}" in out, err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["runs", "tiny_config.py"]


def test_the_last_line_of_a_run_says_where_its_report_is(tmp_path, monkeypatch, capfd, tiny):
    run = tmp_path / "run"
    in_process(monkeypatch, capfd, tmp_path, [CONFIG + ":fast", f"--workdir={run}"])
    (run / "report.html").write_text("a page")  # the tiny experiment draws none
    code, out, _ = in_process(monkeypatch, capfd, tmp_path, [CONFIG + ":fast", f"--workdir={run}"])
    assert code == 0 and out.splitlines()[-1] == f"report: {run / 'report.html'}"


def test_a_full_disk_ends_in_one_line(tmp_path, monkeypatch, capfd, tiny):
    from atis_jax.training import checkpoints
    from experiments.metrics import MetricsLog

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.jsonl")

    def storage_full(*_, **__):
        logging.error("a traceback of a thread of the storage library")
        raise ValueError("RESOURCE_EXHAUSTED: a page\nof text [os_error_code='28']")

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "write", full)
        code, _, err = in_process(patch, capfd, tmp_path, [CONFIG, f"--workdir={tmp_path / 'run'}"])
    assert code == 2 and "Traceback" not in err
    assert err.splitlines()[-1] == (
        "error: cannot write metrics.jsonl (No space left on device); make room, and the same command goes on"
    )
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(checkpoints.ocp, "save", storage_full)
    code, _, err = in_process(monkeypatch, capfd, tmp_path, [CONFIG, f"--workdir={tmp_path / 'run'}"])
    assert code == 2 and "traceback" not in err.lower()
    last = err.splitlines()[-1]
    assert last.startswith("error: ") and "step_00000003: could not be written (No space left on device)" in last


@pytest.mark.slow
def test_an_output_that_takes_nothing_ends_in_one_line():
    command = [sys.executable, str(HERE / "tiny_launch.py"), "none", "--help"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, cwd=HERE.parents[1])
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: cannot write (No space left on device); make room, and the same command goes on"
    ]


def test_help_lists_every_config(capfd):
    assert launch.cli(["launch.py", "--help"]) == 0
    text = capfd.readouterr().out
    assert "--workdir" in text and "--config.section.field=VALUE" in text
    listed = command_line.list_configs(launch.CONFIGS)
    assert {path for path, _ in listed} == {
        f"configs/{path.name}" for path in launch.CONFIGS.glob("*.py") if not path.name.startswith("_")
    }
    for path, line in listed:
        assert path in text and line in text
    ours = ("infra/tiny_config.py", "A loop of matrix updates, for the tests of the launcher.")
    assert ours in command_line.list_configs(HERE)


def test_missing_and_broken_config_files(tmp_path):
    with pytest.raises(UserError, match="--config is missing; give one, .*--help lists them") as missing:
        launch._parse(["launch.py"])
    assert "\n" not in str(missing.value)
    (tmp_path / "quickstart.py").write_text('"""Doc."""\n\n\ndef get_config():\n    return 1 / 0\n')
    with pytest.raises(UserError, match=r"no file .*quikstart\.py; there are: .*quickstart\.py"):
        command_line.load_config(str(tmp_path / "quikstart.py"))
    with pytest.raises(UserError, match=r"quickstart\.py, line 5: ZeroDivisionError"):
        command_line.load_config(str(tmp_path / "quickstart.py"))
    (tmp_path / "syntax.py").write_text("x = (\n")
    with pytest.raises(UserError, match=r"syntax\.py, line 1"):
        command_line.load_config(str(tmp_path / "syntax.py"))
    (tmp_path / "none.py").write_text("def get_config():\n    pass\n")
    with pytest.raises(UserError, match="returned a NoneType"):
        command_line.load_config(str(tmp_path / "none.py"))
    with pytest.raises(UserError, match=r'tiny_config\.py, line 13: .*Did you mean "training"') as caught:
        command_line.load_config(str(HERE / "tiny_config.py") + ":misspelt")
    assert not isinstance(caught.value, SettingError)
    (tmp_path / "single.py").write_text("def get_config():\n    pass\n")
    with pytest.raises(
        UserError, match=r"single\.py: has no variants, and 'foo' was asked for; give --config=.*single"
    ):
        command_line.load_config(str(tmp_path / "single.py:foo"))


@pytest.mark.slow
def test_run_names():
    assert command_line.run_name("configs/quickstart.py") == "quickstart"
    assert command_line.run_name("configs/vit.py:kept=0.5,seed=1") == "vit-kept-0.5-seed-1"
