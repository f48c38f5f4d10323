"""Decisions of the analog scorer whose tokens follow each other faster than its circuit settles."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scoring_reference import (
    QUICK_TO_COMPILE,
    TOKENS,
    context_for,
    gaussian_projection,
    key,
    random_design,
    spec_for,
    tokens_for,
)

from atis_jax.circuits import get_preset, nominal_chip, nominal_environment, with_fields
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.validation import SettingError

NOMINAL = get_preset("nominal")
SPEC = spec_for("grouped")
DESIGN = random_design(1, SPEC.groups, gaussian_projection(8))


@functools.partial(jax.jit, static_argnums=0, compiler_options=QUICK_TO_COMPILE)
def decided(token_s, tokens, position, alive, counted, noise_key):
    hardware = with_fields(NOMINAL, {"token_time_s": token_s})
    context = context_for(SPEC.groups, tokens=len(tokens), position=position, full=TOKENS - 1)
    context = context.__class__(**{**context.__dict__, "alive": alive, "counted": counted})
    chip, environment = nominal_chip(hardware, SPEC.geometry), nominal_environment(hardware)
    return Analog(SPEC, hardware).score(DESIGN, chip, environment, tokens, context, noise_key)[0]


def everyone(count):
    return jnp.ones((count, SPEC.groups), bool), jnp.ones(count, bool)


def test_what_does_not_reach_the_circuit_leaves_nothing_in_it():
    """Tokens pruned before, padding and protected ones: the others are decided as if they had been taken out."""
    tokens, position = tokens_for(2), jnp.arange(TOKENS)
    alive, counted = everyone(TOKENS)
    gone, padding = np.arange(TOKENS) % 3 == 1, np.arange(TOKENS) == 0
    masked = decided(2e-6, tokens, position, alive & ~gone[:, None], counted & ~padding, key(1))
    stay = np.flatnonzero(~gone & ~padding)
    packed = decided(2e-6, tokens[stay], position[stay], *everyone(len(stay)), key(1))
    np.testing.assert_allclose(masked.voltage[stay], packed.voltage, atol=2e-6)
    still = decided(1.0, tokens, position, alive, counted, key(1))
    assert np.abs(masked.voltage[stay] - still.voltage[stay]).max() > 5e-3, "a residue was there to be left"


def test_a_long_token_is_decided_as_a_settled_one():
    tokens, position = tokens_for(3), jnp.arange(TOKENS)
    slow, settled = (decided(time_s, tokens, position, *everyone(TOKENS), key(1)) for time_s in (1e-2, np.inf))
    # The comparator's pair bends an overdrive by x^3 / 3, 0.3 mV where its output node is about to leave its rail.
    np.testing.assert_allclose(slow.voltage, settled.voltage, atol=4e-4)
    np.testing.assert_allclose(slow.keep_probability, settled.keep_probability, atol=1e-2)
    assert np.array_equal(slow.keep, settled.keep)


@pytest.mark.parametrize(
    "beside",
    [
        {"hysteresis": True},
        {"reads": "first_layer"},
        {"adaptive_rate_v": 0.1},
        {"arrangement": "multiplexed", "groups": 2},
    ],
)
def test_what_else_remembers_is_refused(beside):
    with pytest.raises(SettingError, match="token_time_s = 1e-06: what a token leaves"):
        Analog(ScorerSpec(**beside), with_fields(NOMINAL, {"token_time_s": 1e-6}))
