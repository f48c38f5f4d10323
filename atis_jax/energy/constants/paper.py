"""Section 4.2 of the ATIS paper, and what it leaves out."""

from __future__ import annotations

from atis_jax.energy.constants.provenance import Constant
from atis_jax.units import MICRO, PICO

_PAPER = "ATIS paper, section 4.2"

MAC = Constant("paper MAC", 1 * PICO, "J", None, f"{_PAPER}: about 1 pJ/MAC", "paper")
DAC = Constant(
    "paper DAC",
    1 * PICO,
    "J/bit",
    None,
    f"{_PAPER}: about 1 pJ/conversion/bit, moderate speed",
    "paper",
    low=0.03 * PICO,
    high=1 * PICO,
)
CORE_DYNAMIC = Constant(
    "paper core, dynamic",
    1 * MICRO,
    "W",
    None,
    f"{_PAPER}: roughly 1 µW for 64 OTAs; at 1 MHz tokens",
    "paper",
)
NOT_CHARGED = Constant(
    "not charged", 0.0, "J", None, f"{_PAPER} leaves it out, so it costs nothing in this preset", "paper"
)
NO_TIA = Constant("no TIA power", 0.0, "W", None, f"{_PAPER} leaves out the TIA's op-amp", "paper")
NO_LINE = Constant(
    "no line capacitance", 0.0, "F", None, f"{_PAPER} gives the core's dynamic power as a whole", "paper"
)
