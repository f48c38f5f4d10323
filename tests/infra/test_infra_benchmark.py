"""The benchmark's bookkeeping: turns, medians, ratios, what a child process says; not the speeds themselves."""

import io
import json
import os
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from experiments import benchmark, benchmark_cases
from experiments.benchmark import Child, Ratio, Section, measure, spread
from experiments.benchmark_case import Case, NotJitted
from experiments.benchmark_cases import compile_case
from experiments.benchmark_removal import Shape, removal


def case(compile_s, operations=None):
    return {"compile_s": compile_s, "operations": operations}


class FakeChild:
    """Says what a child would, from a list of times; notes the order in which it was asked."""

    asked: list[str] = []
    seconds = {"slow": [3.0, 30.0, 300.0], "fast": [1.0, 3.0, 50.0]}

    def __init__(self, section, cure, one_core):
        self.turn = dict.fromkeys(self.seconds, 0)

    def receive(self):
        return {"cases": {"slow": case(2.0, 0.5), "fast": case(1.0)}}

    def time(self, case):
        FakeChild.asked.append(case)
        self.turn[case] += 1
        return {"seconds": self.seconds[case][self.turn[case] - 1], "peak_bytes": 1000 * self.turn[case]}

    def close(self):
        pass


def test_cases_take_turns_and_the_ratio_is_of_neighbours(monkeypatch):
    monkeypatch.setattr(benchmark, "Child", FakeChild)
    monkeypatch.setattr(FakeChild, "asked", [])
    section = Section("a title", {"": ("any", True)}, ratios=(Ratio("slow", "fast", "slow over fast"),))
    result = measure(section, repetitions=3)
    assert FakeChild.asked == ["slow", "fast"] * 3
    # Neighbours 3, 10 and 6; the ratio of the medians would be 10, that of the means 6.17.
    assert result["ratios"] == {"slow over fast": 6.0}
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
    compiled = compile_case(Case(NotJitted(short), (0.001,)))
    assert compiled.runs == 20  # 20 ms a turn
    calls.clear()
    assert compiled.turn() == pytest.approx(0.001)
    assert len(calls) == compiled.runs + 1
    assert compile_case(Case(NotJitted(short), (0.1,))).runs == 1


def test_a_child_answers_each_line_with_the_seconds_of_that_case(monkeypatch, capsys):
    cases = {"double": Case(lambda x: 2 * x, (jnp.ones(3),), 0.25), "add": Case(lambda x: x + 1, (jnp.ones(3),))}
    monkeypatch.setitem(benchmark_cases.SECTIONS, "small", lambda: cases)
    monkeypatch.setattr(sys, "stdin", io.StringIO("double\nadd\ndouble\n"))
    benchmark_cases.serve("small")
    told = [json.loads(line[1:]) for line in capsys.readouterr().out.splitlines() if line.startswith("@")]
    assert {name: facts["operations"] for name, facts in told[0]["cases"].items()} == {"double": 0.25, "add": None}
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
    compared = Section("compared", {"": ("any", True)}, ratios=(Ratio("slow", "fast", "slow over fast"),))
    left_out = Section("left out", {"": ("any", True)}, quick=False)
    monkeypatch.setattr(benchmark, "SECTIONS", (compared, left_out))
    path = tmp_path / "numbers.json"
    assert benchmark.main(["--quick", "--json", str(path)]) == 0
    written = json.loads(path.read_text())
    assert [section["title"] for section in written["sections"]] == ["compared"]
    assert written["before"]["cores"] >= 1
    printed = capsys.readouterr().out
    assert "slow over fast: 6.500" in printed
    assert "50.0 %" in printed
    assert "left out" not in printed


def test_both_processes_of_a_section_are_labelled_by_their_own_name(monkeypatch):
    class OneCase(FakeChild):
        def receive(self):
            return {"cases": {"slow": case(2.0)}}

    monkeypatch.setattr(benchmark, "Child", OneCase)
    compared = (Ratio("with", "without", "cost"),)
    section = Section("flag", {"with": ("any", True), "without": ("any", False)}, ratios=compared)
    assert set(measure(section, 2)["cases"]) == {"with", "without"}


@pytest.mark.slow
def test_tokens_are_really_removed_at_equal_operations():
    """Traced, not compiled: shapes decide the time. Attention of 2 examples with 2 heads, of 65 tokens or of fewer."""
    shape = Shape(tokens=64, width=16, heads=2, mlp_width=32, depth=2, kept=0.8, inputs=8)
    cases = removal(2, shape)
    pruning = {name: cases[name] for name in ("ATIS", "ToMe", "DynamicViT")}
    for name, one in pruning.items():
        assert one.operations == pytest.approx(cases["ATIS"].operations, abs=0.02), name
        program = jax.make_jaxpr(one.function)(*one.arguments)
        assert ("f32[4,65,65]" in str(program)) == (name == "ToMe"), name
        assert ("f32[4,57,57]" in str(program)) == (name != "ToMe"), name
    assert cases["already short"].arguments[1].x.shape[1] == 56 + 1  # 51 of 64 tokens, in steps of 8
    assert cases["as short as what is kept"].arguments[1].x.shape[1] == 51 + 1
    for section in benchmark.SECTIONS:
        assert {what for what, _ in section.children.values()} <= set(benchmark_cases.SECTIONS)
