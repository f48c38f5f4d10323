"""Energy constants, each with its value, unit, technology node, source and kind of evidence.

Nothing here is scaled from one node to another. A constant that an estimate hangs on and nobody measured
carries the range it should be swept over.
"""

from __future__ import annotations

import dataclasses
import math

from atis_jax.units import MICRO, PICO
from atis_jax.validation import SettingError, check_choice

EVIDENCE = ("measured", "modelled", "recalled", "paper")
"""measured: on silicon, as published. modelled: an estimate or tabulated model. recalled: common knowledge of
the field, no single source. paper: stated (or stated as absent) in section 4.2 of the ATIS paper."""


@dataclasses.dataclass(frozen=True)
class Constant:
    """One cited number.

    Attributes:
        name: short, unique, for tables.
        value: in ``unit``; finite and not negative.
        unit: J, J/bit, W or F, SI without prefix.
        node_nm: technology node in nanometres, None where the source names none.
        source: where the number is from; never empty.
        evidence: one of ``EVIDENCE``.
        low: lower end of the range to sweep, None where the value is not in doubt.
        high: upper end of that range.

    Raises:
        SettingError: for a negative or infinite value, an empty source, an unknown kind of evidence, or a
            range that does not hold the value.
    """

    name: str
    value: float
    unit: str
    node_nm: int | None
    source: str
    evidence: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self):
        path = f"constant {self.name!r}"
        if not math.isfinite(self.value) or self.value < 0:
            raise SettingError(f"{path}: value = {self.value}; give a finite value of at least 0 {self.unit}")
        if not self.source.strip():
            raise SettingError(f"{path}: source is empty; say where {self.value} {self.unit} comes from")
        if self.node_nm is not None and self.node_nm <= 0:
            raise SettingError(f"{path}: node_nm = {self.node_nm}; give nanometres above 0, or None if unknown")
        check_choice(self.evidence, EVIDENCE, f"{path}: evidence")
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        if not low <= self.value <= high:
            raise SettingError(f"{path}: value = {self.value} is outside its range {low} to {high} {self.unit}")


_PAPER = "ATIS paper, section 4.2"
_HOROWITZ = "Horowitz, ISSCC 2014, doi 10.1109/ISSCC.2014.6757323 (45 nm, 0.9 V, rough costs)"
_JOUPPI = "Jouppi et al., ISCA 2021, doi 10.1109/ISCA52012.2021.00010, table 2"

PAPER_MAC = Constant("paper MAC", 1 * PICO, "J", None, f"{_PAPER}: about 1 pJ/MAC", "paper")
PAPER_DAC = Constant(
    "paper DAC",
    1 * PICO,
    "J/bit",
    None,
    f"{_PAPER}: about 1 pJ/conversion/bit, moderate speed",
    "paper",
    low=0.03 * PICO,
    high=1 * PICO,
)
PAPER_CORE_DYNAMIC = Constant(
    "paper core, dynamic",
    1 * MICRO,
    "W",
    None,
    f"{_PAPER}: roughly 1 uW for 64 OTAs; at 1 MHz tokens",
    "paper",
)
PAPER_NOT_CHARGED = Constant(
    "not charged", 0.0, "J", None, f"{_PAPER} leaves it out, so it costs nothing in this preset", "paper"
)
PAPER_NO_TIA = Constant("no TIA power", 0.0, "W", None, f"{_PAPER} leaves out the TIA's op-amp", "paper")

HOROWITZ_INT8_MULTIPLY = Constant("int8 multiply", 0.2 * PICO, "J", 45, _HOROWITZ, "modelled")
HOROWITZ_INT32_ADD = Constant("int32 add", 0.1 * PICO, "J", 45, _HOROWITZ, "modelled")
HOROWITZ_FP16_MULTIPLY = Constant("fp16 multiply", 1.1 * PICO, "J", 45, _HOROWITZ, "modelled")
HOROWITZ_FP32_ADD = Constant("fp32 add", 0.9 * PICO, "J", 45, _HOROWITZ, "modelled")

JOUPPI_INT8_MULTIPLY = Constant("int8 multiply, 7 nm", 0.07 * PICO, "J", 7, _JOUPPI, "modelled")
JOUPPI_INT32_ADD = Constant("int32 add, 7 nm", 0.03 * PICO, "J", 7, _JOUPPI, "modelled")
JOUPPI_FP16_MULTIPLY = Constant("fp16 multiply, 7 nm", 0.34 * PICO, "J", 7, _JOUPPI, "modelled")
JOUPPI_FP32_ADD = Constant("fp32 add, 7 nm", 0.38 * PICO, "J", 7, _JOUPPI, "modelled")

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
COMPARATOR = Constant(
    "comparator",
    0.0417 * PICO,
    "J",
    65,
    "Accelergy library, timely_charging_comparator.csv, from Li et al. (TIMELY), ISCA 2020, "
    "doi 10.1109/ISCA45697.2020.00073, table II",
    "modelled",
)
TIA_POWER = Constant(
    "TIA op-amp",
    math.sqrt(10.0) * MICRO,
    "W",
    None,
    "subthreshold op-amps of this bandwidth draw 1-10 uW; geometric mean",
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
