"""Run folder, metrics file, progress and final table."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import re
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from tiny_experiment import LoopSpec, TinySettings

from atis_jax.config import config_hash, stored_hash
from atis_jax.validation import UserError
from experiments.drift.settings import DriftSettings
from experiments.files import plain, write_json_atomically
from experiments.loop import Stage
from experiments.metrics import MetricsError, MetricsLog, read_metrics
from experiments.progress import Progress
from experiments.rundir import INPUTS, RunDirError, lock_folder, open_run


def snapshot(folder) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make_a_step(folder) -> None:
    folder.begin()
    folder.metrics.write_text('{"step": 1}\n')


def test_new_folder_then_same_config_goes_on(tmp_path, capsys):
    path = tmp_path / "a" / "b"
    with open_run(path, TinySettings()) as folder:
        assert not folder.resumed and not (tmp_path / "a").exists()
        make_a_step(folder)
        folder.begin()  # once is enough
    assert capsys.readouterr().out == f"starting in {path}\n"
    config = json.loads((path / "config.json").read_text())
    assert config["training"]["steps"] == 12 and config["training"]["log"] is False
    # A field that cannot change the result may differ; config.json stays as it was.
    with open_run(path, TinySettings(training=LoopSpec(log=True))) as again:
        assert again.resumed and again.metrics.read_text() == '{"step": 1}\n'
        assert capsys.readouterr().out == ""
        again.begin()
    assert capsys.readouterr().out == f"going on in {path}\n"
    assert json.loads((path / "config.json").read_text()) == config


def test_another_config_is_refused_and_nothing_changes(tmp_path):
    with open_run(tmp_path / "run", TinySettings()) as folder:
        make_a_step(folder)
    before = snapshot(tmp_path)
    other = TinySettings(seed=1, training=LoopSpec(steps=9))
    with pytest.raises(RunDirError) as caught, open_run(tmp_path / "run", other):
        pass
    for part in (
        "config.seed: 0 there, 1 now",
        "config.training.steps: 12 there, 9 now",
        "another --workdir",
    ):
        assert part in str(caught.value)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("names", [["notes.txt"], ["config.json"], [".lock", "config.json"]])
def test_a_foreign_folder_is_refused_and_nothing_changes(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text('{"architectures": ["ViT"]}')
    with pytest.raises(RunDirError, match="--workdir="), open_run(tmp_path, TinySettings()):
        pass
    assert sorted(os.listdir(tmp_path)) == names


@pytest.mark.parametrize("content", ["", '{"experiment": "tiny", "se', "[1]"])
def test_an_unreadable_config_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunDirError, match=r"config\.json"), open_run(tmp_path, TinySettings()):
        pass
    assert (tmp_path / "config.json").read_text() == content


def test_an_attempt_killed_before_its_config_was_in_place_is_no_obstacle(tmp_path):
    (tmp_path / ".lock").write_text("")
    (tmp_path / ".config.json.tmp").write_text('{"exper')
    with open_run(tmp_path, TinySettings()) as folder:
        assert not folder.resumed
        make_a_step(folder)
    assert sorted(os.listdir(tmp_path)) == [".lock", "config.json", "metrics.jsonl"]


def leave_before_the_first_step(folder) -> None:
    """What an attempt has written when it is about to make its first step."""
    folder.begin()
    folder.metrics.touch()
    (folder.path / "cells.csv").touch()
    (folder.checkpoints / "dense").mkdir(parents=True)
    folder.write_json(INPUTS, {"runs": {}})


@pytest.mark.parametrize("stopped_by", [UserError, ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("existing", [False, True])
def test_an_attempt_without_a_step_leaves_nothing(tmp_path, stopped_by, existing):
    path = tmp_path / "runs" / "one"
    if existing:
        path.mkdir(parents=True)
    with pytest.raises(stopped_by), open_run(path, TinySettings()) as folder:
        leave_before_the_first_step(folder)
        raise stopped_by
    if existing:
        assert os.listdir(path) == []  # the folder is not ours to remove
    else:
        assert os.listdir(tmp_path) == []


def test_a_folder_killed_before_the_first_step_is_free_for_any_config(tmp_path):
    with open_run(tmp_path / "run", TinySettings()) as folder:
        leave_before_the_first_step(folder)
        shutil.copytree(folder.path, tmp_path / "killed")
    with open_run(tmp_path / "killed", TinySettings(seed=1)) as folder:
        assert not folder.resumed
        make_a_step(folder)
        assert sorted(os.listdir(folder.path)) == [".lock", "config.json", "metrics.jsonl"]
    assert json.loads((tmp_path / "killed" / "config.json").read_text())["seed"] == 1


@pytest.mark.parametrize("result", ["summary.json", "cells.csv", "checkpoints/step_00000003/arrays", "trims/a.npz"])
def test_a_result_of_any_kind_makes_the_folder_the_runs_own(tmp_path, result):
    with pytest.raises(UserError, match="too late"), open_run(tmp_path / "run", TinySettings(seed=8)) as folder:
        leave_before_the_first_step(folder)
        (folder.path / result).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / result).write_text("a result")
        raise UserError("too late")
    with pytest.raises(RunDirError, match="another config"), open_run(tmp_path / "run", TinySettings()):
        pass
    assert (tmp_path / "run" / result).read_text() == "a result"


def test_a_stranger_among_our_files_is_not_touched(tmp_path):
    with pytest.raises(UserError), open_run(tmp_path / "run", TinySettings()) as folder:
        leave_before_the_first_step(folder)
        (folder.path / "notes.txt").touch()
        raise UserError
    with pytest.raises(RunDirError, match="another config"), open_run(tmp_path / "run", TinySettings(seed=1)):
        pass
    assert (tmp_path / "run" / "notes.txt").exists()


def test_a_run_stored_with_a_home_folder_is_its_own_and_keeps_its_hash(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = DriftSettings(checkpoint="~/quickstart")
    assert settings.checkpoint == str(tmp_path / "quickstart")
    with open_run(tmp_path / "run", settings) as folder:
        make_a_step(folder)
    # As an older version stored it: unexpanded, and its checkpoints carry the hash of that.
    stored = json.loads((folder.path / "config.json").read_text()) | {"checkpoint": "~/quickstart"}
    (folder.path / "config.json").write_text(json.dumps(stored))
    with open_run(tmp_path / "run", settings) as again:
        assert again.resumed
        assert again.config_hash == stored_hash(stored) != config_hash(settings)
        assert again.config["checkpoint"] == "~/quickstart"


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/atis"])
def test_an_impossible_path_gives_one_clear_error(tmp_path, where):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunDirError, match="--workdir="), open_run(tmp_path / where, TinySettings()) as folder:
        folder.begin()
    assert os.listdir(tmp_path) == ["file"]


def _hold(path, ready, release):
    with open_run(path, TinySettings()) as folder:
        make_a_step(folder)
        ready.set()
        release.wait(30)


@pytest.mark.slow
def test_two_processes_cannot_hold_one_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "run", ready, release))
    other.start()
    try:
        assert ready.wait(60)
        with pytest.raises(RunDirError, match="another process"), open_run(tmp_path / "run", TinySettings()):
            pass
        lock = tmp_path / "run" / ".lock"
        with pytest.raises(RunDirError, match="is busy"), lock_folder(tmp_path, lock, "is busy"):
            pass
        other.kill()  # the lock dies with its process
        other.join()
        with open_run(tmp_path / "run", TinySettings()) as folder:
            assert folder.resumed
    finally:
        other.kill()
        other.join()


def test_two_runs_that_begin_at_once_do_not_share_a_folder(tmp_path):
    with open_run(tmp_path / "run", TinySettings()) as one, open_run(tmp_path / "run", TinySettings(seed=1)) as two:
        one.begin()
        with pytest.raises(RunDirError, match="another process is running"):
            two.begin()
        make_a_step(one)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["seed"] == 0


def test_summary_leaves_out_what_was_not_measured_and_refuses_nan(tmp_path):
    with open_run(tmp_path / "run", TinySettings()) as folder:
        folder.begin()
        path = folder.write_summary({"accuracy": {"dense": np.float32(0.5), "ideal": None}, "kept": jnp.ones(2)})
        assert json.loads(path.read_text()) == {"schema": 1, "accuracy": {"dense": 0.5}, "kept": [1.0, 1.0]}
        with pytest.raises(FloatingPointError, match=r"accuracy\.dense is nan"):
            folder.write_summary({"accuracy": {"dense": float("nan")}})
        assert json.loads(path.read_text())["accuracy"] == {"dense": 0.5}


def test_json_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_json_atomically(tmp_path / "a.json", {"x": 1})

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_json_atomically(tmp_path / "a.json", {"x": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}
    assert os.listdir(tmp_path) == ["a.json"]
    assert plain({"a": (np.int64(1), [jnp.float32(0.5), True, None])}) == {"a": [1, [0.5, True, None]]}
    with pytest.raises(TypeError, match=r"a\[0\] is a object"):
        plain({"a": [object()]})


def write_steps(path, steps, after_step=0):
    with MetricsLog(path, after_step) as log:
        for step in steps:
            log.write({"step": step, "loss": 1.0 / step})


def test_metrics_are_cut_back_to_the_restored_step(tmp_path):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    write_steps(whole, range(1, 11))
    write_steps(cut, range(1, 8))
    with open(cut, "ab") as file:
        file.write(b'{"step": 8, "lo')  # torn by a kill
    assert [record["step"] for record in read_metrics(cut)] == list(range(1, 8))
    write_steps(cut, range(5, 11), after_step=4)
    assert cut.read_bytes() == whole.read_bytes()
    write_steps(cut, range(1, 11))  # no checkpoint yet: from the beginning
    assert cut.read_bytes() == whole.read_bytes()


def test_a_torn_last_line_alone_is_dropped(tmp_path):
    path = tmp_path / "m.jsonl"
    write_steps(path, range(1, 5))
    content = path.read_bytes()
    path.write_bytes(content + b'{"step": 5, "loss": 0.2}')  # whole JSON, no newline: still torn
    write_steps(path, range(6, 7), after_step=5)
    assert path.read_bytes() == content + b'{"step": 6, "loss": 0.16666666666666666}\n'


def test_metrics_errors(tmp_path):
    path = tmp_path / "m.jsonl"
    with pytest.raises(MetricsError, match="missing.*step 3"):
        MetricsLog(path, after_step=3)
    assert not path.exists()
    path.write_text('{"step": 1}\nrubbish\n{"step": 2}\n')
    with pytest.raises(MetricsError, match="line 2"):
        MetricsLog(path, after_step=2)
    assert path.read_text() == '{"step": 1}\nrubbish\n{"step": 2}\n'
    with pytest.raises(MetricsError, match="cannot be written"):
        MetricsLog(tmp_path)
    log = MetricsLog(tmp_path / "n.jsonl")
    with pytest.raises(FloatingPointError, match="step 4: loss_energy is inf"):
        log.write({"step": 4, "loss_energy": float("inf")})
    log.write({"step": 4})
    with pytest.raises(ValueError, match="step 3 after step 4"):
        log.write({"step": 3})
    assert read_metrics(tmp_path / "n.jsonl") == [{"step": 4}]


def test_plain_progress_has_the_figures_and_is_sparse():
    out = io.StringIO()
    with Progress(100, stream=out, every_s=3600) as progress:
        for step in range(1, 101):
            progress.update(step, count=32, phase="soft", accuracy=0.5, kept_fraction=0.25, energy_ratio=0.4)
    lines = out.getvalue().splitlines()
    assert len(lines) == 2  # the first step and the end
    assert lines[-1].startswith("step 100/100  soft")
    assert lines[-1].endswith("accuracy 50.0 %  kept 25 %  energy x0.40")
    assert "examples/s" in lines[-1]


def test_what_takes_long_before_a_step_is_said_at_once():
    out = io.StringIO()
    with Progress(100, stream=out, every_s=3600) as progress:
        progress.announce("dense: compiling")
        assert out.getvalue() == "step 0/100  dense: compiling\n"
        progress.update(1, phase="dense", loss=0.5)
    assert out.getvalue().splitlines()[-1].startswith("step 1/100  dense  ")


def test_a_bar_of_80_columns_cuts_nothing(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    out = io.StringIO()
    figures = dict(loss=0.123, accuracy=0.9545, kept_fraction=0.42, energy_ratio=0.44)
    with Progress(100_000, stream=out) as progress:
        progress.announce("dense_longer: compiling")
        progress.update(99_999, count=64, phase="dense_longer", **figures)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    for part in ("dense_longer: compiling", "99999/100000", "loss 0.123", "energy x0.44"):
        assert part in shown
    assert "\u2026" not in shown and max(len(line) for line in re.split("[\r\n]+", shown)) <= 80


def test_a_stage_is_named_once():
    names = {
        ("dense", "dense"): "dense",
        ("dense_longer", "dense"): "dense_longer",
        ("codesign", "soft"): "codesign:soft",
    }
    for (stage, phase), shown in names.items():
        assert Stage(stage, 1, 0, 0, lambda step, phase=phase: phase).shown(1) == shown


def test_a_terminal_gets_a_bar_with_the_same_figures(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes any stream for a terminal
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")
    out = io.StringIO()
    with Progress(10, start_step=4, stream=out) as progress:
        for step in range(5, 11):
            progress.update(step, phase="hard", accuracy=0.75, kept_fraction=0.25, energy_ratio=0.4)
    assert "\r" in out.getvalue() or "\x1b[" in out.getvalue()
    for part in ("hard", "10/10", "accuracy 75.0 %", "kept 25 %", "energy x0.40"):
        assert part in out.getvalue()
