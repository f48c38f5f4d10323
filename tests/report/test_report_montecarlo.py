"""The strip that opens the page of an experiment over chips, from summaries made by hand: who wins, who loses."""

from __future__ import annotations

from pathlib import Path

import pytest

from atis_jax.report.contents import Contents
from atis_jax.report.run_files import RunFiles
from atis_jax.report.section import Strip
from atis_jax.report.style import drawing
from experiments.drift.contents import DRIFT
from experiments.montecarlo.contents import NOISE, PRECISION, TEMPERATURE, YIELD
from experiments.montecarlo.figures.precision import precision_answer


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def strip(contents: Contents, **summary) -> Strip:
    with drawing():
        return contents.strip(RunFiles(Path("x"), summary=summary))


def said(contents: Contents, **summary) -> str:
    return plain(strip(contents, **summary).sentence)


def words_of(picture) -> list[str]:
    """What stands at the right of each row."""
    return [plain(text.get_text()) for text in picture.figure.axes[0].texts]


def numbers_of(found: Strip) -> dict[str, str]:
    return {plain(number.label): plain(number.value) for number in found.numbers}


@pytest.mark.parametrize(
    ("later", "verdict"),
    [
        ({"fraction": 0.99, "low": 0.97, "high": 1.0}, "threshold + table wins, as fabricated loses"),
        ({"fraction": 0.93, "low": 0.85, "high": 0.97}, "they do not differ"),
    ],
)
def test_yield_tells_who_wins_when_intervals_are_apart(later, verdict):
    within = {"fraction": 0.904, "low": 0.85, "high": 0.95, "unresolved": 0}
    arm = {"run": "one", "calibration": "none", "chips": 200, "limit": 0.01, "within": within}
    after = {**arm, "calibration": "threshold+table", "within": {**later, "unresolved": 7}}
    found = strip(YIELD, **{"yield": [arm, after]})
    share = f"{100 * later['fraction']:.0f} %"
    assert plain(found.sentence) == (
        "Of 200 sampled chips these stay within 1 point of the perfect chip at every temperature: 90 % as fabricated "
        f"and {share} after threshold + table; {verdict}."
    )
    assert words_of(found.pictures[0]) == ["90 %", share], "half an interval is 2 to 6 points: no decimals"
    assert numbers_of(found) == {"so near the limit that other inputs could turn them": "7 chips"}
    alone = said(YIELD, **{"yield": [arm]})
    assert alone.endswith("at every temperature: 90 % as fabricated.")


def noise_points(*found):
    return [
        {"imperfection": name, "scale": scale, "change_mean": mean, "change_low": mean - half}
        | {"change_high": mean + half, "chips": 32, "within": {"passed": passed}}
        for name, scale, mean, half, passed in found
    ]


def test_noise_tells_all_together_and_the_costliest_alone():
    points = noise_points(
        ("all", 1.0, -0.002, 0.003, 32),
        ("all", 2.0, -0.002, 0.003, 32),
        ("all", 4.0, -0.2, 0.01, 31),
        ("all", 8.0, -0.5, 0.01, 32),
        ("offset", 8.0, -0.4, 0.02, 32),
        ("kappa", 8.0, 0.0, 0.001, 32),
    )
    found = strip(NOISE, noise=points, ranking={"8": ["offset", "kappa"]}, limit=0.01)
    assert plain(found.sentence) == (
        "At the design's own size all imperfections together do not differ from the perfect chip; OTA offset loses "
        "most when enlarged 8 times, 40 points."
    )
    assert numbers_of(found) == {
        "change of accuracy, all together at the design's own size": "−0.2 points",
        "the design's own size: up to there all 32 chips stay within 1 point of the perfect chip": "2 times",
    }
    assert words_of(found.pictures[0]) == ["−40", "0"]
    costly = noise_points(("all", 1.0, -0.012, 0.003, 30))
    assert said(NOISE, noise=costly, ranking={}, limit=0.01) == (
        "At the design's own size all imperfections together lose 1.2 points of accuracy."
    )
    assert said(NOISE, noise=points[4:], ranking={"8": ["offset"]}, limit=0.01).startswith("OTA offset loses most")


def thermal_entry(bias, name, celsius, change, half=0.01):
    return {"bias": bias, "compensation": name, "temperature_c": celsius, "change_mean": change} | {
        "change_low": change - half,
        "change_high": change + half,
    }


def test_temperature_tells_the_worst_bias_and_what_helps_it():
    entries = [
        thermal_entry("fixed_charge", "none", 0.0, -0.1),
        thermal_entry("fixed_charge", "none", 85.0, -0.3),
        thermal_entry("fixed_charge", "table", 85.0, -0.02),
        thermal_entry("ptat", "none", 85.0, -0.01),
    ]
    found = strip(TEMPERATURE, temperature=entries)
    assert plain(found.sentence) == (
        "From 0 to 85 °C fixed charge bias loses most, 30 points of accuracy at its worst; compensation 'table' wins, "
        "2 points lost."
    )
    assert words_of(found.pictures[0]) == ["−30", "−1", "−2"]
    same = [*entries[:2], thermal_entry("fixed_charge", "table", 85.0, -0.29)]
    assert said(TEMPERATURE, temperature=same).endswith("compensation 'table' does not differ from that.")
    assert said(TEMPERATURE, temperature=entries[2:3]).startswith(
        "From 85 to 85 °C fixed charge, table bias loses most"
    )


