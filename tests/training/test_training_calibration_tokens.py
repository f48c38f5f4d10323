"""Known tokens recorded from a network, chips calibrated with them, and calibration kept in a checkpoint."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_training import QUICK, SETTINGS, batch, design_for, lively_params, memory_for, split

from atis_jax.circuits import Environment, get_preset, nominal_chip, nominal_environment, sample_chip
from atis_jax.models.forward import masked_forward
from atis_jax.models.passes import ScorerInputs
from atis_jax.numerics import layer_of, stack
from atis_jax.scoring.atis.analog import read_scores, realise_design
from atis_jax.scoring.atis.calibration import (
    CalibrationSpec,
    TrimTable,
    calibrate_chip,
    no_trim,
    trimmed,
    with_trim_dac,
)
from atis_jax.scoring.atis.design import layer_design
from atis_jax.scoring.registry import make_method
from atis_jax.training.calibration_tokens import record_tokens
from atis_jax.training.checkpoints import Checkpoints
from atis_jax.validation import SettingError
from experiments.build import build_model

MODEL, HARDWARE, SPEC = build_model(SETTINGS, split()), get_preset("nominal"), SETTINGS.scorer
DEPTH, COUNT = 2, 40
SCORER = make_method(SPEC, HARDWARE)


@pytest.fixture(scope="module")
def perfect():
    chip = stack([nominal_chip(HARDWARE, SPEC.geometry)] * DEPTH)
    return ScorerInputs(design_for(), chip, nominal_environment(HARDWARE), memory_for())


@pytest.fixture(scope="module")
def tokens(perfect):
    return record_tokens(MODEL, lively_params(MODEL), SCORER, perfect, batch(0), COUNT, jax.random.key(1))


@pytest.mark.slow
def test_recorded_tokens_are_those_that_reach_each_layer(perfect, tokens):
    """Against the masked forward pass: every recorded score is one of a token alive there, each at most once."""
    out = jax.jit(lambda p: masked_forward(MODEL, p, SCORER, batch(0), perfect, None))(lively_params(MODEL))
    assert tokens.inputs.shape == (DEPTH, COUNT, SPEC.inputs) and tokens.score_v.shape == (DEPTH, COUNT, 1)
    before = np.ones(out.alive.shape[1:3], bool)
    for layer in range(DEPTH):
        reached = before.copy()
        reached[:, 0] = False
        there = np.asarray(out.voltage[layer, ..., 0])[reached]
        recorded = np.asarray(tokens.score_v[layer, :, 0])
        assert np.abs(recorded[:, None] - there).min(axis=1).max() < 2e-6
        assert len(np.unique(recorded)) == COUNT
        before = np.asarray(out.alive[layer, ..., 0])
    assert np.all((tokens.kept_fraction > 0.05) & (tokens.kept_fraction < 0.95))


@pytest.mark.slow
def test_chips_calibrated_with_them_get_designs_of_their_own(tokens, perfect):
    """A design a chip, thresholds of its own and nothing else; the shares are judged with the methods."""
    design, calibration = perfect.design, CalibrationSpec(tokens=COUNT)

    def one(chip_key, noise):
        chip = jax.vmap(lambda k: sample_chip(k, HARDWARE, SPEC.geometry))(jax.random.split(chip_key, DEPTH))
        environment = Environment(jnp.asarray(300.15), jnp.asarray(HARDWARE.supply_v))
        found = calibrate_chip(design, chip, environment, tokens, SPEC, HARDWARE, calibration, noise)
        return jax.vmap(lambda d, t: trimmed(d, t, SPEC, HARDWARE))(design, found.trim), found.measurements

    own, measurements = jax.jit(jax.vmap(one), compiler_options=QUICK)(
        jax.random.split(jax.random.key(2), 4), jax.random.split(jax.random.key(3), 4)
    )
    assert own.threshold.shape == (4, DEPTH, 1)
    np.testing.assert_array_equal(measurements, COUNT * 9)
    np.testing.assert_array_equal(own.prototype[2], design.prototype)
    assert np.abs(np.asarray(own.threshold - design.threshold)).min() > 0


def test_too_few_tokens_says_how_many_there_are(perfect):
    with pytest.raises(SettingError, match=r"calibration.tokens = 1000, but only 128 tokens of the 8 examples"):
        record_tokens(MODEL, lively_params(MODEL), SCORER, perfect, batch(0), 1000, jax.random.key(1))


@pytest.mark.slow
@pytest.mark.parametrize("methods", [("threshold",), ("currents", "threshold", "offset", "table")])
def test_calibration_survives_a_checkpoint(tmp_path, tokens, perfect, methods):
    calibration = CalibrationSpec(methods=methods, current_repeats=1, current_iterations=1)
    hardware = with_trim_dac(HARDWARE, calibration)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(key):
        environment = nominal_environment(hardware)
        return calibrate_chip(perfect.design, perfect.chip, environment, tokens, SPEC, hardware, calibration, key)

    state = {
        "calibrated": run(jax.random.key(4)),
        "table": TrimTable(calibration.chamber_temperatures_k, jnp.asarray([[0.01], [0.03], [0.02]])),
        "none": no_trim(SPEC),
    }
    Checkpoints(tmp_path, "a").save(1, state, {})
    restored, _, _ = Checkpoints(tmp_path, "a").restore(jax.tree.map(jnp.zeros_like, state))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for one, other in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.slow
def test_behind_one_read_recorded_tokens_are_inputs_of_that_read(perfect):
    """Later layers' tokens are some of what the first array was fed, with the scores that it gave."""
    method = make_method(dataclasses.replace(SPEC, reads="first_layer"), HARDWARE)
    found = record_tokens(MODEL, lively_params(MODEL), method, perfect, batch(0), COUNT, jax.random.key(1))
    realised = realise_design(
        layer_design(perfect.design, 0), SPEC, HARDWARE, perfect.state.query[0], layer_of(perfect.chip, 0),
        perfect.environment,
    )  # fmt: skip
    for layer in range(DEPTH):
        scores_v = read_scores(realised, SPEC, found.inputs[layer], None)
        np.testing.assert_allclose(found.score_v[layer], scores_v, atol=2e-6)
    assert np.all(found.score_v[1] > realised.threshold_v)
