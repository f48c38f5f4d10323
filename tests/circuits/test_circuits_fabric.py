"""Routing fabric: its law against NumPy and a mirror's differential equation, noise, chips, drift, ngspice's tokens."""

import csv
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from atis_jax.cells.fabric import (
    MODULATION,
    REST_A,
    SLOPE,
    Timing,
    output_f,
    settling_s,
    supply_current_a,
    token_charge_c,
)
from atis_jax.circuits.fabric import (
    FabricChip,
    drift_of_log,
    fabric_noise_v,
    fabric_score_v,
    nominal_fabric_chip,
    sample_fabric_chip,
    spec_of,
)

DATA = Path(__file__).parents[1] / "data" / "spice" / "fabric_tokens.csv"
TIMING = Timing(6, 4e-7, 7e-7)
CAPACITANCE_F = 120e-15
SPEC = spec_of(TIMING, CAPACITANCE_F)
WEIGHTS = np.array([[1.2, -0.4, 0.05, 2.5, -0.9]])
CODES = np.array([16, -31, 31, 8, -4])
INPUTS = CODES / 31


def _static(weight):
    log = np.log(weight)
    return weight * np.exp(-0.0204 + 0.0777 * log - 0.0066 * log**2)


def _moved(weight):
    log = np.log(weight)
    return weight * INPUTS * (1 + (-0.0025 + 0.0041 * log) * (INPUTS**2 - 1))


def test_a_score_is_the_difference_of_what_mirrors_give(x64):
    """Each switch its line's current times its weight, with errors; no output conductance."""
    spec = dataclasses.replace(SPEC, output_v=1e6, headroom_v=1e3)
    random = np.random.default_rng(0)
    chip = FabricChip(*(jnp.asarray(random.normal(0, 0.05, shape)) for shape in ((1, 5, 2), (1, 2), (1,))))
    size, m = np.abs(WEIGHTS[0]), MODULATION * 31 / 32
    lines = [_static(size) + sign * m * _moved(size) for sign in (1, -1)]
    first, second = (line * np.exp(chip.log_weight[0, :, side]) for side, line in enumerate(lines))
    outputs = [np.where(positive, first, second).sum() for positive in (WEIGHTS[0] > 0, WEIGHTS[0] < 0)]
    rises_v = 7e-7 * REST_A * np.array(outputs) / (CAPACITANCE_F * np.exp(chip.log_capacitance[0]))
    score_v = jax.jit(fabric_score_v)(jnp.asarray(REST_A * WEIGHTS), jnp.asarray(INPUTS), spec, chip)
    assert float(score_v[0]) == pytest.approx(rises_v[0] - rises_v[1] + float(chip.offset_v[0]), rel=1e-4)


def test_a_line_has_settled_to_two_steps_when_it_is_said_to(x64):
    """From its greatest current to its least, the logistic equation of a diode and a capacitor; a solver."""
    capacitance_f, thermal_v = 37e-15, 1.380649e-23 * 300.15 / 1.602176634e-19
    least_a, greatest_a = REST_A * (1 - MODULATION), REST_A * (1 + MODULATION)
    rate = SLOPE / (capacitance_f * thermal_v)
    end_s = settling_s(capacitance_f, 6)
    path = solve_ivp(lambda t, a: rate * a * (least_a - a), (0, end_s), [greatest_a], rtol=1e-9, atol=1e-18)
    assert path.y[0, -1] - least_a == pytest.approx(2 * REST_A * MODULATION / 32, rel=1e-3)


def test_noise_is_that_of_electrons_counted_and_of_two_resets(x64):
    """Poisson counts of each output, of a line's converter and input transistor; 40,000 draws know it to 0.35 %."""
    chip, draws, charge = nominal_fabric_chip(1, 5), 40_000, 1.602176634e-19
    random, size = np.random.default_rng(0), np.abs(WEIGHTS[0])
    drawn_v = random.normal(0, 3e-4, draws)
    for sign in (1, -1):
        swing = np.sign(WEIGHTS[0]) * MODULATION * 31 / 32 * _moved(size)
        output_c = 7e-7 * REST_A * np.sum(_static(size) + sign * swing)
        drawn_v += sign * random.poisson(output_c / charge, draws) * charge / CAPACITANCE_F
        drawn_v += random.normal(0, np.sqrt(1.380649e-23 * 300.15 / CAPACITANCE_F), draws)
    for weight in (*size, *size):
        for _ in range(2):
            drawn_v += weight * random.poisson(7e-7 * REST_A / charge, draws) * charge / CAPACITANCE_F
    spec = dataclasses.replace(SPEC, latch_noise_v=3e-4)
    noise_v = jax.jit(fabric_noise_v)(jnp.asarray(REST_A * WEIGHTS), jnp.asarray(INPUTS), spec, chip, 300.15)
    assert float(noise_v[0]) == pytest.approx(np.std(drawn_v), rel=0.0175)


