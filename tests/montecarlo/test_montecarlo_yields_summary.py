"""The yield of an arm against counts made by hand: which chips pass, and whose verdict the inputs leave open."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from atis_jax.statistics import clopper_pearson_interval
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
