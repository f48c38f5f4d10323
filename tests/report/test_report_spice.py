"""Pages of runs about circuits: what they show of SPICE, fits and exports, and what they refuse to show."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest
from fake_run import edit_arrays, edit_json, write_json

from atis_jax.report import ReportError, style
from atis_jax.report.errors import Absent
from atis_jax.report.formatting import equal_words
from atis_jax.report.gates import bound_words, read_gates, value_words
from atis_jax.report.run_files import RunFiles, experiment_of
from atis_jax.report.run_files import read_run as read_files
from atis_jax.report.section import Picture
from atis_jax.report.style import drawing
from experiments import registry
from experiments.export.figures.closed_loop import closed_loop
from experiments.export.figures.in_time import in_time
from experiments.export.figures.targets import target_accuracy, target_needs
from experiments.export.strips import export_words
from experiments.report import report_again
from experiments.spice.figures.arrays import array_sums, spread
from experiments.spice.figures.fitted import fitted_curves, fitted_preset, law_residuals
from experiments.spice.figures.gates import gates
from experiments.spice.figures.ota import noise_spectra, single_ota
from experiments.spice.strips import fit_words, validation_words

BIASES_A = (1e-9, 1e-7)


def plain(text):
    return text.replace("\u00a0", " ")


def contents_of(run):
    return registry.contents_of(experiment_of(run))


def read_run(run) -> RunFiles:
    return read_files(run, contents_of(run).arrays)


def build(builder, run):
    with drawing():
        return builder(read_run(run))


def gate(name, value, low=None, high=None, unit="%", what=None):
    passed = (low is None or value >= low) and (high is None or value <= high)
    return {
        "name": name,
        "what": what or f"what {name} is",
        "value": value,
        "low": low,
        "high": high,
        "unit": unit,
        "passed": passed,
    }


@pytest.fixture
def validation(tmp_path):
    """Two biases, arrays of 2 and 8 OTAs whose errors are known, 40 devices of known spread."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "spice"
    folder.mkdir()
    volts = np.linspace(-0.15, 0.15, 31)
    curve = np.tanh(volts / 0.07) * np.ones((2, 1))
    sums = rng.uniform(-0.5, 0.5, (2, 6))
    errors = np.array([[2e-3], [5e-4]]) * np.where(rng.random((2, 6)) > 0.5, 1, -1)
    devices = rng.normal(0, 1, (40, 2))
    devices = (devices - devices.mean(0)) / devices.std(0, ddof=1) * [4e-3, 0.08] + [1e-3, 0.05]
    gm = np.array([[1.5e-8, 1.2e-8], [1.3e-6, 1.1e-6]])
    np.savez(
        folder / "artifacts.npz",
        spice_v=volts,
        spice_bias_a=np.array(BIASES_A),
        spice_curve=curve,
        spice_model=curve + np.array([[1e-3], [2e-3]]),
        spice_c=np.array([0.0, 80.0]),
        spice_gm=gm,
        spice_gm_model=gm * [[1.0, 1.0], [1.02, 1.01]],
        spice_sum_inputs=np.array([2, 8]),
        spice_sum=sums,
        spice_sum_model=sums + errors,
        spice_devices=np.stack([devices, devices]),
        spice_chips=rng.normal(0, [4e-3, 0.08], (2, 80, 2)),
        spice_noise_hz=np.logspace(0, 6, 7),
        spice_noise=np.array([[30.0, 3.0, 1.1, 1.0, 1.0, 1.0, 1.0], [300.0, 30.0, 3.0, 1.1, 1.0, 1.0, 1.0]]),
    )
    found = [
        gate("law", 0.145, high=0.15),
        gate("sum_2_0", 0.3, high=0.5),
        gate("sum_2_27", 0.2, high=0.5),
        gate("sum_8_0", 0.07, high=0.5),
        gate("sum_8_27", 0.05, high=0.5),
        *(gate(f"offset_sigma_v_{b:g}", 4.1, 3.2, 4.5, "mV") for b in BIASES_A),
        *(gate(f"log_current_sigma_{b:g}", 7.9, 7.0, 9.0) for b in BIASES_A),
        gate("noise_1e-09", 1.02, 0.85, 1.15, ""),
        gate("noise_1e-07", 1.1, 0.85, 1.15, ""),
    ]
    spice = {"simulator": "ngspice-39", "process": "sky130 tt", "generic": False, "curves": 24}
    write_json(folder / "summary.json", {"experiment": "spice_validation", "spice": spice, "gates": found})
    write_json(folder / "config.json", {"experiment": "spice_validation", "seed": 0, "single_biases_a": list(BIASES_A)})
    return folder


