"""Schedules: where they start, where they end, and that records name the phase the step was in."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_training import changed

from atis_jax.training.schedule import is_hard, learning_rate, schedule
from atis_jax.training.spec import PruningSpec, StageSpec
from atis_jax.validation import SettingError
from experiments.codesign import plan


def test_learning_rate_rises_to_the_peak_and_falls_to_zero():
    rate = learning_rate(0.02, StageSpec(steps=200, warmup=0.1))
    found = np.asarray(jax.jit(jax.vmap(rate))(np.arange(201)))
    assert found[0] == 0.0 and found[200] == pytest.approx(0.0, abs=1e-9)
    assert found.argmax() == 20 and found[20] == pytest.approx(0.02)
    np.testing.assert_allclose(found[:21], 0.02 * np.arange(21) / 20, rtol=1e-5)
    after = np.arange(181) / 180
    np.testing.assert_allclose(found[20:], 0.01 * (1 + np.cos(np.pi * after)), atol=1e-8)


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 1.0), (5, 0.0), (5, 1.0)])
def test_the_shortest_stages_have_finite_rates(steps, warmup):
    rate = learning_rate(1.0, StageSpec(steps=steps, warmup=warmup))
    found = np.array([rate(step) for step in range(steps + 1)])
    assert np.all(np.isfinite(found)) and np.all((found >= 0) & (found <= 1))


def test_the_schedule_goes_from_open_wide_and_soft_to_their_ends():
    pruning = PruningSpec(kept=(0.5, 0.2), ramp=0.4, hard_from=0.7, smoothing_start=0.3, smoothing_end=0.05)
    target = jnp.asarray([0.5, 0.2])
    found = jax.vmap(lambda step: schedule(step, 100, pruning, target))(jnp.arange(101))
    np.testing.assert_allclose(found.target[0], 1.0)
    np.testing.assert_allclose(found.target[20], (1 + np.asarray(target)) / 2, rtol=1e-6)  # half way down the cosine
    np.testing.assert_allclose(found.target[40:], np.tile(target, (61, 1)), rtol=1e-6)
    assert np.all(np.diff(np.asarray(found.target), axis=0) <= 1e-7)
    assert found.smoothing[0] == pytest.approx(0.3)
    assert found.smoothing[35] == pytest.approx(np.sqrt(0.3 * 0.05), rel=1e-5)  # geometric
    np.testing.assert_allclose(found.smoothing[70:], 0.05, rtol=1e-5)
    np.testing.assert_array_equal(found.hardness, np.arange(101) >= 70)


@pytest.mark.parametrize("hard_from", [0.0, 0.05, 0.07, 0.15, 0.25, 0.65, 0.7, 0.75, 1.0])
@pytest.mark.parametrize("steps", [7, 10, 100])
def test_records_call_a_step_hard_exactly_when_its_gates_were(steps, hard_from):
    settings = changed(tune=dict(steps=steps), pruning=dict(hard_from=hard_from))
    stage = plan(settings, jax.random.key(0))[1]
    assert stage.name == "codesign"
    hardness = jax.vmap(lambda s: schedule(s, steps, settings.pruning, jnp.ones(2)).hardness)(jnp.arange(steps))
    assert [stage.phase(step) for step in range(1, steps + 1)] == ["hard" if h else "soft" for h in hardness]
    np.testing.assert_array_equal(is_hard(jnp.arange(steps), steps, settings.pruning), hardness)


def test_targets_are_laid_out_per_layer_and_as_shares_of_what_arrives():
    assert PruningSpec(kept=(0.5,), first_layer=1).kept_per_layer(3) == (1.0, 0.5, 0.5)
    assert PruningSpec(kept=(0.6, 0.3), first_layer=1).kept_per_layer(3) == (1.0, 0.6, 0.3)
    np.testing.assert_allclose(PruningSpec(kept=(0.6, 0.3), first_layer=1).kept_of_incoming(3), (1.0, 0.6, 0.5))
    assert PruningSpec(kept=(0.0,)).kept_of_incoming(2) == (0.0, 0.0)
    # One scorer in the middle: everything before it, and after it what it left.
    middle = PruningSpec(kept=(0.3,), first_layer=1, scored_layers=1)
    assert middle.scored(4) == range(1, 2)
    assert middle.kept_per_layer(4) == (1.0, 0.3, 0.3, 0.3)
    np.testing.assert_allclose(middle.kept_of_incoming(4), (1.0, 0.3, 1.0, 1.0))
    two = PruningSpec(kept=(0.6, 0.3), scored_layers=2)
    assert two.kept_per_layer(4) == (0.6, 0.3, 0.3, 0.3)
    assert PruningSpec(first_layer=1).scored(4) == range(1, 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(kept=(0.3, 0.5)), r"pruning.kept = \(0.3, 0.5\) grows .*masks cascade"),
        (dict(kept=(0.5, 0.4, 0.3)), r"pruning.kept has 3 entries for 2 scored layers.*give one, or 2"),
        (dict(first_layer=2), r"pruning.first_layer = 2 leaves no layer of 2 to prune in; use at most 1"),
        (
            dict(first_layer=1, scored_layers=2),
            r"pruning.scored_layers = 2, but .*first_layer = 1 .*only 1 of 2 .*or None",
        ),
        (dict(kept=(0.5, 0.4), scored_layers=1), r"pruning.kept has 2 entries for 1 scored layers.*give one, or 1"),
        (dict(scored_layers=0), r"pruning.scored_layers = 0 is below its lower bound 1"),
        (dict(kept=(1.5,)), r"pruning.kept\[0\] = 1.5 is above its upper bound 1.0"),
    ],
)
def test_impossible_targets_are_refused_by_name(fields, message):
    with pytest.raises(SettingError, match=message):
        PruningSpec(**fields).kept_per_layer(2)
