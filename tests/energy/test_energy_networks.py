"""Published operation counts are reproduced from shapes alone, and pruning over all layers leaves what algebra says."""

import numpy as np
import pytest

from atis_jax.energy.networks import NETWORKS, bert_shape, counted_macs, gpt2_shape, network, vit_shape
from atis_jax.energy.shapes import TokenCounts
from atis_jax.validation import SettingError


def test_at_least_four_networks_have_a_published_count():
    assert len(NETWORKS) >= 4
    assert {"deit_s", "vit_b", "bert_base", "gpt2"} <= set(NETWORKS)
    assert all(len(one.source) > 20 for one in NETWORKS.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_published_counts_are_reproduced_within_three_percent(name):
    one = NETWORKS[name]
    assert counted_macs(one.shape) == pytest.approx(one.macs, rel=0.03)


def test_gpt2_is_reproduced_part_by_part():
    """nanoGPT, transformer_sizing.ipynb, two FLOPs a MAC: twelve blocks 212,600,881,152, head 79,047,426,048."""
    blocks, head = 212_600_881_152 / 2, 79_047_426_048 / 2
    assert counted_macs(gpt2_shape(1024)) == pytest.approx(blocks + head, rel=1e-6)
    # One word to predict: the head reads one token.
    assert counted_macs(gpt2_shape(1024, head_tokens=1)) == pytest.approx(blocks + head / 1024, rel=1e-6)


@pytest.mark.parametrize(
    ("shape", "millions"), [(vit_shape(384, 6), 21.2), (bert_shape(128), 84.9), (gpt2_shape(9), 84.9)]
)
def test_weights_of_the_layers(shape, millions):
    """DeiT-S has 22.05 M with embeddings and head, BERT-base and GPT-2 85 M in their layers' matrices."""
    assert shape.weights / 1e6 == pytest.approx(millions, abs=0.1)


def test_pruning_compounds_over_twelve_layers():
    """Keeping 0.9 of what came in leaves 0.9^12 = 28 % in the last layer; the linear part keeps its mean share, and
    attention's products the mean of squares."""
    shape = vit_shape(384, 6)
    share = 0.9 ** np.arange(1, 13)
    kept = share * shape.tokens
    tokens = kept + 1
    d, products = 384.0, 2 * 384.0
    by_hand = (12 * d * d * tokens + products * tokens**2).sum() + shape.stem_macs + d * 1000
    assert counted_macs(shape, TokenCounts(kept, kept)) == pytest.approx(by_hand, rel=1e-6)
    assert share[-1] == pytest.approx(0.282, abs=1e-3)


def test_an_unknown_network_is_refused_with_the_list():
    with pytest.raises(SettingError, match="network = 'deits'.*did you mean 'deit_s'"):
        network("deits")
