"""The file of a fitted preset: back as it was written, refused when it is another, named in a config."""

import dataclasses
import json
import math

import pytest
from fitting_cases import reference_fits
from hypothesis import given, settings
from hypothesis import strategies as st

from atis_jax.circuits.hardware import flatten_hardware, with_fields
from atis_jax.circuits.presets import PRESETS, get_preset
from atis_jax.circuits.systematic import Systematic
from atis_jax.config import as_dict, config_hash, from_config_dict
from atis_jax.energy.spec import EnergySpec
from atis_jax.fitting.law import fit_law
from atis_jax.fitting.preset_file import fitted_hardware, named_hardware, preset_json, preset_with_digest, read_preset
from atis_jax.validation import SettingError
from experiments.settings import CodesignSettings, HardwareSpec

FIELDS = {
    "ota.kappa": 0.7123456789012345,
    "ota.law": "ekv",
    "dac.bits": None,
    "comparator.reference_bits": 7,
    "ota.systematic": Systematic(((0.1, 1e-300), (-0.2,)), (), ((1e-3,),)),
}


def content(**changed):
    """A good file's content with some of it changed; None takes a part out."""
    whole = json.loads(preset_json("nominal", "bench 3", FIELDS, {"curves": 12}))
    return {name: value for name, value in (whole | changed).items() if value is not None}


def saved(folder, of):
    path = folder / "hardware.json"
    path.write_text(of if isinstance(of, str) else json.dumps(of))
    return path


def codesign(hardware):
    return CodesignSettings(
        hardware=hardware, energy=EnergySpec(preset="horowitz_45nm", weights="sram_1m", tokens="sram_32k")
    )


@pytest.mark.parametrize("base", PRESETS)
def test_a_preset_comes_back_as_it_was_written(tmp_path, base):
    path = saved(tmp_path, preset_json(base, "bench 3", FIELDS, {}))
    found = read_preset(path)
    assert found == fitted_hardware(get_preset(base), "bench 3", FIELDS)
    changed = {
        name for name, value in flatten_hardware(found).items() if value != flatten_hardware(get_preset(base)).get(name)
    }
    assert changed <= {"name", *FIELDS, *(f"ota.systematic.{f.name}" for f in dataclasses.fields(Systematic))}
    assert found.ota.kappa == 0.7123456789012345 and found.ota.systematic == FIELDS["ota.systematic"]


def test_a_fitted_law_comes_back_as_it_was_written(tmp_path):
    fields = fit_law(reference_fits(), get_preset("sky130_130nm")).fields
    path = saved(tmp_path, preset_json("sky130_130nm", "typical", fields, {}))
    assert read_preset(path) == with_fields(get_preset("sky130_130nm"), {"name": "typical", **fields})


def test_a_file_of_the_first_schema_has_no_change_with_the_supply(tmp_path):
    first = {"kappa": [[0.0, 1e-4]], "offset_v": [[1e-3]]}
    found = read_preset(saved(tmp_path, content(schema=1, fields={"ota.systematic": first})))
    assert found.ota.systematic == Systematic(kappa=((0.0, 1e-4),), offset_v=((1e-3,),))
    later = content(schema=1, fields={"ota.systematic": first | {"kappa_per_v": [[1e-3]]}})
    with pytest.raises(
        SettingError, match="ota.systematic must be a table with log_current, kappa, offset_v, additive"
    ):
        read_preset(saved(tmp_path, later))


def test_what_json_cannot_hold_is_not_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        preset_json("nominal", "x", {"ota.kappa": math.nan}, {})


@pytest.mark.parametrize(
    ("of", "told"),
    [
        ("{", "holds no fitted hardware .*give one of the presets ideal, paper_4_2"),
        (["a list"], "is no fitted hardware: its 'format' is not 'atis_jax fitted hardware'"),
        (content(format="atis_jax design bundle"), "is no fitted hardware: its 'format' is not"),
        (content(format=None), "is no fitted hardware: its 'format' is not"),
        (content(schema=3), "has schema 3, this version reads 2; update atis_jax, or fit anew"),
        (content(schema=None), "has schema None, this version reads 2"),
        (content(name=None), "lacks 'name'; fit anew"),
        (content(base=None), "lacks 'base'; fit anew"),
        (content(fields=None), "lacks 'fields'; fit anew"),
        (content(base="nominel"), "base = 'nominel' is not one of: ideal, .*did you mean 'nominal'"),
        (content(fields={"ota.kapa": 0.7}), "hardware has no field 'ota.kapa'; the nearest is 'ota.kappa'"),
        (content(fields={"ota": 0.7}), "ota = 0.7 must be a table of its own fields"),
        (
            content(fields={"ota.systematic": {"kappa": [[True]]}}),
            "ota.systematic.kappa = .*must be a list of lists of",
        ),
        (
            content(fields={"ota.systematic": {"kappa": [["0.7"]]}}),
            "ota.systematic.kappa = .*must be a list of lists of",
        ),
        (content(fields={"ota.systematic": {"kappa": "12"}}), "ota.systematic.kappa = .*must be a list of lists"),
        (content(fields=[1, 2]), r"fields = \[1, 2\] must be a table"),
        (content(schema=True), "has schema True, this version reads 2"),
        (content(name=[]), r"name = \[\] must be a text"),
        (content(base=["nominal"]), r"base = \['nominal'\] must be a text"),
        ("[" * 100_000, "holds no fitted hardware .*more than 64 tables and lists inside each other"),
        (content() | {"fields": {"ota.kappa_per_k": math.nan}}, "holds NaN, which is no number"),
        ('{"schema": 1, "schema": 1}', "names 'schema' twice in one table"),
        (" " * 2**21, "has 2,097,152 bytes or more"),
        (content(fields={"ota.kappa": 1.4}), "ota.kappa = 1.4 must be above 0 and at most 1"),
        (content(fields={"ota.law": "tahn"}), "ota.law = 'tahn' is not one of linear, tanh"),
        (content(fields={"ota.systematic": {"gain": [[1.0]]}}), "ota.systematic must be a table with log_current"),
        (content(fields={"ota.systematic": [[1.0]]}), "ota.systematic must be a table with log_current"),
    ],
)
def test_a_file_that_is_no_preset_is_refused_by_name(tmp_path, of, told):
    path = saved(tmp_path, of)
    with pytest.raises(SettingError, match=f"{path}'.*({told})"):
        read_preset(path)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("ota.kappa", "0.7", "a number"),
        ("ota.kappa", True, "a number"),
        ("ota.kappa", None, "a number"),
        ("ota.kappa", [0.7], "a number"),
        ("dac.bits", 6.5, "a whole number"),
        ("thermal.bias", 3, "a name"),
        ("max_inputs", None, "a whole number"),
    ],
)
def test_a_value_of_another_kind_is_refused(tmp_path, field, value, words):
    path = saved(tmp_path, content(fields={field: value}))
    with pytest.raises(SettingError) as raised:
        read_preset(path)
    assert str(raised.value) == f"{str(path)!r}: {field} = {value!r} must be {words}"


