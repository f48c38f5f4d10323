"""Transistors that switch where pulses are made: an adder's published energy, shared out over its own, prices them."""

from __future__ import annotations

from atis_jax.energy.constants.provenance import Constant

_BOOK = "Weste and Harris, CMOS VLSI Design, 4th edition, 2010"

FULL_ADDER_TRANSISTORS = Constant(
    "transistors of a full adder",
    28,
    "",
    None,
    f"static mirror adder, {_BOOK}, section 11.2; 32 of them are the int32 addition that is tabulated",
    "recalled",
    low=20,
    high=40,
)
FLIP_FLOP_TRANSISTORS = Constant(
    "transistors of a flip-flop",
    24,
    "",
    None,
    f"two transmission-gate latches with their clock's inverters, {_BOOK}, section 10.3",
    "recalled",
    low=16,
    high=32,
)
COINCIDENCE_TRANSISTORS = Constant(
    "transistors behind one bit of a counter's bus",
    24,
    "",
    None,
    "at each input: an exclusive NOR (10), its share of an AND tree (6), the bus past the input as much as 8 more",
    "modelled",
    low=16,
    high=40,
)
SLOT_TRANSISTORS = Constant(
    "transistors behind one slot's line",
    12,
    "",
    None,
    "at each input: a NAND of the slot with the input's bit (4), its share of the OR (4), the line as much as 4 more",
    "modelled",
    low=8,
    high=20,
)
PULSE_TRANSISTORS = Constant(
    "transistors of a pulse's logic",
    26,
    "",
    None,
    "at each branch: a set-reset latch (8), the input's sign times the weight's (10), a NAND to each line (8)",
    "modelled",
    low=18,
    high=40,
)
CLOCK_TRANSISTORS = Constant(
    "transistors of the clock",
    40,
    "",
    None,
    "each cycle: a ring of five inverters (10), buffers to the counter and the phases as much as 30 more",
    "modelled",
    low=20,
    high=120,
)
CONTROL_TRANSISTORS = Constant(
    "transistors of the phases",
    200,
    "",
    None,
    "each token: decoding precharge, pulses and latch from the counter, and holding the bit: about eight flip-flops",
    "modelled",
    low=100,
    high=400,
)
LEVEL_SHIFTERS = Constant(
    "level shifters over drivers",
    1.0,
    "",
    None,
    "a cross-coupled pair with its inverter (6 transistors) has about as much gate as the 8 of a branch's drivers",
    "modelled",
    low=0.5,
    high=2.0,
)
