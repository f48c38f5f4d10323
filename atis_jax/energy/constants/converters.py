"""Digital-to-analog and analog-to-digital converters and comparators, as published or tabulated."""

from __future__ import annotations

import math

from atis_jax.energy.constants.provenance import Constant
from atis_jax.units import FEMTO, NANO, PICO

SAR_DAC_8B = Constant(
    "8 bit DAC",
    0.291 * PICO,
    "J",
    40,
    "Accelergy library, brahms_dac.csv: 0.32 mW at 1.1 GS/s reported for the DAC of the 8 bit SAR ADC of "
    "Chen et al., VLSI 2018, doi 10.1109/VLSIC.2018.8502370; drives its own capacitors, not an array's lines",
    "modelled",
    low=8 * 0.03 * PICO,
    high=8 * 1 * PICO,
)
MODERATE_DAC_TIME = Constant(
    "conversion time, moderate DAC",
    100 * NANO,
    "s",
    None,
    "ATIS paper, section 4.2, says moderate speed and no figure; 10 MS/s is a usual one",
    "recalled",
    low=10 * NANO,
    high=1000 * NANO,
)
UNIT_CAPACITOR = Constant(
    "DAC unit capacitor",
    math.sqrt(5.0) * FEMTO,
    "F",
    None,
    "capacitive converters use units of 1-5 fF where matching to 6 bits is enough; geometric mean",
    "recalled",
    low=1 * FEMTO,
    high=5 * FEMTO,
)
FABRIC_UNIT_CAPACITOR = Constant(
    "unit capacitor in the routing fabric",
    math.sqrt(10.0 * 64.0) * FEMTO,
    "F",
    None,
    "switched capacitors of a field-programmable fabric, with the switches on them, 10-64 fF; geometric mean",
    "recalled",
    low=10 * FEMTO,
    high=64 * FEMTO,
)
HOLD_CAPACITOR = Constant(
    "hold capacitor",
    64 * FEMTO,
    "F",
    None,
    "its kT/C noise, 254 µV at 64 fF and 27 C, is below half an LSB of 8 bits over +-100 mV (391 µV)",
    "modelled",
    low=10 * FEMTO,
    high=200 * FEMTO,
)
COMPARATOR = Constant(
    "comparator",
    0.0417 * PICO,
    "J",
    65,
    "Accelergy library, timely_charging_comparator.csv, from Li et al. (TIMELY), ISCA 2020, "
    "doi 10.1109/ISCA45697.2020.00073, table II",
    "modelled",
)
