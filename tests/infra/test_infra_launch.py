"""The launcher, run as a user runs it: help, mistakes, exit codes, and SIGKILL at many moments."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import launch
from atis_jax.validation import SettingError, UserError
from experiments import command_line, registry

HERE = Path(__file__).resolve().parent
CONFIG = f"--config={HERE / 'tiny_config.py'}"


def start(*flags: str, die: str = "none") -> subprocess.CompletedProcess:
    command = [sys.executable, str(HERE / "tiny_launch.py"), die, *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=HERE.parents[1])


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


def kill_while_orbax_writes(workdir: Path) -> None:
    """Start the run and kill it from outside as soon as Orbax's unfinished folder is seen."""
    command = [sys.executable, str(HERE / "tiny_launch.py"), "none", CONFIG, f"--workdir={workdir}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not list(workdir.glob("checkpoints/.writing-*/arrays*tmp*")) and process.poll() is None:
            time.sleep(0.004)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (workdir / "summary.json").exists()


def test_killed_at_any_moment_ends_the_same(tmp_path):
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
    kill_while_orbax_writes(killed)
    done = start(CONFIG, f"--workdir={killed}")
    assert done.returncode == 0, done.stderr
    assert "going on in" in done.stdout
    assert result_of(killed) == result_of(whole)
    assert final_arrays(killed) == final_arrays(whole)
    assert len(result_of(whole)) == 4  # two files, two checkpoints


def test_a_nan_stops_with_its_message_and_keeps_the_last_checkpoint(tmp_path):
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
    # The launcher parses global flags once a process, so each case gets fresh ones.
    code, _, err = in_process(monkeypatch, capfd, tmp_path, [CONFIG, f"--workdir={tmp_path / 'run'}", *flags])
    assert code == 2
    for part in parts:
        assert part in err
    assert err.startswith("error: ") and "Traceback" not in err
    assert os.listdir(tmp_path) == []


def in_process(monkeypatch, capfd, cwd, flags):
    from absl import flags as absl_flags

    values = absl_flags.FLAGS
    argv = ["launch.py", *flags]
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.chdir(cwd)
    values.unparse_flags()
    try:
        code = launch.cli(argv)
    finally:
        for name in [name for name in values if name.startswith("config.")]:
            delattr(values, name)
        values["config"].value, values["workdir"].value = None, None
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


def test_overrides_reach_the_run_and_the_folder_takes_the_configs_name(tmp_path, monkeypatch, capfd, tiny):
    overrides = ["--config.training.bits=None", "--config.training.widths=(5,)", "--config.training.log"]
    code, out, err = in_process(monkeypatch, capfd, tmp_path, [CONFIG + ":fast", *overrides])
    assert code == 0, err
    stored = json.loads((tmp_path / "runs" / "tiny_config-fast" / "config.json").read_text())
    assert stored["training"]["bits"] is None and stored["training"]["widths"] == [5]
    assert stored["training"]["log"] is True and stored["training"]["steps"] == 2
    assert "step 2/2" in err and "starting in" in out


def test_help_lists_every_config(capsys):
    with pytest.raises(SystemExit) as caught:
        launch._parse(["launch.py", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
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
    with pytest.raises(UserError, match="--config is missing"):
        launch._parse(["launch.py"])
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


def test_run_names():
    assert command_line.run_name("configs/quickstart.py") == "quickstart"
    assert command_line.run_name("configs/vit.py:kept=0.5,seed=1") == "vit-kept-0.5-seed-1"
