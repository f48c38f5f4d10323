"""A finished run's ledger under other prices: its own where nothing is changed, no run's where it is."""

from __future__ import annotations

import json

import pytest

from atis_jax.energy.presets import energy_preset
from atis_jax.energy.spec import EnergySpec
from atis_jax.validation import UserError
from experiments.energy.reprice import changed, ledgers, main, table

pytestmark = pytest.mark.usefixtures("quick_to_compile")


def test_without_a_change_it_is_the_summarys(finished_run):
    summary = json.loads((finished_run / "summary.json").read_text())["energy"]
    _, found = ledgers(finished_run, [])
    assert float(found["run (analog)"].total_j) == pytest.approx(summary["total_j"], rel=1e-6)
    assert float(found["dense"].total_j) == pytest.approx(summary["dense_j"], rel=1e-6)
    assert float(found["folded"].total_j) == pytest.approx(summary["digital_folded_j"], rel=1e-6)
    for line, value in found["run (analog)"].as_dict().items():
        assert float(value) == pytest.approx(summary["ledger_j"][line], rel=1e-5, abs=1e-30)


def test_another_preset_and_a_memory_are_charged(finished_run):
    energy, found = ledgers(finished_run, ["preset=jouppi_7nm", "weights=sram_1m", "batch=4"])
    assert energy == EnergySpec(preset="jouppi_7nm", weights="sram_1m", batch=4)
    ratio = energy_preset("jouppi_7nm").network_mac_j / energy_preset("horowitz_45nm").network_mac_j
    before = json.loads((finished_run / "summary.json").read_text())["energy"]["ledger_j"]
    assert float(found["run (analog)"].mlp_j) == pytest.approx(ratio * before["mlp"], rel=1e-5)
    assert float(found["run (analog)"].weights_j) == float(found["dense"].weights_j) > 0 == before["weights"]


def test_the_table_has_the_lines_that_somebody_pays_and_their_nodes(finished_run):
    _, found = ledgers(finished_run, [])
    text = table(found, "horowitz_45nm")
    rows = {line.split()[0]: line for line in text.splitlines()[1:]}
    assert "attention" in rows and "cache" not in rows and "sensor_adc" not in rows
    assert rows["attention"].split()[-1] == "45"
    assert text.splitlines()[0].split() == ["run", "(analog)", "digital", "folded", "dense", "nodes", "(nm)"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["preset=horowitz"], "energy.preset = 'horowitz' is not one of"),
        (["wieghts=dram"], "energy.wieghts does not exist; did you mean 'weights'"),
        (["weights"], "'weights' is not field=value"),
        (["batch=0"], "energy.batch = 0 is below its lower bound 1"),
    ],
)
def test_mistakes_are_named(given, message):
    with pytest.raises(UserError, match=message):
        changed(EnergySpec(preset="paper_4_2"), given)


def test_the_command_prints_or_explains(finished_run, tmp_path, capsys):
    assert main([str(finished_run), "weights=dram"]) == 0
    assert "weights=dram" in capsys.readouterr().out
    assert main([str(tmp_path)]) == 2
    assert "holds no co-design run" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([])
