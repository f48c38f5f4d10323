"""A generated word and its prompt, held against counts by walking words, heads and layers."""

import dataclasses

import jax
import numpy as np
import pytest
from energy_cases import PRICES

from atis_jax.energy.baselines import dense_ledger
from atis_jax.energy.decoding import WAYS, Decoding, Way, prompt_ledger, word_ledger
from atis_jax.energy.deployments import DeploymentSpec, PointSpec
from atis_jax.energy.networks import smollm2_shape
from atis_jax.energy.presets import energy_preset
from atis_jax.energy.shapes import NetworkShape, TokenCounts
from atis_jax.validation import SettingError

SMALL = NetworkShape(
    tokens=1,
    width=24,
    depth=2,
    heads=4,
    mlp_width=40,
    classes=11,
    stem_macs=0,
    protected=0,
    key_width=12,  # two key heads of six numbers
    mlp_maps=3,
)
POINT = PointSpec(inputs=5, bits=4, projection="selection", bias_a=1e-8, supply_v=1.8)
PLACE = DeploymentSpec(network="own", preset="jouppi_7nm", weights="dram", tokens="sram_32k", cache="sram_1m", batch=3)
DECODING = Decoding(SMALL, PLACE, POINT, cache_format="fp16", chunk=2)
LAYERS, KEY_HEADS, HEADS, HEAD = range(2), range(2), 4, 6
SRAM, SMALL_SRAM, DRAM = PRICES.sram_1m_j_per_byte, PRICES.sram_32k_j_per_byte, PRICES.dram_j_per_byte


def counted_word(name, context, kept, blind=False):
    """Joules of a word in front of ``context`` others, of which ``kept`` are in the cache: lines by loops."""
    gates = name in ("linear", "twin")
    share = kept / context
    found = dict.fromkeys(("attention", "mlp", "weights", "cache", "cache_write", "eviction_memory", "eviction"), 0.0)
    found["choice"] = 0.0
    for _ in LAYERS:
        made = share if blind else 1.0  # of its keys and values
        found["attention"] += (2 * 24 * 24 + 2 * 24 * 12 * made) * PRICES.network_mac_j
        found["mlp"] += 3 * 24 * 40 * PRICES.network_mac_j
        # All three texts refuse a word: nobody reads its maps.
        idle = (1 - share) ** 3 if blind else 0.0
        found["weights"] += (2 * 24 * 24 + 2 * 24 * 12 * (1 - idle) + 3 * 24 * 40) * DRAM / 3
        seen = kept + made
        for _ in range(HEADS):
            found["attention"] += 2 * HEAD * seen * PRICES.network_mac_j
        for _ in KEY_HEADS:
            found["cache"] += kept * 2 * HEAD * 2 * SRAM
            found["cache_write"] += (share if gates else 1.0) * 2 * HEAD * 2 * SRAM
            if name == "h2o":
                for _ in range(kept + 1):
                    found["eviction_memory"] += 2 * (2 * SMALL_SRAM) + 4 * 2 * SRAM  # two heads' weights, one sum
                    found["eviction"] += 2 * PRICES.score_add_j + PRICES.compare_j
            if name == "keydiff":
                product = PRICES.score_mac_j
                found["eviction_memory"] += HEAD * 4 * 2 * SRAM + (kept + 2) * 2 * SRAM
                found["eviction"] += HEAD * (2 * PRICES.normalise_multiply_j + 3 * PRICES.normalise_add_j)
                found["eviction"] += (kept + 1) * ((HEAD + 1) * product + PRICES.compare_j)
        if gates:
            inputs = {"linear": 24, "twin": 5}[name]
            found["choice"] += min(inputs + 4, 24) * SMALL_SRAM + inputs * SMALL_SRAM / 3
            found["choice"] += inputs * PRICES.score_mac_j + PRICES.compare_j
    found["weights"] += 24 * 11 * DRAM / 3
    return found


@pytest.mark.parametrize("name", ["dense", "streaming", "h2o", "keydiff", "linear", "twin"])
def test_a_word_is_what_loops_count(name):
    context, kept = 8, 8 if name == "dense" else 2
    found = word_ledger(WAYS[name], DECODING, context, 0.25, PRICES)
    lines, expected = found.as_dict(), counted_word(name, context, kept)
    assert float(found.base.scoring_j) == pytest.approx(expected.pop("choice"), rel=1e-5)
    for line, joules in expected.items():
        assert float(lines[line]) == pytest.approx(joules, rel=1e-5), line


def test_a_refused_word_that_does_not_see_itself_has_no_keys_and_values():
    blind = dataclasses.replace(DECODING, sees_itself=False)
    lines, expected = (
        word_ledger(WAYS["twin"], blind, 8, 0.25, PRICES).as_dict(),
        counted_word("twin", 8, 2, blind=True),
    )
    for line in ("attention", "weights", "cache", "cache_write"):
        assert float(lines[line]) == pytest.approx(expected[line], rel=1e-5), line