def drift_of(arms, after_images=1000):
    return {"arms": arms, "after_images": after_images, "unpruned": {"brightness": {"before": 0.969, "after": 0.859}}}


def drift_arm(scenario, mode, off, accuracy, bias="constant"):
    return {"scenario": scenario, "bias": bias, "mode": mode, "kept_error_after": off, "accuracy_after": accuracy}


@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [
        (0.832, "but in accuracy it loses (3 points less accurate)"),
        (0.855, "in accuracy they do not differ"),
        (0.911, "and in accuracy it wins (5 points more accurate)"),
    ],
)
def test_drift_tells_where_a_fixed_threshold_is_driven_farthest(accuracy, verdict):
    arms = [
        drift_arm("steady", "fixed", 0.9, 0.9),
        drift_arm("noise", "fixed", 0.02, 0.9),
        drift_arm("brightness", "fixed", 0.487, 0.861),
        drift_arm("brightness", "adaptive", 0.01, accuracy),
    ]
    found = strip(DRIFT, drift=drift_of(arms))
    assert plain(found.sentence) == (
        "A change of brightness drives a fixed threshold 49 points off the wanted share of tokens, an adaptive one 1 "
        f"point: there the adaptive one wins, {verdict}."
    )
    assert numbers_of(found)["accuracy then with nothing pruned (96.9 % before the change)"] == "86 %"
    ramp = drift_arm("ramp", "fixed", 0.4, 0.8, "fixed_charge")
    assert said(DRIFT, drift=drift_of([ramp])).startswith("A temperature ramp under fixed charge bias drives")
    assert said(DRIFT, drift=drift_of(arms[:1])).startswith("Nothing changed in this sequence")


def test_precision_answers_from_the_counts():
    claim = {
        "bits": [4.0, 6.0],
        "below": {"points": 10, "hold": 4},
        "within": {"points": 6, "hold": 6},
        "above": {"points": 2, "hold": 2},
    }
    knee = {"median": 2.51, "low": 1.0, "high": 3.21, "designs": 12, "without": 1, "at_most": 2}
    precision = {"claim": {"design": claim}, "limit": 0.01, "kept_limit": 0.02, "chips": 4, "examples": 1000}
    told = {**precision, "knee": {"design": knee}}
    found = strip(PRECISION, precision=told)
    assert plain(found.sentence) == (
        "With 4 to 6 effective bits 6 of 6 combinations hold, with fewer 4 of 10: the paper's claim holds."
    )
    assert words_of(found.pictures[0]) == ["4 of 10", "6 of 6", "2 of 2"]
    failed = {"design": {**claim, "within": {"points": 6, "hold": 5}}}
    assert said(PRECISION, precision={**told, "claim": failed}).endswith("the paper's claim fails in 1.")
    assert plain(precision_answer(RunFiles(Path("x"), summary={"precision": told}))) == (
        "Of 6 combinations with 4 to 6 effective bits 6 hold, of 10 with fewer 4 (they lose at most 1.00 points and "
        "keep at most 2.00 points more tokens, mean of 4 chips on 1,000 inputs). From 2.6 effective bits on no "
        "combination of a design fails by more than one standard error (median of 12 designs, 1.0 to 3.3; 1 fail even "
        "with the most; 2 fail at none that were measured)."
    )
    none = {**precision, "knee": {"design": {**knee, "median": None, "without": 7}}}
    text = plain(precision_answer(RunFiles(Path("x"), summary={"precision": none})))
    assert text.endswith("7 designs of 12 fail even with the most effective bits.")


def run_of(account) -> RunFiles:
    return RunFiles(Path("x"), summary={"montecarlo": account})


def test_the_cost_is_a_line_of_the_table():
    memory = {"peak_resident_bytes": 300 * 2**20, "budget_bytes": 4096 * 2**20}
    account = {"cells": 5000, "examples": 512, "inputs_per_s": 5900.0, "devices": 2, "memory": memory}
    rows = {row.what: (row.value, row.compared) for row in YIELD.rows(run_of(account))}
    assert rows["Cells (a chip in one condition) x inputs"][0] == "5,000 x 512"
    resumed = YIELD.rows(run_of({**account, "cells_computed_here": 64}))
    assert resumed[0].compared.endswith("2\u00a0devices, 64 of the cells in the last attempt")
    assert rows["Largest resident memory"] == ("300 MiB", "of a budget of 4,096 MiB")