@pytest.fixture
def fit(tmp_path):
    folder = tmp_path / "fit"
    folder.mkdir()
    volts = np.linspace(-0.15, 0.15, 31)
    curve = np.tanh(volts / 0.07) * np.ones((3, 1))
    places = [(1e-9, 0.0), (1e-9, 60.0), (1e-8, 0.0), (1e-8, 60.0)]
    residual = np.array([[5e-4, 6e-4], [7e-4, 9e-4], [4e-4, 4e-4], [3e-4, 3.5e-4]])
    np.savez(
        folder / "artifacts.npz",
        fit_v=volts,
        fit_curve=curve,
        fit_model=curve + 1e-3,
        fit_bias_a=np.array([1e-9, 1e-9, 1e-8]),
        fit_c=np.array([0.0, 60.0, 60.0]),
        fit_residual=residual,
    )
    parameters = [
        {
            "device": "typical",
            "bias_a": bias_a,
            "temperature_c": celsius,
            "current_a": 1.02 * bias_a,
            "kappa": 0.7,
            "offset_v": -1e-3,
            "additive": 0.0,
            "rms": alone,
            "law_rms": law,
        }
        for (bias_a, celsius), (alone, law) in zip(places, residual.tolist(), strict=True)
    ]
    interval = {"value": 0.004, "low": 0.0038, "high": 0.0042}
    told = {
        "preset": "hardware.json",
        "source": "ngspice-39, sky130 tt",
        "curves": 4,
        "worst_rms_of_a_fit": 7e-4,
        "worst_rms_of_the_law": 9e-4,
        "left_by_the_law": {"log_current": 1e-4, "kappa": 2e-4, "offset_v": 3e-6, "additive": 0.0},
        "devices": [1000, 1000],
        "parameters": parameters,
        "spread": [
            {"bias_a": bias_a, "temperature_c": 27.0, "devices": 1000, "spread": {"offset_sigma_v": interval}}
            for bias_a in (1e-9, 1e-8)
        ],
        "fields": {"ota.kappa": 0.69, "ota.offset_sigma_v": 0.0039, "ota.something_new": 2.5},
    }
    write_json(folder / "summary.json", {"experiment": "fit", "fit": told})
    write_json(folder / "config.json", {"experiment": "fit", "curves": None})
    return folder


