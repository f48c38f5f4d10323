"""Dense and digital rivals against published operation counts and the algebra of folding."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from atis_jax.energy.baselines import dense_ledger, digital_ledger, energy_ratio, folded_digital_ledger
from atis_jax.energy.front_end import FrontEnd
from atis_jax.energy.ledger import ledger
from atis_jax.energy.presets import ENTRIES, EnergyPreset
from atis_jax.energy.shapes import NetworkShape, ScorerShape, TokenCounts

MACS_ONLY = EnergyPreset(**(dict.fromkeys(ENTRIES, 0.0) | {"network_mac_j": 1.0}))
"""One joule for each multiply-accumulate of the network, nothing else: a ledger's total is then a count."""


def vit(width, heads):
    """ViT with 16-pixel patches of a side of 224 pixels, 12 layers, 1,000 classes."""
    return NetworkShape(
        tokens=196,
        width=width,
        depth=12,
        heads=heads,
        mlp_width=4 * width,
        classes=1000,
        stem_macs=196 * 16 * 16 * 3 * width,
    )


NO_SCORER = ScorerShape(
    inputs=1, prototypes=1, dac_bits=1, projection="selection", arrangement="consensus", layers=(False,) * 12
)


@pytest.mark.parametrize(("width", "heads", "published_g"), [(192, 3, 1.3), (384, 6, 4.6), (768, 12, 17.6)])
def test_dense_counts_are_the_published_ones(width, heads, published_g):
    """DeiT-Ti 1.3 G, DeiT-S 4.6 G, DeiT-B (ViT-B) 17.6 G multiply-accumulates, printed to one decimal.

    Touvron et al. 2021, arXiv 2012.12877; Rao et al. 2021, arXiv 2106.02034.
    """
    macs = float(dense_ledger(MACS_ONLY, vit(width, heads)).total_j)
    assert macs / 1e9 == pytest.approx(published_g, abs=0.05)


@pytest.mark.parametrize(("width", "heads", "published_g"), [(384, 6, 2.9), (768, 12, 11.4)])
def test_pruned_counts_are_the_published_ones(width, heads, published_g):
    """DynamicViT at 0.7 keeps 196 (1, .7, .49, .343) patches in three layers each.

    Printed as 2.9 G for DeiT-S and 11.4 G for DeiT-B, predictors included (Rao et al. 2021, arXiv
    2106.02034); they and the last digit are the 4 %.
    """
    kept = np.repeat(np.floor(196 * 0.7 ** np.arange(4)), 3)
    result = ledger(MACS_ONLY, vit(width, heads), NO_SCORER, TokenCounts(kept, kept), FrontEnd(np.zeros(12), 1.0, 1.0))
    assert published_g * 0.96 < float(result.total_j) / 1e9 < published_g


NETWORK = NetworkShape(tokens=30, width=20, depth=2, heads=2, mlp_width=40, classes=5, stem_macs=100)
SCORER = ScorerShape(
    inputs=6, prototypes=2, dac_bits=4, projection="learned", arrangement="grouped", layers=(True, True)
)
PRICES = EnergyPreset(
    **(
        dict.fromkeys(ENTRIES, 0.8)
        | {"score_mac_j": 1.3, "score_add_j": 0.7, "compare_j": 0.4, "score_mac_int4_j": 0.2}
    )
)
TOKENS = TokenCounts(jnp.array([30.0, 12.0]), jnp.array([12.0, 7.0]))
FULL = TokenCounts(jnp.full(2, 30.0), jnp.full(2, 30.0))
FRONT_END = FrontEnd(jnp.ones(2), 1.0, 1.0)


