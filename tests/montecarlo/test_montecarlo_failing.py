"""Which of a chip's errors moves its score, its kept tokens and its accuracy."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import MODEL, SPEC, arm

from atis_jax.circuits.chip import nominal_chip, nominal_environment
from atis_jax.circuits.frontend import realise
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis.analog import read_scores
from atis_jax.scoring.atis.program import array_program
from atis_jax.training.cells import draw_chip
from experiments.montecarlo.failing import CAUSES, chip_causes, explain
from experiments.montecarlo.settings import MonteCarloSpec
from experiments.montecarlo.yields_settings import YieldSettings

KEY, CHIPS, INPUTS = jax.random.key(3), 60, 1000


@pytest.fixture(scope="module")
def tiny():
    return arm(chips=CHIPS, temperature_c=(27.0,))


@pytest.fixture(scope="module")
def causes(tiny):
    return np.asarray(chip_causes(tiny, KEY, CHIPS))


@pytest.mark.slow
def test_the_shifts_are_what_the_score_of_no_input_gains_over_its_threshold(tiny, causes):
    """To first order in the offsets: within a tenth of the standard deviation over chips."""
    hardware, design = tiny.evaluator.hardware, layer_of(tiny.state.design, 0)
    programmed = jax.jit(lambda d, q: array_program(d, SPEC, hardware, q))(design, tiny.state.scorer_state.query[0])
    silence = jnp.zeros((1, SPEC.inputs))

    def margin(chip):
        made = realise(programmed, hardware, chip, nominal_environment(hardware))
        return (read_scores(made, SPEC, silence, None)[0] - made.threshold_v[: SPEC.groups])[0]

    def of(number):
        return margin(layer_of(draw_chip(KEY, number, hardware, MODEL.depth, SPEC.geometry), 0))

    still = jax.jit(margin)(nominal_chip(hardware, SPEC.geometry))
    moved = np.asarray(jax.jit(jax.vmap(of))(jnp.arange(CHIPS)) - still)
    assert moved.std() > 1e-3
    assert np.sqrt(np.mean((moved - causes[:, 0, :4].sum(axis=-1)) ** 2)) < 0.1 * moved.std()


def explained(tiny, kept, change):
    """What is found where layers keep ``kept`` and the accuracy changes by ``change`` thousandths, each (chips,)."""
    rows = [
        {"gained": max(int(c), 0), "lost": max(-int(c), 0), "examples": INPUTS, "kept_1": k, "kept_2": k}
        for k, c in zip(kept, change, strict=True)
    ]
    settings = YieldSettings(montecarlo=MonteCarloSpec(chips=CHIPS, temperature_c=(27.0,), examples=INPUTS))
    return explain(settings, SimpleNamespace(rows=rows), tiny, KEY)


def entry(found, cause):
    return next(one for one in found.summary["correlations"] if (one["layer"], one["cause"]) == (1, cause))


def test_accuracy_that_follows_the_sign_of_a_cause_is_told_from_one_that_follows_its_size(tiny, causes):
    offset = causes[:, 0, CAUSES.index("OTA offsets")]
    order = offset.argsort().argsort()
    signed = entry(explained(tiny, order / CHIPS, order), "OTA offsets")
    assert signed["rank_correlation_kept"] == pytest.approx(1.0)
    assert signed["rank_correlation_accuracy"] == pytest.approx(1.0)
    assert abs(signed["rank_correlation_accuracy_of_size"]) < 0.6
    sized = entry(explained(tiny, order / CHIPS, -np.abs(offset).argsort().argsort()), "OTA offsets")
    assert sized["rank_correlation_accuracy_of_size"] == pytest.approx(-1.0)
    assert abs(sized["rank_correlation_accuracy"]) < 0.6


@pytest.mark.slow
def test_accuracy_is_compared_with_the_tokens_kept(tiny):
    chips = np.arange(CHIPS)
    found = explained(tiny, chips / CHIPS, -chips).summary["kept_and_accuracy"]
    assert found["rank_correlation"] == pytest.approx(-1.0)
    assert explained(tiny, chips / CHIPS, 0 * chips).summary["kept_and_accuracy"] == {}