@pytest.fixture
def export(tmp_path):
    """All four targets; of three layers the last two are scored, five tokens each."""
    folder = tmp_path / "export"
    folder.mkdir()
    chips = np.array([0.95, 0.96, 0.95])
    model_v = np.array([-0.2, -0.05, 0.004, 0.1, 0.3])[:, None]
    keep = model_v > 0
    arrays = {f"export_{name}_chips": chips for name in ("bundle", "spice", "rasp", "an231e04")}
    for layer in (1, 2):
        arrays |= {
            f"loop{layer}_spice_v": model_v + 1e-3,
            f"loop{layer}_model_v": model_v,
            f"loop{layer}_keep": keep if layer == 1 else model_v > 0.01,
            f"loop{layer}_zone_v": np.array([0.01]),
            f"loop{layer}_threshold_v": np.array([0.0]),
        }
    np.savez(folder / "artifacts.npz", **arrays)
    read = {
        "perfect": 0.955,
        "hardware_mean": float(chips.mean()),
        "hardware_std": float(chips.std()),
        "hardware_worst": 0.95,
        "chips": 3,
        "decisions_equal": 0.995,
    }
    loops = [
        {
            "layer": layer + 1,
            "tokens": 5,
            "equal_fraction": equal,
            "unequal_outside_zone": 0,
            "grey_zone_v": [0.01],
            "inside_zone_fraction": 0.2,
            "needed_zone_v": 0.0 if equal == 1 else 0.004,
            "score_rms_error_v": 1e-3,
            "score_std_v": 0.17,
            "spice_s": 8.0,
            "model_s": 8e-5,
            "speed_ratio": 1e5,
        }
        for layer, equal in ((1, 1.0), (2, 0.8))
    ]
    budget = {"ota": 34, "fgota": 1, "cabs": 34, "cabs_of_chip": 98, "pads": 35, "pads_of_chip": 39, "fits": True}
    billed = {"layer": 2, "fraction": 1.0, "token_s": 7.7e-6, "bits": 4, "unequal_to_settled": 0}
    billed |= {"rms_from_settled_v": 1e-3, "unequal_with_residue": 0, "rms_with_residue_v": 4e-4}
    early = {**billed, "fraction": 0.2, "token_s": 1.54e-6, "unequal_to_settled": 3, "rms_from_settled_v": 17e-3}
    targets = {
        "an231e04": {
            "folder": "an231e04",
            **read,
            "layers": {"layer2": {"chips": [6], "gain_rms_error": [0.0016]}},
            "power": "Hundreds of milliwatts.",
            "not_made": [".ad2 projects"],
        },
        "bundle": {"folder": "bundle", **read},
        "rasp": {
            "folder": "rasp",
            **read,
            "scale": 1.49,
            "budget": {"layer2": budget, "layer3": budget},
            "cabs_all_layers": 102,
            "checked": "syntax; not placed",
            "not_made": [".swcs switch addresses"],
            "references_v": {"layer2": [0.02417], "layer3": [-0.17]},
        },
        "spice": {
            "folder": "spice",
            **read,
            "process": "sky130 tt",
            "generic": False,
            "simulator": "ngspice-39",
            "closed_loop": loops,
            "in_time": [billed, {**billed, "layer": 3}, early],
        },
    }
    accuracy = {"before_quantisation": 0.957, "after_quantisation": 0.956, "examples": 1910, "hardware_mean": 0.954}
    accuracy |= {"hardware_std": 0.001, "hardware_worst": 0.951, "chips": 64}
    told = {"checkpoint": "runs/quickstart", "accuracy": accuracy, "targets": targets}
    found = [gate("bundle:bits", 1.0, low=1.0, unit=""), gate("spice:closed_loop_equal", 90.0, low=99.0)]
    write_json(folder / "summary.json", {"experiment": "export", "export": told, "gates": found})
    write_json(folder / "config.json", {"experiment": "export", "seed": 0})
    return folder


def edit_target(run, name, **changes):
    told = read_run(run).summary["export"]
    told["targets"][name] |= changes
    edit_json(run / "summary.json", export=told)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["validation", "fit", "export"])
def test_page_has_every_section(which, request, monkeypatch):
    run = request.getfixturevalue(which)
    monkeypatch.setattr(style, "DPI", 40)
    html = report_again(run).read_text()
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    entries = contents_of(run).sections
    assert headings == [*(entry.title for entry in entries), "Configuration and software"]
    for entry in entries:
        for name in entry.figures:
            assert (run / "figures" / f"{name}.png").stat().st_size > 1000
    assert "Generic transistors" not in html


@pytest.mark.parametrize(
    ("which", "builder"),
    [
        ("validation", gates),
        ("validation", single_ota),
        ("validation", array_sums),
        ("validation", spread),
        ("validation", noise_spectra),
        ("fit", fitted_curves),
        ("fit", law_residuals),
        ("fit", fitted_preset),
        ("export", target_accuracy),
        ("export", target_needs),
        ("export", closed_loop),
    ],
)
def test_without_data_a_section_is_absent(which, builder, request):
    run = request.getfixturevalue(which)
    edit_json(run / "summary.json", gates=None, fit=None, export=None)
    (run / "artifacts.npz").unlink()
    with pytest.raises(Absent):
        build(builder, run)