@pytest.mark.parametrize(
    ("projection", "projection_j", "folded_macs"),
    [
        ("learned", 42 * 20 * 6 * 1.3, 20),
        ("gaussian", 42 * 20 * 6 * 1.3, 20),
        ("sparse_sign", 42 * 20 * 6 / 3 * 0.7, 20),
        ("selection", 0.0, 6),
    ],
)
def test_digital_scorers_in_closed_form(projection, projection_j, folded_macs):
    scorer = dataclasses.replace(SCORER, projection=projection)
    digital = digital_ledger(PRICES, NETWORK, scorer, TOKENS)
    folded = folded_digital_ledger(PRICES, NETWORK, scorer, TOKENS)
    assert float(digital.projection_j) == pytest.approx(projection_j, rel=1e-6)
    assert float(digital.score_j) == pytest.approx(42 * 2 * 6 * 1.3, rel=1e-6)
    assert float(folded.projection_j) == 0.0
    assert float(folded.score_j) == pytest.approx(42 * 2 * folded_macs * 1.3, rel=1e-6)
    for result in (digital, folded):
        assert float(result.comparator_j) == pytest.approx(42 * 2 * 0.4, rel=1e-6)
        assert float(result.dac_j + result.ota_j + result.tia_j + result.switching_j) == 0.0


def test_folding_counts_the_macs_of_the_folded_matrix():
    """The folded vectors P^T q give the same scores, and hold as many numbers as are charged for."""
    rng = np.random.default_rng(0)
    prototype, projection, token = rng.normal(size=(2, 6)), rng.normal(size=(6, 20)), rng.normal(size=20)
    folded = prototype @ projection
    np.testing.assert_allclose(folded @ token, prototype @ (projection @ token), rtol=1e-12)
    charged = (
        folded_digital_ledger(PRICES, NETWORK, SCORER, TokenCounts(jnp.array([1.0, 0.0]), TOKENS.kept)).score_j
        / PRICES.score_mac_j
    )
    assert float(charged) == pytest.approx(folded.size, rel=1e-6)


def test_analog_and_digital_differ_in_the_scorer_only():
    analog = ledger(PRICES, NETWORK, SCORER, TOKENS, FRONT_END).as_dict()
    digital = digital_ledger(PRICES, NETWORK, SCORER, TOKENS).as_dict()
    same = {line for line in analog if float(analog[line]) == float(digital[line])}
    camera = {"sensor_read", "sensor_adc", "sensor_link"}
    network = {"embedding", "normalisation", "attention", "mlp", "exponentials"}
    unpriced = {
        "scorer_memory",
        "scorer_exponentials",  # of rivals alone
        "activations",
        "weights",
        "cache",
        "uplink",
        "pairs",
    }  # neither memory nor air is charged here
    assert same == camera | network | unpriced | {"projection", "switching"}


@pytest.mark.parametrize(("number_format", "mac"), [("int4", 0.2), ("int8", 1.3), ("fp16", 0.8)])
def test_a_digital_score_is_charged_in_its_format(number_format, mac):
    scorer = dataclasses.replace(SCORER, format=number_format)
    assert float(digital_ledger(PRICES, NETWORK, scorer, TOKENS).score_j) == pytest.approx(42 * 2 * 6 * mac, rel=1e-6)
    assert float(folded_digital_ledger(PRICES, NETWORK, scorer, TOKENS).score_j) == pytest.approx(42 * 40 * mac)


def test_keeping_everything_costs_the_dense_network_and_its_scorer():
    dense = dense_ledger(PRICES, NETWORK)
    scored = ledger(PRICES, NETWORK, SCORER, FULL, FRONT_END)
    assert float(scored.total_j - scored.scoring_j) == pytest.approx(float(dense.total_j), rel=1e-6)
    assert float(dense.scoring_j) == 0.0
    assert float(energy_ratio(scored, dense)) > 1.0
    assert float(energy_ratio(ledger(PRICES, NETWORK, SCORER, TOKENS, FRONT_END), dense)) < 1.0


def test_a_layer_without_scorer_is_charged_for_none():
    off = dataclasses.replace(SCORER, layers=(False, False))
    result = ledger(PRICES, NETWORK, off, FULL, FRONT_END)
    assert float(result.scoring_j) == 0.0
    assert float(result.total_j) == pytest.approx(float(dense_ledger(PRICES, NETWORK).total_j), rel=1e-6)
