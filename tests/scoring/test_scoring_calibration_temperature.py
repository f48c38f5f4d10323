"""Tables over temperature, the sensor, auto-calibration, and all methods together on chips that have no chip inside."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from calibration_cases import GROUPS, SPEC, TOKENS, design_for, exact_scores, known_tokens
from scoring_reference import INPUTS, draw_chip, key
from scoring_reference import quick_jit as jit

from atis_jax.circuits import Environment, get_preset, sample_chip, with_fields
from atis_jax.scoring.atis.calibration import (
    CalibrationSpec,
    SensorSpec,
    TrimTable,
    calibrate_chip,
    calibrate_layer,
    chip_bench,
    last_calibrated_s,
    look_up,
    no_trim,
    periodic,
    sense,
    temperature_table,
    threshold_code,
    trimmed,
)

NOMINAL = get_preset("nominal")
STEP_V = 1.0 / 255
TABLE = TrimTable(jnp.asarray([270.0, 300.0, 350.0]), jnp.asarray([[0.0, 1.0], [0.3, 0.5], [-0.2, 0.1]]))


def drifting(temperature_k):
    """A bench without a chip: scores that drift by 1 mV a kelvin."""

    def measure(design, inputs, threshold_v, noise_key):
        scores = inputs @ jnp.linspace(-0.05, 0.1, INPUTS * GROUPS).reshape(INPUTS, GROUPS)
        return scores + 1e-3 * (temperature_k - 300.0) > threshold_v

    return measure


@pytest.fixture(scope="module")
def design():
    return design_for()


@pytest.fixture(scope="module")
def tokens(design):
    return known_tokens(SPEC, NOMINAL, design)


def codes(design, tokens):
    return lambda bench, k: threshold_code(bench, design, no_trim(SPEC), tokens, SPEC, NOMINAL, k)


@pytest.fixture(scope="module")
def code_at(design, tokens):
    """The threshold's trim measured at a temperature."""
    return jit(lambda temperature_k: codes(design, tokens)(drifting(temperature_k), None).trim.threshold_v)


@pytest.mark.slow
def test_look_up_is_exact_at_entries_linear_between_and_held_beyond():
    look = jax.vmap(lambda t: look_up(TABLE, t))
    np.testing.assert_array_equal(look(TABLE.temperatures_k), TABLE.threshold_v)
    np.testing.assert_allclose(look(jnp.asarray([285.0, 310.0])), [[0.15, 0.75], [0.2, 0.42]], rtol=1e-6)
    np.testing.assert_array_equal(look(jnp.asarray([200.0, 500.0])), TABLE.threshold_v[jnp.asarray([0, 2])])


def test_sensor_has_its_resolution_and_moments():
    """40,000 readings: mean to 5 sigma/200 = 0.013 K, deviation to 5/sqrt(80,000) = 1.8 %, plus step^2/12."""
    sensor = SensorSpec(resolution_k=0.25, sigma_k=0.5)
    read = jax.vmap(lambda k: sense(k, jnp.asarray(310.07), sensor))(jax.random.split(key(0), 40_000))
    steps = np.asarray(read, np.float64) / 0.25
    np.testing.assert_array_equal(steps, np.round(steps))
    assert abs(np.mean(read) - 310.07) < 0.013
    assert abs(np.std(read) / np.sqrt(0.25 + 0.25**2 / 12) - 1) < 0.018
    assert float(sense(None, jnp.asarray(310.07), sensor)) == 310.0


@pytest.mark.slow
def test_the_table_holds_each_temperatures_own_calibration(design, tokens, code_at):
    calibrate = codes(design, tokens)
    temperatures_k = jnp.asarray([280.0, 300.0, 330.0])
    table, measurements = jit(lambda t: temperature_table(drifting, calibrate, t, None))(temperatures_k)
    for row, temperature_k in enumerate(temperatures_k):
        np.testing.assert_array_equal(table.threshold_v[row], code_at(temperature_k))
    # 1 mV a kelvin, read in codes of 3.9 mV.
    np.testing.assert_allclose(table.threshold_v[2] - table.threshold_v[0], 0.05, atol=STEP_V)
    assert int(measurements) == 3 * TOKENS * 9


def test_auto_calibration_is_that_of_the_last_interval(design, tokens, code_at):
    calibrate = codes(design, tokens)

    def warming(time_s):
        return 300.0 + time_s / 60.0

    assert float(last_calibrated_s(jnp.asarray(1500.0), 600.0)) == 1200.0
    found, drift_k = jit(lambda t: periodic(drifting, calibrate, warming, t, 600.0, None))(jnp.asarray(1500.0))
    np.testing.assert_array_equal(found.trim.threshold_v, code_at(jnp.float32(320.0)))
    assert float(drift_k) == pytest.approx(5.0)
    assert int(found.measurements) == TOKENS * 9


