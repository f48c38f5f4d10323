"""Yield, noise and temperature sweeps on a tiny trained run from start to end; one is broken off and gone on with."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json

import numpy as np
import pytest

from atis_jax.circuits import get_preset
from atis_jax.scoring.atis.calibration import CalibrationSpec
from atis_jax.validation import SettingError, UserError
from experiments.final_table import final_table
from experiments.montecarlo import arms, engine, noise_sweep, precision_sparsity, temperature_sweep, yields
from experiments.montecarlo.noise_sweep import NoiseSweepSettings
from experiments.montecarlo.precision_sparsity import PrecisionSettings
from experiments.montecarlo.settings import MonteCarloSpec
from experiments.montecarlo.table import CellTable, read_table
from experiments.montecarlo.temperature_sweep import TemperatureSweepSettings
from experiments.montecarlo.yields_settings import YieldSettings
from experiments.rundir import open_run

# The budget is of the whole process, and this one has run many other tests.
SMALL = MonteCarloSpec(chips=12, temperature_c=(0.0, 70.0), examples=40, batch_size=20, chunk=8, memory_mb=32768)


@contextlib.contextmanager
def full_room():
    """Room for every token: one program for all arms, where what is seen to be needed is not the question."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.Engine, "room", lambda self, arm, inputs: engine.full_room(arm, inputs[0]))
        yield


@pytest.fixture
def room_for_all():
    with full_room():
        yield


@pytest.fixture(scope="module")
def yielded(finished_run, tmp_path_factory):
    """The folder and the summary of a yield run that was left alone."""
    settings = YieldSettings(
        checkpoints=(str(finished_run),), calibrations=("none", "threshold+offset+table"), montecarlo=SMALL
    )
    with open_run(tmp_path_factory.mktemp("yield") / "run", settings) as folder, full_room():
        return folder.path, yields.run(settings, folder)


@pytest.mark.slow
def test_yield_end_to_end(yielded, capsys):
    path, summary = yielded
    final_table(summary)
    assert "as fabricated" in capsys.readouterr().out
    rows = read_table(path / "cells.csv")
    assert len(rows) == 2 * 12 * 2
    for number, found in enumerate(summary["yield"]):
        mine = rows[24 * number : 24 * (number + 1)]
        chips = [mine[2 * chip : 2 * chip + 2] for chip in range(12)]
        passed = sum(all(abs(r["gained"] - r["lost"]) / 40 <= 0.01 for r in chip) for chip in chips)
        assert found["within"]["passed"] == passed
        assert found["within"]["low"] <= found["within"]["fraction"] <= found["within"]["high"]
    assert len({found["ideal_accuracy"] for found in summary["yield"]}) == 1, "one perfect chip a design"
    fabricated, calibrated = (found["kept_std_of_chips"][0] for found in summary["yield"])
    assert calibrated < fabricated, "calibration brings the chips' kept fractions together"
    page = (path / "report.html").read_text()
    assert "as fabricated" in page and "threshold + offset + table" in page
    stored = json.loads((path / "summary.json").read_text())
    assert stored["montecarlo"]["memory"]["peak_resident_bytes"] <= stored["montecarlo"]["memory"]["budget_bytes"]


@pytest.mark.slow
def test_noise_sweep_end_to_end(finished_run, tmp_path, capsys):
    """With the room that its cells are seen to need."""
    settings = NoiseSweepSettings(
        checkpoint=str(finished_run), imperfections=("all", "offset", "current"), scales=(1.0, 16.0), montecarlo=SMALL
    )
    with open_run(tmp_path / "noise", settings) as folder:
        summary = noise_sweep.run(settings, folder)
    final_table(summary)
    assert "OTA offset alone, 16 times" in capsys.readouterr().out
    assert summary["absent"] == ["current"] and summary["scaled"] == ["all", "offset"]
    spread = {(p["imperfection"], p["scale"]): p["kept_std_of_chips"] for p in summary["noise"]}
    assert spread["offset", 16.0] > spread["offset", 1.0] > 0
    for point in summary["noise"]:
        changes = [
            (row["gained"] - row["lost"]) / row["examples"]
            for row in read_table(tmp_path / "noise" / "cells.csv")
            if (row["imperfection"], row["scale"]) == (point["imperfection"], point["scale"])
        ]
        by_chip = np.abs(changes).reshape(SMALL.chips, -1).max(axis=1)
        assert point["within"]["passed"] == np.sum(by_chip <= settings.limit + 1e-9)
        assert point["change_worst"] == pytest.approx(min(changes))
    assert "Zero on this hardware" in (tmp_path / "noise" / "report.html").read_text()
    absent = dataclasses.replace(settings, imperfections=("current",))
    with open_run(tmp_path / "absent", absent) as folder, pytest.raises(SettingError, match="has none of them"):
        noise_sweep.run(absent, folder)
    assert not (tmp_path / "absent").exists()


