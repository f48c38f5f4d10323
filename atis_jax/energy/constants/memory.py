"""Reading one byte from a memory next to the arithmetic, from a large one on the chip, and from one off it."""

from __future__ import annotations

import math

from atis_jax.energy.constants.provenance import Constant
from atis_jax.units import PICO

_HOROWITZ = "Horowitz, ISSCC 2014, doi 10.1109/ISSCC.2014.6757323 (45 nm, 0.9 V, rough costs)"
_JOUPPI = "Jouppi et al., ISCA 2021, doi 10.1109/ISCA52012.2021.00010, table 2"

HOROWITZ_SRAM_32K = Constant("SRAM, 32 KB", 20 * PICO / 8, "J/B", 45, f"{_HOROWITZ}: 20 pJ for 64 bits", "modelled")
HOROWITZ_SRAM_1M = Constant("SRAM, 1 MB", 100 * PICO / 8, "J/B", 45, f"{_HOROWITZ}: 100 pJ for 64 bits", "modelled")
HOROWITZ_DRAM = Constant(
    "DRAM",
    math.sqrt(1300.0 * 2600.0) * PICO / 8,
    "J/B",
    45,
    f"{_HOROWITZ}: 1300-2600 pJ for 64 bits; geometric mean",
    "modelled",
    low=1300 * PICO / 8,
    high=2600 * PICO / 8,
)
JOUPPI_SRAM_32K = Constant("SRAM, 32 KB, 7 nm", 8.5 * PICO / 8, "J/B", 7, f"{_JOUPPI}: 8.5 pJ for 64 bits", "modelled")
JOUPPI_SRAM_1M = Constant("SRAM, 1 MB, 7 nm", 14 * PICO / 8, "J/B", 7, f"{_JOUPPI}: 14 pJ for 64 bits", "modelled")
JOUPPI_DRAM = Constant("DDR4", 1300 * PICO / 8, "J/B", 7, f"{_JOUPPI}: 1300 pJ for 64 bits", "modelled")