@pytest.mark.parametrize(
    ("methods", "left_v"),
    [(("threshold",), 0.04), (("threshold", "periodic"), 0.0), (("threshold", "table"), 0.0)],
)
def test_a_layer_at_another_temperature(design, tokens, code_at, methods, left_v):
    """Calibrated once at 300 K the threshold is 40 mV off at 340 K; looked up or measured there, a code or so."""
    calibration = CalibrationSpec(
        methods=methods, temperature_c=26.85, sensor_sigma_k=0.0, chamber_temperatures_c=(0.0, 30.0, 60.0, 80.0)
    )

    def run(temperature_k):
        return calibrate_layer(drifting, design, tokens, SPEC, NOMINAL, calibration, temperature_k, None)

    found = jit(run)(jnp.float32(340.0))
    missing_v = code_at(jnp.float32(340.0)) - found.trim.threshold_v
    np.testing.assert_allclose(missing_v, left_v, atol=1.1 * STEP_V)
    assert int(found.measurements) == TOKENS * 9 * (4 if "table" in methods else 1)


@pytest.mark.slow
def test_chips_at_another_temperature_with_every_method():
    """Layers and chips at once: constant bias, 40 K away. The mean error of the kept share over 3 chips x 2 layers x
    3 scores falls below half with a threshold measured there, and looking it up costs about the same again."""
    hardware = with_fields(NOMINAL, {"comparator.offset_sigma_v": 0.01})
    designs = jax.tree.map(lambda *leaves: jnp.stack(leaves), design_for(1), design_for(2))
    known = [known_tokens(SPEC, hardware, jax.tree.map(lambda leaf, i=i: leaf[i], designs)) for i in range(2)]
    known = jax.tree.map(lambda *leaves: jnp.stack(leaves), *known)
    environment = Environment(jnp.full(3, 340.15), jnp.full(3, hardware.supply_v))

    def chip_of(k):
        return jax.vmap(lambda layer: sample_chip(layer, hardware, SPEC.geometry))(jax.random.split(k, 2))

    def error(methods):
        def one(k, environment, noise):
            chip, own, measurements = chip_of(k), designs, jnp.zeros(2, int)
            if methods:
                calibration = CalibrationSpec(methods=methods, current_repeats=1, current_iterations=1)
                found = calibrate_chip(designs, chip, environment, known, SPEC, hardware, calibration, noise)
                own = jax.vmap(lambda d, t: trimmed(d, t, SPEC, hardware))(designs, found.trim)
                measurements = found.measurements

            def share(design, chip, tokens):
                scores, threshold = exact_scores(SPEC, hardware, design, chip, tokens.inputs, environment)
                return jnp.abs(jnp.mean(scores > threshold, axis=0) - tokens.kept_fraction)

            return jax.vmap(share)(own, chip, known), measurements

        missed, measurements = jit(jax.vmap(one))(jax.random.split(key(3), 3), environment, jax.random.split(key(4), 3))
        assert measurements.shape == (3, 2)
        return float(jnp.mean(missed))

    none = error(())
    assert error(("threshold", "periodic")) < none / 2
    assert error(("currents", "threshold", "table")) < none


@pytest.mark.slow
def test_the_factory_measures_once_and_the_field_anew(design, tokens):
    """A key of the field moves the sensor's reading and ``periodic``, and nothing that was measured before."""
    hardware = with_fields(NOMINAL, {"comparator.noise_v": 0.03})
    chip = draw_chip(key(5), hardware, SPEC.geometry)

    def found(methods):
        calibration = CalibrationSpec(methods=methods, sensor_sigma_k=2.0, sensor_resolution_k=0.01)

        def measure_at(temperature_k):
            return chip_bench(SPEC, hardware, chip, Environment(temperature_k, hardware.supply_v))

        def run(field_key):
            found = calibrate_layer(measure_at, design, tokens, SPEC, hardware, calibration, 330.0, key(6), field_key)
            return found.trim.threshold_v

        run = jit(run)
        return lambda field_key: np.asarray(run(field_key))

    one, other = key(7), key(8)
    threshold = found(("threshold",))
    np.testing.assert_array_equal(threshold(one), threshold(other))
    for methods in (("threshold", "table"), ("threshold", "periodic")):
        looked = found(methods)
        assert not np.array_equal(looked(one), looked(other)), methods
        np.testing.assert_array_equal(looked(key(6)), looked(None))