@pytest.mark.parametrize(
    ("mean", "verdict"), [(0.954, "RASP 3.0 does not differ"), (0.92, "RASP 3.0 loses (3.6 points less accurate)")]
)
def test_the_strip_of_an_export_says_which_target_loses(export, mean, verdict):
    """One standard error of 95.6 % on 1,910 images is 0.5 points."""
    edit_target(export, "rasp", hardware_mean=mean)
    strip = build(contents_of(export).strip, export)
    others = "bundle does not differ, SPICE does not differ"
    assert verdict in plain(strip.sentence) and others in plain(strip.sentence)
    (axes,) = strip.pictures[0].figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["the design", "bundle", "SPICE", "RASP 3.0", "AN231E04"]
    assert plain(axes.texts[0].get_text()) == "95.6 %"
    assert plain(strip.numbers[0].value) == "1 of 2" and strip.note == ""


def test_strips_of_circuits_are_a_sentence_and_few_numbers(validation, fit):
    strip = build(contents_of(validation).strip, validation)
    assert plain(strip.sentence).startswith("All 11 gates hold.") and strip.numbers[0].value == "11 of 11"
    edit_json(validation / "summary.json", spice={"generic": True})
    warned = build(contents_of(validation).strip, validation)
    assert warned.note.startswith("Generic transistors") and warned.sentence == strip.sentence
    assert [plain(number.value) for number in build(contents_of(fit).strip, fit).numbers] == [
        "0.09 %",
        "0.07 %",
        "4 curves",
    ]


def test_failing_gates_come_first_and_are_named(export):
    (table,) = build(gates, export).pictures
    assert plain(table.caption).endswith("1 of 2 fail and come first.")
    assert [plain(cell) for cell in table.table[1]] == [
        "what spice:closed_loop_equal is",
        "90 %",
        "at least 99 %",
        "FAILS",
    ]
    assert table.table[2][-1] == "holds"
    assert "1 of 2 gates hold. Failing: what spice:closed_loop_equal is (90 %, bound: at least 99 %)." in plain(
        export_words(read_run(export))
    )


def test_a_gate_that_just_fails_is_not_printed_as_its_bound(validation):
    told = [gate("a", 99.99996, low=100.0), gate("b", 0.15002, high=0.15), gate("c", 0.5, 0.5, 0.5), gate("d", 3.0)]
    told += [gate("e", 1.2e-15, high=0.5)]
    edit_json(validation / "summary.json", gates=told)
    shown = {one.name: (plain(value_words(one)), plain(bound_words(one))) for one in read_gates(read_run(validation))}
    assert shown == {
        "a": ("99.99996 %", "at least 100 %"),
        "b": ("0.15002 %", "at most 0.15 %"),
        "c": ("0.5 %", "exactly 0.5 %"),
        "d": ("3 %", "none"),
        "e": ("below 0.001 %", "at most 0.5 %"),
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"passed": False}, "gate law says passed = False, but its value is 0.145"),
        ({"value": 0.2}, "gate law says passed = True, but its value is 0.2"),
        ({"value": float("nan")}, "gate law says passed = True"),
        ({"value": "small"}, "'value' must be a number"),
        ({"what": None}, "gate law has no what"),
    ],
)
def test_gates_that_contradict_themselves(validation, change, words):
    told = read_run(validation).summary["gates"]
    edit_json(validation / "summary.json", gates=[{**told[0], **change}, *told[1:]])
    with pytest.raises(ReportError, match=words):
        build(gates, validation)


def test_answer_of_a_validation(validation):
    assert plain(validation_words(read_run(validation))) == (
        "All 11 gates hold. Sums of 8 OTAs, to which nothing was fitted, differ from those of ngspice-39 with sky130 "
        "tt by 0.070 % of the sum of their bias currents (RMS, worst of 2 temperatures)."
    )


@pytest.mark.parametrize("builder", [gates, single_ota, array_sums, spread, noise_spectra])
def test_a_generic_process_is_said_first(validation, builder):
    edit_json(validation / "summary.json", spice={"generic": True})
    first, *_ = build(builder, validation).pictures
    assert "no real process" in first.caption and first.table == ()
    assert build(contents_of(validation).strip, validation).note.startswith("Generic transistors")