LEAVES = [True, 0, -1, 2.5, 1e300, "", "x", None, [], {}, [[[]]], [["x"]], 10**17]


@settings(max_examples=60)
@given(field=st.sampled_from([*flatten_hardware(get_preset("nominal")), "ota"]), value=st.sampled_from(LEAVES))
def test_any_value_of_any_field_is_taken_as_it_is_or_refused(tmp_path_factory, field, value):
    path = saved(tmp_path_factory.mktemp("preset"), content(fields={field: value}))
    try:
        found = read_preset(path)
    except SettingError:
        return
    assert repr(flatten_hardware(found)[field]) == repr(value)


def test_what_is_no_file_is_not_read(tmp_path):
    path = tmp_path / "zero.json"
    path.symlink_to("/dev/zero")
    for reader in (read_preset, preset_with_digest, named_hardware):
        with pytest.raises(SettingError, match="zero.json.*is no regular file"):
            reader(str(path))


def test_a_file_that_is_not_there_names_the_presets(tmp_path):
    with pytest.raises(SettingError, match="gone.json.*presets ideal.*configs/fit.py"):
        read_preset(tmp_path / "gone.json")
    with pytest.raises(SettingError, match="hardware.preset = .*gone.json' cannot be read"):
        preset_with_digest(str(tmp_path / "gone.json"))


def test_a_path_with_its_digest_is_read_until_the_file_changes(tmp_path):
    path = saved(tmp_path, content())
    mark = preset_with_digest(str(path))
    assert mark.startswith(f"{path}#sha256:") and preset_with_digest(mark) == mark
    assert named_hardware(mark) == named_hardware(str(path)) == read_preset(path)
    saved(tmp_path, content(provenance={"curves": 13}))
    assert named_hardware(str(path)) == read_preset(path)
    with pytest.raises(
        SettingError, match="hardware.json' has changed since this run was made .*put the old file back"
    ):
        named_hardware(mark)
    path.unlink()
    with pytest.raises(SettingError, match="hardware.json' cannot be read"):
        named_hardware(mark)


@pytest.mark.parametrize("name", PRESETS)
def test_names_stay_names(name):
    assert preset_with_digest(name) == name
    assert named_hardware(name) == get_preset(name)


def test_a_misspelt_name_lists_the_presets():
    assert preset_with_digest("nominel") == "nominel"
    with pytest.raises(ValueError, match="hardware.preset = 'nominel' is not one of: .*did you mean 'nominal'"):
        named_hardware("nominel")


def test_a_config_takes_the_file_and_comes_back_from_its_json(tmp_path):
    path = saved(tmp_path, content())
    spec = HardwareSpec(preset=str(path), dac_bits=5)
    assert spec.build() == with_fields(read_preset(path), {"dac.bits": 5})
    settings = codesign(spec)
    stored = json.loads(json.dumps(as_dict(settings)))
    again = from_config_dict(CodesignSettings, stored)
    assert again == settings and config_hash(again) == config_hash(settings)
    assert again.hardware.build() == spec.build()
    assert stored["hardware"]["preset"] == preset_with_digest(str(path))


def test_a_config_of_another_files_content_is_another_run_and_the_old_one_is_refused(tmp_path):
    path = saved(tmp_path, content())
    first = codesign(HardwareSpec(preset=str(path)))
    stored = as_dict(first)
    saved(tmp_path, content(fields={"ota.kappa": 0.65}))
    assert config_hash(codesign(HardwareSpec(preset=str(path)))) != config_hash(first)
    with pytest.raises(SettingError, match="config.hardware: hardware.preset = .* has changed since this run was made"):
        from_config_dict(CodesignSettings, stored)


def test_a_bad_file_in_a_config_names_the_section(tmp_path):
    path = saved(tmp_path, content(fields={"ota.kappa": 1.4}))
    with pytest.raises(SettingError, match="config.hardware: .*hardware.json': .*ota.kappa = 1.4"):
        HardwareSpec(preset=str(path))
