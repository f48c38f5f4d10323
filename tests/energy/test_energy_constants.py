"""Constants carry their provenance, presets carry the published numbers, the docs' tables are current."""

import ast
import pathlib
import re

import pytest

from atis_jax.energy import constants, presets
from atis_jax.energy.constants import arithmetic
from atis_jax.energy.constants.provenance import EVIDENCE, Constant
from atis_jax.energy.presets import ENTRIES, PRESET_NAMES, energy_preset, nodes_nm, preset_at_node, provenance
from atis_jax.validation import SettingError

ENERGY = pathlib.Path(presets.__file__).parent


def test_every_constant_has_a_source_and_a_name_of_its_own():
    assert len(constants.ALL) > 25
    assert len({constant.name for constant in constants.ALL}) == len(constants.ALL)
    for constant in constants.ALL:
        assert len(constant.source) > 15, constant.name
        assert constant.evidence in EVIDENCE


def test_every_constant_is_drawn_on_somewhere():
    text = "".join(path.read_text() for path in ENERGY.parent.rglob("*.py") if path.parent.name != "constants")
    for module in constants.MODULES:
        short = module.__name__.rsplit(".", 1)[1]
        for name, value in vars(module).items():
            if isinstance(value, Constant):
                assert re.search(rf"\b{name}\b", text), f"{short}.{name} is listed and charged nowhere"


def test_no_physical_number_stands_outside_the_constants():
    """A price, power, capacitance or time written into the code would have no source: where joules are worked out
    there is neither a number below a thousandth nor a unit prefix. Knobs' defaults (front_end, spec), factors of
    presets, design points and the ranges of maps stand where they are named as such."""
    own = {"front_end", "spec", "presets", "paper", "outside", "latency", "deployments", "breakeven"}
    looked_at = [path for path in ENERGY.rglob("*.py") if path.parent.name != "constants" and path.stem not in own]
    assert {"ledger.py", "array.py", "converters.py", "sensitivity.py"} <= {path.name for path in looked_at}
    for path in looked_at:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                assert not 0 < abs(node.value) < 1e-3, f"{path}: {node.value}"
            if isinstance(node, ast.Name):
                assert node.id not in ("MILLI", "MICRO", "NANO", "PICO", "FEMTO"), f"{path}: {node.id}"


def test_digital_entries_lie_on_a_straight_line_between_the_two_tables():
    """In logarithms of energy against node: both ends are the tables, 17.75 nm (the middle) their geometric mean."""
    old, new = energy_preset("horowitz_45nm"), energy_preset("jouppi_7nm")
    middle = preset_at_node((45 * 7) ** 0.5)
    for entry in ENTRIES:
        ends = getattr(old, entry), getattr(new, entry)
        assert getattr(preset_at_node(45), entry) == pytest.approx(ends[0], rel=1e-9)
        assert getattr(preset_at_node(7), entry) == pytest.approx(ends[1], rel=1e-9)
        assert getattr(middle, entry) == pytest.approx((ends[0] * ends[1]) ** 0.5, rel=1e-9)
    assert preset_at_node(22, "fp16").network_bytes == 2.0


@pytest.mark.parametrize("node_nm", [3, 65, 350])
def test_nothing_is_scaled_beyond_the_tables(node_nm):
    with pytest.raises(SettingError, match=rf"energy.node_nm = {node_nm} is outside.*7 to 45"):
        preset_at_node(node_nm)


def test_a_run_names_its_preset():
    from atis_jax.config import from_config_dict
    from atis_jax.energy.spec import EnergySpec

    with pytest.raises(SettingError, match="config.preset is not chosen, and nothing is assumed.*paper_4_2, horowitz"):
        from_config_dict(EnergySpec, {})
    assert from_config_dict(EnergySpec, {"preset": "paper_4_2"}).prices().name == "paper_4_2"


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
    assert horowitz.exponential_j == pytest.approx(3 * (1.1e-12 + 0.9e-12))
    assert energy_preset("jouppi_7nm").exponential_j == pytest.approx(3 * (0.34e-12 + 0.38e-12))
    assert horowitz.dac_j_per_bit == pytest.approx(0.32e-3 / 1.1e9 / 8, rel=1e-3)
    assert energy_preset("paper_4_2").dac_j_per_bit == pytest.approx(1e-12)
    assert "10.1109/ISSCC.2014.6757323" in arithmetic.HOROWITZ_INT8_MULTIPLY.source
    assert "10.1109/ISCA52012.2021.00010" in arithmetic.JOUPPI_INT8_MULTIPLY.source


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
