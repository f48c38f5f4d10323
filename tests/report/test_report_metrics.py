from __future__ import annotations

import json

import numpy as np
import pytest

from atis_jax.report.errors import ReportError
from atis_jax.report.metrics import moving_mean, parse_metrics, thin


def write(path, lines):
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def test_columns_and_phases(tmp_path):
    path = write(
        tmp_path / "m.jsonl",
        [
            {"step": 1, "phase": "dense", "loss": 2.0},
            {"step": 2, "phase": "dense", "loss": None},
            {"step": 3, "phase": "soft", "loss": 1.0, "kept_per_layer": [1.0, 0.5]},
            {"step": 3, "phase": "soft", "eval_accuracy": 0.5},
        ],
    )
    metrics = parse_metrics(path)
    assert [(p.name, p.start, p.stop) for p in metrics.phases] == [("dense", 0, 2), ("soft", 2, 3)]
    np.testing.assert_array_equal(metrics.columns["loss"][1], [2.0, np.nan, 1.0])
    assert metrics.columns["kept_per_layer"][1].shape == (1, 2)
    assert metrics.columns["eval_accuracy"][0].tolist() == [2]  # the second record of step 3 joins the first
    assert metrics.remarks == ()


def test_step_written_again_replaces_and_is_said(tmp_path):
    path = write(tmp_path / "m.jsonl", [{"step": 1, "loss": 2.0}, {"step": 1, "loss": 5.0}])
    metrics = parse_metrics(path)
    assert metrics.columns["loss"][1].tolist() == [5.0]
    assert "more than once" in metrics.remarks[0]


def test_phase_that_counts_from_zero_comes_after(tmp_path):
    lines = [{"step": s, "phase": p, "loss": 1.0} for p in ("dense", "random") for s in range(3)]
    metrics = parse_metrics(write(tmp_path / "m.jsonl", lines))
    assert metrics.step.tolist() == [0, 1, 2, 3, 4, 5]
    assert "one after another" in metrics.remarks[0]


def test_torn_last_line_is_left_out_and_said(tmp_path):
    metrics = parse_metrics(write(tmp_path / "m.jsonl", [{"step": 1, "loss": 1.0}, '{"step": 2, "lo']))
    assert metrics.step.tolist() == [1] and "cut short" in metrics.remarks[0]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (['{"step": 1, "lo\n', {"step": 2}], "line 1 is not valid JSON"),
        ([{"loss": 1.0}], "line 1: expected an object with a number under 'step'"),
        ([{"step": 1, "kept": [1.0]}, {"step": 2, "kept": [1.0, 2.0]}], "'kept' changes its shape"),
    ],
)
def test_broken_files(tmp_path, lines, words):
    with pytest.raises(ReportError, match=words):
        parse_metrics(write(tmp_path / "m.jsonl", lines))


def test_moving_mean_is_the_mean_of_the_window():
    rng = np.random.default_rng(0)
    values = rng.normal(size=50)
    values[[7, 30]] = np.nan, np.inf
    found = moving_mean(values, 5)
    for i in range(values.size):
        window = [v for v in values[max(0, i - 2) : i + 3] if np.isfinite(v)]
        expected = np.mean(window) if np.isfinite(values[i]) else np.nan
        np.testing.assert_allclose(found[i], expected, rtol=1e-12)


def test_thin_keeps_means_ranges_and_gaps():
    values = np.arange(1000.0)
    values[500] = np.nan
    curve = thin(np.arange(1000.0), values, window=1, bins=100)
    assert curve.x.size == 100
    np.testing.assert_allclose(curve.mean[:2], [4.5, 14.5])
    np.testing.assert_allclose([curve.low[99], curve.high[99]], [990, 999])
    assert np.flatnonzero(np.isnan(curve.mean)).tolist() == [50]
    short = thin(np.arange(3.0), np.arange(3.0), window=1, bins=100)
    np.testing.assert_array_equal(short.mean, [0, 1, 2])