def test_single_ota_tells_the_worst_of_each(validation):
    section = build(single_ota, validation)
    curves, gm = section.pictures
    assert "at most 0.20 % of the bias current, RMS of the worst curve 0.200 %" in plain(curves.caption)
    upper, lower = curves.figure.axes
    model = [line for line in upper.get_lines() if line.get_linestyle() != "None"]
    assert [plain(line.get_label()) for line in model] == ["1 nA", "100 nA"]
    assert [line.get_ydata().mean() for line in lower.get_lines()[:2]] == pytest.approx([0.1, 0.2])
    assert "by 2.00 %, at 100 nA and 0 °C" in plain(gm.caption)
    # ln(1.02 / 1.01) over 80 K.
    assert "off by at most 0.123 % per 10 °C" in plain(gm.caption)
    edit_arrays(validation / "artifacts.npz", spice_gm=None)
    section = build(single_ota, validation)
    assert len(section.pictures) == 1
    assert section.absent == (
        ("Transconductance against temperature of one OTA", "artifacts.npz has no array 'spice_gm'"),
    )


def test_biases_follow_the_configuration(validation):
    """Curves rise with the bias; every other array is in the order that was asked for."""
    with np.load(validation / "artifacts.npz") as stored:
        turned = {name: stored[name][::-1] for name in ("spice_gm", "spice_gm_model")}
    edit_json(validation / "config.json", single_biases_a=[1e-7, 1e-9])
    edit_arrays(validation / "artifacts.npz", **turned)
    assert "by 2.00 %, at 100 nA and 0 °C" in plain(build(single_ota, validation).pictures[1].caption)
    edit_json(validation / "config.json", single_biases_a=[1e-7, 2e-9])
    for builder in (single_ota, spread, noise_spectra):
        with pytest.raises(ReportError, match="config.json asks for OTAs at"):
            build(builder, validation)


def test_sums_name_the_temperature_their_gates_have(validation):
    (picture,) = build(array_sums, validation).pictures
    assert "inputs at 27 °C, 6 sets" in plain(picture.caption)
    assert "by 0.20 % of the sum of the bias currents (2 OTAs)" in plain(picture.caption)
    assert [axes.get_title(loc="left") for axes in picture.figure.axes] == [
        "2 OTAs, RMS 0.200 %",
        "8 OTAs, RMS 0.050 %",
    ]
    with np.load(validation / "artifacts.npz") as stored:
        ours = stored["spice_sum_model"] + 1e-3
    edit_arrays(validation / "artifacts.npz", spice_sum_model=ours)
    with pytest.raises(ReportError, match="those of no temperature in the gates"):
        build(array_sums, validation)
    edit_json(validation / "summary.json", gates=None)
    assert "inputs, 6 sets" in plain(build(array_sums, validation).pictures[0].caption)


def test_spread_shows_both_populations_about_their_mean(validation):
    (picture,) = build(spread, validation).pictures
    chips, found = picture.figure.axes[0].get_lines()
    assert (len(chips.get_xdata()), len(found.get_xdata())) == (80, 40)
    assert found.get_xdata().mean() == pytest.approx(0.0, abs=1e-9)
    assert found.get_xdata().std(ddof=1) == pytest.approx(4.0)
    assert [plain(cell) for cell in picture.table[1]] == ["offset, SPICE"] + ["4.00 mV (3.20 to 4.50)"] * 2
    assert picture.table[2] == ("offset, sampled chips", "4.10 mV", "4.10 mV")
    assert "The devices are the same at every bias" in picture.caption
    with np.load(validation / "artifacts.npz") as stored:
        wide = stored["spice_devices"] * 2
    edit_arrays(validation / "artifacts.npz", spice_devices=wide)
    with pytest.raises(ReportError, match="outside the interval 3.2 to 4.5"):
        build(spread, validation)


def test_noise_tells_where_it_stops_falling(validation):
    (picture,) = build(noise_spectra, validation).pictures
    assert "below: 1 nA 10 Hz and 100 nA 100 Hz." in plain(picture.caption)
    assert "1 nA 1.02 and 100 nA 1.10." in plain(picture.caption)
    edit_arrays(validation / "artifacts.npz", spice_noise=np.zeros((2, 7)))
    with pytest.raises(ReportError, match="must be positive"):
        build(noise_spectra, validation)


