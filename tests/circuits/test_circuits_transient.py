"""What a token leaves in the circuit, against its differential equations solved numerically in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from atis_jax.cells.library import COMPARATOR_RANGE_V, COMPARATOR_TIME_S
from atis_jax.circuits import ArrayGeometry, Program, nominal_chip, nominal_environment, read, realise, sample_chip
from atis_jax.circuits.hardware import with_fields
from atis_jax.circuits.presets import get_preset
from atis_jax.circuits.transient import (
    STEPS,
    at_rest,
    follow_array,
    follow_comparator,
    settled_at,
    transient_of,
)

GEOMETRY = ArrayGeometry(6, 2)
CURRENT_A = 1e-9 * np.array([[40.0, -12.0, 3.0, 25.0, -8.0, 17.0], [-5.0, 33.0, 9.0, -21.0, 2.0, -14.0]])
TOKENS = np.random.default_rng(0).uniform(-1, 1, (5, 6))


def circuit(token_s: float, chip=None, current_a=CURRENT_A):
    hardware = with_fields(get_preset("nominal"), {"token_time_s": token_s, "floating_gate.bits": None})
    program = Program(jnp.asarray(current_a), jnp.array([2e6, 3e6]), jnp.zeros(2))
    chip = nominal_chip(hardware, GEOMETRY) if chip is None else chip
    return hardware, realise(program, hardware, chip, nominal_environment(hardware))


def followed(hardware, realised, tokens):
    """(tokens, steps, scores) outputs of the TIAs."""
    transient = transient_of(realised, hardware)

    def one(residue, token):
        path_v, after = follow_array(realised, transient, residue, settled_at(realised, token))
        return after, path_v

    return jax.lax.scan(one, at_rest(realised), jnp.asarray(tokens))[1]


def test_scores_follow_the_differential_equations(x64):
    """Currents of mirrors in amperes and the amplifier's pole, by an adaptive solver; offsets and swapped inputs."""
    token_s = 1.5e-6
    hardware = with_fields(get_preset("nominal"), {"floating_gate.bits": None, "dac.bits": None, "tia.swing_v": np.inf})
    chip = sample_chip(jax.random.key(3), hardware, GEOMETRY)
    hardware = with_fields(hardware, {"token_time_s": token_s})
    realised = realise(
        Program(jnp.asarray(CURRENT_A), jnp.array([2e6, 3e6]), jnp.zeros(2)),
        hardware,
        chip,
        nominal_environment(hardware),
    )
    found = np.asarray(followed(hardware, realised, TOKENS))
    transient = jax.tree.map(np.asarray, transient_of(realised, hardware))
    slope, offset = np.asarray(realised.slope_per_v), np.asarray(realised.input_offset)
    weight_v, bias_a = np.asarray(realised.weight_v), np.asarray(realised.bias_current_a)
    volts_per_a = np.abs(weight_v) / bias_a
    wired = np.sign(weight_v)
    thermal_v = 1.380649e-23 * 300.15 / 1.602176634e-19
    kappa = slope * 2 * thermal_v

    def pairs(token):
        f = wired * np.tanh(slope * 0.1 * token - offset)
        return bias_a * (1 + f) / 2, bias_a * (1 - f) / 2

    state = np.concatenate([pairs(np.zeros(6))[0].ravel(), np.asarray(at_rest(realised).node_v)])
    for token, path_v in zip(TOKENS, found, strict=True):
        into, other = pairs(token)

        def change(_, y, into=into, other=other):
            mirror, node = y[:-2].reshape(2, 6), y[-2:]
            rate = kappa / (float(hardware.ota.capacitance_f) * thermal_v) * mirror * (into - mirror)
            target = np.sum(volts_per_a * (mirror - other), axis=1) + np.asarray(realised.node_offset_v)
            return np.concatenate([rate.ravel(), (target - node) / transient.amplifier_s])

        solved = solve_ivp(change, (0, token_s), state, rtol=1e-9, atol=1e-15, method="LSODA")
        state = solved.y[:, -1]
        # Steps of a sixteenth of a token, the amplifier's input taken at their middle: 0.04 mV at most.
        assert path_v[-1] == pytest.approx(state[-2:], abs=1e-4)


def test_a_long_token_leaves_nothing():
    hardware, realised = circuit(1.0)
    settled_v = jax.vmap(lambda token: read(realised, token))(jnp.asarray(TOKENS, jnp.float32))
    assert np.asarray(followed(hardware, realised, TOKENS)[:, -1]) == pytest.approx(np.asarray(settled_v), abs=1e-5)


def test_what_is_left_fades_with_time_and_stays_with_small_currents():
    after, lower = [], CURRENT_A * 0.2
    for token_s, current_a in ((1e-6, CURRENT_A), (6e-6, CURRENT_A), (6e-6, lower)):
        hardware, realised = circuit(token_s, current_a=current_a)
        settled_v = jax.vmap(lambda token, r=realised: read(r, token))(jnp.asarray(TOKENS, jnp.float32))
        error_v = np.asarray(followed(hardware, realised, TOKENS)[1:, -1] - settled_v[1:])
        after.append(np.sqrt(np.mean(error_v**2)) / np.std(np.asarray(settled_v)))
    short, long, small = after
    assert long < 0.2 * short and small > 3 * long


def test_gradients_reach_the_currents_of_earlier_tokens(x64):
    def last_v(log_scale):
        hardware, realised = circuit(1e-6, current_a=CURRENT_A * jnp.exp(log_scale))
        return followed(hardware, realised, TOKENS)[-1, -1, 0]

    slope = float(jax.jit(jax.grad(last_v))(0.1))
    value = jax.jit(last_v)
    assert slope == pytest.approx(float(value(0.1 + 1e-5) - value(0.1 - 1e-5)) / 2e-5, rel=1e-5)


def test_the_comparators_delay_is_its_poles_logarithm():
    """From its rail it crosses after T ln(1 + R / V), and stops at the other rail."""
    hardware, realised = circuit(1e-6)
    overdrive_v = 2e-3
    delay_s = COMPARATOR_TIME_S * np.log(1 + COMPARATOR_RANGE_V / overdrive_v)
    for token_s, crossed in ((0.97 * delay_s, False), (1.03 * delay_s, True), (20 * delay_s, True)):
        transient = dataclasses.replace(transient_of(realised, hardware), token_s=token_s)
        start = jnp.full(2, -COMPARATOR_RANGE_V)
        node_v = follow_comparator(transient, start, jnp.full((STEPS, 2), overdrive_v))
        assert bool(jnp.all(node_v > 0)) == crossed
    far = follow_comparator(transient, start, jnp.full((STEPS, 2), 0.3))
    assert np.asarray(far) == pytest.approx(COMPARATOR_RANGE_V)
