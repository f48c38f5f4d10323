"""What a sweep covers: spaces, the checks of every point, names of folders."""

from __future__ import annotations

import math

import pytest
from tiny_experiment import TinySettings

from atis_jax.config import to_config_dict
from atis_jax.validation import SettingError, UserError
from experiments import command_line, registry
from experiments.sweeps import choice, crossed, integers, log_uniform, product, random, uniform, zipped
from experiments.sweeps.points import check_not_overridden, points_of, swept_fields


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    entry = registry.Experiment("tiny_experiment:TinySettings", "tiny_experiment:run")
    monkeypatch.setitem(registry.EXPERIMENTS, "tiny", entry)


def points(space):
    return points_of(to_config_dict(TinySettings), space)


def test_product_has_every_combination_the_last_field_fastest():
    assert product({"a": [0, 1], "b.c": ["x", "y"]}) == [
        {"a": 0, "b.c": "x"},
        {"a": 0, "b.c": "y"},
        {"a": 1, "b.c": "x"},
        {"a": 1, "b.c": "y"},
    ]
    assert product({"a": range(2)}) == [{"a": 0}, {"a": 1}]


def test_zipped_goes_through_its_lists_together():
    assert zipped({"a": [0, 1], "b": ["x", "y"]}) == [{"a": 0, "b": "x"}, {"a": 1, "b": "y"}]


def test_crossed_combines_spaces():
    assert crossed(product({"a": [0, 1]}), zipped({"b": [2, 3], "c": [4, 5]}), [{"d": 6}]) == [
        {"a": 0, "b": 2, "c": 4, "d": 6},
        {"a": 0, "b": 3, "c": 5, "d": 6},
        {"a": 1, "b": 2, "c": 4, "d": 6},
        {"a": 1, "b": 3, "c": 5, "d": 6},
    ]


def test_random_draws_repeat_and_do_not_depend_on_the_other_fields():
    axes = {"rate": log_uniform(1e-4, 1e-2), "steps": integers(3, 5)}
    drawn = random(50, 1, axes)
    assert random(50, 1, axes) == drawn and random(20, 1, axes) == drawn[:20]
    alone = random(50, 1, {"steps": axes["steps"]})
    assert [point["steps"] for point in alone] == [point["steps"] for point in drawn]
    assert random(50, 2, axes) != drawn
    assert {point["steps"] for point in drawn} == {3, 4, 5}
    assert all(len(f"{point['rate']:.10g}".lstrip("0.").replace(".", "")) <= 4 for point in drawn)


def test_random_draws_follow_their_distribution():
    """4,000 draws: the mean of a uniform variable is within 5 standard errors, (high - low) / sqrt(12 * 4000)."""
    count = 4000
    axes = {"log": log_uniform(1e-4, 1e-2), "flat": uniform(-1.0, 3.0), "of": choice(["a", "b"])}
    drawn = random(count, 0, axes)
    logs = [math.log10(point["log"]) for point in drawn]
    assert abs(sum(logs) / count + 3) < 5 * 2 / math.sqrt(12 * count)
    assert abs(sum(point["flat"] for point in drawn) / count - 1) < 5 * 4 / math.sqrt(12 * count)
    assert abs(sum(point["of"] == "a" for point in drawn) - count / 2) < 5 * math.sqrt(count / 4)
    assert all(1e-4 <= point["log"] <= 1e-2 and -1 <= point["flat"] <= 3 for point in drawn)


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: product({}), ["product: no fields"]),
        (lambda: product({"seed": []}), ["seed has no values", "at least one"]),
        (lambda: product({"seed": 3}), ["seed = 3", "not a list", "[3]"]),
        (lambda: product({"name": "abc"}), ["name = 'abc'", "not a list"]),
        (lambda: zipped({"seed": [0, 1], "rate": [1, 2, 3]}), ["seed has 2", "rate has 3", "equally many"]),
        (lambda: crossed(product({"a": [0]}), []), ["space 1 is empty"]),
        (lambda: crossed([{"a": 0}], [{"a": 1}]), ["a is set by two spaces"]),
        (lambda: random(0, 0, {"a": integers(0, 1)}), ["count = 0", "at least 1"]),
        (lambda: random(2, 0, {"a": [0, 1]}), ["a = [0, 1]", "not a distribution"]),
        (lambda: random(2, 0, {}), ["no fields"]),
        (lambda: uniform(2, 1), ["low = 2", "high = 1"]),
        (lambda: uniform(0, math.inf), ["high = inf", "finite"]),
        (lambda: log_uniform(0, 1), ["low = 0", "not above 0"]),
        (lambda: integers(0.5, 2), ["low = 0.5", "whole number"]),
        (lambda: choice([]), ["no values"]),
    ],
)
def test_a_wrong_space_is_one_clear_message(make, parts):
    with pytest.raises(SettingError) as caught:
        make()
    assert all(part in str(caught.value) for part in parts), str(caught.value)