def test_an_array_with_a_third_column_is_refused(validation):
    edit_arrays(validation / "artifacts.npz", spice_devices=np.zeros((2, 40, 3)))
    with pytest.raises(ReportError, match=r"'spice_devices' has shape \(2, 40, 3\), expected axes"):
        read_run(validation)


def test_fit_shows_what_the_law_costs(fit):
    (picture,) = build(law_residuals, fit).pictures
    assert "the law costs no curve more than 0.020 points" in plain(picture.caption)
    assert plain(picture.table[2][1]) == "60 °C" and plain(picture.table[2][2]) == "1.0200"
    assert "curves, mean of" not in picture.table[0]
    told = read_run(fit).summary["fit"]
    told["parameters"][1]["law_rms"] = 5e-4
    edit_json(fit / "summary.json", fit=told)
    with pytest.raises(ReportError, match="tell of different fits"):
        build(law_residuals, fit)


def test_several_devices_at_a_bias_are_a_row_and_no_line(fit):
    told = read_run(fit).summary["fit"]
    for one, device in zip(told["parameters"], "abcd", strict=True):
        one |= {"device": device, "bias_a": 1e-9, "temperature_c": 27.0, "additive": 0.02}
    edit_json(fit / "summary.json", fit=told)
    (picture,) = build(law_residuals, fit).pictures
    heads, row = picture.table
    shown = dict(zip(heads, map(plain, row), strict=True))
    assert shown["curves, mean of"] == "4" and shown["additive, of I_b"] == "2.00 %"
    assert {line.get_linestyle() for line in picture.figure.axes[0].get_lines()} == {"None"}


def test_preset_in_words_and_spread_with_its_interval(fit):
    fields, table = build(fitted_preset, fit).pictures
    assert ("ota.offset_sigma_v", "spread of the offset", "3.90 mV") in fields.table
    assert ("ota.something_new", "", "2.50") in fields.table
    assert [plain(head) for head in table.table[0]] == ["", "1 nA", "10 nA"]
    assert table.table[1] == ("spread of the offset, mV", "4.00 (3.80 to 4.20)", "4.00 (3.80 to 4.20)")
    groups = read_run(fit).summary["fit"]["spread"]
    groups[1]["temperature_c"] = 60.0
    edit_json(fit / "summary.json", fit={"spread": groups})
    assert [plain(head) for head in build(fitted_preset, fit).pictures[1].table[0][1:]] == [
        "1 nA, 27 °C",
        "10 nA, 60 °C",
    ]
    edit_json(fit / "summary.json", fit={"spread": [], "devices": []})
    section = build(fitted_preset, fit)
    assert len(section.pictures) == 1 and section.absent[0][0] == "Spread of the fitted devices"
    assert "too few devices" in fit_words(read_run(fit))
    wrong = {**groups[0], "spread": {"offset_sigma_v": {"value": 0.005, "low": 0.0038, "high": 0.0042}}}
    edit_json(fit / "summary.json", fit={"spread": [wrong]})
    with pytest.raises(ReportError, match="outside its own interval"):
        build(fitted_preset, fit)


def test_answer_of_a_fit(fit):
    assert plain(fit_words(read_run(fit))) == (
        "One law gives all 4 curves of ngspice-39, sky130 tt: the RMS error is 0.090 % of the bias current in the "
        "worst of them, 0.070 % where each curve is fitted by itself. The preset hardware.json holds it, with the "
        "spread of 1,000 devices at each of 2 biases."
    )


