"""Presets and the hardware tree: bounds, names, dotted fields."""

import jax
import pytest

from atis_jax.circuits import PRESETS, Hardware, check_hardware, get_preset, scale_spreads, with_fields
from atis_jax.circuits.hardware import SPREADS, field


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_within_bounds_and_named(name):
    hardware = get_preset(name)
    assert hardware.name == name
    assert check_hardware(hardware) is hardware
    assert all(isinstance(leaf, float | int) for leaf in jax.tree.leaves(hardware))


def test_ideal_has_no_spread_and_the_others_have():
    assert all(field(get_preset("ideal"), path) == 0 for path in SPREADS)
    for name in set(PRESETS) - {"ideal"}:
        assert get_preset(name).ota.offset_sigma_v > 0


def test_pessimistic_is_worse_than_nominal_in_every_spread():
    bad, nominal = get_preset("pessimistic"), get_preset("nominal")
    assert all(field(bad, path) >= field(nominal, path) for path in SPREADS)


def test_paper_preset_is_the_papers_array():
    """Section 4.2: 64 inputs, 6 bits, 64 x 100 nA x 1 V = 6.4 uW."""
    paper = get_preset("paper_4_2")
    assert (paper.max_inputs, paper.dac.bits) == (64, 6)
    power_w = paper.max_inputs * paper.floating_gate.max_current_a * paper.supply_v
    assert power_w == pytest.approx(6.4e-6)


def test_unknown_preset_lists_the_presets_and_the_nearest():
    with pytest.raises(ValueError) as raised:
        get_preset("nominall")
    assert all(name in str(raised.value) for name in PRESETS)
    assert "nearest is 'nominal'" in str(raised.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("ota.kappa", 1.2, r"ota.kappa = 1.2 must be above 0 and at most 1"),
        ("ota.offset_sigma_v", -1e-3, "ota.offset_sigma_v = -0.001 must be zero or more"),
        ("dac.full_scale_v", 0.0, "dac.full_scale_v = 0.0 must be positive"),
        ("ota.kapa", 0.7, "no field 'ota.kapa'; the nearest is 'ota.kappa'"),
        ("ota.law", "tan", "ota.law = 'tan' is not one of linear, tanh"),
        ("dac.bits", 0, "dac.bits = 0"),
        ("floating_gate.min_current_a", 1.0, "min_current_a = 1.0 must be below max_current_a"),
        ("floating_gate.min_current_a", 0.0, "spaces ln I evenly"),
        ("ota.offset_additive_correlation", 1.5, "between -1 and 1"),
        ("ota.kappa", float("nan"), "ota.kappa = nan must be"),
        ("max_inputs", 0, "max_inputs = 0 must be 1 or more"),
    ],
)
def test_bad_values_name_the_field_and_the_bound(path, value, message):
    with pytest.raises(ValueError, match=message):
        with_fields(get_preset("nominal"), {path: value})


def test_scale_spreads_scales_only_what_is_named():
    nominal = get_preset("nominal")
    scaled = scale_spreads(nominal, {"ota.offset_sigma_v": 3.0})
    assert scaled.ota.offset_sigma_v == pytest.approx(3 * nominal.ota.offset_sigma_v)
    assert with_fields(scaled, {"ota.offset_sigma_v": nominal.ota.offset_sigma_v}) == nominal
    with pytest.raises(ValueError, match="'ota.kappa' is not a spread"):
        scale_spreads(nominal, {"ota.kappa": 2.0})


def test_hardware_is_a_pytree_with_static_structure():
    nominal = get_preset("nominal")
    doubled = jax.tree.map(lambda leaf: 2.0 * leaf, nominal)
    assert isinstance(doubled, Hardware) and doubled.dac.bits == 6
    assert doubled.dac.full_scale_v == pytest.approx(0.2)
