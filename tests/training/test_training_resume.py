"""A co-design run, killed in training and while it is measured, ends bit for bit as one that was never stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
WALL_CLOCK = {"seconds", "timing"}
MOMENTS = [
    ("_fingerprint|dense/.writing-00000004|1", {"dense": 2}),  # within a checkpoint's writing
    ("rename|codesign/.writing-00000004|1", {"dense": 5, "codesign": 2}),  # written, not committed
    ("count_gathered||2", {"dense": 5, "codesign": 6, "random": 6}),  # during evaluation, on the second chip
]
"""Where to kill, and the newest checkpoint of each stage it leaves."""


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return tmp_path_factory.mktemp("resume")


def start(places: Path, digits: str, workdir: str, die: str = "none") -> subprocess.CompletedProcess:
    # One compilation for all starts: what is tested is the state, not the compiler.
    environment = os.environ | {
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": str(places / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    command = [
        sys.executable,
        str(HERE / "resume_launch.py"),
        die,
        f"--config={HERE / 'resume_config.py'}",
        f"--workdir={places / workdir}",
        f"--config.data.data_dir={digits}",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, cwd=HERE.parents[1])


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
def test_killed_again_and_again_it_ends_as_if_never_stopped(places, digits):
    done = start(places, digits, "whole")
    assert done.returncode == 0, done.stderr
    for moment, left in MOMENTS:
        died = start(places, digits, "killed", moment)
        assert died.returncode == -signal.SIGKILL, (moment, died.stdout, died.stderr)
        assert not (places / "killed" / "summary.json").exists()
        found = {
            stage.name: max(int(step.name[5:]) for step in stage.glob("step_*"))
            for stage in (places / "killed" / "checkpoints").iterdir()
            if list(stage.glob("step_*"))
        }
        assert found == left, moment
    done = start(places, digits, "killed")
    assert done.returncode == 0, done.stderr
    assert "going on in" in done.stdout

    whole, killed = places / "whole", places / "killed"
    lines = metrics_of(whole)
    assert [line["step"] for line in lines] == list(range(1, 18))
    assert [line["stage"] for line in lines] == ["dense"] * 5 + ["codesign"] * 6 + ["random"] * 6
    assert metrics_of(killed) == lines

    expected, ended = checkpoints_of(whole), checkpoints_of(killed)
    assert set(expected) == {f"{s}/step_{n:08d}" for s, n in [("dense", 4), ("dense", 5)]} | {
        f"{s}/step_{n:08d}" for s in ("codesign", "random") for n in (4, 6)
    }
    assert ended == expected
    memory = np.frombuffer(expected["codesign/step_00000006"][0]["scorer_state.query"], np.float32)
    assert np.any(memory != np.frombuffer(expected["codesign/step_00000004"][0]["scorer_state.query"], np.float32))

    shares = np.frombuffer(expected["random/step_00000006"][0]["design"], np.float32)
    np.testing.assert_array_equal(shares, [0.5])  # half of the tokens: the control's shares are not trained

    summaries = [without_wall_clock(json.loads((folder / "summary.json").read_text())) for folder in (whole, killed)]
    assert summaries[0] == summaries[1]
    assert summaries[0]["accuracy"]["chips"] == 2
    with np.load(whole / "artifacts.npz") as one, np.load(killed / "artifacts.npz") as two:
        assert set(one) == set(two)
        for name in one:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    assert (killed / "report.html").exists()
