"""Table and page of a sweep, from files written by hand: every status, designs over seeds, errors, damage."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from atis_jax.validation import UserError
from experiments.sweeps import collect, store
from experiments.sweeps.row import Row
from experiments.sweeps.store import Records

END = (1.0, 0, "", "")
RUNS = ("rate=0.001", "rate=0.01", "rate=0.1", "rate=1.0", "rate=10.0,bits=4")


@pytest.fixture
def sweep(tmp_path) -> Path:
    """Two finished runs, a failed one, one whose worker is gone without a word, one that has not begun."""
    points = [{"name": name, "overrides": {"rate": 0.001 * 10**i}} for i, name in enumerate(RUNS)]
    points[4]["overrides"]["bits"] = 4
    base = {"rate": 5.0, "bits": None, "seed": 3}
    described = {"schema": 1, "config": "c.py", "fields": ["rate", "bits"], "base": base, "points": points}
    (tmp_path / ".jobs").mkdir()
    (tmp_path / "sweep.json").write_text(json.dumps(described))
    for name, mean in ((RUNS[0], 0.75), (RUNS[1], 0.875)):
        (tmp_path / name).mkdir()
        summary = {
            "schema": 1,
            "seed": 3,
            "accuracy": {"dense": 0.99, "hardware_mean": mean, "temperature_c": [0.0]},
            "energy": {"total_j": 2e-6, "ledger_j": {"dac": 1e-9}, "preset": "x"},
        }
        (tmp_path / name / "summary.json").write_text(json.dumps(summary))
        Records(tmp_path, name).write_run(state="finished", seconds=12.34, restarts=2, **store.this_process())
    (tmp_path / RUNS[1] / "report.html").write_text("")
    Records(tmp_path, RUNS[2]).write_run(
        state="failed", seconds=1.0, restarts=0, error="ValueError: <b>, 'x'", detail="line 1\nline 2"
    )
    gone = {**store.this_process(), "started": -1}  # an earlier process that had our number
    Records(tmp_path, RUNS[3]).write_run(state="running", restarts=0, **gone)
    return tmp_path


def test_the_table_has_a_row_a_run_and_a_column_a_number(sweep):
    rows = list(csv.DictReader(io.StringIO(collect.csv_text(collect.rows(sweep)))))
    assert [row["run"] for row in rows] == list(RUNS)
    assert [row["status"] for row in rows] == ["finished", "finished", "failed", "interrupted", "waiting"]
    assert list(rows[0]) == [
        *(
            "run",
            "design",
            "rate",
            "bits",
            "status",
            "seed",
            "accuracy.dense",
            "accuracy.hardware_mean",
            "energy.total_j",
        ),
        *("seconds", "restarts", "error"),
    ]
    assert rows[1]["accuracy.hardware_mean"] == "0.875" and rows[1]["seconds"] == "12.3" and rows[1]["restarts"] == "2"
    assert rows[2]["error"] == "ValueError: <b>, 'x'" and rows[2]["accuracy.dense"] == ""
    # A point that does not set a swept field has the config's value.
    assert [row["bits"] for row in rows] == ["None"] * 4 + ["4"]


def test_the_page_links_reports_and_shows_errors(sweep):
    table = collect.write(sweep)
    assert collect.metric_of(table) == "accuracy.hardware_mean"
    page = (sweep / "report.html").read_text()
    line = page[page.index('<a href="rate%3D0.01/report.html">rate=0.01</a>') :].partition("</tr>")[0]
    assert "87.50" in line and "2.00\u00a0µJ" in line
    assert '<th scope="col">accuracy.<wbr>hardware_<wbr>mean</th>' in page
    assert page.count("/report.html") == 1  # the other has no report to link to
    assert "ValueError: &lt;b&gt;" in page and "line 1\nline 2" in page and "<b>" not in page
    assert "finished (2 restarts)" in page
    # Designs in their rank, and accuracy against rate; bits has one value among finished runs.
    assert page.count("data:image/png;base64,") == 2
    assert "://" not in page  # nothing is fetched
    assert collect.write(sweep) == table and (sweep / "report.html").read_text() == page


def test_without_a_finished_run_there_is_no_rank(sweep):
    for name in RUNS[:2]:
        (sweep / name / "summary.json").unlink()
    table = collect.write(sweep)
    assert collect.metric_of(table) is None
    page = (sweep / "report.html").read_text()
    assert 'id="designs"' not in page and "<img" not in page


def test_the_number_of_chips_is_no_accuracy():
    row = Row("a", "a", {"rate": 1.0}, "finished", {"accuracy.chips": 1, "accuracy.random_pruned_fraction": 0.5}, *END)
    assert collect.metric_of([row]) is None


def test_a_failure_after_the_result_is_shown_until_the_run_is_finished_by_hand(sweep):
    summary = sweep / RUNS[0] / "summary.json"
    Records(sweep, RUNS[0]).write_run(state="failed", seconds=1.0, error="no space for the report", detail="")
    row = collect.rows(sweep)[0]
    assert (row.status, row.error) == ("finished", "no space for the report")
    later = (sweep / ".jobs" / f"{RUNS[0]}.run.json").stat().st_mtime + 10
    os.utime(summary, (later, later))
    assert collect.rows(sweep)[0].error == ""


def test_damage_and_other_folders_are_one_clear_message(sweep, tmp_path, capsys):
    (sweep / RUNS[0] / "summary.json").write_text("{")
    with pytest.raises(UserError, match=r"summary\.json: cannot be read .*delete it"):
        collect.rows(sweep)
    with pytest.raises(UserError, match=r"is not a sweep .*sweep\.json"):
        collect.rows(tmp_path / "elsewhere")
    (sweep / "sweep.json").write_text('{"schema": 99}')
    with pytest.raises(UserError, match="not a sweep of this version"):
        collect.rows(sweep)
    assert collect.main([str(tmp_path / "elsewhere")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_help_and_a_missing_folder(capsys):
    for arguments, code in (["--help"], 0), ([], 2):
        with pytest.raises(SystemExit) as caught:
            collect.main(arguments)
        assert caught.value.code == code
    assert "usage: python -m experiments.sweeps.collect" in capsys.readouterr().out
