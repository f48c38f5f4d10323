"""Section 4.2 of the ATIS paper, line by line: 512 dimensions to 64, 6 bits, 100 nA, 1 V, 1 MHz, one
token."""

import dataclasses

import pytest

from atis_jax.energy.baselines import digital_ledger, folded_digital_ledger
from atis_jax.energy.front_end import FrontEnd
from atis_jax.energy.ledger import ledger
from atis_jax.energy.presets import energy_preset
from atis_jax.energy.shapes import NetworkShape, ScorerShape, TokenCounts, attention_macs, mlp_macs

PAPER = energy_preset("paper_4_2")
NETWORK = NetworkShape(tokens=1024, width=512, depth=1, heads=8, mlp_width=2048, classes=1, stem_macs=0)
SCORER = ScorerShape(inputs=64, prototypes=1, dac_bits=6, projection="learned", arrangement="consensus", layers=(True,))
TOKEN_S, SUPPLY_V, BIAS_A = 1e-6, 1.0, 64 * 100e-9
ONE = TokenCounts([1.0], [1.0])


def analog(preset=PAPER, scorer=SCORER, bias_a=BIAS_A, token_s=TOKEN_S, **changes):
    front_end = FrontEnd(
        [bias_a], SUPPLY_V, token_s, reference_bits=0, circuit="priced", **changes
    )  # sets no threshold
    return ledger(preset, NETWORK, scorer, ONE, front_end)


def test_static_power_is_6_4_uw_and_the_core_under_10_uw():
    quiet = dataclasses.replace(PAPER, ota_dynamic_j=0.0)
    assert float(analog(quiet).ota_j) / TOKEN_S == pytest.approx(6.4e-6, rel=1e-6)
    assert float(analog().ota_j) / TOKEN_S == pytest.approx(7.4e-6, rel=1e-6)


def test_dacs_cost_384_pj_and_384_uw_not_mw():
    dac_j = float(analog().dac_j)
    assert dac_j == pytest.approx(384e-12, rel=1e-6)
    power_w = dac_j / TOKEN_S
    assert power_w == pytest.approx(384e-6, rel=1e-6)
    # As printed ("approximately 384 mW") it is a thousand times too much.
    assert 384e-3 / power_w == pytest.approx(1000.0, rel=1e-6)
    assert power_w / 6.4e-6 == pytest.approx(60.0, rel=1e-6)


def test_atis_totals_391_pj_against_64_pj_digital_before_projection():
    result = analog()
    assert float(result.scoring_j - result.projection_j) == pytest.approx(391.4e-12, rel=1e-5)
    digital = digital_ledger(PAPER, NETWORK, SCORER, ONE)
    assert float(digital.score_j + digital.comparator_j) == pytest.approx(64e-12, rel=1e-6)
    # The paper leaves out op-amp and comparators, and a consensus score switches nothing.
    assert float(result.tia_j + result.comparator_j + result.switching_j) == 0.0


def test_the_projection_is_32768_macs_and_85_times_the_dacs():
    result, digital = analog(), digital_ledger(PAPER, NETWORK, SCORER, ONE)
    assert float(result.projection_j) == pytest.approx(32_768e-12, rel=1e-6)
    assert float(digital.projection_j) == float(result.projection_j)
    assert float(result.projection_j / result.dac_j) == pytest.approx(85.3, rel=1e-3)


def test_a_linear_static_score_folds_to_512_macs():
    folded = folded_digital_ledger(PAPER, NETWORK, SCORER, ONE)
    assert float(folded.scoring_j) == pytest.approx(512e-12, rel=1e-6)
    assert float(analog().scoring_j / folded.scoring_j) == pytest.approx(64.8, rel=1e-3)


def test_scoring_is_about_one_percent_of_the_layer_it_saves():
    token_macs = float(attention_macs(NETWORK, 1.0) + mlp_macs(NETWORK, 1.0))
    assert token_macs == pytest.approx(12 * 512**2, rel=1e-3)
    assert float(analog().scoring_j) / (token_macs * 1e-12) == pytest.approx(0.0105, rel=0.01)


@pytest.mark.parametrize("name", ["paper_4_2", "horowitz_45nm", "jouppi_7nm"])
def test_analog_loses_at_the_papers_design_point(name):
    """The paper's own point, with its own digital rivals: dearer than the same score in int8, far dearer
    folded."""
    preset = energy_preset(name)
    scoring = analog(preset).scoring_j
    assert scoring > digital_ledger(preset, NETWORK, SCORER, ONE).scoring_j
    assert scoring > 10 * folded_digital_ledger(preset, NETWORK, SCORER, ONE).scoring_j


def test_analog_wins_where_the_signal_is_analog_to_begin_with():
    """No DACs, no projection (selection), 256 inputs at 1 nA behind one 1 uW op-amp: below the folded int8
    score."""
    sensor = dataclasses.replace(energy_preset("horowitz_45nm"), tia_w=1e-6)
    scorer = dataclasses.replace(SCORER, inputs=256, projection="selection")
    scoring = analog(sensor, scorer, bias_a=256e-9, dac="none").scoring_j
    assert scoring < folded_digital_ledger(sensor, NETWORK, scorer, ONE).scoring_j
