"""A finished run out to every target and back: the same design, the same decisions, nothing lost between calls."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from atis_jax.circuits.presets import get_preset
from atis_jax.export.bundle import leaves_of
from atis_jax.export.errors import ExportError
from atis_jax.export.store import read_bundle
from atis_jax.validation import UserError
from experiments.export import experiment, retarget
from experiments.export.bundle import bundle_from
from experiments.export.settings import ExportSettings, RetargetSettings
from experiments.rundir import open_run
from experiments.spice.gates import failing
from experiments.spice.settings import ProcessSpec
from experiments.trained_run import load_trained

PROCESS = ProcessSpec(name="generic", biases_a=(1e-9, 1e-8, 1e-7), temperatures_c=(27.0,))


@pytest.fixture(scope="module")
def settings(finished_run):
    return ExportSettings(
        checkpoint=str(finished_run), chips=2, tokens=16, token_images=16, transient_tokens=0, process=PROCESS
    )


def launched(settings, path):
    with open_run(path, settings) as folder:
        experiment.run(settings, folder)
    return json.loads((path / "summary.json").read_text())


@pytest.mark.slow
def test_the_run_itself_ends_with_its_bundle(finished_run):
    run = load_trained(finished_run)
    found = read_bundle(finished_run / "export")
    mine = leaves_of(bundle_from(run.settings, run.trained, finished_run).design)
    assert {name: leaf.tobytes() for name, leaf in leaves_of(found.design).items()} == {
        name: leaf.tobytes() for name, leaf in mine.items()
    }
    told = json.loads((finished_run / "summary.json").read_text())
    assert found.accuracy["after_quantisation"] == told["accuracy"]["ideal"] == told["bundle"]["after_quantisation"]
    assert found.hardware == get_preset("nominal")


@pytest.mark.slow
def test_targets_are_made_one_after_the_other_and_stay(settings, tmp_path):
    """Without a simulator: the netlist is written and read back, not played."""
    path = tmp_path / "out"
    first = launched(dataclasses.replace(settings, target="rasp"), path)
    assert set(first["export"]["targets"]) == {"bundle", "rasp"}
    again = launched(dataclasses.replace(settings, target="spice", simulate=False), path)
    last = launched(dataclasses.replace(settings, target="an231e04"), path)
    assert set(again["export"]["targets"]) < set(last["export"]["targets"]) == {"bundle", "rasp", "spice", "an231e04"}
    assert last["export"]["targets"]["rasp"] == first["export"]["targets"]["rasp"]
    assert failing(path) == [] and len(last["gates"]) == 6
    assert "closed_loop" not in last["export"]["targets"]["spice"]
    for name in ("bundle/design.json", "rasp/layer1.blif", "spice/layer1/scorer.spice", "an231e04/layer1_guide.md"):
        assert (path / name).stat().st_size > 0
    with np.load(path / "artifacts.npz") as arrays:
        assert {len(arrays[f"export_{name}_chips"]) for name in last["export"]["targets"]} == {2}
    page = (path / "report.html").read_text(encoding="utf-8")
    assert "RASP 3.0" in page and "AN231E04" in page


def test_without_a_simulator_the_way_out_is_named(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("NGSPICE", "/nowhere/ngspice")
    with pytest.raises(UserError, match="not an executable.*config.simulate = False"):
        launched(dataclasses.replace(settings, target="spice"), tmp_path / "out")
    assert not (tmp_path / "out" / "bundle").exists()


def test_a_damaged_bundle_is_not_taken_for_one(finished_run, tmp_path):
    shutil.copytree(finished_run / "export", tmp_path / "export")
    document = json.loads((tmp_path / "export" / "design.json").read_text())
    document["layers"][0]["scores"][0]["threshold"]["unit"] = "mV"
    (tmp_path / "export" / "design.json").write_text(json.dumps(document))
    with pytest.raises(ExportError, match=r"layers\[0\].scores\[0\].threshold.unit = 'mV' must be 'V'"):
        read_bundle(tmp_path / "export")


@pytest.mark.slow
def test_a_chip_is_reprogrammed_to_its_own_design_without_a_write(finished_run, tmp_path):
    settings = RetargetSettings(old=str(finished_run), new=str(finished_run), chips=2, tokens=64)
    with open_run(tmp_path / "out", settings) as folder:
        told = retarget.run(settings, folder)["retarget"]
    assert (told["written"], told["erased_arrays"], told["time_s"]) == (0, 0, 0.0)
    # The same design: what is carried is what was measured.
    new = read_bundle(tmp_path / "out" / "new").calibration
    old = read_bundle(tmp_path / "out" / "old").calibration
    np.testing.assert_allclose(new.threshold_v, old.threshold_v, rtol=1e-5, atol=1e-7)
    arms = {arm["arm"]: arm for arm in told["arms"]}
    assert arms["carried"]["decisions_equal"] == arms["calibrated anew"]["decisions_equal"]
