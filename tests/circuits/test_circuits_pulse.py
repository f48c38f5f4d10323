"""Pulse-width inputs: the fall of a line against its differential equation, noise, gradients, and ngspice's tokens."""

import csv
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from atis_jax.cells.pulse import BRANCH_LINE_F, LINE_F, Timing, pulse_charge_c
from atis_jax.circuits.pulse import (
    line_fall_v,
    nominal_pulse_chip,
    pulse_keep,
    pulse_noise_v,
    pulse_score_v,
    sample_pulse_chip,
    spec_of,
)

DATA = Path(__file__).parents[1] / "data" / "spice" / "pulse_tokens.csv"
TIMING = Timing()
SPEC = spec_of(TIMING, 80e-15)
LINE_TOTAL_F = 80e-15 + 5 * BRANCH_LINE_F + LINE_F
CURRENT_A = 1e-9 * np.array([[60.0, -35.0, 4.0, 50.0, -20.0]])


def test_a_line_falls_as_its_differential_equation_says_in_any_order(x64):
    """Pulses that begin and end anywhere, low Early voltages, beyond the headroom too; an adaptive solver."""
    spec = dataclasses.replace(SPEC, output_v=5.0, headroom_v=0.4, triode_output_v=1.5)
    current_a, starts, ends = np.array([50e-9, 90e-9, 20e-9]), np.array([0.0, 0.5, 0.2]), np.array([0.9, 1.0, 0.4])
    capacitance_f = 100e-15

    def change(t, fall):
        high = 1 - np.minimum(fall[0], 0.4) / 5.0
        rate = high - np.maximum(fall[0] - 0.4, 0.0) / 1.5
        flows = np.sum(current_a[(starts <= t) & (t < ends)])
        return [1e-6 * flows / capacitance_f * rate]

    fall, moments = np.array([0.0]), [0.0, 0.2, 0.4, 0.5, 0.9, 1.0]
    for begin, end in zip(moments[:-1], moments[1:], strict=True):
        within = (begin, end - 1e-12)
        fall = solve_ivp(change, within, fall, rtol=1e-10, atol=1e-12, max_step=0.01).y[:, -1]
    charge_c = jnp.asarray(np.sum(current_a * (ends - starts)) * 1e-6)
    assert float(line_fall_v(charge_c, capacitance_f, spec)) == pytest.approx(fall[0], rel=1e-5)
    assert fall[0] > 0.5


def test_a_score_is_a_sum_of_currents_times_whole_steps():
    """Without output conductance: linear, whatever the size; beyond full scale an input is clipped."""
    spec = dataclasses.replace(SPEC, output_v=1e6, headroom_v=1e3)
    inputs = np.array([0.52, -1.7, 0.01, 0.0, 0.25])
    steps = np.array([16, -31, 0, 0, 8])
    wanted_v = float(CURRENT_A[0] @ steps) * 10e-9 / (LINE_TOTAL_F)
    score_v = jax.jit(pulse_score_v)(jnp.asarray(CURRENT_A), jnp.asarray(inputs), spec, nominal_pulse_chip(1, 5))
    assert float(score_v[0]) == pytest.approx(wanted_v, rel=1e-3)


def test_noise_is_that_of_electrons_counted_and_of_two_capacitors(x64):
    """Poisson counts of each line, a normal voltage kT/C of each; 40,000 draws know a deviation to 0.35 %."""
    inputs = np.array([16, -31, 31, 8, 4]) / 31
    capacitance_f = LINE_TOTAL_F
    charge_c = CURRENT_A[0] * inputs * 310e-9
    random = np.random.default_rng(0)
    drawn_v = np.zeros(40_000)
    for sign in (1, -1):
        electrons = np.sum(np.maximum(sign * charge_c, 0)) / 1.602176634e-19
        drawn_v += sign * random.poisson(electrons, 40_000) * 1.602176634e-19 / capacitance_f
        drawn_v += random.normal(0, np.sqrt(1.380649e-23 * 300.15 / capacitance_f), 40_000)
    drawn_v += random.normal(0, 3e-4, 40_000)
    spec = dataclasses.replace(SPEC, latch_noise_v=3e-4)
    noise_v = jax.jit(pulse_noise_v)(
        jnp.asarray(CURRENT_A), jnp.asarray(inputs), spec, nominal_pulse_chip(1, 5), 300.15
    )
    assert float(noise_v[0]) == pytest.approx(np.std(drawn_v), rel=0.0175)