def test_targets_stand_beside_the_original(export):
    (picture,) = build(target_accuracy, export).pictures
    assert [row[0] for row in picture.table[1:]] == ["the design itself", "bundle", "SPICE", "RASP 3.0", "AN231E04"]
    assert [plain(cell) for cell in picture.table[1][3:]] == ["95.60 %", "95.40 % ± 0.10", "95.10 % (64 chips)", ""]
    assert plain(picture.table[4][2]) == "BLIF read back; syntax; not placed"
    assert plain(picture.table[3][2]).endswith("played in ngspice-39") and plain(picture.table[3][-1]) == "99.50 %"
    points = picture.figure.axes[0].get_lines()[0]
    assert sorted(points.get_xdata()) == pytest.approx([95.0, 95.0, 96.0])
    assert len(set(zip(points.get_xdata(), points.get_ydata(), strict=True))) == 3  # equal chips do not hide
    assert "rounded to the grid the design reached 95.70 %" in plain(picture.caption)
    for name, said in (("rasp", ["Half alone.", "In turns."]), ("spice", ["In turns."])):
        edit_target(export, name, built_otherwise=said)
    caption = plain(build(target_accuracy, export).pictures[0].caption)
    assert "SPICE and RASP 3.0: In turns." in caption and "RASP 3.0: Half alone." in caption
    edit_arrays(export / "artifacts.npz", export_rasp_chips=None)
    section = build(target_accuracy, export)
    assert section.absent == (("Accuracy of each chip, RASP 3.0", "artifacts.npz has no array 'export_rasp_chips'"),)
    edit_arrays(export / "artifacts.npz", export_spice_chips=np.array([0.9, 0.96, 0.95]))
    with pytest.raises(ReportError, match="target spice have mean accuracy"):
        build(target_accuracy, export)


def test_targets_without_any_chips_are_a_table(export):
    names = ("bundle", "spice", "rasp", "an231e04")
    edit_arrays(export / "artifacts.npz", **{f"export_{name}_chips": None for name in names})
    section = build(target_accuracy, export)
    assert not any(isinstance(part, Picture) for part in section.pictures) and len(section.absent) == 4


def test_closed_loop_of_layers_that_are_scored(export):
    (picture,) = build(closed_loop, export).pictures
    drawn = [axes for axes in picture.figure.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in drawn if axes.get_title(loc="left")] == ["layer 2", "layer 3"]
    (differ,) = [line for line in drawn[1].get_lines() if line.get_label() == "they differ"]
    assert differ.get_xdata() == pytest.approx([4.0])
    caption = plain(picture.caption)
    assert "90.00 % of the decisions are equal, none of those that differ outside the grey zone" in caption
    assert "a half-width of 4.00 mV would have held them all" in caption
    assert [plain(cell) for cell in picture.table[1]][:5] == ["2", "100 %", "± 10.0 mV", "20.0 %", "none"]
    assert plain(picture.table[2][4]) == "± 4.00 mV"


def test_transient_bench_where_it_was_played(export):
    assert "at the billed 7.7 µs a token at most, no of 8 bits differ at the end of a token" in plain(
        build(closed_loop, export).pictures[0].caption
    )
    (picture,) = build(in_time, export).pictures
    assert "7.7 µs at most, none of 8 bits differ" in plain(picture.caption)
    assert [plain(cell) for cell in picture.table[3]] == ["2", "1.5 µs", "3 of 4", "17 mV", "0 of 4", "400 µV"]


def test_closed_loop_of_another_run(export):
    with np.load(export / "artifacts.npz") as stored:
        turned = ~stored["loop1_keep"]
    edit_arrays(export / "artifacts.npz", loop1_keep=turned)
    with pytest.raises(ReportError, match="layer 2: summary.json tells of 5 tokens, 100"):
        build(closed_loop, export)


def test_arrays_of_every_numbered_layer_are_checked(export):
    """No layer 1 is no reason to believe what the others hold."""
    edit_arrays(export / "artifacts.npz", loop2_zone_v=np.zeros(2))
    with pytest.raises(ReportError, match="loop2_g"):
        read_run(export)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"closed_loop": []}, "were not simulated"), (None, "SPICE is no target")],
)
def test_no_closed_loop(export, changes, words):
    if changes is None:
        told = read_run(export).summary["export"]
        del told["targets"]["spice"]
        edit_json(export / "summary.json", export=told)
    else:
        edit_target(export, "spice", **changes)
        assert "not simulated" in build(target_accuracy, export).pictures[0].table[3][2]
    with pytest.raises(Absent, match=words):
        build(closed_loop, export)


