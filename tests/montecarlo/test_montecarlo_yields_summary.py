"""The yield of an arm against counts made by hand: which chips pass, and whose verdict the inputs leave open."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import arm as tiny_arm

from atis_jax.statistics import clopper_pearson_interval
from atis_jax.training.cells import chip_of
from experiments.montecarlo.settings import MonteCarloSpec
from experiments.montecarlo.yields_settings import YieldSettings
from experiments.montecarlo.yields_summary import summarise

INPUTS = 100
CHIPS = (
    # Lost and gained inputs at 0 and at 70 C, limit 2 of 100.
    ((0, 0), (0, 0)),  # passes, surely
    ((2, 0), (0, 0)),  # passes on the limit: open, one standard error is 1.4 inputs
    ((3, 0), (0, 0)),  # fails by 1 of an error of 1.7: open
    ((5, 0), (0, 0)),  # fails by 3 of an error of 2.2, surely
    ((0, 0), (0, 9)),  # far better than the perfect chip: not within, but not below
    ((8, 8), (0, 0)),  # no change, on 16 inputs judged differently: open, the error is 4
)


@pytest.fixture(scope="module")
def found():
    settings = YieldSettings(
        limit=0.02,
        calibrations=("none",),
        montecarlo=MonteCarloSpec(chips=len(CHIPS), temperature_c=(0.0, 70.0), examples=INPUTS),
    )
    rows = [
        {"lost": lost, "gained": gained, "examples": INPUTS, "accuracy": 0.9, "kept_1": 0.5}
        for chip in CHIPS
        for lost, gained in chip
    ]
    model = SimpleNamespace(depth=1)
    arm = SimpleNamespace(labels={"calibration": "none"}, evaluator=SimpleNamespace(model=model))
    summary, _ = summarise(settings, SimpleNamespace(rows=rows, ideal=[0.9]), [arm])
    return summary["yield"][0]


def test_verdicts_and_what_is_left_open(found):
    interval = clopper_pearson_interval(3, 6)
    assert found["within"] == {
        "passed": 3,
        "fraction": 0.5,
        "low": interval.low,
        "high": interval.high,
        "unresolved": 3,
    }
    assert (found["not_below"]["passed"], found["not_below"]["unresolved"]) == (4, 3)
    by_temperature = [
        (one["temperature_c"], one["passed"], one["unresolved"]) for one in found["within_by_temperature"]
    ]
    assert by_temperature == [(0.0, 4, 3), (70.0, 5, 0)]


def test_the_sampling_error_is_that_of_the_mean_number_of_inputs_judged_differently(found):
    assert found["sampling_error"] == pytest.approx(math.sqrt((2 + 3 + 5 + 9 + 16) / 12) / INPUTS)
    assert found["change_worst"] == -0.05


def test_a_chip_meets_every_temperature_at_every_supply():
    settings = YieldSettings(
        supply=(0.9, 1.1), montecarlo=MonteCarloSpec(chips=2, temperature_c=(0.0, 70.0), examples=INPUTS)
    )
    # Chip 1 loses everything at 70 C and the higher supply alone.
    lost = (0, 0, 0, 0), (0, 0, 0, INPUTS)
    rows = [
        {"lost": one, "gained": 0, "examples": INPUTS, "accuracy": 0.9, "kept_1": 0.5} for chip in lost for one in chip
    ]
    arm = SimpleNamespace(labels={}, evaluator=SimpleNamespace(model=SimpleNamespace(depth=1)))
    (told,) = summarise(settings, SimpleNamespace(rows=rows, ideal=[0.9]), [arm])[0]["yield"]
    by_condition = [(one["temperature_c"], one["supply"], one["passed"]) for one in told["within_by_temperature"]]
    assert by_condition == [(0.0, 0.9, 2), (70.0, 0.9, 2), (0.0, 1.1, 2), (70.0, 1.1, 1)]
    assert told["within"]["passed"] == 1


def test_a_cells_supply_is_over_the_nominal():
    made = tiny_arm(chips=1, temperature_c=(27.0,))
    spec, hardware = made.evaluator.spec, made.evaluator.hardware
    for supply, wanted_v in ((None, 1.8), (0.9, 1.62)):
        cells = dataclasses.replace(made.cells, supply=None if supply is None else np.full(1, supply, np.float32))
        cell = jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], cells)
        environment = jax.jit(lambda cell: chip_of(cell, spec, hardware, 1, jax.random.key(0))[2])(cell)
        assert float(environment.supply_v) == pytest.approx(wanted_v, rel=1e-6)