def test_gradients_by_currents_and_through_the_rounding_of_pulses(x64):
    inputs = jnp.array([0.5, -0.9, 0.3, 0.2, -0.4])
    chip = nominal_pulse_chip(1, 5)
    value = jax.jit(lambda log: pulse_score_v(CURRENT_A * jnp.exp(log), inputs, SPEC, chip)[0])
    by_log = float(jax.jit(jax.grad(value))(0.1))
    assert by_log == pytest.approx(float(value(0.1 + 1e-5) - value(0.1 - 1e-5)) / 2e-5, rel=1e-6)
    slopes = jax.jit(jax.grad(lambda x: pulse_score_v(jnp.asarray(CURRENT_A), x, SPEC, chip)[0]))(inputs)
    per_input = CURRENT_A[0] * 310e-9 / (LINE_TOTAL_F)
    assert np.asarray(slopes) == pytest.approx(per_input, rel=0.01)


def test_chips_differ_as_the_spec_says():
    """20,000 branches and rows: deviations within 5 standard errors, 2.5 %."""
    spec = dataclasses.replace(SPEC, current_sigma=0.02, injection_sigma_v=3e-4, latch_offset_sigma_v=4e-4)
    chip = jax.jit(sample_pulse_chip, static_argnums=(2, 3))(jax.random.key(0), spec, 20_000, 1)
    assert float(jnp.std(chip.log_current)) == pytest.approx(0.02, rel=0.025)
    assert float(jnp.std(chip.offset_v)) == pytest.approx(5e-4, rel=0.025)


def _tokens(slots):
    with open(DATA) as file:
        rows = [row for row in csv.DictReader(file) if int(row["slots"]) == slots]
    tokens = max(int(row["token"]) for row in rows) + 1
    by_token = [[row for row in rows if int(row["token"]) == token] for token in range(tokens)]
    current_a = np.array([float(row["current_A"]) for row in by_token[0]])
    steps = np.array([[int(row["steps"]) for row in one] for one in by_token])
    return float(rows[0]["capacitance_F"]), current_a, steps, [one[0] for one in by_token]


@pytest.mark.parametrize("slots", [0, 1])
def test_tokens_of_ngspice(slots):
    """Scores of 330 mV within 0.5 %, every decision, charge from the supply within 10 %."""
    capacitance_f, current_a, steps, seen = _tokens(slots)
    timing = Timing(slots=bool(slots))
    spec, chip = spec_of(timing, capacitance_f), nominal_pulse_chip(1, len(current_a))
    score = jax.vmap(lambda x: pulse_score_v(jnp.asarray(current_a)[None], x, spec, chip)[0])
    score_v = np.asarray(jax.jit(score)(jnp.asarray(steps / timing.steps)))
    spice_v = np.array([float(one["score_V"]) for one in seen])
    assert np.sqrt(np.mean((score_v - spice_v) ** 2)) < 0.005 * np.std(spice_v)
    assert np.asarray(pulse_keep(jnp.asarray(score_v))).tolist() == [one["keep"] == "1" for one in seen]
    charge_c = np.mean([float(one["charge_C"]) for one in seen])
    pulses = np.mean([int(one["pulses"]) for one in seen])
    assert charge_c == pytest.approx(float(pulse_charge_c(float(np.sum(current_a)), pulses, timing.token_s)), rel=0.1)
