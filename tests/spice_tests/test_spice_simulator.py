"""The simulator as a subprocess: found, stopped in time, its results read, its errors told with the netlist line."""

import os
import stat
import struct
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from spice_marks import needs_ngspice

from atis_jax.spice.simulator import (
    EXECUTABLE,
    Analysis,
    Deck,
    SpiceError,
    deck_with_control,
    find_ngspice,
    ngspice_version,
    read_raw,
    simulate,
    simulate_all,
)

DIVIDER = "* divider\nV1 a 0 dc 1 ac 1\nR1 a b 1k\nR2 b 0 3k\n"
SWEEP = Analysis("dc V1 0 1 0.1", ("v(b)",), points=11)
ENDLESS = Deck("* endless\nV1 a 0 sin(0 1 1meg)\nR1 a b 1k\nC1 b 0 1n\n", (Analysis("tran 1n 10 0 1n", ("v(b)",)),))


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts a shell script in the place of ngspice."""

    def make(body):
        script = tmp_path / "stand-in"
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv(EXECUTABLE, str(script))
        return script

    return make


def raw_file(names, values):
    """A binary raw file as the manual describes it: header, variables, points one after the other in native doubles."""
    is_complex = np.iscomplexobj(values)
    kinds = ["voltage"] * len(names)
    head = [
        "Title: by hand",
        "Date: Sun Nov 22 06:33:56  2026",
        "Plotname: DC transfer characteristic",
        f"Flags: {'complex' if is_complex else 'real'}",
        f"No. Variables: {len(names)}",
        f"No. Points: {len(values)}       ",
        "Variables:",
        *(f"\t{i}\t{name}\t{kind}" for i, (name, kind) in enumerate(zip(names, kinds, strict=True))),
        "Binary:\n",
    ]
    flat = [part for z in values.ravel() for part in ((z.real, z.imag) if is_complex else (z,))]
    return "\n".join(head).encode() + struct.pack(f"={len(flat)}d", *flat)


def test_without_ngspice_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(EXECUTABLE, raising=False)
    with pytest.raises(SpiceError, match="ngspice is not on PATH; install it .*apt install ngspice.*NGSPICE"):
        simulate(Deck(DIVIDER, (SWEEP,)))


def test_a_variable_that_names_no_executable_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv(EXECUTABLE, str(tmp_path / "gone"))
    with pytest.raises(SpiceError, match="NGSPICE = .*gone' is not an executable; install it"):
        find_ngspice()


def test_the_variable_comes_before_the_path(stand_in):
    script = stand_in("echo ngspice-99")
    assert find_ngspice() == script


def test_a_relative_path_in_the_variable_works_from_the_decks_own_folder(stand_in, tmp_path, monkeypatch):
    script = stand_in("echo said by the stand-in; exit 3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(EXECUTABLE, f"./{script.name}")
    with pytest.raises(SpiceError, match="said by the stand-in"):
        simulate(Deck(DIVIDER, (SWEEP,)))


def test_the_version_is_asked_of_the_program(stand_in):
    stand_in("echo '** ngspice-99.1 : Circuit level simulation program'")
    ngspice_version.cache_clear()
    try:
        assert ngspice_version() == "ngspice-99.1"
    finally:
        ngspice_version.cache_clear()


def test_what_takes_too_long_is_killed_and_named(stand_in, tmp_path):
    stand_in(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    started = time.monotonic()
    with pytest.raises(
        SpiceError, match="had not finished 'divider' after 0.5 s and was stopped; raise the time limit"
    ):
        simulate(Deck(DIVIDER, (SWEEP,)), timeout_s=0.5)
    assert time.monotonic() - started < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@needs_ngspice
def test_a_deck_that_takes_long_is_stopped():
    started = time.monotonic()
    with pytest.raises(SpiceError, match="had not finished 'endless' after 0.3 s"):
        simulate(ENDLESS, timeout_s=0.3)
    assert time.monotonic() - started < 10


def test_a_crash_is_told_in_the_programs_words(stand_in):
    stand_in("echo Segmentation fault >&2; exit 139")
    with pytest.raises(SpiceError, match=r"gave nothing of 'dc V1 0 1 0.1' in 'divider':\n  Segmentation fault"):
        simulate(Deck(DIVIDER, (SWEEP,)))


@needs_ngspice
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("D1 b 0 nosuch", "can't find model 'nosuch'"),
        ("M1 b a 0 0 nosuch", "can't find model 'nosuch'"),
        ("R3 b 0 {nosuch}", "[Uu]ndefined parameter .nosuch"),
        ("X1 b 0 nosuch", "unknown subckt: x1 b 0 nosuch"),
    ],
)
def test_an_error_of_the_netlist_names_its_line(line, told):
    deck = Deck(f"{DIVIDER}{line}\nR4 b 0 1meg\n", (SWEEP,))
    with pytest.raises(SpiceError, match=told) as raised:
        simulate(deck)
    assert str(raised.value).endswith(f"\n  netlist line 5: {line}")
    assert deck_with_control(deck).splitlines()[4] == line


@needs_ngspice
def test_a_missing_include_is_named():
    with pytest.raises(SpiceError, match="Could not find include file gone.inc"):
        simulate(Deck(DIVIDER + '.include "gone.inc"\n', (SWEEP,)))


@needs_ngspice
@pytest.mark.parametrize(
    ("analysis", "told"),
    [
        (Analysis("dc Vnone 0 1 0.1", ("v(b)",), points=11), 'named "vnone" is not in the circuit'),
        (Analysis("dc V1 0 1 0.1", ("v(none)",), points=11), "vector none is not available"),
        (Analysis("sweep V1 0 1 0.1", ("v(b)",)), "no such command"),
    ],
)
@pytest.mark.parametrize("first", [(), (SWEEP,)])
def test_an_analysis_that_fails_is_an_error_whatever_the_return_code(first, analysis, told):
    """ngspice goes on and returns zero; what the analysis before it left must not stand for its result."""
    with pytest.raises(SpiceError, match=f"(?s)gave nothing of '{analysis.command}' in 'divider'.*{told}"):
        simulate(Deck(DIVIDER, (*first, analysis)))


@needs_ngspice
@pytest.mark.parametrize("points", [10, 12])
def test_a_sweep_of_another_length_is_an_error(points):
    wanted = Analysis(SWEEP.command, SWEEP.vectors, points=points)
    with pytest.raises(SpiceError, match=f"gave 11 of {points} points of 'dc V1 0 1 0.1' in 'divider'"):
        simulate(Deck(DIVIDER, (wanted,)))


@needs_ngspice
def test_a_transient_that_stops_half_way_is_an_error():
    """From 0.5 s on v = v^2 + 1, which no voltage solves; what was found until then is written all the same."""
    text = "* no way on\nV1 a 0 pwl(0 0 1 1)\nR1 a b 1k\nB1 b 0 v=v(a)>0.5 ? v(b)*v(b)+1 : 0\n"
    with pytest.raises(SpiceError, match=r"(?s)gave \d+ points of 'tran .*' in 'no way on'.*Timestep too small"):
        simulate(Deck(text, (Analysis("tran 0.01 1 0 0.01", ("v(b)",)),)))


@needs_ngspice
def test_several_analyses_of_one_deck():
    """Divider by 4/3, -20 dB/decade beyond a pole at 1 kHz, thermal noise of 1k || 3k: closed forms."""
    ohm, hz = 750.0, 1000.0
    farad = 1 / (2 * np.pi * ohm * hz)
    done = simulate(
        Deck(
            f"{DIVIDER}.temp 27\nC1 b 0 {farad:.12e}\n",
            (
                Analysis("dc V1 0 1 0.25", ("v(b)", "i(V1)"), points=5),
                Analysis("ac dec 1 100 10000", ("v(b)",), points=3),
                Analysis("noise v(b) V1 dec 1 1 1", ("onoise_spectrum",), plot="noise1"),
                Analysis("op", ("v(a)",), points=1),
            ),
        )
    )
    sweep, response, noise, rest = done.results
    np.testing.assert_allclose(sweep["sweep"], [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(sweep["v(b)"], 0.75 * sweep["sweep"], rtol=1e-9)
    np.testing.assert_allclose(sweep["i(v1)"], -sweep["sweep"] / 4e3, rtol=1e-9)
    frequency_hz = np.real(response["sweep"])
    np.testing.assert_allclose(frequency_hz, [100, 1000, 10000])
    np.testing.assert_allclose(response["v(b)"], 0.75 / (1 + 1j * frequency_hz / hz), rtol=1e-6)
    density = next(v for k, v in noise.items() if "onoise" in k)
    np.testing.assert_allclose(np.real(density[0]) ** 2, 4 * 1.380649e-23 * 300.15 * ohm, rtol=1e-4)
    np.testing.assert_allclose(rest["v(a)"], [1.0])
    assert done.seconds > 0


@needs_ngspice
def test_included_files_are_there_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    half = Deck(DIVIDER + '.include "part.inc"\n', (SWEEP,), {"part.inc": "R3 b 0 1.5k\n"})
    np.testing.assert_allclose(simulate(half).results[0]["v(b)"], 0.5 * np.linspace(0, 1, 11), rtol=1e-9, atol=1e-15)
    assert not list(tmp_path.iterdir())


@needs_ngspice
def test_many_decks_come_back_in_order():
    decks = [Deck(f"* {k}\nV1 a 0 1\nR1 a b 1k\nR2 b 0 {k}k\n", (SWEEP,)) for k in range(1, 7)]
    found = [done.results[0]["v(b)"][-1] for done in simulate_all(decks)]
    np.testing.assert_allclose(found, [k / (1 + k) for k in range(1, 7)], rtol=1e-9)


def test_one_bad_deck_of_many_is_an_error(stand_in):
    stand_in("exit 1")
    with pytest.raises(SpiceError, match="gave nothing"):
        simulate_all([Deck(DIVIDER, (SWEEP,))] * 2)


NUMBERS = st.floats(allow_nan=False, width=64)


@settings(max_examples=60)
@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=NUMBERS))
def test_a_raw_file_is_read_to_the_bit(values):
    names = ["v-sweep", *(f"v(n{i})" for i in range(1, values.shape[1]))]
    found = read_raw(raw_file(names, values))
    assert list(found) == ["sweep", *names[1:]]
    for column, vector in enumerate(found.values()):
        assert vector.tobytes() == values[:, column].tobytes()


def test_a_complex_raw_file_is_read():
    values = np.array([[1 + 0j, 2 - 3j], [10 + 0j, 0.5j]])
    found = read_raw(raw_file(["frequency", "v(b)"], values))
    np.testing.assert_array_equal(found["sweep"], [1, 10])
    np.testing.assert_array_equal(found["v(b)"], [2 - 3j, 0.5j])


def test_a_raw_file_cut_off_anywhere_is_refused():
    content = raw_file(["v-sweep", "v(b)"], np.arange(8.0).reshape(4, 2))
    read_raw(content)
    for length in range(len(content)):
        with pytest.raises(SpiceError, match="unreadable result"):
            read_raw(content[:length])


def test_a_raw_file_that_lists_too_few_variables_is_refused():
    content = raw_file(["v-sweep", "v(b)"], np.arange(8.0).reshape(4, 2)).replace(b"\t1\tv(b)\tvoltage\n", b"")
    with pytest.raises(SpiceError, match="does not list its variables"):
        read_raw(content)
