"""Constants carry their provenance, presets carry the published numbers, the docs' tables are current."""

import dataclasses
import pathlib

import pytest

from atis_jax.energy import constants, presets
from atis_jax.energy.constants import EVIDENCE, Constant
from atis_jax.energy.presets import PRESET_NAMES, energy_preset, nodes_nm, provenance
from atis_jax.validation import SettingError

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "energy.md"
REFRESH = "python -m atis_jax.energy.presets docs/energy.md"
DEFINED = [value for value in vars(constants).values() if isinstance(value, Constant)]
ENTRIES = [field.name for field in dataclasses.fields(presets.EnergyPreset) if field.name != "name"]


def test_every_constant_in_the_code_has_a_source_and_is_used():
    used = {t.constant for name in PRESET_NAMES for terms in provenance(name).values() for t in terms}
    assert used == set(DEFINED)
    assert len({constant.name for constant in DEFINED}) == len(DEFINED)
    for constant in DEFINED:
        assert len(constant.source) > 15, constant.name
        assert constant.evidence in EVIDENCE


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_every_entry_of_a_preset_is_made_of_constants(name):
    assert set(provenance(name)) == set(ENTRIES)
    assert set(nodes_nm(name)) == set(ENTRIES)
    assert all(terms for terms in provenance(name).values())
    for terms in provenance(name).values():
        assert all(term.factor == 1.0 or term.reason for term in terms)


def test_published_values_arrive_in_joules():
    """Horowitz 2014: int8 multiply 0.2 pJ, int32 add 0.1, fp16 multiply 1.1, fp32 add 0.9. Jouppi 2021: 0.07,
    0.03, 0.34, 0.38. SAR DAC: 0.32 mW / 1.1 GS/s / 8 bit."""
    horowitz, half = energy_preset("horowitz_45nm"), energy_preset("horowitz_45nm_fp16")
    assert horowitz.network_mac_j == pytest.approx(0.2e-12 + 0.1e-12)
    assert half.network_mac_j == pytest.approx(1.1e-12 + 0.9e-12)
    # The scorer stays int8 when the network becomes fp16.
    assert half.score_mac_j == horowitz.score_mac_j == pytest.approx(0.3e-12)
    assert horowitz.score_add_j == horowitz.compare_j == pytest.approx(0.1e-12)
    assert energy_preset("jouppi_7nm").network_mac_j == pytest.approx(0.07e-12 + 0.03e-12)
    assert energy_preset("jouppi_7nm_fp16").network_mac_j == pytest.approx(0.34e-12 + 0.38e-12)
    assert horowitz.dac_j_per_bit == pytest.approx(0.32e-3 / 1.1e9 / 8, rel=1e-3)
    assert energy_preset("paper_4_2").dac_j_per_bit == pytest.approx(1e-12)
    assert "10.1109/ISSCC.2014.6757323" in constants.HOROWITZ_INT8_MULTIPLY.source
    assert "10.1109/ISCA52012.2021.00010" in constants.JOUPPI_INT8_MULTIPLY.source


def test_nodes_say_where_a_preset_mixes_them():
    nodes = nodes_nm("horowitz_45nm")
    assert nodes["network_mac_j"] == (45,)
    assert nodes["dac_j_per_bit"] == (40,)
    assert nodes["comparator_j"] == (65,)
    assert nodes["tia_w"] == (None,)
    assert nodes_nm("jouppi_7nm")["network_mac_j"] == (7,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": -1e-12}, "value = -1e-12.*at least 0"),
        ({"value": float("nan")}, "finite"),
        ({"source": " "}, "source is empty"),
        ({"evidence": "guessed"}, "guessed.*measured, modelled, recalled, paper"),
        ({"node_nm": 0}, "node_nm = 0.*None if unknown"),
        ({"low": 2e-12, "high": 3e-12}, "outside its range"),
    ],
)
def test_a_constant_without_provenance_is_refused(change, message):
    fields = dict(name="x", value=1e-12, unit="J", node_nm=45, source="a paper", evidence="paper")
    with pytest.raises(SettingError, match=message):
        Constant(**(fields | change))


def test_an_unknown_preset_is_refused_with_the_list():
    with pytest.raises(SettingError, match="energy.preset = 'horowitz_45'.*paper_4_2.*did you mean"):
        energy_preset("horowitz_45")


def test_the_tables_in_the_docs_are_current():
    page = PAGE.read_text(encoding="utf-8")
    assert page == presets.with_current_tables(page), f"docs/energy.md is out of date; refresh it with: {REFRESH}"
    assert presets.constants_table_markdown() in page
    assert all(f"| {constant.name} |" in page for constant in DEFINED)


def test_a_page_without_markers_is_refused():
    with pytest.raises(SettingError, match="constants table"):
        presets.with_current_tables("# no tables here")
