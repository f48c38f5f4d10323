"""Trims of calibrated cells: measured once, read by the next attempt, refused where they are another arm's."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from tiny_run import MODEL, SPEC, arm

from atis_jax.scoring.atis.calibration import CalibrationSpec, CalibrationTokens, Trim
from atis_jax.scoring.registry import make_method
from atis_jax.validation import UserError
from experiments.montecarlo import calibration
from experiments.montecarlo.calibration import calibrated, trim_file

METHOD = CalibrationSpec()


@pytest.fixture
def measured(monkeypatch):
    """Stands for the benches; lists what was measured."""
    calls = []

    def calibrate(arm, method, tokens, key) -> Trim:
        calls.append(arm.labels["arm"])
        return jax.tree.map(lambda leaf: leaf + 0.25 * len(calls), arm.cells.trim)

    monkeypatch.setattr(calibration, "calibration_tokens", lambda run, method: None)
    monkeypatch.setattr(calibration, "calibrate", calibrate)
    return calls


def calibrate_in(folder, one, key=None):
    return calibrated(one, METHOD, None, key, SimpleNamespace(path=folder))


@pytest.mark.slow
def test_the_second_attempt_reads_what_the_first_measured(measured, tmp_path):
    one = arm()
    first, second = calibrate_in(tmp_path, one), calibrate_in(tmp_path, one)
    assert measured == ["tiny"]
    for found in (first, second):
        np.testing.assert_array_equal(found.cells.trim.threshold_v, 0.25)
        assert found.cells.trim.log_current.shape == one.cells.trim.log_current.shape
        assert found.cells.trim.log_current.dtype == np.float32
        assert found.rows == one.rows
    assert not one.cells.trim.threshold_v.any(), "the arm as fabricated is left alone"
    exported = Trim(**np.load(tmp_path / "trims" / "tiny.npz"))  # the line of docs/calibration.md
    np.testing.assert_array_equal(exported.threshold_v, first.cells.trim.threshold_v)


def test_every_arm_has_its_own(measured, tmp_path):
    one, other = arm(), arm()
    other = type(other)(**{**vars(other), "labels": {"bias": "ptat", "arm": "other"}})
    calibrate_in(tmp_path, one)
    found = calibrate_in(tmp_path, other)
    assert measured == ["tiny", "other"]
    np.testing.assert_array_equal(found.cells.trim.threshold_v, 0.5)
    assert trim_file(tmp_path, other) == tmp_path / "trims" / "ptat-other.npz"


def test_trims_of_another_arm_or_damaged_are_refused(measured, tmp_path):
    calibrate_in(tmp_path, arm(chips=2))
    with pytest.raises(UserError, match=r"tiny.npz: its trims are another arm's, .*\(4, 2, 1\).*\(6, 2, 1\)"):
        calibrate_in(tmp_path, arm())
    path = trim_file(tmp_path, arm())
    for content in (b"", path.read_bytes()[:60]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="tiny.npz: holds no trims .*remove it"):
            calibrate_in(tmp_path, arm())
    np.savez(path, threshold_v=np.zeros(2))
    with pytest.raises(UserError, match="tiny.npz: holds no trims .*log_current"):
        calibrate_in(tmp_path, arm())
    assert measured == ["tiny"]


@pytest.mark.slow
def test_a_moving_prototype_is_calibrated_with_the_query_it_holds():
    one = arm(chips=2, temperature_c=(27.0,))
    method = make_method(dataclasses.replace(SPEC, prototype="ema"), one.evaluator.hardware)
    one = dataclasses.replace(one, evaluator=dataclasses.replace(one.evaluator, method=method))
    inputs = np.random.default_rng(0).uniform(-1, 1, (MODEL.depth, 32, SPEC.inputs)).astype(np.float32)
    scores = np.zeros((MODEL.depth, 32, SPEC.groups), np.float32)
    tokens = CalibrationTokens(inputs, scores, np.full((MODEL.depth, SPEC.groups), 0.5, np.float32))
    found = calibration.calibrate(one, METHOD, tokens, jax.random.key(0))
    assert found.threshold_v.shape == (2, MODEL.depth, SPEC.groups)
    assert np.all(np.isfinite(found.threshold_v)) and np.ptp(found.threshold_v) > 0