def test_many_layers_take_more_rows(export, monkeypatch):
    monkeypatch.setattr(sys.modules[closed_loop.__module__], "COLUMNS", 1)
    (picture,) = build(closed_loop, export).pictures
    assert sum(axes.axison for axes in picture.figure.axes) == 4
    with drawing():
        picture.figure.draw_without_rendering()


def test_needs_of_the_fpaas(export):
    rasp, anadigm = build(target_needs, export).pictures
    assert "take 102 of the 98 CABs of a chip, so one chip does not hold them all at once" in rasp.caption
    assert "Not made here: .swcs switch addresses." in rasp.caption
    assert [plain(cell) for cell in rasp.table[2]] == ["layer 3", "34", "1", "34 of 98", "35 of 39", "yes", "−170.0 mV"]
    assert [plain(cell) for cell in anadigm.table[1]] == ["layer 2", "6", "0.16 %"]
    budget = read_run(export).summary["export"]["targets"]["rasp"]["budget"]
    edit_target(export, "rasp", budget={**budget, "layer2": {**budget["layer2"], "cabs": 120}})
    with pytest.raises(ReportError, match="layer2 is said to fit"):
        build(target_needs, export)
    told = read_run(export).summary["export"]
    told["targets"] = {"bundle": told["targets"]["bundle"]}
    edit_json(export / "summary.json", export=told)
    with pytest.raises(Absent, match="no target of this run is an FPAA"):
        build(target_needs, export)


@pytest.mark.parametrize(
    ("fraction", "words"), [(1.0, "100 %"), (0.99996, "99.996 %"), (0.9961, "99.61 %"), (1 - 1e-7, "99.99999 %")]
)
def test_only_all_decisions_are_all_of_them(fraction, words):
    assert plain(equal_words(fraction)) == words


def test_answer_of_an_export(export):
    text = plain(export_words(read_run(export)))
    assert text.startswith("The design, 95.60 % on the perfect chip, was written for its targets, read back and run;")
    assert "mean accuracy of 3 sampled chips: bundle 95.33 %, SPICE 95.33 %, RASP 3.0 95.33 % and AN231E04" in text
    assert "Of 10 tokens played through the netlists in ngspice, 90.00 % of the decisions equal our model's." in text
    edit_target(export, "spice", generic=True)
    assert build(contents_of(export).strip, export).note.startswith("Generic transistors")
    for builder in (gates, target_accuracy, closed_loop):
        assert "no real process" in build(builder, export).pictures[0].caption


def retarget_run(tmp_path, **changes):
    arms = [
        {"arm": arm, "mean": 0.5, "std": 0.0, "worst": 0.5, "decisions_equal": equal}
        for arm, equal in (("as programmed", 0.9), ("carried", 0.95), ("calibrated anew", 1.0))
    ]
    told = {"old": "a", "new": "b", "cells": 8, "written": 4, "erased_arrays": 1, "swapped": 2, "resistors": 1}
    told |= {"references": 0, "time_s": 9.0, "energy_j": 1e-3, "perfect": 0.5, "arms": arms, "chips": 2, **changes}
    (tmp_path / "summary.json").write_text(json.dumps({"experiment": "retarget", "retarget": told}))
    (tmp_path / "config.json").write_text(json.dumps({"experiment": "retarget"}))
    np.savez(tmp_path / "artifacts.npz", retarget_accuracy=np.full((3, 2), 0.5), retarget_equal=np.full((3, 2), 0.9))
    return tmp_path


def test_retargeting_tells_states_and_cost(tmp_path):
    page = report_again(retarget_run(tmp_path)).read_text(encoding="utf-8")
    assert "4 of 8" in page.replace("\u00a0", " ") and "calibrated anew" in page and "1.00" in page
    assert (tmp_path / "figures" / "retarget.png").exists()


def test_retargeting_that_contradicts_its_arrays_is_refused(tmp_path):
    run = retarget_run(tmp_path)
    np.savez(run / "artifacts.npz", retarget_accuracy=np.full((3, 2), 0.4), retarget_equal=np.full((3, 2), 0.9))
    with pytest.raises(ReportError, match="take both files from one run"):
        report_again(run)
