"""Circuits that compute attention: what their papers print, and what we had to choose where they print nothing."""

from __future__ import annotations

import math

from atis_jax.energy.constants.provenance import Constant
from atis_jax.units import FEMTO, MICRO, NANO, PICO

CHARGE_MAC = Constant(
    "charge-domain SRAM core, a MAC",
    2 * PICO / 14.8,
    "J",
    65,
    "Moradifirouzabadi et al. 2024, arXiv 2409.04940, abstract: 14.8 TOPS/W at peak in the analog core; two "
    "operations a MAC assumed, the bits of an operation are not in the abstract",
    "measured",
)
CHARGE_SOC_MAC = Constant(
    "charge-domain SRAM chip, a MAC",
    2 * PICO / 1.65,
    "J",
    65,
    "the same abstract: 1.65 TOPS/W at peak, the whole system-on-chip with its digital processor",
    "measured",
)
CHARGE_UNIT = Constant(
    "charge-domain cell capacitor",
    1 * FEMTO,
    "F",
    65,
    "chosen by us: metal capacitors of charge-domain SRAM cells are about 1 fF; the paper's is not known here",
    "recalled",
    low=0.5 * FEMTO,
    high=4 * FEMTO,
)
CHARGE_CYCLE = Constant(
    "charge-domain cycle",
    10 * NANO,
    "s",
    65,
    "chosen by us: reset, share and compare at 100 MHz; the paper's clock is not known here",
    "recalled",
    low=2 * NANO,
    high=50 * NANO,
)
CROSSBAR_ADC = Constant(
    "crossbar ADC of 8 bits",
    1.67 * PICO,
    "J",
    32,
    "ISAAC (Shafiee et al., ISCA 2016) as hwcomponents-library has it: 2 mW at 1.2 GS/s; high: "
    "median of 7.5-8.5 effective bits in Murmann's survey",
    "modelled",
    low=1.09 * PICO,
    high=37.5 * PICO,
)
RERAM_READ = Constant(
    "ReRAM cell, a read",
    50 * MICRO * 0.2**2 * 10 * NANO,
    "J",
    None,
    "chosen by us: G V^2 t of half of 100 µS at 0.2 V for 10 ns",
    "modelled",
    low=5 * MICRO * 0.1**2 * 10 * NANO,
    high=100 * MICRO * 0.3**2 * 50 * NANO,
)
RERAM_READ_TIME = Constant(
    "ReRAM read and ranking",
    50 * NANO,
    "s",
    None,
    "chosen by us: 10 ns of read, 40 ns of a race in time or of a converter",
    "recalled",
    low=10 * NANO,
    high=200 * NANO,
)
RERAM_WRITE = Constant(
    "ReRAM cell, a write",
    10 * PICO,
    "J",
    None,
    "chosen by us: 1 V x 100 µA x 100 ns, one pulse; several pulses with reads between them where levels are fine",
    "recalled",
    low=1 * PICO,
    high=1000 * PICO,
)
RERAM_WRITE_TIME = Constant(
    "ReRAM write time",
    100 * NANO,
    "s",
    None,
    "chosen by us: one pulse, all cells of a row at once",
    "recalled",
    low=10 * NANO,
    high=10_000 * NANO,
)
RERAM_WRITES = Constant(
    "writes that a ReRAM cell stands",
    math.sqrt(1e4 * 1e8),
    "",
    None,
    "ATIS paper, table 1: 10^4 to 10^8; geometric mean",
    "paper",
    low=1e4,
    high=1e8,
)
FLOATING_GATE_WRITES = Constant(
    "writes that a floating gate stands",
    1e5,
    "",
    None,
    "usual endurance of floating-gate memories; the ATIS paper calls it unlimited",
    "recalled",
    low=1e4,
    high=1e6,
)
GAIN_CELL_TOKEN = Constant(
    "gain-cell attention, a token and head",
    6150 * PICO,
    "J",
    28,
    "Leroux et al. 2025: 1120 pJ of Q K^T, 700 of the values, 4000 of digital parts, 330 of converters; window 1024, "
    "head width 64",
    "modelled",
)
GAIN_CELL_TIME = Constant(
    "gain-cell attention, a token",
    65 * NANO,
    "s",
    28,
    "Leroux et al. 2025: 65 ns a token, all heads at once",
    "modelled",
)
GAIN_CELL_RETENTION = Constant(
    "gain-cell retention", 5_000 * MICRO, "s", 28, "Leroux et al. 2025: time constant of 5 ms", "modelled"
)
GAIN_CELL_WINDOW = Constant("gain-cell window", 1024, "", 28, "Leroux et al. 2025: words a head keeps", "modelled")
TOKEN_RATE = Constant("tokens a second", 1e6, "", None, "ATIS paper, section 4.2: 1 MHz", "paper")
