"""The scorer in a routing fabric: its law against NumPy, its bill, and what it refuses."""

import jax
import numpy as np
import pytest
from scoring_reference import (
    BIAS_A,
    FEEDBACK_OHM,
    HALF_SPAN_V,
    INPUT_GAIN,
    INPUTS,
    QUICK_TO_COMPILE,
    WIDTH,
    between,
    context_for,
    random_design,
    tokens_for,
)

from atis_jax.cells.fabric import OUTPUT_V, SHAPE, STATIC
from atis_jax.circuits import get_preset, nominal_environment
from atis_jax.circuits.fabric import FabricChip
from atis_jax.energy.presets import energy_preset
from atis_jax.scoring.atis.fabric import RoutingFabric
from atis_jax.scoring.atis.fabric_spec import FabricScorerSpec
from atis_jax.validation import SettingError

IDEAL = get_preset("ideal")
REST_A, FULL = 20e-9, 0.5 * 31 / 32


def test_a_score_is_told_in_the_volts_of_the_feedback_and_a_token_billed_its_currents():
    """Outputs rise to 0.9 V on the mean, and what the latch sees is scaled to R_f sum_j I_j u_j; an offset of 2 mV."""
    design, tokens = random_design(0, 1, np.eye(INPUTS, WIDTH)), tokens_for(0)
    random = np.random.default_rng(1)
    log_weight = np.float32(random.normal(0, 0.1, (1, INPUTS + 1, 2)))
    chip = FabricChip(log_weight, np.zeros((1, 2), np.float32), np.float32([2e-3]))
    method = RoutingFabric(FabricScorerSpec(inputs=INPUTS), IDEAL)
    context = context_for(1, smoothing=0.1)

    def score(design, tokens):
        decision = method.score(design, chip, nominal_environment(IDEAL), tokens, context, None)[0]
        return decision, method.row(design, context.state)

    found, row = jax.jit(score, compiler_options=QUICK_TO_COMPILE)(design, tokens)

    x = np.asarray(tokens, np.float64)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    u = between(design.input_gain, *INPUT_GAIN) * (x @ np.asarray(design.projection, np.float64).T)
    shares = np.column_stack([np.rint(31 * np.clip(u, -1, 1)) / 31, -np.ones(len(u))])
    ohm = between(design.feedback, *FEEDBACK_OHM)[0]
    threshold_v = HALF_SPAN_V * (2 / (1 + np.exp(-np.float64(design.threshold[0]))) - 1)
    current_a = between(design.bias_scale, *BIAS_A) * np.tanh(np.asarray(design.prototype, np.float64)[0])
    weights = np.append(current_a, threshold_v / ohm) / REST_A
    assert np.min(np.abs(weights)) > 0.02
    log, size = np.log(np.abs(weights)), np.abs(weights)
    static = size * np.exp(STATIC[0] + STATIC[1] * log + STATIC[2] * log**2)
    swing = FULL * weights * shares * (1 + (SHAPE[0] + SHAPE[1] * log) * (shares**2 - 1))
    first, second = np.exp(np.float64(log_weight[0])).T
    plus = (static + swing) * np.where(weights > 0, first, second)
    minus = (static - swing) * np.where(weights > 0, second, first)
    per_volt = 0.9 / np.sum(static)  # I_0 t / C
    rises_v = [OUTPUT_V * -np.expm1(-per_volt * one.sum(1) / OUTPUT_V) for one in (plus, minus)]
    told = ohm * REST_A / (2 * FULL * per_volt)
    latch_v = told * (rises_v[0] - rises_v[1] + 2e-3)
    assert np.std(latch_v) > 0.02
    np.testing.assert_allclose(found.voltage[:, 0], latch_v + threshold_v, atol=2e-5)
    clear = np.abs(latch_v) > 1e-4
    np.testing.assert_array_equal(np.asarray(found.keep)[clear, 0], latch_v[clear] > 0)

    lines = method.lines_j(energy_preset("horowitz_45nm"), float(INPUTS), row)
    static_a = REST_A * np.sum(static)
    assert float(lines["ota_j"]) == pytest.approx(2 * static_a * float(row.token_s) * IDEAL.supply_v, rel=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "pixels"}, "source = 'pixels' .*takes a current.*set source = 'tokens', or scorer.kind = 'analog'"),
        ({"trainable_bits": True}, "trainable_bits = True with config.scorer.kind = 'routing_fabric': .*one a bit"),
        ({"line_f": 1e-10}, "scorer.line_f = 1e-10 .*1e-11"),
    ],
)
def test_what_belongs_to_another_circuit_is_refused(fields, message):
    with pytest.raises(SettingError, match=message):
        FabricScorerSpec(**fields)