def test_gradients_by_weights_and_through_the_rounding_of_inputs(x64):
    chip, inputs = nominal_fabric_chip(1, 5), jnp.asarray(INPUTS)
    value = jax.jit(lambda log: fabric_score_v(REST_A * WEIGHTS * jnp.exp(log), inputs, SPEC, chip, 330.0)[0])
    slope = (float(value(0.1 + 1e-5)) - float(value(0.1 - 1e-5))) / 2e-5
    assert float(jax.jit(jax.grad(value))(0.1)) == pytest.approx(slope, rel=1e-6)
    slopes = jax.jit(jax.grad(lambda x: fabric_score_v(jnp.asarray(REST_A * WEIGHTS), x, SPEC, chip)[0]))(inputs * 0.3)
    per_input = WEIGHTS[0] * REST_A * 2 * SPEC.modulation * 7e-7 / CAPACITANCE_F
    assert np.asarray(slopes) == pytest.approx(per_input, rel=0.06)


def test_chips_differ_as_the_spec_says():
    """20,000 switches and rows: deviations within 5 standard errors, 2.5 %."""
    spec = dataclasses.replace(SPEC, weight_sigma=0.02, capacitance_sigma=3e-3, latch_offset_sigma_v=4e-3)
    chip = jax.jit(sample_fabric_chip, static_argnums=(2, 3))(jax.random.key(0), spec, 20_000, 1)
    found = [float(jnp.std(part)) for part in (chip.log_weight[..., 1], chip.log_capacitance[:, 0], chip.offset_v)]
    assert found == pytest.approx([0.02, 3e-3, 4e-3], rel=0.025)


@pytest.mark.parametrize(
    ("celsius", "found"),
    [
        (0.0, [1.109, 1.066, 0.999, 0.965, 0.965, 0.974]),
        (70.0, [0.915, 0.951, 1.002, 1.017, 1.018, 1.047]),
    ],
)
def test_weights_of_ngspice_drift_as_the_law_says(celsius, found):
    """Weights programmed at 27 C, over what they are at another temperature (``experiments.spice.fabric``): 2.5 %."""
    weight = jnp.array([3.691, 2.407, 1.03, 0.43, 0.164, 0.054])
    ratio = np.exp(np.asarray(drift_of_log(weight, celsius + 273.15)))
    assert ratio == pytest.approx(np.array(found), rel=0.025)


def test_tokens_of_ngspice():
    """Scores of 220 mV within 1 %, every decision, charge from the supply within 10 %."""
    with open(DATA) as file:
        rows = list(csv.DictReader(file))
    tokens = max(int(row["token"]) for row in rows) + 1
    by_token = [[row for row in rows if int(row["token"]) == token] for token in range(tokens)]
    weights = np.array([float(row["weight"]) for row in by_token[0]])
    codes = np.array([[int(row["code"]) for row in one] for one in by_token])
    timing = Timing(6, float(rows[0]["settle_s"]), float(rows[0]["integrate_s"]))
    spec, chip = spec_of(timing, output_f(len(weights) - 1)), nominal_fabric_chip(1, len(weights))
    score = jax.vmap(lambda x: fabric_score_v(jnp.asarray(REST_A * weights)[None], x, spec, chip)[0])
    score_v = np.asarray(jax.jit(score)(jnp.asarray(codes / timing.steps)))
    spice_v = np.array([float(one[0]["score_V"]) for one in by_token])
    assert np.sqrt(np.mean((score_v - spice_v) ** 2)) < 0.01 * np.std(spice_v)
    assert (score_v > 0).tolist() == [one[0]["keep"] == "1" for one in by_token]
    static_a = REST_A * float(np.sum(_static(np.abs(weights))))
    charged_c = float(token_charge_c(supply_current_a(len(weights) - 1, static_a), timing.token_s))
    assert np.mean([float(one[0]["charge_C"]) for one in by_token]) == pytest.approx(charged_c, rel=0.1)
