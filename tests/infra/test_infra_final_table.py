"""The table at the end of a run: each experiment's own figures, and nothing that was not measured."""

from __future__ import annotations

import io

from experiments.final_table import final_table


def printed(summary) -> str:
    out = io.StringIO()
    final_table(summary, out)
    return out.getvalue().replace("\u00a0", " ")


def line_with(text: str, *parts: str) -> str:
    """The one line that has all parts."""
    (found,) = [line for line in text.splitlines() if all(part in line for part in parts)]
    return found


def test_a_codesign_run():
    text = printed(
        {
            "experiment": "codesign",
            "accuracy": {"dense": 0.956, "hardware_mean": 0.9512, "chips": 64},
            "tokens": {"pruned_fraction_final_layer": 0.75, "kept_per_layer": [64, 32.5]},
            "energy": {"dense_j": 2e-6, "total_j": 5e-7, "preset": "horowitz_45nm"},
            "timing": {"seconds": 300.0},
        }
    )
    for part in (
        "codesign",
        "95.6 %",
        "64 chips",
        "95.1 %",
        "75.0 %",
        "64  32.5",
        "500 nJ",
        "2.00 µJ",
        "0.250",
        "300 s",
    ):
        assert part in text
    assert "random" not in text


def test_a_yield_run_shows_each_arm_with_its_interval():
    arms = [
        {
            "run": "robust",
            "calibration": calibration,
            "chips": 200,
            "limit": 0.01,
            "within": {"passed": passed, "fraction": passed / 200, "low": 0.8, "high": 0.95},
            "change_mean": -0.002,
            "change_worst": -0.031,
        }
        for calibration, passed in (("none", 180), ("threshold+offset", 198))
    ]
    account = {"cells": 1200, "cells_computed_here": 300, "inputs_per_s": 5893.5}
    text = printed({"experiment": "yield", "yield": arms, "montecarlo": account})
    assert "180 of 200 = 90 % (80 to 95)" in line_with(text, "as fabricated")
    assert "198 of 200 = 99.0 % (80.0 to 95.0)" in line_with(text, "threshold+offset")
    assert "limit 1.00 points" in text and "-0.20, -3.10 points" in text
    assert "5,894 (300 of 1,200 cells)" in line_with(text, "inputs a second")
    assert "robust" not in text, "one run needs no name"
    both = printed({"yield": [arms[0], {**arms[1], "run": "plain"}]})
    line_with(both, "plain, threshold+offset")


def test_a_noise_sweep_shows_the_costliest():
    names = ("all", "offset", "kappa", "additive", "dac")
    noise = [
        {
            "imperfection": name,
            "scale": scale,
            "change_mean": -0.001 * scale * (place + 1),
            "change_low": -0.05,
            "change_high": 0.01,
        }
        for place, name in enumerate(names)
        for scale in (1.0, 16.0)
    ]
    ranking = {"1": ["kappa"], "16": ["dac", "additive", "kappa", "offset"]}
    text = printed({"ideal_accuracy": 0.9652, "noise": noise, "ranking": ranking})
    assert "-0.10 points (-5.00 to +1.00)" in line_with(text, "all imperfections")
    assert "-8.00 points" in line_with(text, "DAC INL alone, 16 times")
    assert "additive alone" in text and "kappa alone" in text and "OTA offset" not in text
    without = printed({"ideal_accuracy": 0.9652, "noise": [noise[4]], "ranking": ranking | {"1": ["kappa"]}})
    assert "all imperfections" not in without and "kappa alone, 1 times" in without


def test_a_temperature_sweep_shows_the_coldest_and_the_hottest():
    temperature = [
        {"bias": "ptat", "compensation": compensation, "temperature_c": t, "change_mean": -0.0001 * t}
        for compensation in ("none", "table")
        for t in (85.0, 27.0, 5.0)
    ]
    text = printed({"ideal_accuracy": 0.9652, "temperature": temperature})
    assert "5 C, 85 C" in text and "27 C" not in text
    assert "-0.05, -0.85 points" in line_with(text, "ptat, uncompensated")
    line_with(text, "ptat, table")


def test_a_drift_run_shows_fixed_beside_adaptive():
    arms = [
        {
            "scenario": "brightness",
            "bias": "constant",
            "mode": mode,
            "kept_error_after": error,
            "accuracy_after": accuracy,
        }
        for mode, error, accuracy in (("fixed", 0.487, 0.861), ("adaptive", 0.01, 0.832), ("hysteresis", 0.5, 0.4))
    ]
    rates = [
        {"rate_v": 1e-4, "settling_tokens": 6769.0},
        {"rate_v": 1e-3, "settling_tokens": 4736.0},
        {"rate_v": 1e-2, "settling_tokens": None},
    ]
    text = printed({"drift": {"arms": arms, "step_response": {"rates": rates}}})
    assert "48.7 / 1.0 points; 86.1 / 83.2 %" in line_with(text, "brightness, constant bias")
    assert "4,736 tokens at eta = 0.001 V" in text