@pytest.mark.parametrize(
    ("space", "parts"),
    [
        ([], ["empty sweep", "at least one point"]),
        (None, ["get_sweep() returned a NoneType", "product"]),
        ([{"seed": 1}, {}], ["point 1 of the sweep", "sets no field"]),
        ([{"training.stesp": 3}], ["point 0", "config.training.stesp does not exist", "did you mean 'steps'"]),
        ([{"trainnig.steps": 3}], ["config.trainnig does not exist", "did you mean 'training'"]),
        ([{"seed.x": 3}], ["config.seed is a value, not a section"]),
        ([{"training": 3}], ["config.training is a section", "sweep its fields, as in 'training."]),
        ([{"seed": 1}, {"training.steps": 0}], ["point 1", "config.training.steps = 0", "lower bound 1"]),
        ([{"training.bits": "four"}], ["config.training.bits = 'four'", "whole number, or None"]),
        ([{"experiment": "tinny"}], ["config.experiment = 'tinny'", "did you mean 'tiny'"]),
        (product({"seed": [1, 2, 1]}), ["points 0 and 2", "same run", "seed=1"]),
        ([{"seed": 1, "config.seed": 2}], ["sets a field twice", "'config.'"]),
        # The default is 0.1: a point that says so is the same run as one that does not.
        ([{"seed": 1}, {"seed": 1, "training.rate": 0.1}], ["points 0 and 1", "same run"]),
    ],
)
def test_a_wrong_point_is_one_clear_message(space, parts):
    with pytest.raises(SettingError) as caught:
        points(space)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_a_field_may_begin_with_config_as_on_the_command_line():
    assert [point.overrides for point in points([{"config.seed": 1}, {"config.seed": 2}])] == [{"seed": 1}, {"seed": 2}]


def test_two_runs_that_want_one_folder_are_refused(monkeypatch):
    entry = registry.Experiment("experiments.settings:CodesignSettings", "experiments.codesign:run")
    monkeypatch.setitem(registry.EXPERIMENTS, "codesign", entry)
    config = command_line.load_config("configs/quickstart.py")
    with pytest.raises(SettingError, match=r"points 0 and 1 .*both want the folder 'data.data_dir=-a-b'"):
        points_of(config, product({"data.data_dir": ["/a/b", "/a b"]}))
    with pytest.raises(SettingError, match="folder's name would have 21[0-9] characters, more than 200"):
        points_of(config, product({"data.data_dir": ["x" * 200]}))


def test_names_and_values_of_points():
    made = points([{"seed": 3, "training.widths": (1, 2)}, {"training.bits": None}, {"training.rate": 1}])
    assert [point.name for point in made] == ["seed=3,training.widths=1_2", "training.bits=null", "training.rate=1.0"]
    assert made[0].settings.training.widths == (1, 2) and made[0].settings.seed == 3
    assert made[2].overrides == {"training.rate": 1.0}
    assert made[1].settings.training.bits is None and made[1].settings.seed == 0
    assert swept_fields(made) == ["seed", "training.widths", "training.bits", "training.rate"]


def test_a_point_may_choose_a_kind_and_set_its_fields():
    config = command_line.load_config("configs/quickstart.py")
    config.scorer.kind = "random"
    made = points_of(config, [{"scorer.inputs": 8, "scorer.kind": "digital"}, {"scorer.kind": "analog"}])
    assert [point.settings.scorer.inputs for point in made] == [8, 32]
    assert set(config.scorer) == {"kind"}, "a point changes its own copy"
    with pytest.raises(SettingError, match=r"point 0 .*config.scorer.kind = 'digitl' is not one of"):
        points_of(config, [{"scorer.kind": "digitl"}])


def test_an_override_of_a_swept_field_is_refused():
    made = points(product({"seed": [0, 1]}))
    check_not_overridden(made, ["training.rate"])
    with pytest.raises(SettingError, match=r"--config\.seed is a field that get_sweep\(\) sets"):
        check_not_overridden(made, ["training.rate", "seed"])


def test_a_config_file_without_a_sweep_or_with_a_wrong_one(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def get_config():\n    pass\n")
    with pytest.raises(UserError, match=r"mine\.py.*has no get_sweep\(\).*leave out --sweep"):
        command_line.load_sweep(str(path))
    path.write_text(
        "from experiments.sweeps import zipped\n\n\ndef get_sweep():\n    return zipped({'a': [], 'b': [1]})\n"
    )
    with pytest.raises(UserError, match=r"mine\.py, line 5: zipped: a has no values"):
        command_line.load_sweep(str(path) + ":variant")
    path.write_text("def get_sweep(variant='x'):\n    return [{'seed': variant}]\n")
    assert command_line.load_sweep(str(path)) == [{"seed": "x"}]
    assert command_line.load_sweep(str(path) + ":y") == [{"seed": "y"}]
