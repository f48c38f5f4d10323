"""Adaptive threshold and hysteresis: the scan against a plain loop, where it converges, and dead tokens."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scoring_reference import (
    INPUTS,
    QUICK_TO_COMPILE,
    WIDTH,
    context_for,
    random_design,
    reference,
    spec_for,
    tokens_for,
)

from atis_jax.circuits import get_preset, nominal_chip, nominal_environment
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.digital import Digital
from atis_jax.scoring.atis.threshold import sequential_decisions
from atis_jax.scoring.types import ScorerState, initial_state

STRUCTURE = ("adaptive_rate_v", "activity_rate")
scan = jax.jit(sequential_decisions, static_argnames=STRUCTURE)


def stream(seed: int, tokens: int, groups: int = 2, alive_share: float = 1.0):
    rng = np.random.default_rng(seed)
    voltage = rng.normal(0, 0.1, (tokens, groups)).astype(np.float32)
    return voltage, rng.random((tokens, groups)) < alive_share


def some_state(groups: int = 2) -> ScorerState:
    rng = np.random.default_rng(9)
    return ScorerState(
        query=jnp.asarray(rng.normal(size=(groups, 3)), jnp.float32),
        activity=jnp.asarray(rng.uniform(0.2, 0.8, groups), jnp.float32),
        threshold_shift_v=jnp.asarray(rng.normal(0, 0.02, groups), jnp.float32),
        last_keep=jnp.arange(groups) % 2 == 0,
    )


def plain_loop(voltage, theta, alive, state, *, hysteresis_v, adaptive_rate_v, activity_rate, target):
    """The same in float64, one token and one group at a time."""
    tokens, groups = voltage.shape
    keep, met = np.zeros((tokens, groups), bool), np.zeros((tokens, groups))
    ends = []
    for g in range(groups):
        activity, shift, high = float(state.activity[g]), float(state.threshold_shift_v[g]), bool(state.last_keep[g])
        for t in range(tokens):
            met[t, g] = theta[g] + shift
            edge = met[t, g] + (-hysteresis_v / 2 if high else hysteresis_v / 2)
            keep[t, g] = voltage[t, g] > edge
            if alive[t, g]:
                activity = (1 - activity_rate) * activity + activity_rate * keep[t, g]
                shift = shift + adaptive_rate_v * (activity - target)
                high = keep[t, g]
        ends.append((activity, shift, high))
    return keep, met, ends


@pytest.mark.parametrize(("hysteresis_v", "adaptive_rate_v"), [(0.0, 0.0), (0.08, 0.0), (0.0, 2e-3), (0.08, 2e-3)])
def test_scan_is_the_plain_loop(hysteresis_v, adaptive_rate_v):
    voltage, alive = stream(0, 300, alive_share=0.7)
    theta = np.array([0.01, -0.03], np.float32)
    settings = dict(hysteresis_v=hysteresis_v, adaptive_rate_v=adaptive_rate_v, activity_rate=0.05, target=0.4)
    keep, met, state = scan(jnp.asarray(voltage), jnp.asarray(theta), jnp.asarray(alive), some_state(), **settings)
    keep_, met_, ends = plain_loop(voltage.astype(float), theta.astype(float), alive, some_state(), **settings)
    np.testing.assert_array_equal(keep, keep_)  # no score of this stream lies within rounding of an edge
    np.testing.assert_allclose(met, met_, atol=1e-6)
    for g, (activity, shift, high) in enumerate(ends):
        np.testing.assert_allclose(state.activity[g], activity, atol=1e-6)
        np.testing.assert_allclose(state.threshold_shift_v[g], shift, atol=1e-6)
        assert bool(state.last_keep[g]) == high
    if hysteresis_v:  # and the memory mattered
        without = scan(voltage, theta, alive, some_state(), **(settings | {"hysteresis_v": 0.0}))[0]
        assert np.any(np.asarray(without) != keep_)


def test_hysteresis_switches_up_high_and_down_low():
    ramp = np.array([0.0, 0.04, 0.06, 0.04, 0.0, -0.04, -0.06, -0.04, 0.04, 0.06], np.float32)[:, None]
    keep, _, _ = scan(
        ramp,
        jnp.zeros(1),
        np.ones((10, 1), bool),
        initial_state(1, 3),
        hysteresis_v=0.1,
        adaptive_rate_v=0.0,
        activity_rate=0.02,
        target=0.5,
    )
    np.testing.assert_array_equal(np.asarray(keep)[:, 0], [0, 0, 1, 1, 1, 1, 0, 0, 0, 1])


def test_adaptive_threshold_converges_to_the_target_activity():
    """Normal scores of 0.1 V: the kept share goes to the target, the threshold to the quantile.

    The threshold's own sum says how well: over T tokens the mean activity is target + (theta_end - theta_0)/(eta T)
    to rounding, whatever the scores. After settling theta moves by less than 0.03 V, so with eta = 1e-3 V and
    T = 6000 the mean is within 0.005 of the target; binomial scatter adds 5 sqrt(0.21/6000) = 0.03 at most.
    """
    voltage, alive = stream(1, 12_000, groups=1)
    settings = dict(hysteresis_v=0.0, adaptive_rate_v=1e-3, activity_rate=0.02, target=0.3)
    start = initial_state(1, 3)
    keep, met, _ = (np.asarray(part) for part in scan(voltage, jnp.zeros(1), alive, start, **settings)[:2] + (0,))
    settled = slice(6000, None)
    assert abs(keep[settled].mean() - 0.3) < 0.035
    moved = met[-1, 0] - met[6000, 0]
    assert abs(moved) < 0.03
    assert abs(keep[settled].mean() - 0.3 - moved / (1e-3 * 6000)) < 0.01  # low-passed activity lags by 50 tokens
    # theta hunts around the 70 % quantile, 0.0524 V, by the scatter of an activity of 50 tokens.
    assert abs(met[settled].mean() - 0.0524) < 0.01
    assert keep[:200].mean() > 0.38  # it began at 0.5


def test_a_stream_that_keeps_too_much_raises_the_threshold():
    everything, nothing = np.full((50, 1), 1.0, np.float32), np.full((50, 1), -1.0, np.float32)
    settings = dict(hysteresis_v=0.0, adaptive_rate_v=1e-3, activity_rate=0.02, target=0.5)
    alive = np.ones((50, 1), bool)
    up = scan(everything, jnp.zeros(1), alive, initial_state(1, 3), **settings)[2].threshold_shift_v
    down = scan(nothing, jnp.zeros(1), alive, initial_state(1, 3), **settings)[2].threshold_shift_v
    assert up[0] > 0 > down[0]
    np.testing.assert_allclose(up, -down, rtol=1e-5)


@pytest.mark.parametrize("adaptive_rate_v", [0.0, 2e-3])
def test_pruned_tokens_leave_no_trace(adaptive_rate_v):
    """A stream with dead tokens in it decides on the live ones as the stream without them, to the bit."""
    voltage, _ = stream(2, 60)
    live = np.random.default_rng(3).random(60) < 0.5
    alive = np.repeat(live[:, None], 2, axis=1)
    settings = dict(hysteresis_v=0.05, adaptive_rate_v=adaptive_rate_v, activity_rate=0.05, target=0.4)
    theta = jnp.asarray([0.01, -0.03])
    keep, met, state = scan(voltage, theta, alive, some_state(), **settings)
    short = scan(voltage[live], theta, alive[live], some_state(), **settings)
    np.testing.assert_array_equal(np.asarray(keep)[live], short[0])
    np.testing.assert_array_equal(np.asarray(met)[live], short[1])
    jax.tree.map(np.testing.assert_array_equal, state, short[2])

    dead = scan(voltage, theta, np.zeros_like(alive), some_state(), **settings)[2]
    jax.tree.map(np.testing.assert_array_equal, dead, some_state())


@pytest.fixture(scope="module")
def adaptive_pair():
    """Analog (ideal chip) and digital scorer with the same adaptive threshold and per-layer targets."""
    spec = spec_for("consensus", adaptive_rate_v=5e-3, activity_rate=0.1)
    hardware, target = get_preset("ideal"), jnp.asarray([0.9, 0.2])
    chip, environment = nominal_chip(hardware, spec.geometry), nominal_environment(hardware)

    def run(scorer):
        def score(design, tokens, layer):
            context = context_for(1, tokens=tokens.shape[0], layer=layer)
            return scorer(design, chip, environment, tokens, context, None)

        return jax.jit(score, static_argnums=2, compiler_options=QUICK_TO_COMPILE)

    return run(Analog(spec, hardware, target).score), run(Digital(spec, hardware, target).score)


@pytest.mark.parametrize("layer", [0, 1])
def test_both_scorers_adapt_alike_and_to_their_own_layers_target(adaptive_pair, layer):
    design, tokens = random_design(1, 1, np.random.default_rng(5).normal(size=(INPUTS, WIDTH)) / 5), tokens_for(1, 40)
    (a, state_a), (d, state_d) = (score(design, tokens, layer) for score in adaptive_pair)
    volts, threshold, _ = reference(design, tokens)
    keep, met, [(activity, shift, _)] = plain_loop(
        volts,
        threshold,
        np.ones((40, 1), bool),
        initial_state(1, WIDTH),
        hysteresis_v=0.0,
        adaptive_rate_v=5e-3,
        activity_rate=0.1,
        target=[0.9, 0.2][layer],
    )
    assert np.abs(volts - met).min() > 1e-5
    for decision, state in ((a, state_a), (d, state_d)):
        np.testing.assert_array_equal(decision.keep, keep)
        np.testing.assert_allclose(state.threshold_shift_v[0], shift, atol=1e-6)
        np.testing.assert_allclose(state.activity[0], activity, atol=1e-6)
        # The probability is that of the threshold each token met.
        sure = np.abs(volts - met) > 1e-4
        np.testing.assert_array_equal((np.asarray(decision.keep_probability) > 0.5)[sure], keep[sure])


def test_the_dead_band_is_the_presets_share_of_the_span_and_off_unless_asked_for():
    hardware = get_preset("paper_4_2")
    band_v = 0.05 * 0.8
    design = random_design(2, 1, np.random.default_rng(6).normal(size=(INPUTS, WIDTH)) / 5)
    tokens = tokens_for(3, 60)
    results = {}
    for asked in (False, True):
        spec = spec_for("consensus", hysteresis=asked)
        score = jax.jit(Analog(spec, hardware).score, compiler_options=QUICK_TO_COMPILE)
        chip = nominal_chip(hardware, spec.geometry)
        context = context_for(1, tokens=60)
        decision, state = score(design, chip, nominal_environment(hardware), tokens, context, None)
        results[asked] = np.asarray(decision.keep)[:, 0], np.asarray(decision.voltage)[:, 0]
        assert bool(state.last_keep[0]) == (asked and bool(results[asked][0][-1]))
    (plain, voltage), (remembered, _) = results[False], results[True]
    wanted = reference(design, tokens)[1][0] * 0.8  # the same place in a span of 0.8 V instead of 1 V
    step = 0.8 / 255
    theta = round((wanted + 0.4) / step) * step - 0.4
    np.testing.assert_array_equal(plain, voltage > theta)
    expected = np.zeros(60, bool)
    high = False
    for t, v in enumerate(voltage):
        high = v > theta + (-0.5 if high else 0.5) * band_v
        expected[t] = high
    assert np.abs(np.abs(voltage - theta) - band_v / 2).min() > 1e-5
    np.testing.assert_array_equal(remembered, expected)
    assert np.any(remembered != plain)


def test_state_is_replaced_not_mutated():
    before = some_state()
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.activity = jnp.zeros(2)
