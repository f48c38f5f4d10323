"""ATIS as a gatekeeper against NumPy: its twin, its circuit without errors, its chips, its thresholds."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_decoder import lively_params, texts, tiny_decoder

from atis_jax.circuits.chip import Environment
from atis_jax.eviction.budget import Budget, kept_share
from atis_jax.eviction.evaluate import holding, refuse
from atis_jax.eviction.fit import fit_policies
from atis_jax.eviction.policies.atis import AnalogGate, DigitalGate, fabricated, moved
from atis_jax.eviction.policies.future import log_future
from atis_jax.eviction.policy import scores
from atis_jax.eviction.seen import FUTURE, future_rows, see
from atis_jax.scoring.atis.program import program
from atis_jax.validation import SettingError

MODEL = tiny_decoder()
TEXTS, PREFIX, WORDS, INPUTS = 3, 8, 12, 4
BUDGET = Budget(0.5, sinks=1, recent=2)
GATES = {
    "analog": AnalogGate(inputs=INPUTS, bits=10, preset="ideal", noise=False),
    "heads": AnalogGate(inputs=INPUTS, per="head"),
    "one_scale": AnalogGate(inputs=INPUTS, one_scale=True),
    "digital": DigitalGate(inputs=INPUTS),
}


@functools.cache
def case():
    """Parameters, texts, what is seen of them, and what each gate learned."""
    params, token = lively_params(MODEL, dtype="float32"), jnp.asarray(texts(5, TEXTS, WORDS))
    learned = fit_policies(MODEL, params, np.asarray(token), PREFIX, GATES, BUDGET, TEXTS, jax.random.key(0))
    seen, _ = see(MODEL, params, token, PREFIX, {FUTURE: future_rows(PREFIX, WORDS)})
    return params, token, seen, learned


def inputs_by_hand(name: str, layer: int):
    """(B, N, inputs) in float64: each chosen dimension less its mean, 0.6 of its spread to full scale."""
    _, _, seen, learned = case()
    rows = np.asarray(learned[name].design.projection[layer]) > 0
    assert (rows.sum(1) == 1).all() and len({row.argmax() for row in rows}) == INPUTS
    chosen = np.asarray(seen.hidden[layer], np.float64)[..., rows.argmax(1)]
    free = chosen[:, 1:-2]
    return 0.6 * (chosen - free.mean((0, 1))) / free.std((0, 1))


def weights_v(name: str, layer: int):
    """(G, inputs) feedback times current."""
    gate = jax.tree.map(lambda leaf: leaf[layer], case()[3][name])
    policy, groups = GATES[name], len(gate.design.threshold)
    held = program(gate.design, policy.spec(groups), policy.hardware, jnp.zeros((groups, MODEL.width)))
    return np.asarray(held.feedback_ohm[:, None] * held.signed_current_a, np.float64)


def test_the_twin_is_a_sum_of_products_of_codes():
    _, _, seen, learned = case()
    found = scores(GATES["digital"], learned["digital"], seen, "digital", jax.random.key(0))
    for layer in range(MODEL.depth):
        code = np.round((np.clip(inputs_by_hand("digital", layer), -1, 1) + 1) / 2 * 15)
        expected = (2 * code / 15 - 1) @ weights_v("digital", layer).T
        np.testing.assert_allclose(found[layer], np.moveaxis(expected, -1, 1), atol=2e-4)


def test_the_ideal_circuit_is_a_sum_of_products():
    """100 mV of full scale into a slope of kappa / 2 U_T, 0.7 / 51.7 mV; converters of ten bits."""
    _, _, seen, learned = case()
    policy, gate = GATES["analog"], learned["analog"]
    found = scores(policy, gate, seen, "analog", jax.random.key(0))
    kappa = float(policy.hardware.ota.kappa)
    for layer in range(MODEL.depth):
        volts = 0.1 * np.clip(inputs_by_hand("analog", layer), -1, 1)
        expected = kappa * volts / (2 * 0.025865) @ weights_v("analog", layer).T
        np.testing.assert_allclose(found[layer], np.moveaxis(expected, -1, 1), atol=3e-3)


@pytest.mark.parametrize("name", ["analog", "heads", "one_scale", "digital"])
def test_what_is_fitted_ranks_words_as_their_future_attention_does(name):
    _, _, seen, learned = case()
    found = np.asarray(scores(GATES[name], learned[name], seen, name, jax.random.key(0)))[..., 1:-2]
    for layer in range(MODEL.depth):
        one = jax.tree.map(lambda leaf, layer=layer: leaf[layer], seen)
        target = np.asarray(log_future(one, ~BUDGET.protected(PREFIX), GATES[name].per))[..., 1:-2]
        score = found[layer] - found[layer].mean(-1, keepdims=True)
        assert np.corrcoef(score.ravel(), target.ravel())[0, 1] > 0.3


@pytest.mark.slow
def test_thresholds_hold_the_share_while_words_are_refused_and_chips_miss_it():
    params, token, _, learned = case()
    policy, gate, given = GATES["heads"], learned["heads"], dict(budget=BUDGET, prefix=PREFIX)
    quiet = dataclasses.replace(policy, noise=False)
    key, nothing = functools.partial(jax.random.key, 1), jnp.zeros((MODEL.depth, MODEL.heads))
    theta = holding(MODEL, params, token, quiet, gate, key(), **given)
    on_chip = moved(gate, policy.hardware, theta)
    _, keep = refuse(MODEL, params, token, token, quiet, gate, theta, key(), **given)
    _, held = refuse(MODEL, params, token, token, quiet, on_chip, nothing, key(), **given)
    free = np.asarray(keep)[..., 1:-2]
    # 1 of 5 words is to stay: of 15, three; fewer where two have the same codes, and so the same score.
    assert set(free.sum((1, 3)).ravel()) <= {2, 3}
    assert np.mean(keep == held) > 0.95  # the reference has steps
    assert 0.47 < float(kept_share(keep).mean()) <= 0.5
    environment = Environment(jnp.float32(300.15), jnp.float32(1.8))
    one, same, other = (fabricated(policy, on_chip, jax.random.key(seed), environment) for seed in (1, 1, 2))
    bits = [
        np.asarray(refuse(MODEL, params, token, token, quiet, dice, nothing, key(), **given)[1])
        for dice in (one, same, other)
    ]
    np.testing.assert_array_equal(bits[0], bits[1])
    assert (bits[0] != bits[2]).any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(bits=0), r"policy.bits = 0"),
        (dict(preset="nominall"), r"nominall.*nominal"),
        (dict(per="token"), r"policy.per = 'token'.*layer, head"),
    ],
)
def test_a_gate_that_cannot_be_is_refused(fields, message):
    with pytest.raises((SettingError, ValueError), match=message):
        AnalogGate(**fields)
