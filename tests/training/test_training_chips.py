"""Chips of a run: as fabricated, or each with its thresholds set first."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from tiny_training import SETTINGS, TASK, changed, design_for, lively_params, memory_for, split, weighted

from atis_jax.config import from_config_dict
from atis_jax.data.pipeline import shape_of
from atis_jax.scoring.registry import make_method
from atis_jax.training.evaluate import Evaluator, count
from atis_jax.training.state import TrainState
from atis_jax.validation import SettingError
from experiments.build import build_model
from experiments.chips import Trained, count_chips, fabricate, perfect_inputs
from experiments.settings import CodesignSettings, EvaluationSpec

FEW = dict(chips=6, temperature_c=(27.0,))


@pytest.mark.slow
def test_thresholds_set_on_each_chip_bring_kept_fractions_together_and_leave_the_design_alone():
    train, key = split(), jax.random.key(3)
    model = build_model(SETTINGS, train)
    method = make_method(SETTINGS.scorer, SETTINGS.scorer_hardware())
    state = TrainState(
        step=0, params=lively_params(model), design=design_for(), scorer_state=memory_for(), opt_state=None, key=key
    )
    trained = Trained(Evaluator(model, state.params, method, range(2), TASK), state)
    batches = [weighted(number) for number in range(5)]
    ideal = count(trained.evaluator.masked(), TASK, batches, perfect_inputs(trained, 2), None)
    kept = {}
    for methods in ((), ("threshold",)):
        made = fabricate(changed(evaluation=FEW | {"calibration": methods}), trained, train, key, key)
        kept[methods] = count_chips(made, batches, {shape_of(batches[0]): ideal}).kept_per_layer
        assert (made.trims is None) == (not methods)
    fabricated, calibrated = kept.values()
    # What is left is a step of the reference, the order of tokens and the noise.
    assert (calibrated.std(axis=0) < 0.4 * fabricated.std(axis=0)).all()
    np.testing.assert_allclose(calibrated.mean(axis=0), ideal.kept_fraction, atol=0.03)


@pytest.mark.parametrize(
    "settings, message",
    [
        (lambda: EvaluationSpec(calibration=("offset",)), "evaluation.calibration: .*'offset' needs 'threshold'"),
        (
            lambda: from_config_dict(
                CodesignSettings, {"scorer": {"kind": "pulse_width"}, "evaluation": {"calibration": ("threshold",)}}
            ),
            "scorer.kind = 'pulse_width': only an array of OTAs",
        ),
        (
            lambda: from_config_dict(
                CodesignSettings, {"scorer": {"kind": "pulse_width"}, "evaluation": {"supply": (0.9, 1.1)}}
            ),
            "evaluation.supply = .* the supply moves nothing",
        ),
        (
            lambda: changed(scorer=dict(prototype="ema"), evaluation=dict(calibration=("currents",))),
            "'ema' is rewritten for each sequence",
        ),
    ],
)
def test_what_cannot_be_calibrated_is_refused_before_anything_starts(settings, message):
    with pytest.raises(SettingError, match=message):
        settings()
