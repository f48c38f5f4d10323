"""Digital arithmetic at two nodes, both tables from one school (Horowitz), so that they can be compared."""

from __future__ import annotations

from atis_jax.energy.constants.provenance import Constant
from atis_jax.units import PICO

_HOROWITZ = "Horowitz, ISSCC 2014, doi 10.1109/ISSCC.2014.6757323 (45 nm, 0.9 V, rough costs)"
_JOUPPI = "Jouppi et al., ISCA 2021, doi 10.1109/ISCA52012.2021.00010, table 2"

HOROWITZ_INT8_MULTIPLY = Constant("int8 multiply", 0.2 * PICO, "J", 45, _HOROWITZ, "modelled")
HOROWITZ_INT32_ADD = Constant("int32 add", 0.1 * PICO, "J", 45, _HOROWITZ, "modelled")
HOROWITZ_FP16_MULTIPLY = Constant("fp16 multiply", 1.1 * PICO, "J", 45, _HOROWITZ, "modelled")
HOROWITZ_FP32_ADD = Constant("fp32 add", 0.9 * PICO, "J", 45, _HOROWITZ, "modelled")

JOUPPI_INT8_MULTIPLY = Constant("int8 multiply, 7 nm", 0.07 * PICO, "J", 7, _JOUPPI, "modelled")
JOUPPI_INT32_ADD = Constant("int32 add, 7 nm", 0.03 * PICO, "J", 7, _JOUPPI, "modelled")
JOUPPI_FP16_MULTIPLY = Constant("fp16 multiply, 7 nm", 0.34 * PICO, "J", 7, _JOUPPI, "modelled")
JOUPPI_FP32_ADD = Constant("fp32 add, 7 nm", 0.38 * PICO, "J", 7, _JOUPPI, "modelled")

INT4_MULTIPLY_OF_INT8 = Constant(
    "int4 multiply over int8 multiply",
    0.25,
    "",
    None,
    "an array multiplier has one cell for each pair of bits, so its energy goes as the product of the operands' "
    "widths: (4 x 4) / (8 x 8)",
    "modelled",
    low=0.25,
    high=0.5,
)
INT4_ADD_OF_INT32 = Constant(
    "int4 accumulation over int32 addition",
    0.5,
    "",
    None,
    "a ripple adder's energy goes as its width; products of 4 bits accumulate in 16 instead of 32",
    "modelled",
    low=0.5,
    high=1.0,
)
