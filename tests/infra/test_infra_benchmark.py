"""The benchmark's bookkeeping: turns, medians, ratios, what a child process says; not the speeds themselves."""

import io
import json
import os
import sys
from types import SimpleNamespace

import jax.numpy as jnp
import pytest

from experiments import benchmark, benchmark_cases
from experiments.benchmark import Child, Section, measure, spread
from experiments.benchmark_cases import NotJitted, compile_case


class FakeChild:
    """Says what a child would, from a list of times; notes the order in which it was asked."""

    asked: list[str] = []
    seconds = {"slow": [3.0, 30.0, 300.0], "fast": [1.0, 3.0, 50.0]}

    def __init__(self, section, cure, one_core):
        self.turn = dict.fromkeys(self.seconds, 0)

    def receive(self):
        return {"compile_s": {"slow": 2.0, "fast": 1.0}}

    def time(self, case):
        FakeChild.asked.append(case)
        self.turn[case] += 1
        return {"seconds": self.seconds[case][self.turn[case] - 1], "peak_bytes": 1000 * self.turn[case]}

    def close(self):
        pass


def test_cases_take_turns_and_the_ratio_is_of_neighbours(monkeypatch):
    monkeypatch.setattr(benchmark, "Child", FakeChild)
    monkeypatch.setattr(FakeChild, "asked", [])
    section = Section("a title", {"": ("any", True)}, ratio=("slow", "fast"), ratio_means="slow over fast")
    result = measure(section, repetitions=3)
    assert FakeChild.asked == ["slow", "fast"] * 3
    # Neighbours 3, 10 and 6; the ratio of the medians would be 10, that of the means 6.17.
    assert result["ratio"] == 6.0
    assert result["cases"]["slow"]["median_s"] == 30.0
    assert result["cases"]["fast"]["compile_s"] == 1.0
    assert result["peak_bytes"] == 3000


def test_spread_of_known_numbers():
    found = spread([5.0, 1.0, 2.0, 4.0, 3.0])
    assert found == {"median_s": 3.0, "quartiles_s": [2.0, 4.0], "min_s": 1.0, "repetitions": 5}


def test_a_short_case_runs_often_in_a_turn_and_a_long_one_once(monkeypatch):
    """By a clock that only the case moves: how busy the machine is does not matter."""
    calls, clock = [], [0.0]

    def short(seconds):
        calls.append(seconds)
        clock[0] += seconds
        return jnp.zeros(())

    monkeypatch.setattr(benchmark_cases, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    case = compile_case((NotJitted(short), (0.001,)))
    assert case.runs == 20  # 20 ms a turn
    calls.clear()
    assert case.turn() == pytest.approx(0.001)
    assert len(calls) == case.runs + 1
    assert compile_case((NotJitted(short), (0.1,))).runs == 1


def test_a_child_answers_each_line_with_the_seconds_of_that_case(monkeypatch, capsys):
    cases = {"double": (lambda x: 2 * x, (jnp.ones(3),)), "add": (lambda x: x + 1, (jnp.ones(3),))}
    monkeypatch.setitem(benchmark_cases.SECTIONS, "small", lambda: cases)
    monkeypatch.setattr(sys, "stdin", io.StringIO("double\nadd\ndouble\n"))
    benchmark_cases.serve("small")
    told = [json.loads(line[1:]) for line in capsys.readouterr().out.splitlines() if line.startswith("@")]
    assert set(told[0]["compile_s"]) == set(cases)
    assert len(told) == 4
    for message in told[1:]:
        assert 0 < message["seconds"] < 10
        assert message["peak_bytes"] > 2**20


@pytest.mark.slow
def test_a_child_starts_on_one_core_and_says_why_it_ends_early():
    """The core is chosen before the process starts, where the system can bind one, and for that process alone."""
    binds = hasattr(os, "sched_getaffinity")
    before = os.sched_getaffinity(0) if binds else None
    child = Child("no such section", True, one_core=binds)
    if binds:
        assert len(os.sched_getaffinity(child.process.pid)) == 1
        assert os.sched_getaffinity(0) == before
    with pytest.raises(RuntimeError, match="invalid choice: 'no such section'"):
        child.receive()
    child.close()


def test_the_table_and_the_json_file(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benchmark, "Child", FakeChild)
    monkeypatch.setattr(benchmark, "QUICK_REPETITIONS", 2)
    compared = Section("compared", {"": ("any", True)}, ratio=("slow", "fast"), ratio_means="slow over fast")
    left_out = Section("left out", {"": ("any", True)}, quick=False)
    monkeypatch.setattr(benchmark, "SECTIONS", (compared, left_out))
    path = tmp_path / "numbers.json"
    assert benchmark.main(["--quick", "--json", str(path)]) == 0
    written = json.loads(path.read_text())
    assert [section["title"] for section in written["sections"]] == ["compared"]
    assert written["before"]["cores"] >= 1
    printed = capsys.readouterr().out
    assert "slow over fast: 6.500" in printed
    assert "left out" not in printed


def test_both_processes_of_a_section_are_labelled_by_their_own_name(monkeypatch):
    class OneCase(FakeChild):
        def receive(self):
            return {"compile_s": {"slow": 2.0}}

    monkeypatch.setattr(benchmark, "Child", OneCase)
    section = Section("flag", {"with": ("any", True), "without": ("any", False)}, ratio=("with", "without"))
    assert set(measure(section, 2)["cases"]) == {"with", "without"}
