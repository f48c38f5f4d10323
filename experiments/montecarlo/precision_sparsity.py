"""Precision against sparsity: DAC bits x programming bits x array size x pruned fraction, and the bits that result."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.dac import MAX_BITS
from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.circuits.imperfections import IMPERFECTIONS
from atis_jax.report import write_report
from atis_jax.scoring.atis.calibration import CalibrationSpec, with_trim_dac
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.types import ScorerState
from atis_jax.training.cells import Cells
from atis_jax.training.score_bits import ScoreBits, score_bits
from atis_jax.validation import SettingError, check_settings, setting
from experiments import measure
from experiments.files import write_arrays_atomically, write_text_atomically
from experiments.inputs import check_inputs
from experiments.montecarlo import arms
from experiments.montecarlo.calibration import calibrated, calibration_tokens, check_calibration
from experiments.montecarlo.contents import PRECISION
from experiments.montecarlo.engine import Arm
from experiments.montecarlo.precision_summary import Grid, points_csv, summarise
from experiments.montecarlo.settings import MonteCarloSpec
from experiments.rundir import RunFolder
from experiments.trained_run import TrainedRun

TABLE = "points.csv"
SCORED_AT_ONCE = 8
"""Cells whose scores are worked out together."""


@dataclasses.dataclass(frozen=True)
class PrecisionSettings:
    """How many bits converters and currents need, for each design, and how many effective bits the chain then has."""

    experiment: str = setting("precision_sparsity", choices=("precision_sparsity",), doc="precision_sparsity")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of chips and noise")
    checkpoints: tuple[str, ...] = setting(
        ("runs/precision_designs-sweep",),
        path=True,
        least=1,
        distinct=True,
        doc="folders of finished co-design runs; that of a sweep stands for its runs",
    )
    dac_bits: tuple[int, ...] = setting(
        (1, 2, 3, 4, 5, 6, 7, 8), low=1, high=MAX_BITS, least=1, ascending=True, doc="of the input converters"
    )
    programming_bits: tuple[int, ...] = setting(
        (2, 3, 4, 5, 6, 8, 10), low=2, high=16, least=1, ascending=True, doc="of the currents' grid"
    )
    calibrated: bool = setting(True, doc="whether every chip's thresholds are set anew for its bits")
    limit: float = setting(0.01, low=0.0, high=1.0, doc="largest fall of accuracy that still holds, as a fraction")
    kept_limit: float = setting(0.02, low=0.0, high=1.0, doc="most that the kept fraction may rise and still hold")
    confidence: float = setting(0.95, low=0.5, high=0.9999, doc="of the intervals")
    montecarlo: MonteCarloSpec = setting(MonteCarloSpec(chips=4, temperature_c=(27.0,), examples=1000, chunk=256))
    calibration: CalibrationSpec = setting(CalibrationSpec)

    def __post_init__(self):
        check_settings(self, "config")
        if len(self.montecarlo.temperature_c) != 1 or self.montecarlo.chips < 2:
            raise SettingError(
                f"config.montecarlo: temperature_c = {self.montecarlo.temperature_c} and chips = "
                f"{self.montecarlo.chips}; precision_sparsity takes one temperature and at least two chips"
            )

    def finest(self, run: TrainedRun) -> Hardware:
        """The run's hardware with the most bits of each, of which a cell uses some; the perfect chip's too.

        Raises:
            SettingError: the run's scorer has no converters, or such a hardware cannot be, for instance with currents
                that have no range.
        """
        if run.settings.scorer.source == "pixels":
            raise SettingError(
                f"{run.folder}: its scorer looks at pixels on the sensor, in front of which there are no converters "
                "whose bits could be swept; give runs with scorer.source = 'tokens'"
            )
        bits = {"dac.bits": max(self.dac_bits), "floating_gate.bits": max(self.programming_bits)}
        try:
            hardware = with_fields(run.trained.evaluator.hardware, bits)
        except ValueError as error:
            raise SettingError(f"{run.folder}: its hardware cannot have these bits ({error})") from error
        return with_trim_dac(hardware, self.calibration) if self.calibrated else hardware


def run(settings: PrecisionSettings, folder: RunFolder) -> dict[str, Any]:
    """Run or go on with the experiment; returns what it wrote to ``summary.json``."""
    started = time.time()
    arms.one_device_a_core()
    runs = sorted(arms.load_runs(settings.checkpoints), key=lambda run: (run.settings.scorer.inputs, pruned(run)))
    inputs, key = arms.inputs_of(runs[0], settings.montecarlo), arms.fabrication_key(settings.seed)
    made = [precision_arm(settings, run) for run in runs]
    if settings.calibrated:
        check_calibration(settings.calibration, runs)
    folder.begin()
    check_inputs(folder, {run.folder.name: run.as_input() for run in runs})
    if settings.calibrated:
        made = [calibrated(arm, settings.calibration, run, key, folder) for arm, run in zip(made, runs, strict=True)]
    bits = [
        effective(arm, calibration_tokens(run, settings.calibration).inputs, key)
        for arm, run in zip(made, runs, strict=True)
    ]
    evaluated = arms.evaluate(made, settings.montecarlo, folder, key, inputs)
    designs = [{"run": run.folder.name, "inputs": run.settings.scorer.inputs, "pruned": pruned(run)} for run in runs]
    scored = [run.trained.evaluator.scored for run in runs]
    grid = Grid.of(
        settings.dac_bits, settings.programming_bits, settings.montecarlo.chips, evaluated.rows, bits, scored
    )
    summary, arrays = summarise(
        designs,
        grid,
        evaluated.ideal,
        limit=settings.limit,
        kept_limit=settings.kept_limit,
        confidence=settings.confidence,
    )
    summary |= {
        "experiment": settings.experiment,
        "seed": settings.seed,
        "dataset": measure.dataset_summary(runs[0].settings, runs[0].test) | {"examples": settings.montecarlo.examples},
        "trained_with": trained_with(runs),
        "montecarlo": evaluated.account.summary(settings.montecarlo),
        "timing": {"seconds": time.time() - started},
    }
    write_text_atomically(folder.path / TABLE, points_csv(designs, grid))
    write_arrays_atomically(folder.path / "artifacts.npz", arrays)
    folder.write_summary(summary)
    write_report(folder.path, PRECISION)
    return summary


def pruned(run: TrainedRun) -> float:
    """The share of tokens that the design is to prune, mean of its layers."""
    return 1.0 - float(np.mean(run.settings.pruning.kept_per_layer(run.settings.model.depth)))


def trained_with(runs: Sequence[TrainedRun]) -> dict[str, list[float | None]]:
    """The bits that the designs were trained with; None where not quantised."""
    hardware = [run.trained.evaluator.hardware for run in runs]
    used = {
        "dac_bits": [one.dac.resolution for one in hardware],
        "programming_bits": [one.floating_gate.resolution for one in hardware],
    }
    return {
        name: sorted({None if bits is None else float(bits) for bits in found}, key=lambda bits: bits or math.inf)
        for name, found in used.items()
    }


def precision_arm(settings: PrecisionSettings, run: TrainedRun) -> Arm:
    """Every pair of bits on a chip without any error, and then on every chip as fabricated."""
    spec, (temperature_c,) = settings.montecarlo, settings.montecarlo.temperature_c
    rows = [
        {"dac_bits": dac, "programming_bits": gate, "errors": errors, "chip": chip, "temperature_c": temperature_c}
        for dac in settings.dac_bits
        for gate in settings.programming_bits
        for errors, chip in [(0, 0), *((1, chip) for chip in range(spec.chips))]
    ]
    factors = np.asarray([[row["errors"]] * len(IMPERFECTIONS) for row in rows], np.float32)
    # The cells say how many bits there are, also of a design that chose its own.
    evaluator = run.trained.evaluator
    spec_now = dataclasses.replace(evaluator.spec, trainable_bits=False)
    method = make_method(spec_now, evaluator.hardware, evaluator.method.target)
    evaluator = dataclasses.replace(evaluator, method=method)
    run = dataclasses.replace(run, trained=dataclasses.replace(run.trained, evaluator=evaluator))
    arm = arms.make_arm(run, {"run": run.folder.name}, rows, settings.finest(run), factors)
    arm = dataclasses.replace(arm, reference=arm.evaluator)  # the perfect chip has the finest bits
    fields: Any = {
        f"{device}.used_bits": np.asarray([row[f"{name}_bits"] for row in rows], np.float32)
        for device, name in (("dac", "dac"), ("floating_gate", "programming"))
    }
    return dataclasses.replace(arm, cells=dataclasses.replace(arm.cells, fields=fields))


def effective(arm: Arm, inputs: jax.Array, key: jax.Array) -> ScoreBits:
    """Effective bits of every cell's scores; leaves (cells, L, G)."""
    cells, state = jax.tree.map(jnp.asarray, arm.cells), arm.state
    found = _effective(arm.evaluator.spec, arm.evaluator.hardware, state.design, state.scorer_state, cells, inputs, key)
    return jax.tree.map(np.asarray, found)


# Jitted here: designs of one structure share a compilation.
@partial(jax.jit, static_argnums=(0, 1))
def _effective(spec: ScorerSpec, hardware: Hardware, design: Design, state: ScorerState, cells: Cells, inputs, key):
    def one(cell: Cells) -> ScoreBits:
        return score_bits(spec, hardware, design, state, cell, inputs, key)

    return jax.lax.map(one, cells, batch_size=SCORED_AT_ONCE)
