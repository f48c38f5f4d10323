from __future__ import annotations

import json

import numpy as np
import pytest
from fake_run import edit_arrays, edit_json, write_fake_run

from atis_jax.report import ReportError, write_report
from atis_jax.report.errors import Absent
from atis_jax.report.numbers import numbers
from atis_jax.report.run_files import read_run
from atis_jax.validation import UserError
from experiments.codesign_report.contents import CODESIGN


def plain(text):
    return text.replace("\u00a0", " ")


@pytest.fixture
def run(tmp_path):
    return write_fake_run(tmp_path / "run", layers=2, images=2, grid=4, steps=20, chips=5)


def test_error_type_is_the_launchers():
    assert issubclass(ReportError, UserError) and issubclass(ReportError, ValueError)


def test_not_a_run(tmp_path):
    with pytest.raises(ReportError, match="is not a folder"):
        write_report(tmp_path / "nowhere", CODESIGN)
    with pytest.raises(ReportError, match="has none of config.json"):
        write_report(tmp_path, CODESIGN)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.98])
def test_truncated_artifacts(run, keep):
    path = run / "artifacts.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ReportError, match=r"artifacts.npz is damaged .* evaluate again"):
        write_report(run, CODESIGN)
    assert not (run / "report.html").exists()


def test_pickled_artifacts_are_refused(run):
    np.savez(run / "artifacts.npz", images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ReportError, match="damaged or not an .npz of plain arrays"):
        read_run(run, CODESIGN.arrays)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kept": np.ones((2, 3, 16), bool)}, r"'L|L = "),
        ({"labels": np.zeros(3, int)}, "'labels' has 3 along K, but 'images' says K = 2"),
        (
            {"score_hist_v": np.zeros((2, 40))},
            r"'score_hist_keep' has 40 along B, but 'score_hist_v' says B = 39",
        ),
        ({"images": np.full((2, 16, 16, 3), 255.0)}, r"'images' must lie in \[0, 1\], found 255"),
        ({"chip_accuracy": np.zeros((5, 1))}, r"'chip_accuracy' has shape \(5, 1\), expected axes \(N\)"),
        ({"chip_accuracy": np.zeros(0), "chip_temperature_c": None}, "'chip_accuracy' is empty along N"),
        ({"ota_current": np.full((8, 121), np.nan)}, "'ota_current' holds 968 values that are not finite"),
        ({"labels": np.array(["a", "b"])}, "'labels' holds <U1, expected numbers"),
    ],
)
def test_arrays_that_contradict_the_contract(run, changes, words):
    edit_arrays(run / "artifacts.npz", **changes)
    with pytest.raises(ReportError, match=words):
        read_run(run, CODESIGN.arrays)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"accuracy": {"dense": 95.2}}, r"'accuracy.dense' is 95.2, outside \[0, 1\]; write a fraction"),
        ({"accuracy": {"ideal": "high"}}, "'accuracy.ideal' must be a number, found 'high'"),
        ({"accuracy": {"chips": 6.5}}, "'accuracy.chips' is 6.5; expected a whole number"),
        ({"accuracy": {"temperature_c": ["cold"]}}, "'accuracy.temperature_c' must be numbers"),
        ({"tokens": 3}, "needs a table"),
    ],
)
def test_summary_that_makes_no_sense(run, changes, words):
    edit_json(run / "summary.json", **changes)
    with pytest.raises(ReportError, match=words):
        numbers(read_run(run, CODESIGN.arrays))


def test_broken_json(run):
    (run / "summary.json").write_text('{"accuracy": ')
    with pytest.raises(ReportError, match=r"summary.json is not valid JSON"):
        read_run(run, CODESIGN.arrays)
    (run / "summary.json").write_text("[1]")
    with pytest.raises(ReportError, match="must hold one JSON object, found a list"):
        read_run(run, CODESIGN.arrays)


def test_absent_says_which_file_and_what(run):
    edit_arrays(run / "artifacts.npz", kept=None)
    with pytest.raises(Absent, match="^artifacts.npz has no array 'kept'$"):
        read_run(run, CODESIGN.arrays).array("kept")
    (run / "artifacts.npz").unlink()
    with pytest.raises(Absent, match="^artifacts.npz is not in the run folder$"):
        read_run(run, CODESIGN.arrays).array("kept")


def test_every_number_and_what_was_not_measured(run):
    edit_json(run / "summary.json", accuracy={"random": None, "ideal": float("nan")})
    top = numbers(read_run(run, CODESIGN.arrays))
    rows = {plain(row.what): (plain(row.value), plain(row.compared)) for row in top.rows}
    # Binomial standard error of 0.9525 over 2,000 examples: 0.48 points, so tenths are the last digit of all of them.
    dense = rows["Accuracy: dense (nothing pruned, same training budget)"]
    assert dense == ("95.2 %", "one standard error of 2,000 examples is 0.5 points")
    assert rows["Accuracy: hardware, 5 sampled chips, at 0 to 50 °C"] == (
        "95.0 %, chips spread by 0.2 points",
        "−0.2 points against dense",
    )
    assert rows["Accuracy: ideal (the trained scorer on a perfect chip)"] == (
        "not a number",
        "not a number against dense",
    )
    assert rows["Patches pruned, last layer"][0] == "73.0 %"
    assert top.absent == (("Accuracy: random pruning at the same fractions", "summary.json has no 'accuracy.random'"),)
    energy = json.loads((run / "summary.json").read_text())["energy"]
    less = 100 * (1 - energy["total_j"] / energy["dense_j"])
    assert rows["Energy against the dense network without a scorer"][0] == f"{less:.0f} % less energy"
