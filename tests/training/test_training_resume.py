"""A co-design run, killed in training and while it is measured, ends bit for bit as one that was never stopped.

That is the finished run of the other tests. What only a moving prototype remembers comes back in
``test_training_knobs.py``.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from fork_server import Launcher

from experiments.compile_cache import FOLDER_VARIABLE

HERE = Path(__file__).resolve().parent
WALL_CLOCK = {"seconds", "timing"}
MOMENTS = [
    ("_fingerprint|dense/.writing-00000004|1", {"dense": 2}),  # within a checkpoint's writing
    ("rename|codesign/.writing-00000004|1", {"dense": 5, "codesign": 2}),  # written, not committed
    ("count_gathered||2", {"dense": 5, "codesign": 6}),  # during evaluation, on the second chip
]
"""Where to kill, and the newest checkpoint of each stage it leaves."""


@pytest.fixture
def start(tmp_path):
    """One compilation for all starts: what is tested is the state, not the compiler."""
    keep = {
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        FOLDER_VARIABLE: os.environ.get(FOLDER_VARIABLE, str(tmp_path / "compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    with Launcher(HERE / "resume_launch.py", tmp_path, keep) as launcher:
        yield launcher


def without_wall_clock(value):
    if isinstance(value, dict):
        return {name: without_wall_clock(item) for name, item in value.items() if name not in WALL_CLOCK}
    return value


def metrics_of(folder: Path) -> list[dict]:
    return [without_wall_clock(json.loads(line)) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def checkpoints_of(folder: Path) -> dict[str, tuple]:
    """Every stored array by checkpoint and leaf as bytes, and where each data stream stands."""
    from orbax.checkpoint import v1 as ocp

    found = {}
    for step in sorted((folder / "checkpoints").glob("*/step_*")):
        record = json.loads((step / "checkpoint.json").read_text())
        stored = {name: leaf for name, leaf in record["leaves"].items() if leaf["stored"]}
        like = {name: np.empty(leaf["shape"], np.dtype(leaf["raw_dtype"])) for name, leaf in stored.items()}
        arrays = {name: np.asarray(value).tobytes() for name, value in ocp.load(step / "arrays", like).items()}
        found[f"{step.parent.name}/{step.name}"] = (arrays, record["data_position"])
    return found


@pytest.mark.slow
def test_killed_again_and_again_it_ends_as_if_never_stopped(finished_run, start, tmp_path, digits):
    whole, killed = finished_run, tmp_path / "killed"
    changes = f"--config.data.data_dir={digits}", "--config.scorer.prototype=static"
    flags = f"--config={HERE / 'resume_config.py'}", *changes
    for moment, left in MOMENTS:
        died = start(*flags, f"--workdir={killed}", die=moment)
        assert died.returncode == -signal.SIGKILL, (moment, died.stdout, died.stderr)
        assert not (killed / "summary.json").exists()
        found = {
            stage.name: max(int(step.name[5:]) for step in stage.glob("step_*"))
            for stage in (killed / "checkpoints").iterdir()
            if list(stage.glob("step_*"))
        }
        assert found == left, moment
    done = start(*flags, f"--workdir={killed}")
    assert done.returncode == 0, done.stderr
    assert "going on in" in done.stdout

    lines = metrics_of(whole)
    assert [line["step"] for line in lines] == list(range(1, 12))
    assert [line["stage"] for line in lines] == ["dense"] * 5 + ["codesign"] * 6
    assert metrics_of(killed) == lines

    expected, ended = checkpoints_of(whole), checkpoints_of(killed)
    stored = ("dense", 4), ("dense", 5), ("codesign", 4), ("codesign", 6)
    assert set(expected) == {f"{stage}/step_{number:08d}" for stage, number in stored}
    assert ended == expected

    summaries = [without_wall_clock(json.loads((folder / "summary.json").read_text())) for folder in (whole, killed)]
    assert summaries[0] == summaries[1]
    assert summaries[0]["accuracy"]["chips"] == 2
    with np.load(whole / "artifacts.npz") as one, np.load(killed / "artifacts.npz") as two:
        assert set(one) == set(two)
        for name in one:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    assert (killed / "report.html").exists()
