"""The table of cells: torn lines, damage, cells twice; the fixed inputs; settings that cannot be."""

from __future__ import annotations

import pytest

from atis_jax.data.images import ImagesSpec
from atis_jax.data.registry import load_split
from atis_jax.validation import SettingError, UserError
from experiments.montecarlo.inputs import test_inputs as fixed_inputs
from experiments.montecarlo.noise_sweep import NoiseSweepSettings
from experiments.montecarlo.settings import MonteCarloSpec
from experiments.montecarlo.table import CellTable, read_table
from experiments.montecarlo.temperature_sweep import TemperatureSweepSettings
from experiments.montecarlo.yields_settings import YieldSettings

COLUMNS = ("cell", "arm", "accuracy")


def row(cell: int) -> dict:
    return {"cell": cell, "arm": "a, b", "accuracy": 0.1 + cell / 7}


def test_rows_come_back_in_order_and_exactly(tmp_path):
    with CellTable(tmp_path / "cells.csv", COLUMNS) as table:
        table.append([row(2), row(3)])
        table.append([row(0)])
    assert read_table(tmp_path / "cells.csv") == [row(0), row(2), row(3)]


def test_a_torn_line_is_cut_off_and_the_cell_is_open_again(tmp_path):
    path = tmp_path / "cells.csv"
    with CellTable(path, COLUMNS) as table:
        table.append([row(0), row(1)])
    path.write_bytes(path.read_bytes()[:-4])
    with CellTable(path, COLUMNS) as table:
        assert table.done == {0}
        table.append([row(1)])
    assert read_table(path) == [row(0), row(1)]


def test_a_cell_is_written_once(tmp_path):
    with CellTable(tmp_path / "cells.csv", COLUMNS) as table:
        table.append([row(0)])
        with pytest.raises(ValueError, match="cell 0 is in"):
            table.append([row(0)])


def test_damage_is_named_by_its_line(tmp_path):
    path = tmp_path / "cells.csv"
    with CellTable(path, COLUMNS) as table:
        table.append([row(0), row(1)])
    text = path.read_text()
    path.write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(UserError, match="line 4: is damaged or a cell twice"):
        CellTable(path, COLUMNS)
    with pytest.raises(UserError, match="its columns are not those"):
        CellTable(path, ("cell", "other"))


@pytest.mark.slow
def test_inputs_are_spread_over_the_split_and_can_be_more_than_it_has(tmp_path):
    test = load_split(ImagesSpec(data_dir=str(tmp_path)), "test")
    few = fixed_inputs("cluttered_digits", test, 100)
    assert len(few.columns["image"]) == 100 and len(set(few.labels.tolist())) == 10
    drawn = fixed_inputs("cluttered_digits", test, len(test) + 50)
    more, stored = drawn.columns["image"], test.columns["image"]
    assert (more[: len(test)] == stored).all()
    assert len(more) == len(drawn) == len(test) + 50
    assert (drawn.labels[len(test) :] == test.labels[:50]).all()
    assert not any((canvas == stored).all(axis=(1, 2, 3)).any() for canvas in more[len(test) :])
    again = fixed_inputs("cluttered_digits", test, len(test) + 50)
    assert (again.columns["image"] == more).all()


@pytest.mark.slow
def test_more_inputs_than_a_stored_set_has_are_refused(tmp_path):
    test = load_split(ImagesSpec(data_dir=str(tmp_path)), "test")
    stored = type(test)(**{**vars(test), "extra": {}})
    with pytest.raises(SettingError, match="montecarlo.examples = 9999 is above the 1910 test inputs of 'x'"):
        fixed_inputs("x", stored, 9999)


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda: MonteCarloSpec(temperature_c=(-300.0,)), r"montecarlo.temperature_c\[0\] = -300.0 is below"),
        (lambda: MonteCarloSpec(temperature_c=(200.0,)), r"montecarlo.temperature_c\[0\] = 200.0 is above"),
        (lambda: MonteCarloSpec(temperature_c=()), r"montecarlo.temperature_c = \(\) is empty"),
        (lambda: MonteCarloSpec(temperature_c=(1.0, 1.0)), "montecarlo.temperature_c = .* has 1.0 twice"),
        (lambda: MonteCarloSpec(chips=0), "montecarlo.chips = 0 is below its lower bound 1"),
        (lambda: NoiseSweepSettings(scales=(-1.0,)), r"config.scales\[0\] = -1.0"),
        (lambda: NoiseSweepSettings(scales=()), r"config.scales = \(\) is empty; give 1 or more"),
        (lambda: NoiseSweepSettings(imperfections=("ofset",)), "did you mean 'offset'"),
        (lambda: NoiseSweepSettings(montecarlo=MonteCarloSpec(chips=1)), "config.montecarlo.chips = 1.*at least 2"),
        (lambda: TemperatureSweepSettings(montecarlo=MonteCarloSpec(chips=1)), "config.montecarlo.chips = 1.*at least"),
        (lambda: YieldSettings(calibrations=()), r"config.calibrations = \(\) is empty"),
        (lambda: YieldSettings(calibrations=("offset",)), "config.calibrations: 'offset'.*needs 'threshold'"),
        (lambda: YieldSettings(calibrations=("treshold",)), "did you mean 'threshold'"),
        (lambda: TemperatureSweepSettings(biases=()), r"config.biases = \(\) is empty"),
    ],
)
def test_bad_settings_name_the_field(make, message):
    with pytest.raises(SettingError, match=message):
        make()
