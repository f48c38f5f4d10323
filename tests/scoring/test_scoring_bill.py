"""What two sentences of different length cost, each at its own length and its own kept words, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from atis_jax.energy.presets import energy_preset
from atis_jax.energy.shapes import NetworkShape
from atis_jax.energy.spec import EnergySpec
from atis_jax.scoring.bill import Bill

WIDTH, MLP, ENDS = 8, 16, 2
MEAN = NetworkShape(
    tokens=5, width=WIDTH, depth=2, heads=2, mlp_width=MLP, classes=2, stem_macs=0, protected=ENDS
)  # the mean of the two
COSTS = Bill(EnergySpec(preset="horowitz_45nm"), MEAN, (True, True))
WORDS = np.array([3, 7])
KEPT = np.array([[2, 1], [6, 2]])


def macs(tokens) -> float:
    """Of a layer's attention and MLP, for all of so many tokens."""
    return 4 * WIDTH**2 * tokens + 2 * tokens**2 * WIDTH + 2 * WIDTH * MLP * tokens


def test_each_sentence_pays_for_its_own_words_and_the_mean_sentence_for_less_than_the_mean():
    mac_j = energy_preset("horowitz_45nm").network_mac_j
    found = COSTS.of_each(lambda costs, kept: costs.unscored(kept), WORDS, KEPT)
    by_hand = mac_j * (macs(KEPT + ENDS)).sum(axis=1)
    np.testing.assert_allclose(found.attention_j + found.mlp_j, by_hand, rtol=1e-6)

    dense = COSTS.of_each(lambda costs, _: costs.dense(), WORDS, KEPT)
    whole = 2 * mac_j * macs(WORDS + ENDS)
    np.testing.assert_allclose(dense.attention_j + dense.mlp_j, whole, rtol=1e-6)
    # (3 - 5)^2 = (7 - 5)^2 = 4: 2 layers x 2 x 4 d multiply-accumulates more than the mean sentence's.
    one = COSTS.dense()
    assert np.mean(dense.total_j) - one.total_j == pytest.approx(2 * mac_j * 2 * 4 * WIDTH, rel=1e-4)
