"""Files of curves: what is written is read back, and what cannot be used is told with its line."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atis_jax.fitting.curves import COLUMNS, Curve, CurveError, curves_csv, read_curves
from atis_jax.validation import UserError

HEAD = ",".join(COLUMNS)
NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=12)


@st.composite
def one_curve(draw):
    bias_a = draw(st.floats(1e-15, 1e-3))
    voltages = draw(st.lists(st.floats(-5, 5).map(lambda v: v + 0.0), min_size=5, max_size=12, unique=True))
    currents = st.floats(-10 * bias_a, 10 * bias_a)
    current_a = draw(st.lists(currents, min_size=len(voltages), max_size=len(voltages)))
    temperature_c = draw(st.floats(-55, 150).map(lambda c: c + 0.0))
    return Curve(draw(NAMES), bias_a, temperature_c, np.array(sorted(voltages)), np.array(current_a))


def of(curve):
    return curve.device, curve.bias_a, curve.temperature_c


def written(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding)
    return path


def rows(count=5, device="a", bias="1e-8", celsius="27", start=0.0):
    """Lines of a curve that has nothing wrong with it."""
    return [f"{device},{bias},{celsius},{start + 0.01 * k},{1e-9 * k}" for k in range(count)]


@settings(max_examples=60)
@given(st.lists(one_curve(), min_size=1, max_size=4, unique_by=of))
def test_curves_come_back_to_the_bit(tmp_path_factory, curves):
    path = written(tmp_path_factory.mktemp("curves") / "c.csv", curves_csv(curves))
    found = read_curves(path)
    assert [of(one) for one in found] == [of(one) for one in curves]
    for one, other in zip(found, curves, strict=True):
        assert one.voltage_v.tobytes() == other.voltage_v.tobytes()
        assert one.current_a.tobytes() == other.current_a.tobytes()


def test_columns_in_any_order_comments_and_rows_in_any_order(tmp_path):
    text = "# of bench 3\n current_a , voltage_v,note,bias_a,temperature_c\n"
    text += "".join(f"{k}e-9,{0.01 * k},x,1e-8,27\n\n" for k in (3, 1, 2, 5, 4))
    (curve,) = read_curves(written(tmp_path / "c.csv", text))
    assert of(curve) == ("ota", 1e-8, 27.0)
    np.testing.assert_array_equal(curve.voltage_v, [0.01, 0.02, 0.03, 0.04, 0.05])
    np.testing.assert_array_equal(curve.current_a, [1e-9, 2e-9, 3e-9, 4e-9, 5e-9])


def test_curves_are_told_apart_by_device_bias_and_temperature(tmp_path):
    lines = rows() + rows(device="b") + rows(bias="1e-9") + rows(celsius="60")
    found = read_curves(written(tmp_path / "c.csv", "\n".join([HEAD, *lines])))
    assert [of(one) for one in found] == [("a", 1e-8, 27.0), ("b", 1e-8, 27.0), ("a", 1e-9, 27.0), ("a", 1e-8, 60.0)]


def test_a_supply_is_read_where_there_is_one_and_written_back(tmp_path):
    lines = [f"{row},{volts}" for volts in ("1620", "1980") for row in rows()]
    found = read_curves(written(tmp_path / "c.csv", "\n".join([HEAD + ",supply_mV", *lines])))
    assert [one.supply_v for one in found] == [1.62, 1.98]
    again = read_curves(written(tmp_path / "d.csv", curves_csv(found)))
    assert [(of(one), one.supply_v) for one in again] == [(of(one), one.supply_v) for one in found]
    with pytest.raises(CurveError, match="line 2: supply_v = 0 must be above 0"):
        read_curves(written(tmp_path / "e.csv", f"{HEAD},supply_v\n{rows()[0]},0"))


def test_a_spreadsheets_mark_is_no_part_of_the_first_column(tmp_path):
    text = "\n".join([HEAD.replace("device", "Device"), *rows(device="a"), *rows(device="b")])
    assert [one.device for one in read_curves(written(tmp_path / "c.csv", text, "utf-8-sig"))] == ["a", "b"]


@pytest.mark.parametrize("column", COLUMNS[1:])
def test_a_missing_column_is_named(tmp_path, column):
    path = written(tmp_path / "c.csv", HEAD.replace(column, "other") + "\n" + rows()[0])
    quantity, _, unit = column.partition("_")
    told = f"c.csv, line 1: has no column '{quantity}_{unit.upper()}' among .*'other'.*name the columns bias_A"
    with pytest.raises(CurveError, match=told):
        read_curves(path)


UNITS = {"A": 0, "mA": 3, "uA": 6, "µA": 6, "μA": 6, "nA": 9, "pA": 12, "fA": 15, "V": 0, "mV": 3, "uV": 6}


@pytest.mark.parametrize("form", ["{}_{}", "{} ({})", "{} [{}]", "{}/{}", "{} {}"])
@pytest.mark.parametrize(
    ("bias", "current", "voltage", "kelvin"),
    [("nA", "nA", "mV", True), ("µA", "pA", "V", False), ("μA", "fA", "uV", True), ("A", "mA", "mV", False)],
)
def test_a_column_may_carry_its_unit(tmp_path, form, bias, current, voltage, kelvin):
    """The numbers are those of the file in SI units, to the bit."""
    names = {"bias": bias, "temperature": "K" if kelvin else "C", "voltage": voltage, "current": current}
    head = ",".join(["device", *(form.format(*one) for one in names.items())])
    shift = [Decimal(10) ** UNITS[unit] for unit in (bias, voltage, current)]
    text, si = [head], [HEAD]
    for device, bias_a, celsius, volts, amperes in (row.split(",") for row in rows(bias="3e-9", celsius="27.35")):
        si.append(f"{device},{bias_a},{celsius},{volts},{amperes}")
        told_c = Decimal(celsius) + (Decimal("273.15") if kelvin else 0)
        moved = (Decimal(one) * by for one, by in zip((bias_a, volts, amperes), shift, strict=True))
        told_bias, told_v, told_a = moved
        text.append(f"{device},{told_bias},{told_c},{told_v},{told_a}")
    (found,) = read_curves(written(tmp_path / "c.csv", "\n".join(text)))
    (wanted,) = read_curves(written(tmp_path / "si.csv", "\n".join(si)))
    assert of(found) == of(wanted)
    np.testing.assert_array_equal(found.voltage_v, wanted.voltage_v)
    np.testing.assert_array_equal(found.current_a, wanted.current_a)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (
            "bias_nA,temperature_C,voltage_mV,current_xA",
            "the column 'current_xA' is in no unit .*current_nA",
        ),
        ("bias_nA,temperature_F,voltage_mV,current_nA", "the column 'temperature_F' is in no unit"),
        ("bias_nA,temperature_C,voltage_nA,current_nA", "the column 'voltage_nA' is in no unit"),
        ("bias_nA,temperature_C,voltage_MV,current_nA", "the column 'voltage_MV' is in no unit"),
        ("bias_nA,temperature_C,voltage,current_nA", "the column 'voltage' is in no unit"),
        ("bias_a,bias_nA,temperature_C,voltage_V,current_A", "the bias is in 'bias_a' and in 'bias_nA'; leave one out"),
        ("bias_nA;temperature_C;voltage_mV;current_nA", "separate them by commas|is in no unit"),
        ("Vd,Iout,T", "has no column 'bias_A' among 'Vd', 'Iout', 'T'; name the columns bias_A"),
    ],
)
def test_a_header_that_says_no_unit_of_ours_is_told_which_are(tmp_path, head, told):
    with pytest.raises(CurveError, match=f"c.csv, line 1: .*({told})"):
        read_curves(written(tmp_path / "c.csv", head + "\n1,2,3,4\n"))


def test_a_column_about_a_quantity_is_not_the_quantity(tmp_path):
    text = "bias_note,current_range,bias_nA,temperature_C,voltage_V,current_nA\n"
    text += "".join(f"x,auto,10,27,{0.01 * k},{k}\n" for k in range(5))
    (curve,) = read_curves(written(tmp_path / "c.csv", text))
    assert curve.bias_a == 1e-8 and curve.current_a[1] == 1e-9


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a,x,27,0.1,1e-9", "bias_a = 'x' is not a number"),
        ("a,1e-8,,0.1,1e-9", "temperature_c = '' is not a number"),
        ("a,1e-8,27,0.1 V,1e-9", "voltage_v = '0.1 V' is not a number"),
        ("a,1e-8,27,0.1", "current_a = None is not a number"),
        ("a,1e-8,27,0.1,nan", "current_a = nan is not finite"),
        ("a,1e-8,27,inf,1e-9", "voltage_v = inf is not finite"),
        ("a,0,27,0.1,1e-9", "bias_a = 0 must be above 0"),
        ("a,-1e-8,27,0.1,1e-9", "bias_a = -1e-8 must be above 0"),
        ("a,1e-8,300.15,0.1,1e-9", "temperature_c = 300.15 is outside -55.0..150.0 C"),
        ("a,1e-8,-300,0.1,1e-9", "temperature_c = -300.0 is below absolute zero"),
        ("a,1e-8,27,150,1e-9", "voltage_v = 150 is above 5 V; name the unit in the header, as in voltage_mV"),
        ("a,1e-8,27,0.1,1.1e-7", "current_a = 1.1e-7 is more than 10 times bias_a = 1e-8; name the unit of each in"),
    ],
)
def test_a_bad_number_is_told_with_file_line_and_field(tmp_path, line, told):
    path = written(tmp_path / "c.csv", "\n".join(["# comment", "", HEAD, *rows(), line, *rows(device="b")]))
    with pytest.raises(UserError) as raised:
        read_curves(path)
    assert str(raised.value).startswith(f"{path}, line 9: {told}")


@pytest.mark.slow
@settings(max_examples=100)
@given(data=st.data())
def test_any_file_gives_curves_or_is_refused(tmp_path_factory, data):
    """A good file with a piece of it replaced by anything."""
    text = "\n".join([HEAD.replace("bias_a", "bias_nA"), *rows(bias="10"), *rows(bias="10", device="b")])
    place, gone = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 9))
    odd = st.text(max_size=6) | st.sampled_from(
        ["1e400", "nan", "1_0", "0" * 140_000, '"', "\x00", "1e-999999999", "٣"]
    )
    path = tmp_path_factory.mktemp("any") / "c.csv"
    path.write_bytes((text[:place] + data.draw(odd) + text[place + gone :]).encode())
    try:
        found = read_curves(path)
    except CurveError as error:
        assert str(path) in str(error)
        return
    for one in found:
        assert one.bias_a > 0 and np.all(np.isfinite(one.current_a)) and np.all(np.diff(one.voltage_v) > 0)


def test_a_curve_of_too_few_points_is_refused(tmp_path):
    path = written(tmp_path / "c.csv", "\n".join([HEAD, *rows(), *rows(4, device="b")]))
    with pytest.raises(CurveError, match="c.csv: the curve of 'b' at 1e-08 A and 27 C has 4 points; give 5 or more"):
        read_curves(path)


def test_a_voltage_given_twice_is_refused(tmp_path):
    path = written(tmp_path / "c.csv", "\n".join([HEAD, *rows(), rows()[2]]))
    with pytest.raises(CurveError, match="c.csv: the curve of 'a' at 1e-08 A and 27 C has the same voltage twice"):
        read_curves(path)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_an_empty_file_is_refused(tmp_path, text):
    with pytest.raises(CurveError, match="c.csv: is empty; give a CSV file with the columns device"):
        read_curves(written(tmp_path / "c.csv", text))


def test_what_is_no_text_file_is_refused(tmp_path):
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe\x00\x80")
    for path in (tmp_path / "c.csv", tmp_path / "gone.csv", tmp_path):
        with pytest.raises(CurveError, match=f"{path}: cannot be read"):
            read_curves(path)