@pytest.mark.slow
def test_temperature_sweep_end_to_end(finished_run, room_for_all, tmp_path, capsys):
    settings = TemperatureSweepSettings(
        checkpoint=str(finished_run), biases=("ptat",), compensations=("none", "periodic"), montecarlo=SMALL
    )
    with open_run(tmp_path / "thermal", settings) as folder:
        summary = temperature_sweep.run(settings, folder)
    final_table(summary)
    assert "ptat, periodic" in capsys.readouterr().out
    assert {entry["bias"] for entry in summary["gm_change_per_10c"]} == {"ptat"}
    assert len(summary["temperature"]) == 2 * 2


def test_transconductance_moves_with_temperature_as_the_bias_has_it():
    """SPICE, NMOS 20 -> 30 C: +46.7, +33.7 and +21.8 % at 1, 10 and 100 nA; not at all behind a PTAT bias."""
    settings = TemperatureSweepSettings(biases=("fixed_charge", "ptat"))
    _, table = temperature_sweep.gm_changes(settings, get_preset("nominal"))
    gm = {(entry["bias"], entry["current_a"]): entry["change"] for entry in table}
    fixed = [gm["fixed_charge", current] for current in (1e-9, 1e-8, 1e-7)]
    assert fixed == pytest.approx([0.467, 0.337, 0.218], abs=0.03)
    assert gm["ptat", 1e-8] == pytest.approx(0.0, abs=0.01)


@pytest.mark.slow
def test_precision_sweep_end_to_end(finished_run, room_for_all, tmp_path, capsys):
    settings = PrecisionSettings(
        checkpoints=(str(finished_run),),
        dac_bits=(1, 6),
        programming_bits=(2, 8),
        calibration=CalibrationSpec(tokens=64),
        montecarlo=dataclasses.replace(SMALL, chips=3, temperature_c=(27.0,)),
    )
    with open_run(tmp_path / "precision", settings) as folder:
        summary = precision_sparsity.run(settings, folder)
    final_table(summary)
    assert "combinations of bits that hold" in capsys.readouterr().out
    with open(tmp_path / "precision" / "points.csv") as file:
        points = {(int(row["dac_bits"]), int(row["programming_bits"])): row for row in csv.DictReader(file)}
    assert len(points) == 4
    bits = {pair: float(row["effective_bits"]) for pair, row in points.items()}
    assert bits[6, 8] == max(bits.values()) and bits[1, 2] == min(bits.values())
    assert float(points[6, 8]["change_without_errors"]) == 0.0, "it is the perfect chip itself"
    rows = read_table(tmp_path / "precision" / "cells.csv")
    mine = [row for row in rows if row["dac_bits"] == 1 and row["programming_bits"] == 8 and row["errors"] == 1]
    change = sum((row["gained"] - row["lost"]) / 40 for row in mine) / 3
    assert float(points[1, 8]["change"]) == pytest.approx(change, abs=1e-6)
    assert "effective bits" in (tmp_path / "precision" / "report.html").read_text()


@pytest.mark.slow
def test_broken_off_and_gone_on_with(finished_run, yielded, room_for_all, tmp_path, monkeypatch):
    """Between two writes of the table; the second attempt ends with the bytes of the run left alone.

    Which measured calibrated chips too.
    """
    settings = YieldSettings(checkpoints=(str(finished_run),), calibrations=("none",), montecarlo=SMALL)
    place, append, written = tmp_path / "run", CellTable.append, []

    def once(table, rows):
        if written:
            raise KeyboardInterrupt
        append(table, rows)
        written.append(len(rows))

    with monkeypatch.context() as broken, open_run(place, settings) as folder, pytest.raises(KeyboardInterrupt):
        broken.setattr(CellTable, "append", once)
        yields.run(settings, folder)
    before = (place / "cells.csv").read_bytes().count(b"\n") - 1
    assert before == sum(written) == 8 and not (place / "summary.json").exists()
    with open_run(place, settings) as folder:
        yields.run(settings, folder)
    alone = (yielded[0] / "cells.csv").read_bytes().splitlines()
    assert len(alone) == 1 + 2 * 24 and (place / "cells.csv").read_bytes().splitlines() == alone[: 1 + 24]
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (yielded[0], place)]
    assert summaries[0]["yield"][:1] == summaries[1]["yield"]
    assert summaries[1]["montecarlo"]["cells_computed_here"] == 24 - before


def test_runs_that_cannot_be_measured_are_named(tmp_path):
    with pytest.raises(SettingError, match="must name at least one run folder"):
        arms.load_runs([])
    with pytest.raises(UserError, match="holds no co-design run"):
        arms.load_runs([str(tmp_path)])
