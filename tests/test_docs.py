"""The pages say what the code says: generated tables are current, every config is listed, commands run as printed."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from atis_jax.circuits.hardware import flatten_hardware
from atis_jax.circuits.presets import PRESETS, get_preset
from atis_jax.config import from_config_dict
from atis_jax.eviction.registry import POLICIES
from experiments import docs_tables, hardware_table, registry
from experiments.command_line import list_configs, load_config
from experiments.montecarlo.precision_sparsity import PrecisionSettings
from experiments.sweeps.spec import ExecutorSpec

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


@pytest.mark.slow
@pytest.mark.parametrize("name", docs_tables.TABLES)
def test_generated_tables_are_current(name):
    page = (ROOT / name).read_text(encoding="utf-8")
    refreshed = docs_tables.current(page, docs_tables.TABLES[name], name)
    assert page == refreshed, f"{name} is out of date; refresh it with: python -m experiments.docs_tables"


def test_every_settings_class_is_documented():
    """Classes are found by reading the code: one that no registered experiment leads to is missed otherwise."""
    found = set()
    for folder in ("atis_jax", "experiments"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    values = [item.value for item in node.body if isinstance(item, ast.AnnAssign)]
                    called = [getattr(value.func, "id", "") for value in values if isinstance(value, ast.Call)]
                    found |= {node.name} if "setting" in called else set()
    assert {"CodesignSettings", "MonteCarloSpec"} < found, "the search finds classes"
    # Options of the command line and what get_front() returns; both are in docs/sweeps.md. And the section of a method
    # with nothing to choose, and what evicts from caches, which no config has.
    elsewhere = {"ExecutorSpec", "Front", "PlainSpec", "Budget", "HeavyHitters"}
    elsewhere |= {type(policy).__name__ for policy in POLICIES.values()}
    assert found - elsewhere == {cls.__name__ for cls in docs_tables.settings_classes()} - elsewhere


def test_a_section_with_defaults_of_its_own_says_so():
    page = docs_tables.settings_markdown()
    own = PrecisionSettings().montecarlo
    (section,) = [part for part in page.split("#### ") if "`chips` is" in part]
    assert section.startswith("config.montecarlo") and f"`chips` is `{own.chips}`" in section
    assert "`memory_mb`" not in section


def test_every_option_of_a_sweep_is_documented():
    page = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(ExecutorSpec):
        assert ("`--executor`" if field.name == "executor" else f"`--sweep.{field.name}`") in page


def test_every_setting_has_a_meaning():
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for cls in docs_tables.settings_classes():
        for field in dataclasses.fields(cls):
            section = docs_tables.section_of(field)
            assert (f"#### config.{field.name}\n" if section else f"| `{field.name}` |") in page, (cls, field.name)
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert all(row.split("|")[4].strip() for row in rows), "a setting without a meaning: give it a doc"


def test_every_value_of_the_nominal_hardware_has_a_source():
    sources, values = hardware_table.sources("nominal"), flatten_hardware(get_preset("nominal"))
    assert set(sources) == set(values), "the table would miss a value, or name one that does not exist"
    assert [path for path in values if path != "name" and not sources[path]] == []


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in ("ideal", "nominal")])
def test_every_value_that_a_preset_changes_has_a_source(name):
    changed = hardware_table.changed_fields(name)
    assert changed and all(hardware_table.sources(name).get(path) for path in changed)


def test_sources_are_read_from_the_right_line():
    """Three values of presets.py looked up by hand: first and last of a call, and one of a dictionary."""
    nominal, paper = hardware_table.sources("nominal"), hardware_table.sources("paper_4_2")
    assert nominal["ota.kappa"] == "V: sky130 at 10 nA"
    assert nominal["thermal.junction_v"] == "R: silicon diode at microamperes"
    assert paper["dac.bits"] == "P 4.2: 64 x 6 bit x 1 pJ = 384 pJ"
    assert hardware_table.split_source(nominal["ota.kappa"]) == ("SPICE or chips", "sky130 at 10 nA")
    assert hardware_table.split_source("P 4.2") == ("paper", "section 4.2")
    assert hardware_table.split_source("C") == ("chosen", "")
    assert hardware_table.split_source("programming trims it: see below") == ("", "programming trims it: see below")


def test_every_config_is_listed():
    page = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8")
    for path, line in list_configs(ROOT / "configs"):
        assert f"`{path}" in page
        assert line != "(no description)"


@pytest.mark.parametrize("path", [path for path, _ in list_configs(ROOT / "configs")])
def test_every_config_is_valid(path):
    config = load_config(str(ROOT / path))
    settings_class, _ = registry.find(config.experiment)
    assert from_config_dict(settings_class, config).experiment == config.experiment


def anchors(page):
    """What GitHub makes of the headings of a page: small letters, no marks, a hyphen for each space."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_the_pages_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        to = page.parent / target if target else page
        assert to.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(to), f"{page.name}: {to.name} has no heading for #{anchor}"


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index


def test_prose_keeps_to_the_width_of_the_code():
    for page in PAGES:
        lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
        long = [number for number, line in lines if len(line) > 120 and not line.startswith("|")]
        assert long == [], f"{page.name}: wrap these lines"