@pytest.mark.parametrize("by_head", [False, True])
def test_digital_scales_cost_a_product_an_input_and_two_numbers_fetched(by_head):
    way, digital = Way("analog", by_head=by_head), dataclasses.replace(DECODING, scales="digital")
    without, scaled = (word_ledger(way, one, 8, 0.25, PRICES).base for one in (DECODING, digital))
    assert float(scaled.projection_j) == pytest.approx(2 * 5 * PRICES.score_mac_j)
    added = float(scaled.scorer_memory_j - without.scorer_memory_j)
    assert added == pytest.approx(2 * 2 * 5 * SMALL_SRAM / 3, rel=1e-4)


def test_scores_of_key_heads_share_their_converters():
    one, many = (word_ledger(WAYS[name], DECODING, 8, 0.25, PRICES).base for name in ("atis", "atis_heads"))
    assert float(many.dac_j) == pytest.approx(float(one.dac_j))
    assert float(many.tia_j) == pytest.approx(2 * float(one.tia_j), rel=1e-5)
    assert float(many.comparator_j) == pytest.approx(2 * float(one.comparator_j), rel=1e-5)


def seen_by_a_prompt(context, share):
    """Keys that all words of a prompt see, in the mean over which words are refused: each itself, and those before."""
    return sum(1 + share * before for before in range(context))


@pytest.mark.parametrize(("name", "share"), [("dense", 1.0), ("h2o", 1.0), ("twin", 0.25)])
def test_a_prompt_is_read_causally_and_in_chunks(name, share):
    context, chunk = 8, 2
    found = prompt_ledger(WAYS[name], DECODING, context, 0.25, preset=PRICES).as_dict()
    maps = (2 * 24 * 24 + 2 * 24 * 12) * context
    products = 2 * 24 * seen_by_a_prompt(context, share)
    assert float(found["attention"]) == pytest.approx(2 * (maps + products) * PRICES.network_mac_j, rel=1e-5)
    before = [share * first for first in range(0, context, chunk)]  # what each chunk finds in the cache
    of_word = 2 * 12 * 2 * SRAM
    assert float(found["cache"]) == pytest.approx(2 * sum(before) * of_word, rel=1e-5)
    assert float(found["cache_write"]) == pytest.approx(2 * share * context * of_word, rel=1e-5)
    once = float(dense_ledger(PRICES, SMALL, PLACE.memory(), TokenCounts(np.ones(2), np.ones(2))).weights_j)
    assert float(found["weights"]) == pytest.approx(context / chunk * once, rel=1e-5)
    if name == "h2o":
        rows = HEADS * seen_by_a_prompt(context, 1.0)
        sums = sum(first + chunk for first in range(0, context, chunk))
        moved = 2 * rows * SMALL_SRAM + 2 * 4 * 2 * sums * SRAM
        assert float(found["eviction_memory"]) == pytest.approx(2 * moved, rel=1e-5)


def test_a_word_dropped_in_a_prompt_leaves_all_deeper_layers():
    found = prompt_ledger(WAYS["twin"], DECODING, 8, 0.25, drop=True, preset=PRICES)
    left = [8 * 0.25**0.5, 8 * 0.25]
    macs = sum((2 * 24 * 24 + 2 * 24 * 12 + 2 * 24 * (words + 1) / 2) * words for words in left)
    assert float(found.base.attention_j) == pytest.approx(macs * PRICES.network_mac_j, rel=1e-5)
    assert float(found.base.mlp_j) == pytest.approx(3 * 24 * 40 * sum(left) * PRICES.network_mac_j, rel=1e-5)
    scored = 8 + left[0]
    assert float(found.base.comparator_j) == pytest.approx(scored * PRICES.compare_j, rel=1e-5)
    assert float(found.cache_write_j) == pytest.approx(sum(left) * 2 * 12 * 2 * SRAM, rel=1e-5)


def test_everything_kept_costs_what_dense_costs_and_the_choice():
    """The whole context kept by a policy that computes nothing is no eviction."""
    dense, whole = (word_ledger(WAYS[name], DECODING, 8, 1.0, PRICES) for name in ("dense", "streaming"))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b), dense, whole)


def test_smollm2_has_its_published_weights():
    """134,515,008 in all (its model card's file), of which 61 norms of 576 numbers are no matrix."""
    shape = smollm2_shape(1)
    assert shape.weights + shape.width * shape.classes == 134_515_008 - 61 * 576
    assert Decoding(shape, PLACE, POINT).word_bytes(energy_preset("jouppi_7nm")) == 30 * 2 * 3 * 64


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Decoding(SMALL, PLACE, POINT, chunk=0), "decoding.chunk = 0"),
        (lambda: Decoding(SMALL, PLACE, POINT, scales="none"), "decoding.scales"),
        (lambda: Decoding(SMALL, PLACE, POINT, cache_format="fp32"), "decoding.cache_format"),
        (lambda: Decoding(dataclasses.replace(SMALL, protected=1), PLACE, POINT), "protected = 0"),
        (lambda: Way("guess"), "way.score"),
        (lambda: prompt_ledger(WAYS["h2o"], DECODING, 8, 0.25, drop=True), "drop = False"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(SettingError, match=words):
        make()
