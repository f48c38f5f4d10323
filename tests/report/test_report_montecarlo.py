"""The sentence that opens the page of a Monte-Carlo experiment, from summaries made by hand."""

from __future__ import annotations

from pathlib import Path

from atis_jax.report.headline import headline

from atis_jax.report.run_files import RunFiles


def said(**summary) -> str:
    return headline(RunFiles(Path("x"), summary=summary)).sentence.replace("\u00a0", " ")


def test_yield_tells_chips_interval_and_limit():
    within = {"fraction": 0.9, "low": 0.8, "high": 0.95, "unresolved": 0}
    arm = {"run": "one", "calibration": "none", "chips": 200, "limit": 0.01, "within": within}
    later = {**arm, "calibration": "threshold+table", "within": {**within, "unresolved": 7}}
    text = said(**{"yield": [arm, later]})
    assert text == (
        "Of 200 sampled chips within 1.00 points of the perfect chip at every temperature: 90.0 % as fabricated "
        "(80.0 % to 95.0 %); 90.0 % after threshold, table (80.0 % to 95.0 %, 7 verdicts open)."
    )


def test_noise_tells_all_together_and_the_costliest_alone():
    points = [
        {"imperfection": name, "scale": scale, "change_mean": mean, "change_low": mean - 0.01, "change_high": mean}
        | {"chips": 32, "within": {"passed": passed}}
        for name, scale, mean, passed in [
            ("all", 1.0, -0.002, 32),
            ("all", 2.0, -0.002, 32),
            ("all", 4.0, -0.2, 31),
            ("all", 8.0, -0.5, 32),
            ("offset", 8.0, -0.4, 32),
            ("kappa", 8.0, 0.0, 32),
        ]
    ]
    text = said(noise=points, ranking={"8": ["offset", "kappa"]}, limit=0.01)
    assert text == (
        "All imperfections together, at the design's own size, change accuracy by −0.20 points (−1.20 points to "
        "−0.20 points). Up to 2 times that size all 32 sampled chips stay within 1.00 points of the perfect chip. "
        "At 8 times its size OTA offset alone costs most, −40.00 points (−41.00 points to −40.00 points)."
    )
    none = [{**point, "within": {"passed": 31}} for point in points]
    assert "stay within" not in said(noise=none, ranking={"8": ["offset"]}, limit=0.01)
    together = said(noise=points[:2], ranking={"2": []}, limit=0.01)  # nothing was scaled alone
    assert together.endswith("stay within 1.00 points of the perfect chip.")
    assert said(noise=points[4:], ranking={"8": ["offset"]}, limit=0.01).startswith("At 8 times its size")


def test_temperature_tells_the_worst_bias_and_what_helps_it():
    entries = [
        {"bias": bias, "compensation": name, "temperature_c": t, "change_mean": change, "kept_mean": kept}
        | {"change_low": change - 0.01, "change_high": change + 0.02}
        for bias, name, t, change, kept in [
            ("fixed_charge", "none", 0.0, -0.1, 0.3),
            ("fixed_charge", "none", 85.0, -0.3, 0.2),
            ("fixed_charge", "table", 85.0, -0.02, 0.28),
            ("ptat", "none", 85.0, -0.01, 0.29),
        ]
    ]
    assert said(temperature=entries) == (
        "From 0 to 85 °C, uncompensated, fixed charge bias loses most: −30.00 points at its worst (−31.00 points "
        "to −28.00 points), keeping 20.0 % to 30.0 % of the tokens; at best, with compensation 'table', −2.00 points "
        "and 28.0 % to 28.0 %."
    )
    assert said(temperature=entries[2:3]).startswith("From 85 to 85 °C, with compensation 'table', fixed charge bias")


def test_drift_tells_where_a_fixed_threshold_is_driven_farthest():
    arms = [
        {"scenario": scenario, "bias": "constant", "mode": mode, "kept_error_after": off, "accuracy_after": accuracy}
        for scenario, mode, off, accuracy in [
            ("steady", "fixed", 0.9, 0.9),
            ("noise", "fixed", 0.02, 0.9),
            ("brightness", "fixed", 0.487, 0.861),
            ("brightness", "adaptive", 0.01, 0.832),
        ]
    ]
    drift = {"arms": arms, "unpruned": {"brightness": {"before": 0.969, "after": 0.859}}}
    assert said(drift=drift) == (
        "A change of brightness drives the tokens kept under a fixed threshold 48.7 points off the wanted share, under "
        "an adaptive one 1.0; accuracy then is 86.1 % with the fixed threshold, 83.2 % with the adaptive one, 85.9 % "
        "with nothing pruned (before the change 96.9 %)."
    )
    ramp = {**arms[2], "scenario": "ramp", "bias": "fixed_charge"}
    assert said(drift={**drift, "arms": [ramp]}).startswith("A temperature ramp under fixed charge bias drives")
    assert said(drift={"arms": arms[:1], "unpruned": {}}) == ""


def test_precision_answers_from_the_counts():
    claim = {
        "bits": [4.0, 6.0],
        "below": {"points": 10, "hold": 4},
        "within": {"points": 6, "hold": 6},
        "above": {"points": 2, "hold": 2},
    }
    knee = {"median": 2.51, "low": 1.0, "high": 3.21, "designs": 12, "without": 1, "at_most": 2}
    precision = {"claim": {"design": claim}, "limit": 0.01, "kept_limit": 0.02, "chips": 4, "examples": 1000}
    text = said(precision={**precision, "knee": {"design": knee}})
    assert text == (
        "Of 6 combinations with 4 to 6 effective bits 6 hold, of 10 with fewer 4 (they lose at most 1.00 points and "
        "keep at most 2.00 points more tokens, mean of 4 chips on 1,000 inputs). From 2.6 effective bits on no "
        "combination of a design fails by more than one standard error (median of 12 designs, 1.0 to 3.3; 1 fail even "
        "with the most; 2 fail at none that were measured)."
    )
    none = said(precision={**precision, "knee": {"design": {**knee, "median": None, "without": 7}}})
    assert none.endswith("7 designs of 12 fail even with the most effective bits.")


def test_the_cost_is_a_line_of_the_table():
    memory = {"peak_resident_bytes": 300 * 2**20, "budget_bytes": 4096 * 2**20}
    account = {"cells": 5000, "examples": 512, "inputs_per_s": 5900.0, "devices": 2, "memory": memory}
    rows = {
        row.what: (row.value, row.compared)
        for row in headline(RunFiles(Path("x"), summary={"montecarlo": account})).rows
    }
    assert rows["Cells (a chip in one condition) x inputs"][0] == "5,000 x 512"
    resumed = headline(RunFiles(Path("x"), summary={"montecarlo": {**account, "cells_computed_here": 64}})).rows
    assert resumed[0].compared.endswith("2\u00a0devices, 64 of the cells in the last attempt")
    assert rows["Largest resident memory"] == ("300 MiB", "of a budget of 4,096 MiB")
