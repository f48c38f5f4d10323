from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atis_jax.report import formatting

_PREFIX = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "µ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


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
    ],
)
def test_si(value, unit, expected):
    assert formatting.si(value, unit).replace("\u00a0", " ") == expected


@given(st.floats(1e-14, 1e11), st.sampled_from([2, 3, 4]))
def test_si_reads_back_to_its_digits(value, digits):
    number, unit = formatting.si(value, "J", digits).split("\u00a0")
    read = float(number.replace(",", "")) * _PREFIX[unit[:-1]]
    # Rounding to n significant digits is off by at most half a unit of the n-th digit.
    assert math.isclose(read, value, rel_tol=0.5000001 * 10 ** (1 - digits))
    assert 1 <= float(number.replace(",", "")) < 1000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.9512, "95.1 %"),
        (0.0, "0.0 %"),
        (-0.25, "−25.0 %"),
        (3e-6, "0.00030 %"),
        (float("nan"), "not a number"),
    ],
)
def test_percent(value, expected):
    assert formatting.percent(value).replace("\u00a0", " ") == expected


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
