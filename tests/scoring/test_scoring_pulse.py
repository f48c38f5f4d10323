"""The scorer with pulse-width inputs: its law against NumPy, and what it refuses."""

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

from atis_jax.circuits import get_preset, nominal_environment
from atis_jax.circuits.pulse import PulseChip
from atis_jax.energy.spec import EnergySpec
from atis_jax.fitting.spec import HardwareSpec
from atis_jax.scoring.atis.pulse import PulseWidth
from atis_jax.scoring.atis.pulse_spec import PulseScorerSpec
from atis_jax.validation import SettingError
from experiments.settings import CodesignSettings

IDEAL = get_preset("ideal")
OUTPUT_V = 196.0
"""Early voltage of a branch, from the page on the circuit."""


def test_a_score_is_charge_over_capacitance_and_the_threshold_a_branch():
    """Whole steps of 31; each line's fall V_A (1 - exp(-q / V_A)); programming errors, and an offset of 20 mV."""
    design, tokens = random_design(0, 1, np.eye(INPUTS, WIDTH)), tokens_for(0)
    random = np.random.default_rng(1)
    chip = PulseChip(np.float32(random.normal(0, 0.1, (1, INPUTS + 1))), np.float32([0.02]))
    method = PulseWidth(PulseScorerSpec(inputs=INPUTS), IDEAL)

    def score(design, tokens):
        return method.score(design, chip, nominal_environment(IDEAL), tokens, context_for(1, smoothing=0.1), None)[0]

    found = jax.jit(score, compiler_options=QUICK_TO_COMPILE)(design, tokens)

    x = np.asarray(tokens, np.float64)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    u = between(design.input_gain, *INPUT_GAIN) * (x @ np.asarray(design.projection, np.float64).T)
    shares = np.column_stack([np.rint(31 * np.clip(u, -1, 1)) / 31, -np.ones(len(u))])
    ohm = between(design.feedback, *FEEDBACK_OHM)[0]
    threshold_v = HALF_SPAN_V * (2 / (1 + np.exp(-np.float64(design.threshold[0]))) - 1)
    current_a = between(design.bias_scale, *BIAS_A) * np.tanh(np.asarray(design.prototype, np.float64)[0])
    current_a = np.append(current_a, threshold_v / ohm) * np.exp(chip.log_current[0])
    dropped_v = ohm * current_a * shares
    lines_v = [np.sum(np.maximum(sign * dropped_v, 0), axis=1) for sign in (1, -1)]
    assert np.max(lines_v) < 0.7  # each line within what keeps the sources saturated
    falls_v = [OUTPUT_V * -np.expm1(-q / OUTPUT_V) for q in lines_v]
    latch_v = falls_v[0] - falls_v[1] + 0.02
    assert np.std(latch_v) > 0.02
    np.testing.assert_allclose(found.voltage[:, 0], latch_v + threshold_v, atol=2e-6)
    clear = np.abs(latch_v) > 1e-5
    np.testing.assert_array_equal(np.asarray(found.keep)[clear, 0], latch_v[clear] > 0)


@pytest.mark.parametrize(
    ("section", "fields", "message"),
    [
        ("scorer", {"hysteresis": True}, "hysteresis = True .*latch is reset.*set hysteresis = False"),
        ("scorer", {"adaptive_rate_v": 0.1}, "adaptive_rate_v = 0.1 .*set adaptive_rate_v = 0.0"),
        ("scorer", {"prototype": "ema"}, "prototype = 'ema' .*set prototype = 'static'"),
        ("scorer", {"differential": True}, "differential = True .*line of their own already"),
        ("scorer", {"arrangement": "multiplexed", "groups": 2}, "arrangement = 'multiplexed' .*'consensus'"),
        ("scorer", {"trainable_bits": True}, "trainable_bits = True .*no converter"),
        ("scorer", {"source": "pixels"}, "source = 'pixels' .*set source = 'tokens'"),
        ("scorer", {"reads": "first_layer"}, "reads = 'first_layer' .*set reads = 'every_layer'"),
        ("hardware", {"token_time_s": 1e-6}, "hardware.token_time_s = 1e-06 .*set token_time_s = None"),
        ("hardware", {"dac_bits": 4}, "hardware.dac_bits = 4 .*scorer.bits"),
        ("hardware", {"readout": "resistor"}, "hardware.readout = 'resistor' .*no amplifier"),
        ("hardware", {"imperfections": 2.0}, "hardware.imperfections = 2.0 .*latch_offset_sigma_v"),
        ("energy", {"core": "bias"}, "energy.core = 'bias' .*set core = 'settling'"),
        ("energy", {"dac": "capacitive"}, "energy.dac = 'capacitive' .*pulse generators"),
    ],
)
def test_what_belongs_to_another_circuit_is_refused(section, fields, message):
    sections = {"scorer": PulseScorerSpec, "hardware": HardwareSpec, "energy": EnergySpec}
    priced = {"energy": EnergySpec(preset="horowitz_45nm")}
    with pytest.raises(SettingError, match=f"config.*{message}.*or scorer.kind = 'analog'"):
        if section == "energy":
            fields = {"preset": "horowitz_45nm", **fields}
        CodesignSettings(**({"scorer": PulseScorerSpec()} | priced | {section: sections[section](**fields)}))
