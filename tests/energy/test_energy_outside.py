"""The cross-check stands on cited figures and says the same as the ledger's own prices."""

import pytest

from atis_jax.energy.constants import ALL, published
from atis_jax.energy.outside import comparisons
from atis_jax.energy.presets import energy_preset


def test_every_outside_figure_is_cited_and_used():
    theirs = {one.theirs.source for one in comparisons()}
    cited = [value for value in vars(published).values() if value in ALL]
    assert len(cited) >= 10
    assert {constant.source for constant in cited} <= theirs


def test_converters_memories_and_arrays_are_all_there():
    quantities = " ".join(one.quantity for one in comparisons())
    for word in ("conversion", "ADC", "analog MAC", "digital MAC", "exponential", "DRAM", "pixel"):
        assert word in quantities


def test_our_side_is_the_ledgers():
    horowitz = energy_preset("horowitz_45nm")
    by_how = {one.how: one for one in comparisons()}
    assert by_how["per_bit, published presets"].ours == pytest.approx(8 * horowitz.dac_j_per_bit, rel=1e-6)
    assert by_how["pixel_j + adc_j"].ours == pytest.approx(33.4e-12, rel=1e-6)
    # 64 OTAs: 100 nA x 1 V x 1 us, and 0.316 pF x 1 V x 0.1 V.
    assert by_how["currents and lines, 64 inputs"].ours == pytest.approx(100e-15 + 31.6e-15, rel=1e-3)


def test_no_figure_is_further_off_than_a_factor_of_forty():
    """An order of magnitude and a half is the spread of published converters; a slip in a prefix is a thousand."""
    for one in comparisons():
        assert 1 / 40 < one.ratio < 40, one
