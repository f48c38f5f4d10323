"""configs/fit.py from end to end: curves of a laboratory or of a simulator, a preset that a config can name."""

import io
import json
from decimal import Decimal

import numpy as np
import pytest
from fitting_cases import made_curve
from spice_marks import needs_ngspice

from atis_jax.fitting.curves import curves_csv, read_curves
from atis_jax.fitting.preset import fit_preset
from atis_jax.fitting.preset_file import read_preset
from experiments.final_table import final_table
from experiments.rundir import open_run
from experiments.settings import HardwareSpec
from experiments.spice import fit
from experiments.spice.settings import FitSettings, ProcessSpec

DEVICES = 12


def fitted(folder, settings):
    with open_run(folder, settings) as run:
        return fit.run(settings, run)


def laboratory(path, sigma_v=4e-3):
    """A dozen OTAs at 10 nA, 27 and 60 C, whose offsets are all that tells them apart; two more biases of one."""
    offsets_v = sigma_v * np.random.default_rng(2).standard_normal(DEVICES)
    curves = [made_curve(bias_a, 27.0, 1.02, 0.7, 0.0) for bias_a in (1e-9, 1e-7)]
    names = ["typical", "typical"]
    for celsius in (27.0, 60.0):
        curves += [made_curve(1e-8, celsius, 1.02, 0.7, offset_v) for offset_v in offsets_v]
        names += [f"device {number}" for number in range(DEVICES)]
    curves = [type(one)(**{**vars(one), "device": name}) for one, name in zip(curves, names, strict=True)]
    path.write_text(curves_csv(curves))
    return offsets_v


@pytest.mark.slow
def test_a_laboratorys_file_becomes_a_preset_with_its_spread(tmp_path):
    offsets_v = laboratory(tmp_path / "lab.csv")
    summary = fitted(tmp_path / "run", FitSettings(curves=str(tmp_path / "lab.csv"), name="lab"))
    groups = summary["fit"]["spread"]
    assert [(one["bias_a"], one["temperature_c"], one["devices"]) for one in groups] == [
        (1e-8, 27.0, DEVICES),
        (1e-8, 60.0, DEVICES),
    ]
    wanted_v = float(np.std(offsets_v, ddof=1))
    for one in groups:
        assert abs(one["spread"]["offset_sigma_v"]["value"] - wanted_v) < 1e-6
    found = read_preset(tmp_path / "run" / "hardware.json")
    assert found.name == "lab" and abs(float(found.ota.kappa) - 0.7) < 1e-4
    assert abs(float(found.ota.offset_sigma_v) - wanted_v) < 1e-6
    assert HardwareSpec(preset=str(tmp_path / "run" / "hardware.json")).build() == found
    settings = FitSettings()
    curves = read_curves(tmp_path / "lab.csv")
    assert fit_preset(curves, settings.base, name="lab", law=settings.law, additive=settings.additive) == found
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8").replace("\u00a0", " ")
    assert "10 nA, 27 °C" in page and "10 nA, 60 °C" in page
    assert "spread of 12 devices at each of 2 temperatures" in page


def in_nanoamperes(text):
    """The same file as a bench writes it: nA and mV, named in the header."""
    rows = ["device,bias_nA,temperature_C,voltage_mV,current_nA"]
    for line in text.splitlines()[1:]:
        device, bias_a, celsius, volts, amperes = line.split(",")
        told = (Decimal(one).scaleb(power) for one, power in ((bias_a, 9), (volts, 3), (amperes, 9)))
        bias_na, millivolts, nanoamperes = told
        rows.append(f"{device},{bias_na},{celsius},{millivolts},{nanoamperes}")
    return "\n".join(rows) + "\n"


def test_one_temperature_in_nanoamperes_and_millivolts_becomes_a_preset_and_a_report(tmp_path):
    """What the polynomials leave is then 1e-19 V, which no prefix reaches."""
    curves = [made_curve(bias_a, 27.0, 1.02, 0.7, 1e-3 * k) for k, bias_a in enumerate((1e-9, 1e-8, 1e-7))]
    (tmp_path / "lab.csv").write_text(in_nanoamperes(curves_csv(curves)))
    summary = fitted(tmp_path / "run", FitSettings(curves=str(tmp_path / "lab.csv"), name="lab"))
    assert [one["bias_a"] for one in summary["fit"]["parameters"]] == [1e-9, 1e-8, 1e-7]
    for one, offset_v in zip(summary["fit"]["parameters"], (0.0, 1e-3, 2e-3), strict=True):
        assert abs(one["kappa"] - 0.7) < 1e-6 and abs(one["offset_v"] - offset_v) < 1e-8
    assert summary["fit"]["left_by_the_law"]["offset_v"] < 1e-15
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8").replace("\u00a0", " ")
    assert "below 1.0 nV of the offset" in page and "× 10⁻¹" not in page
    assert "at most below 0.001 %" not in page and "Below, what it leaves of these: below 0.001 %" in page
    out = io.StringIO()
    final_table(summary, out)
    assert "below 0.001 %" in out.getvalue().replace("\u00a0", " ")


@pytest.mark.slow
def test_too_few_devices_tell_no_spread_and_the_base_keeps_its_own(tmp_path):
    (tmp_path / "lab.csv").write_text(curves_csv([made_curve(1e-8, 27.0, 1.02, 0.7, 1e-3)]))
    summary = fitted(tmp_path / "run", FitSettings(curves=str(tmp_path / "lab.csv"), base="pessimistic"))
    assert summary["fit"]["spread"] == []
    found, base = read_preset(tmp_path / "run" / "hardware.json"), HardwareSpec(preset="pessimistic").build()
    assert found.ota.offset_sigma_v == base.ota.offset_sigma_v and found.ota.kappa != base.ota.kappa
    assert "too few devices" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
@needs_ngspice
def test_a_simulators_curves_are_kept_and_fitted_again_to_the_same_preset(tmp_path):
    process = ProcessSpec(name="generic", biases_a=(1e-9, 1e-8, 1e-7), temperatures_c=(27.0, 60.0))
    settings = FitSettings(process=process, devices=8, spread_biases_a=(1e-8,))
    summary = fitted(tmp_path / "run", settings)
    assert summary["fit"]["generic"] and summary["fit"]["worst_rms_of_the_law"] < 0.01
    assert [one["devices"] for one in summary["fit"]["spread"]] == [8]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert page.count("Generic transistors:") == 2, "in the answer and beside the curves"
    again = fitted(tmp_path / "again", FitSettings(curves=str(tmp_path / "run" / "curves.csv")))
    fields, same = (json.dumps(one["fit"]["parameters"]) for one in (summary, again))
    assert fields == same
