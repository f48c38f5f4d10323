"""Noise sweep: accuracy and kept fraction against the scale of each imperfection, alone and all together."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from atis_jax import statistics
from atis_jax.circuits.imperfections import IMPERFECTIONS, magnitudes
from atis_jax.report import write_report
from atis_jax.validation import SettingError, check_settings, setting
from experiments import measure
from experiments.files import write_arrays_atomically
from experiments.inputs import check_inputs
from experiments.montecarlo import arms
from experiments.montecarlo.arms import Evaluated
from experiments.montecarlo.contents import NOISE
from experiments.montecarlo.engine import Arm
from experiments.montecarlo.settings import MonteCarloSpec
from experiments.montecarlo.verdicts import distance, mean_change, paired_errors, told
from experiments.rundir import RunFolder

ALL = "all"


@dataclasses.dataclass(frozen=True)
class NoiseSweepSettings:
    """Which imperfection costs most: each scaled alone with the others at zero, and all together."""

    experiment: str = setting("noise_sweep", choices=("noise_sweep",), doc="noise_sweep")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of chips and noise")
    checkpoint: str = setting("runs/quickstart", path=True, doc="folder of a finished co-design run")
    imperfections: tuple[str, ...] = setting(
        (ALL, *IMPERFECTIONS),
        choices=(ALL, *IMPERFECTIONS),
        least=1,
        distinct=True,
        doc="what is scaled, one after the other",
    )
    scales: tuple[float, ...] = setting(
        (0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
        low=0.0,
        high=1000.0,
        exclusive_low=True,
        least=1,
        distinct=True,
        doc="factors on the design's own size of each",
    )
    limit: float = setting(
        0.01,
        low=0.0,
        high=1.0,
        doc="largest difference to the perfect chip's accuracy at any temperature of a chip that counts as within",
    )
    confidence: float = setting(0.95, low=0.5, high=0.9999, doc="of the intervals")
    montecarlo: MonteCarloSpec = setting(MonteCarloSpec)

    def __post_init__(self):
        check_settings(self, "config")
        if self.montecarlo.chips < 2:
            raise SettingError("config.montecarlo.chips = 1: the interval of a mean takes two; give at least 2")


def run(settings: NoiseSweepSettings, folder: RunFolder) -> dict[str, Any]:
    """Run or go on with the experiment; returns what it wrote to ``summary.json``."""
    started = time.time()
    arms.one_device_a_core()
    trained = arms.load_run(settings.checkpoint)
    inputs = arms.inputs_of(trained, settings.montecarlo)
    hardware = trained.trained.evaluator.hardware
    size = magnitudes(hardware)
    # What the design has none of costs nothing at any scale.
    present = [name for name in settings.imperfections if name == ALL or size[name][0] > 0]
    if not present:
        raise SettingError(
            f"config.imperfections = {settings.imperfections}: hardware {hardware.name!r} has none of them; name one "
            f"that it has, or {ALL!r}"
        )
    folder.begin()
    check_inputs(folder, {trained.folder.name: trained.as_input()})
    rows, factors = grid(settings, present)
    arm = arms.make_arm(trained, {"run": trained.folder.name}, rows, factors=factors)
    key = arms.fabrication_key(settings.seed)
    evaluated = arms.evaluate([arm], settings.montecarlo, folder, key, inputs)
    summary, arrays = summarise(settings, present, arm, evaluated)
    summary |= {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "dataset": measure.dataset_summary(trained.settings, trained.test) | {"examples": settings.montecarlo.examples},
        "magnitudes": {name: {"value": value, "unit": unit} for name, (value, unit) in size.items()},
        "absent": [name for name in settings.imperfections if name not in present],
        "montecarlo": evaluated.account.summary(settings.montecarlo),
        "timing": {"seconds": time.time() - started},
    }
    write_arrays_atomically(folder.path / "artifacts.npz", arrays)
    folder.write_summary(summary)
    write_report(folder.path, NOISE)
    return summary


def grid(settings: NoiseSweepSettings, present: Sequence[str]) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Rows and factors: every imperfection at every scale on every chip at every temperature."""
    rows, factors = [], []
    for name in present:
        for scale in settings.scales:
            factor = [scale if name in (ALL, one) else 0.0 for one in IMPERFECTIONS]
            for row in arms.chip_rows(settings.montecarlo):
                rows.append({"imperfection": name, "scale": scale, **row})
                factors.append(factor)
    return rows, np.asarray(factors, np.float32)


def summarise(
    settings: NoiseSweepSettings, present: Sequence[str], arm: Arm, evaluated: Evaluated
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Of each scale the change of accuracy, kept fraction and chips within the limit; what costs most at each."""
    chips, temperatures = settings.montecarlo.chips, len(settings.montecarlo.temperature_c)
    depth = arm.evaluator.model.depth
    shape = (len(present), len(settings.scales), chips, temperatures)

    def column(value) -> np.ndarray:
        return np.asarray([value(row) for row in evaluated.rows], float).reshape(shape)

    every = column(lambda row: (row["gained"] - row["lost"]) / row["examples"])
    discordant = column(lambda row: row["gained"] + row["lost"])
    error = paired_errors(every, discordant, settings.montecarlo.examples)
    change = every.mean(axis=-1)
    kept = column(lambda row: np.mean([row[f"kept_{layer + 1}"] for layer in range(depth)])).mean(axis=-1)
    points = []
    for i, name in enumerate(present):
        for j, scale in enumerate(settings.scales):
            estimate = mean_change(change[i, j], discordant[i, j], settings.montecarlo.examples, settings.confidence)
            within = statistics.yield_estimate(
                distance(every[i, j]), settings.limit, standard_errors=error[i, j], level=settings.confidence
            )
            points.append(
                {
                    "imperfection": name,
                    "scale": scale,
                    "chips": chips,
                    "change_mean": estimate.mean,
                    "change_low": estimate.interval.low,
                    "change_high": estimate.interval.high,
                    "change_std_of_chips": float(change[i, j].std(ddof=1)),
                    "change_worst": float(every[i, j].min()),
                    "within": told(within),
                    "kept_mean": float(kept[i, j].mean()),
                    "kept_std_of_chips": float(kept[i, j].std()),
                }
            )
    alone = [i for i, name in enumerate(present) if name != ALL]
    ranking = {
        f"{scale:g}": [present[alone[i]] for i in np.argsort(change[alone, j].mean(axis=-1), kind="stable")]
        for j, scale in enumerate(settings.scales)
    }
    arrays = {
        "noise_scale": np.asarray(settings.scales),
        "noise_change": change,
        "noise_kept": kept,
        "noise_ideal": np.asarray(evaluated.ideal[0]),
    }
    return {
        "ideal_accuracy": evaluated.ideal[0],
        "noise": points,
        "ranking": ranking,
        "scaled": list(present),
        "limit": settings.limit,
    }, arrays
