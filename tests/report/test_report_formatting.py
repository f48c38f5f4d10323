from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atis_jax.formatting import writable
from atis_jax.report import formatting

_PREFIX = {"T": 1e12, "f": 1e-15, "p": 1e-12, "n": 1e-9, "µ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (384e-12, "J", "384 pJ"),
        (6.4e-6, "W", "6.40 µW"),
        (-0.0042, "V", "−4.20 mV"),
        (0.0, "J", "0 J"),
        (999.96e-12, "J", "1.00 nJ"),
        (41.7e-15, "J", "41.7 fJ"),
        (float("nan"), "J", "not a number"),
        (5.4e-20, "V", "5.40 × 10⁻²⁰ V"),
        (-5.4e-20, "V", "−5.40 × 10⁻²⁰ V"),
        (1e-18, "J", "0.00100 fJ"),
        (1.406e6, "ohm", "1.41 Mohm"),
        (9.9996e11, "ohm", "1.00 Tohm"),
        (3e15, "ohm", "3.00 × 10¹⁵ ohm"),
        (12.0, "", "12.0"),
    ],
)
def test_si(value, unit, expected):
    assert formatting.si(value, unit).replace("\u00a0", " ") == expected


def read_back(text, unit):
    """What a reader takes a number for."""
    text = text.replace(",", "").replace("−", "-").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    number, *rest = text.removesuffix(unit).split("\u00a0")
    if rest[:1] == ["×"]:
        return float(f"{number}e{rest[1].removeprefix('10')}")
    return float(Decimal(number) * Decimal(str(_PREFIX[rest[0] if rest else ""])))


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE | st.floats(1e-18, 1e15), st.sampled_from(["J", "V", "ohm", "", "A/K"]), st.integers(1, 6))
@example(5.4e-20, "V", 2)
@example(5e-324, "V", 2)
@example(1.7976931348623157e308, "V", 1)
def test_si_of_any_number_reads_back_to_its_digits(value, unit, digits):
    text = formatting.si(value, unit, digits)
    assert text.endswith(unit)
    # Rounding to n significant digits is off by at most half a unit of the n-th digit; beyond a float is infinite.
    assert math.isclose(read_back(text, unit), value, rel_tol=0.5000001 * 10 ** (1 - digits)) or abs(value) > 1e308
    if 1e-15 <= abs(value) < 9e14:
        number = text.split("\u00a0")[0].replace(",", "").replace("−", "-")
        assert 1 <= abs(float(number)) < 1000


@given(FINITE, st.integers(1, 6))
def test_significant_of_any_number_reads_back_to_its_digits(value, digits):
    read = read_back(formatting.significant(value, digits), "")
    assert math.isclose(read, value, rel_tol=0.5000001 * 10 ** (1 - digits)) or abs(value) > 1e308


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.9512, "95.1 %"),
        (0.0, "0 %"),
        (-0.25, "−25.0 %"),
        (3e-5, "0.0030 %"),
        (3e-6, "below 0.001 %"),
        (1.2e-17, "below 0.001 %"),
        (-1.2e-17, "above −0.001 %"),
        (1.0, "100 %"),
        (1.0 - 1e-15, "100 %"),
        (float("nan"), "not a number"),
    ],
)
def test_percent(value, expected):
    assert formatting.percent(value).replace("\u00a0", " ") == expected


@given(st.floats(-1e300, 1e300) | st.floats(-2, 2), st.integers(0, 4))
def test_percent_of_any_number_is_a_number(fraction, decimals):
    text = formatting.percent(fraction, decimals)
    number = text.removeprefix("below ").removeprefix("above ").removesuffix("\u00a0%")
    read = read_back(number, "") / 100
    assert math.isclose(read, fraction, rel_tol=0.06, abs_tol=max(0.5001 * 10 ** (-2 - decimals), 1e-5))


@pytest.mark.parametrize(
    ("fraction", "examples", "text"),
    [
        (0.9539, 1910, "95.4 %"),
        (0.9539, 100, "95 %"),
        (0.95391, 1_000_000, "95.39 %"),
        (1.0, 1910, "100 %"),
        (0.0, 1910, "0 %"),
        (0.9539, None, "95.4 %"),
    ],
)
def test_an_accuracy_has_no_digit_below_its_sampling_error(fraction, examples, text):
    assert formatting.accuracy(fraction, examples).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("fraction", "text"), [(1.0, "100 %"), (0.99999, "99.999 %"), (0.9973, "99.73 %"), (1 - 2e-12, "99.9999999998 %")]
)
def test_only_all_decisions_are_all(fraction, text):
    assert formatting.equal_words(fraction).replace("\u00a0", " ") == text


def test_what_nobody_measured_is_below():
    assert formatting.or_below(3e-9, 1e-4, formatting.significant) == "below 0.000100"
    assert formatting.or_below(-3e-9, 1e-4, formatting.significant) == "above −0.000100"
    assert formatting.or_below(0.0, 1e-4, formatting.significant) == "0"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("utf-8", "−6.40\u00a0µW"), ("latin-1", "-6.40\u00a0µW"), ("ascii", "-6.40 uW"), (None, "-6.40 uW")],
)
def test_an_output_gets_what_it_can_hold(encoding, text):
    assert writable(formatting.si(-6.4e-6, "W"), encoding) == text


def test_small_words():
    assert formatting.significant(3.1e-6, 2).replace("\u00a0", " ") == "3.1 × 10⁻⁶"
    assert formatting.significant(9.996) == "10.0"
    assert formatting.significant(123456.0) == "123,000"
    assert formatting.points(-0.0012).replace("\u00a0", " ") == "−0.12 points"
    assert formatting.count(1, "patch", "patches").replace("\u00a0", " ") == "1 patch"
    assert formatting.count(10_000, "chip").replace("\u00a0", " ") == "10,000 chips"
    assert formatting.join([]) == "" and formatting.join(["a"]) == "a" and formatting.join("abc") == "a, b and c"
    assert formatting.duration(12_000).replace("\u00a0", " ") == "3 h 20 min"
    assert formatting.one_line("a\n\tb\x00c" + "d" * 99, 8) == "a b cdd…"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.0042, "V", "4.20 mV"), (0.01, "of I_b", "1.0 % of I_b"), (0.0397, "LSB", "0.0397 LSB"), (0.0, "V", "0 V")],
)
def test_size_of_an_imperfection(value, unit, text):
    assert formatting.size_of(value, unit).replace("\u00a0", " ") == text


def test_imperfections_in_words():
    assert [formatting.imperfection(name) for name in ("all", "dac", "tia_gain")] == [
        "all together",
        "DAC INL",
        "TIA gain",
    ]
