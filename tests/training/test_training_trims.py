"""Calibrated chips on a tiny trained run: measured once, kept, and never taken for another design's."""

from __future__ import annotations

import numpy as np
import pytest

from atis_jax.scoring.atis.calibration import Trim
from experiments.montecarlo import calibration, engine, noise_sweep, temperature_sweep, yields
from experiments.montecarlo.noise_sweep import NoiseSweepSettings
from experiments.montecarlo.settings import MonteCarloSpec
from experiments.montecarlo.temperature_sweep import TemperatureSweepSettings
from experiments.montecarlo.yields_settings import YieldSettings
from experiments.rundir import INPUTS, RunDirError, open_run

# The budget is of the whole process, and this one has run many other tests.
SMALL = MonteCarloSpec(chips=4, temperature_c=(27.0,), examples=40, batch_size=20, chunk=4, memory_mb=32768)


def test_calibration_is_not_measured_again(finished_run, tmp_path, monkeypatch):
    """The table lost, its trims left: the second attempt reads them and ends with the same bytes."""
    # What room the cells need is not the question: one program, not two.
    monkeypatch.setattr(engine.Engine, "room", lambda self, arm, inputs: engine.full_room(arm, inputs[0]))
    settings = YieldSettings(checkpoints=(str(finished_run),), calibrations=("currents+threshold",), montecarlo=SMALL)
    table = tmp_path / "yield" / "cells.csv"
    with open_run(tmp_path / "yield", settings) as folder:
        yields.run(settings, folder)
        before = table.read_bytes()
        table.unlink()
        monkeypatch.setattr(calibration, "calibrate", None)
        yields.run(settings, folder)
    assert table.read_bytes() == before
    (path,) = (tmp_path / "yield" / "trims").iterdir()
    trim = Trim(**np.load(path))
    assert path.name == f"{finished_run.name}-currents+threshold.npz"
    cells, layers, groups, inputs = 4, 1, 1, 8
    assert trim.threshold_v.shape == (cells, layers, groups)
    assert trim.log_current.shape == (cells, layers, groups, inputs)
    assert all(np.abs(leaf).max() > 0 for leaf in (trim.threshold_v, trim.log_current))


@pytest.mark.parametrize(
    ("experiment", "settings", "given"),
    [
        (yields, YieldSettings, "checkpoints"),
        (noise_sweep, NoiseSweepSettings, "checkpoint"),
        (temperature_sweep, TemperatureSweepSettings, "checkpoint"),
    ],
    ids=["yield", "noise", "temperature"],
)
def test_what_another_design_left_is_refused(finished_run, tmp_path, experiment, settings, given):
    run = str(finished_run)
    wanted = settings(**{given: (run,) if given == "checkpoints" else run}, montecarlo=SMALL)
    with open_run(tmp_path / "here", wanted) as folder:
        folder.begin()
        folder.write_json(INPUTS, {"runs": {finished_run.name: {"folder": str(finished_run), "sha256": "before"}}})
        with pytest.raises(RunDirError, match=f"of another network or design than {finished_run} now holds"):
            experiment.run(wanted, folder)
