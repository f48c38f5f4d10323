"""Yield: what share of fabricated chips stays within a limit of the perfect chip, over temperature and calibration."""

from __future__ import annotations

import time
from typing import Any

import jax

from atis_jax.report import write_report
from atis_jax.scoring.atis.calibration import with_trim_dac
from experiments import measure
from experiments.files import write_arrays_atomically
from experiments.inputs import check_inputs
from experiments.montecarlo import arms, failing
from experiments.montecarlo.calibration import calibrated, check_calibration
from experiments.montecarlo.contents import YIELD
from experiments.montecarlo.engine import Arm
from experiments.montecarlo.yields_settings import YieldSettings
from experiments.montecarlo.yields_summary import summarise
from experiments.rundir import RunFolder
from experiments.trained_run import TrainedRun


def run(settings: YieldSettings, folder: RunFolder) -> dict[str, Any]:
    """Run or go on with the experiment; returns what it wrote to ``summary.json``."""
    started = time.time()
    arms.one_device_a_core()
    runs = arms.load_runs(settings.checkpoints)
    inputs, key = arms.inputs_of(runs[0], settings.montecarlo), arms.fabrication_key(settings.seed)
    for name in settings.calibrations:
        check_calibration(settings.method(name), runs)
    folder.begin()
    check_inputs(folder, {run.folder.name: run.as_input() for run in runs})
    made = [yield_arm(settings, run, name, key, folder) for run in runs for name in settings.calibrations]
    evaluated = arms.evaluate(made, settings.montecarlo, folder, key, inputs)
    summary, arrays = summarise(settings, evaluated, made)
    found = failing.explain(settings, evaluated, made[0], key)
    summary |= {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "dataset": measure.dataset_summary(runs[0].settings, runs[0].test) | {"examples": settings.montecarlo.examples},
        "failing": found.summary,
        "montecarlo": evaluated.account.summary(settings.montecarlo),
        "timing": {"seconds": time.time() - started},
    }
    write_arrays_atomically(folder.path / "artifacts.npz", arrays | found.arrays)
    folder.write_summary(summary)
    write_report(folder.path, YIELD)
    return summary


def yield_arm(settings: YieldSettings, run: TrainedRun, name: str, key: jax.Array, folder: RunFolder) -> Arm:
    """Every chip at every temperature and supply, calibrated as ``name`` says."""
    rows = [{"chip": chip, **one} for chip in range(settings.montecarlo.chips) for one in settings.conditions]
    labels = {"run": run.folder.name, "calibration": name}
    method = settings.method(name)
    if method is None:
        return arms.make_arm(run, labels, rows)
    arm = arms.make_arm(run, labels, rows, with_trim_dac(run.trained.evaluator.hardware, method))
    return calibrated(arm, method, run, key, folder)
