"""The front of a sweep: who is on it, who counts as equal, what the page says, and mistakes in ``get_front()``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from atis_jax.validation import SettingError
from experiments.sweeps import collect, front_page, store
from experiments.sweeps.front import Front, front_of
from experiments.sweeps.placing import cheapest_equal, lacking, place, reference_of
from experiments.sweeps.points import Point
from experiments.sweeps.store import Records

# cost in joules and accuracy: the reference, one cheaper and equal, one cheapest and worse, one dearer and no better.
RUNS = {"paper": (300e-9, 0.950), "small": (50e-9, 0.947), "tiny": (5e-9, 0.800), "large": (900e-9, 0.950)}
FRONT = Front(reference="paper")


@pytest.fixture
def sweep(tmp_path) -> Path:
    points = [{"name": name, "overrides": {"design": name}} for name in RUNS]
    described = {"schema": 1, "config": "c.py", "fields": ["design"], "base": {}, "points": points}
    (tmp_path / ".jobs").mkdir()
    (tmp_path / "sweep.json").write_text(json.dumps(described | {"front": dataclasses.asdict(FRONT)}))
    for name in RUNS:
        finish(tmp_path, name)
    return tmp_path


def finish(folder: Path, name: str) -> None:
    cost, value = RUNS[name]
    (folder / name).mkdir(exist_ok=True)
    summary = {"energy": {"scoring_j": cost}, "accuracy": {"hardware_mean": value}}
    (folder / name / "summary.json").write_text(json.dumps(summary))
    Records(folder, name).write_run(state="finished", seconds=1.0, restarts=0, **store.this_process())


def test_who_is_on_the_front_and_who_is_equal(sweep):
    placements = {one.design.fields["design"]: one for one in place(collect.rows(sweep), FRONT)}
    assert list(placements) == ["tiny", "small", "paper", "large"]  # by cost
    assert {name for name, one in placements.items() if one.best} == {"tiny", "small", "paper"}
    assert {name for name, one in placements.items() if one.equal} == {"small", "paper", "large"}
    assert placements["small"].cheaper == pytest.approx(6.0)
    assert placements["small"].change == pytest.approx(-0.003)
    assert cheapest_equal(list(placements.values())).design.fields["design"] == "small"
    assert reference_of(list(placements.values()), FRONT).design.fields["design"] == "paper"


def test_a_tighter_tolerance_leaves_the_reference_alone(sweep):
    front = dataclasses.replace(FRONT, tolerance=0.001)
    placements = place(collect.rows(sweep), front)
    assert cheapest_equal(placements).design.fields["design"] == "paper"
    assert "none within 0.10" in front_page.sentence(placements, front)


def test_the_page_says_how_much_cheaper_the_cheapest_equal_run_is(sweep):
    collect.write(sweep)
    page = (sweep / "report.html").read_text()
    assert "design=small: 6.00 times less energy.scoring_j, and accuracy.hardware_mean -0.30 points" in page.replace(
        "\u2212", "-"
    ).replace("<wbr>", "")
    assert "reference</span>" in page
    placements = place(collect.rows(sweep), FRONT)
    section = front_page.section(placements, FRONT)
    assert [line["cells"][-1] for line in section["lines"]] == ["yes", "yes", "yes", ""]
    assert section["lines"][0]["cells"][1].replace("\u00a0", " ") == "5.00 nJ"


def test_before_the_reference_has_finished_there_is_no_front(sweep):
    (sweep / "paper" / "summary.json").unlink()
    Records(sweep, "paper").write_run(state="running", restarts=0, **store.this_process())
    collect.write(sweep)
    assert place(collect.rows(sweep), FRONT) == []
    assert "has not finished" in (sweep / "report.html").read_text()


def test_a_number_that_no_summary_has_is_named(sweep):
    front = dataclasses.replace(FRONT, cost="energy.scoring")
    assert place(collect.rows(sweep), front) == []
    assert "has no energy.scoring; get_front() can name: energy.scoring_j" in lacking(collect.rows(sweep), front)


def test_a_run_that_costs_nothing_is_placed_and_left_out_of_the_logarithm(sweep):
    (sweep / "tiny" / "summary.json").write_text(
        json.dumps({"energy": {"scoring_j": 0.0}, "accuracy": {"hardware_mean": 0.5}})
    )
    free = place(collect.rows(sweep), FRONT)[0]
    assert free.design.fields["design"] == "tiny" and free.cheaper == float("inf")
    collect.write(sweep)
    assert "infinite" in (sweep / "report.html").read_text()


def test_the_front_is_of_means_over_seeds(tmp_path):
    """The cheapest single run of all and the most accurate one belong to designs whose means are neither."""
    (tmp_path / ".jobs").mkdir()
    runs = {
        ("paper", 0): (300e-9, 0.950),
        ("paper", 1): (310e-9, 0.940),
        ("small", 0): (10e-9, 0.900),
        ("small", 1): (90e-9, 0.990),
        ("even", 0): (40e-9, 0.946),
        ("even", 1): (40e-9, 0.946),
    }
    points = [{"name": f"{d}-{s}", "overrides": {"design": d, "seed": s}} for d, s in runs]
    front = {"front": dataclasses.asdict(Front(reference="paper-1"))}
    described = {"schema": 1, "config": "c.py", "fields": ["design", "seed"], "base": {}, "points": points}
    (tmp_path / "sweep.json").write_text(json.dumps(described | front))
    for (design, seed), (cost, value) in runs.items():
        folder = tmp_path / f"{design}-{seed}"
        folder.mkdir()
        accuracy = {"energy": {"scoring_j": cost}, "accuracy": {"hardware_mean": value}, "dataset": {"examples": 2000}}
        (folder / "summary.json").write_text(json.dumps(accuracy))
    placements = place(collect.write(tmp_path), Front(reference="paper-1"))
    assert [one.design.fields["design"] for one in placements] == ["even", "small", "paper"]
    even, small, paper = placements
    assert paper.cost.mean == pytest.approx(305e-9) and paper.value.mean == pytest.approx(0.945)
    assert [one.best for one in placements] == [True, False, False]
    assert even.cheaper == pytest.approx(305 / 40) and even.change == pytest.approx(0.001)
    assert small.limit > 0.1 > abs(small.change)  # 9 points between its own seeds
    page = (tmp_path / "report.html").read_text().replace("\u00a0", " ")
    assert "+0.1 (not distinguishable)" in page and "94.5 % ± 0.7" in page and "305 ± 7 nJ" in page
    assert "One standard error of an accuracy on these examples is 0.51 points." in page


def points() -> list[Point]:
    return [Point(name, {"scorer.inputs": n}, None, None) for name, n in (("a", 8), ("b", 64))]


def test_the_reference_is_named_by_its_overrides():
    front = front_of({"reference": {"scorer.inputs": 64}, "tolerance": 0.01}, points())
    assert front == Front(reference="b", tolerance=0.01)
    # The seed may be left out: all of them are one design.
    repeated = [Point(f"{n}-{s}", {"scorer.inputs": n, "seed": s}, None, None) for n in (8, 64) for s in (0, 1)]
    assert front_of({"reference": {"scorer.inputs": 64}}, repeated) == Front(reference="64-0")
    assert front_of({"reference": {"scorer.inputs": 64, "seed": 1}}, repeated) == Front(reference="64-1")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"reference": {"scorer.inputs": 32}}, "is none of the sweep's 2 points"),
        ({"cost": "energy.total_j"}, "return a dict with 'reference'"),
        ({"reference": {"scorer.inputs": 8}, "tolerence": 1}, "return a dict with 'reference'"),
        ({"reference": {"scorer.inputs": 8}, "tolerance": 2.0}, "front.tolerance = 2.0 is above"),
        ([1], "return a dict"),
    ],
)
def test_mistakes_are_named(asked, message):
    with pytest.raises(SettingError, match=message):
        front_of(asked, points())


def test_the_codesign_front_has_the_papers_point_among_its_runs():
    """Sixty-four inputs, six bits, a learned projection; its sweep is checked as a launch would check it."""
    from configs import codesign_front
    from experiments.sweeps.points import points_of

    found = points_of(codesign_front.get_config(), codesign_front.get_sweep())
    front = front_of(codesign_front.get_front(), found)
    paper = next(point.settings for point in found if point.name == front.reference)
    assert (paper.scorer.inputs, paper.hardware.dac_bits, paper.scorer.projection) == (64, 6, "learned")
    assert not (paper.scorer.input_gates or paper.scorer.trainable_bits or paper.scorer.shared)
    assert paper.evaluation.chips >= 32
    assert len(found) == 23
