"""The scenarios as a command: settings it refuses, the files of a run, and the exit code of the paper's numbers."""

from __future__ import annotations

import dataclasses
import json

import coarse_pages
import jax
import numpy as np
import pytest

from atis_jax.config import from_config_dict
from atis_jax.energy import paper as paper_numbers
from atis_jax.energy.deployments import DeploymentSpec, PointSpec, deployment_ledgers
from atis_jax.models.vit import ModelSpec
from atis_jax.report import page
from atis_jax.validation import SettingError, UserError
from configs.scenarios import get_config
from experiments.energy import paper, scenarios, verdict_table
from experiments.energy.settings import ScenariosSettings
from experiments.rundir import open_run

SENSOR = DeploymentSpec(network="own", source="pixels", preset="horowitz_45nm", kept=0.4, words="Patches as voltages.")
SETTINGS = ScenariosSettings(
    which=("sensor",),
    sensor_run="nowhere/sensor",
    maps=("dac_energy/bits",),
    map_scenario="camera",
    resolution=2,
    own=ModelSpec(stem="linear", depth=1, heads=2),
    draws=2000,
    codesigned=PointSpec(inputs=16, bits=4, projection="selection", core="settling"),
    camera=DeploymentSpec(network="deit_ti", preset="horowitz_45nm"),
    sensor=SENSOR,
    node=DeploymentSpec(network="bert_base", preset="horowitz_45nm_fp16"),
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"maps": ("dac_energy",)}, "'dac_energy' is not two axes; write 'across/up'"),
        ({"maps": ("bits/bits",)}, "is not two axes"),
        ({"maps": ("dac_enrgy/bits",)}, "did you mean 'dac_energy'"),
        ({"which": ()}, r"config.which = \(\) is empty"),
        ({"which": ("camera", "camera")}, "has 'camera' twice"),
        ({"which": ("lorry",)}, "config.which"),
        ({"resolution": 1}, "config.resolution = 1"),
        ({"own_side": 30}, "30"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, words):
    with pytest.raises(SettingError, match=words):
        dataclasses.replace(SETTINGS, **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One scenario, one map of the fewest values, a page drawn coarsely.

    Without the check of keys, of which there are none: it takes each of a hundred thousand operations through Python.
    """
    with pytest.MonkeyPatch.context() as patch, open_run(tmp_path_factory.mktemp("run") / "one", SETTINGS) as folder:
        patch.setattr(page, "save", coarse_pages.save)
        with jax.debug_key_reuse(False):
            return scenarios.run(SETTINGS, folder), folder.path


@pytest.mark.slow
def test_a_run_writes_its_files(finished):
    summary, path = finished
    stored = json.loads((path / "summary.json").read_text())
    assert stored["scenarios"][0]["measured"] == {"missing": "nowhere/sensor has no summary.json; run its config first"}
    assert stored["maps"][0]["x"]["own"] == pytest.approx(2.91e-13 / 8, rel=1e-6)
    assert {one["verdict"] for one in stored["paper"]} == {"as printed", "discrepancy"}
    with np.load(path / "artifacts.npz") as arrays:
        assert arrays["map0_dense"].shape == (len(arrays["map0_y"]), len(arrays["map0_x"])) == (10, 2)
    page = (path / "report.html").read_text(encoding="utf-8")
    for part in ("Who wins where", "Break-even maps", "Patches as voltages.", "nowhere/sensor has no summary.json"):
        assert part in page
    assert {"strip_who_wins.png", "joules.png", "tornado_twin.png", "break_even.png"} <= {
        file.name for file in (path / "figures").iterdir()
    }
    assert summary["timing"]["seconds"] > 0


@pytest.mark.slow
def test_factors_are_those_of_the_totals(finished):
    """Summary numbers against each other: a factor is the rival's total over the analog one's."""
    (one,) = finished[0]["scenarios"]
    for pair in one["against"]:
        ours, theirs = one["total_j"][pair["analog"]], one["total_j"][pair["rival"]]
        assert pair["total_factor"] == pytest.approx(theirs / ours)
        assert pair["wins"] is (ours < theirs)
        sure = pair["certainty"]
        assert sure["draws"] == SETTINGS.draws and sure["interval"][0] <= sure["wins"] <= sure["interval"][1]
        assert sum(one["ledger_j"][pair["analog"]].values()) == pytest.approx(ours, rel=1e-5)
        first = pair["constants"][0]
        assert pair["deciding"]["name"] == first["name"]
        assert pair["deciding"]["within_range"] is first["decides"] is ((first["low"] - 1) * (first["high"] - 1) < 0)
        assert first["range"][0] <= first["value"] <= first["range"][1]


@pytest.fixture
def quoted(tmp_path):
    """A finished run of raw pixels, the scenario and the design point it belongs to."""
    stored = {"accuracy": {"dense": 0.9}, "tokens": {"pruned_fraction": 0.6, "kept_per_layer": [0.4]}}
    config = {
        "scorer": {"inputs": 16, "differential": True},
        "energy": {"core": "settling", "token_time_s": 1e-6},
    }
    (tmp_path / "summary.json").write_text(json.dumps(stored))
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path, stored, DeploymentSpec(preset="horowitz_45nm", kept=0.4), PointSpec(inputs=16, differential=True)


def test_a_finished_run_of_raw_pixels_is_quoted(quoted):
    folder, stored, spec, point = quoted
    assert scenarios.measured_accuracy(str(folder), spec, point) == {"run": str(folder), **stored}
    assert scenarios.measured_accuracy(None, spec, point) is None


@pytest.mark.parametrize(
    ("of_spec", "of_point", "message"),
    [
        ({}, {"inputs": 12}, r"config.in_sensor.inputs = 12, but .*has 16; give both the same"),
        ({}, {"differential": False}, r"config.in_sensor.differential = False"),
        ({"kept": 0.5}, {}, r"config.sensor.kept = 0.5, but .*keeps 0.400"),
    ],
)
def test_a_run_of_another_design_is_not_quoted(quoted, of_spec, of_point, message):
    folder, _, spec, point = quoted
    with pytest.raises(UserError, match=message):
        scenarios.measured_accuracy(
            str(folder), dataclasses.replace(spec, **of_spec), dataclasses.replace(point, **of_point)
        )


def test_a_folder_that_is_no_run_is_named(quoted):
    folder, _, spec, point = quoted
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match="is no finished co-design run"):
        scenarios.measured_accuracy(str(folder), spec, point)


@pytest.mark.slow
def test_the_papers_numbers_are_reproduced(capsys):
    assert paper.main() == 0
    out = capsys.readouterr().out
    assert "reproduced" in out and "OFF" not in out


def test_a_number_that_is_off_is_named_and_fails(capsys, monkeypatch):
    """With another price of a conversion, 64 x 6 bit no longer cost the printed 384 pJ."""
    real = paper_numbers.energy_preset
    monkeypatch.setattr(
        paper_numbers, "energy_preset", lambda name: dataclasses.replace(real(name), dac_j_per_bit=2e-12)
    )
    assert paper.main() == 1
    found = capsys.readouterr()
    assert "OFF" in found.out
    assert "off: section 4.2, DACs, one token" in found.err


@pytest.mark.slow
def test_the_pages_verdicts_are_those_of_the_config():
    """Energies of docs/verdicts.json, worked out again: a ledger that charges otherwise needs the run again."""
    settings = from_config_dict(ScenariosSettings, get_config())
    told = {one["name"]: one["total_j"] for one in verdict_table.stored().summary["scenarios"]}
    assert set(told) == set(settings.which)
    for name in ("camera", "always_on"):
        found = deployment_ledgers(settings.scenario(name), settings.points(name), scenarios.own_shape(settings))
        for who, one in found.items():
            assert told[name][who] == pytest.approx(float(one.total_j), rel=1e-5), (name, who)


def test_verdicts_of_no_run_are_refused(tmp_path, capsys):
    assert verdict_table.main([str(tmp_path)]) == 2
    assert "no finished run" in capsys.readouterr().err
    (tmp_path / "summary.json").write_text(json.dumps({"scenarios": [{"against": [{}]}]}))
    assert verdict_table.main([str(tmp_path)]) == 2
    assert "no certainty" in capsys.readouterr().err
