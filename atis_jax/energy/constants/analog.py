"""Analog parts whose energy nobody tabulates: recalled ranges, with the geometric mean as value. Sweep them."""

from __future__ import annotations

import math

from atis_jax.energy.constants.provenance import Constant
from atis_jax.units import MICRO, MILLI, NANO, PICO

TIA_POWER = Constant(
    "TIA op-amp",
    math.sqrt(10.0) * MICRO,
    "W",
    None,
    "subthreshold op-amps of this bandwidth draw 1-10 µW; geometric mean",
    "recalled",
    low=1 * MICRO,
    high=10 * MICRO,
)
LINE_CAPACITANCE = Constant(
    "line capacitance",
    math.sqrt(0.1 * 1.0) * PICO,
    "F",
    None,
    "routing line of an FPAA with its switches, 0.1-1 pF; geometric mean",
    "recalled",
    low=0.1 * PICO,
    high=1 * PICO,
)
BUILT_TIME = Constant(
    "time that the built circuit needs, over its law",
    1.0,
    "",
    130,
    "law of atis_jax.cells.timing; low: ngspice has the quickstart's layers within 3 mV RMS of their settled scores at "
    "5 µs, where the law asks for 8; high: an OTA of half the mean current",
    "modelled",
    low=0.6,
    high=2.0,
)
BUILT_OP_AMP = Constant(
    "power of the built op-amp, over its branches",
    1.0,
    "",
    130,
    "branches of atis_jax.cells.library; low: each carries the array's current and no more, the least that a class A "
    "stage can do, instead of twice that; high: ngspice within 10 % of the branches",
    "modelled",
    low=0.5,
    high=1.1,
)
BUILT_COMPARATOR = Constant(
    "power of the built comparator, over its branches",
    1.0,
    "",
    130,
    "branches of atis_jax.cells.library, 1.04 µW (1.06 in ngspice); low: half the bias, which decides in twice the "
    "time; high: ngspice within 10 %",
    "modelled",
    low=0.5,
    high=1.1,
)
FLOATING_GATE_WRITE = Constant(
    "floating-gate write",
    math.sqrt(60 * NANO * 2.2 * MILLI),
    "J",
    350,
    "from the programming code of RASP 3.0 (jhasler/rasp30): 10 µs pulses at 6 V, together up to 10 ms, are 60 nJ at "
    "an assumed 1 µA; measuring between them takes up to 2.2 s a cell, 2.2 mJ at an assumed 1 mW; geometric mean",
    "modelled",
    low=60 * NANO,
    high=2.2 * MILLI,
)
FLOATING_GATE_WRITE_TIME = Constant(
    "floating-gate write time",
    2.2,
    "s",
    350,
    "bound of a precise cell in the programming code of RASP 3.0 (jhasler/rasp30): 20 coarse rounds of 20 ms and 50 "
    "fine ones of 35.4 ms, nearly all of it measuring; a switch alone is 61 ms",
    "modelled",
    low=0.061,
    high=2.2,
)
FLOATING_GATE_ERASE_TIME = Constant(
    "floating-gate erase time",
    0.08,
    "s",
    350,
    "tunnelling a block and back, 40 ms each, as set in the programming code of RASP 3.0 (jhasler/rasp30)",
    "modelled",
)
FLOATING_GATE_ENDURANCE = Constant(
    "floating-gate endurance",
    1e5,
    "",
    350,
    "writes before the oxide wears out, 1e4-1e6 for hot-electron injection and tunnelling; not unlimited",
    "recalled",
    low=1e4,
    high=1e6,
)