def test_a_summary_without_figures_prints_nothing():
    assert printed({"experiment": "codesign", "montecarlo": {"inputs_per_s": None}}) == ""


def test_scenarios_show_energy_and_factor_of_each():
    total = {"dense": 2e-3, "paper": 1e-3, "codesigned": 8e-4, "folded": 9e-4}
    text = printed({"experiment": "scenarios", "scenarios": [{"name": "camera", "total_j": total}]})
    assert "2.00 / 2.50 times as much" in line_with(text, "camera: 2.00 mJ / 1.00 mJ / 800 µJ")


def test_a_fit_shows_its_residuals_and_a_spread_where_there_is_one():
    told = {
        "curves": 24,
        "worst_rms_of_a_fit": 0.00144,
        "worst_rms_of_the_law": 0.00145,
        "fields": {"ota.kappa": 0.6941},
        "spread": [],
    }
    text = printed({"experiment": "fit", "fit": told})
    assert "0.144 %" in line_with(text, "each alone") and "0.145 %" in line_with(text, "one law")
    assert "0.6941" in line_with(text, "kappa") and "spread" not in text
    told["fields"]["ota.offset_sigma_v"] = 0.00398
    told["spread"] = [{"devices": 1000, "bias_a": bias_a, "temperature_c": 27.0} for bias_a in (1e-9, 1e-8, 1e-7)]
    text = printed({"fit": told})
    assert "3.98 mV" in line_with(text, "spread of the offset")
    line_with(text, "1,000 devices at each of 3 biases")
    conditions = [(bias_a, celsius) for bias_a in (1e-9, 1e-8) for celsius in (27.0, 60.0)]
    told["spread"] = [{"devices": 12, "bias_a": bias_a, "temperature_c": celsius} for bias_a, celsius in conditions]
    line_with(printed({"fit": told}), "12 devices at each of 2 biases and 2 temperatures")
    exact = told | {"worst_rms_of_a_fit": 1.2e-17}
    assert "below 0.001 %" in line_with(printed({"fit": exact}), "each alone")


def test_gates_that_fail_are_named():
    gates = [
        {"name": "law", "value": 0.145, "low": None, "high": 0.15, "unit": "%", "passed": True},
        {"name": "noise_1e-09", "value": 1.2, "low": 0.85, "high": 1.15, "unit": "", "passed": False},
    ]
    text = printed({"experiment": "spice_validation", "gates": gates})
    assert "1 of 2" in line_with(text, "gates that hold")
    assert "1.2  (at least 0.85, at most 1.15)" in line_with(text, "FAILS: noise_1e-09")
    assert "law" not in text


def test_an_export_shows_each_target():
    read = {"perfect": 0.954, "hardware_mean": 0.953, "hardware_worst": 0.951, "decisions_equal": 0.9753}
    loops = [{"tokens": 256, "equal_fraction": 1.0}, {"tokens": 256, "equal_fraction": 0.99}]
    targets = {"bundle": {**read, "decisions_equal": 1.0}, "spice": {**read, "closed_loop": loops}}
    text = printed({"export": {"accuracy": {"after_quantisation": 0.956}, "targets": targets}})
    line_with(text, "the design itself: 95.6 %")
    assert "100 %" in line_with(text, "bundle: 95.4 / 95.3 / 95.1 %")
    assert "97.53 %" in line_with(text, "spice: 95.4")
    assert "99.50 %" in line_with(text, "512 tokens")


class Ascii(io.StringIO):
    encoding = "ascii"


def test_accuracies_have_the_digits_that_their_examples_allow():
    found = {"dense": 0.95393, "hardware_mean": 0.95301, "hardware_std": 0.00071, "chips": 32}
    text = printed({"accuracy": found, "dataset": {"examples": 1910}})
    assert "95.4 %" in line_with(text, "dense") and "95.3 %" in line_with(text, "mean, 32 chips")
    assert "0.071 points" in line_with(text, "standard deviation")
    assert "95.39 %" in printed({"accuracy": found, "dataset": {"examples": 200_000}})


def test_all_equal_decisions_and_an_even_ratio_claim_no_digits():
    energy = {"dense_j": 2e-6, "total_j": 2.0006e-6}
    text = printed({"agreement": {"decisions_equal_fraction": 1.0}, "energy": energy})
    assert "100 %" in line_with(text, "decisions equal") and "1.00 " in line_with(text, "ratio")


def test_a_terminal_without_greek_letters_gets_plain_ones():
    out = Ascii()
    final_table({"energy": {"dense_j": 2e-6}}, out)
    assert "2.00 uJ" in out.getvalue() and out.getvalue().isascii()
