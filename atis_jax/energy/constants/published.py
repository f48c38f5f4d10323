"""Figures of others that the ledger is held against (``energy.outside``); nothing is charged from here."""

from __future__ import annotations

from atis_jax.energy.constants.provenance import Constant
from atis_jax.units import PICO

_LIBRARY = "hwcomponents-library (Accelergy)"

ISAAC_DRIVER = Constant(
    "ISAAC 1 bit driver", 0.417 * PICO, "J/bit", 32, f"{_LIBRARY}, isaac.py: DAC, 1 bit", "modelled"
)
TIMELY_DTC = Constant(
    "TIMELY digital-to-time converter",
    0.0375 * PICO,
    "J",
    65,
    f"{_LIBRARY}, timely.py: 8 bits as a delay, not a voltage (Li et al., ISCA 2020, doi 10.1109/ISCA45697.2020.00073)",
    "modelled",
)
ISAAC_ADC = Constant(
    "ISAAC 8 bit ADC",
    1.67 * PICO,
    "J",
    32,
    f"{_LIBRARY}, isaac.py: 2 mW at 1.2 GS/s, after Kull et al., ISSCC 2013",
    "modelled",
)
FORMS_ADC = Constant(
    "FORMS 4 bit ADC",
    0.226 * PICO,
    "J",
    32,
    f"{_LIBRARY}, forms.py: ADC of 4 bits (Yuan et al., ISCA 2021)",
    "modelled",
)
NEWTON_ADC = Constant(
    "Newton 9 bit ADC",
    2.58 * PICO,
    "J",
    32,
    f"{_LIBRARY}, newton.py: ADC of 9 bits (Nag et al., IEEE Micro 2018)",
    "modelled",
)
MURMANN_ADC_6 = Constant(
    "ADC of 5.5-6.5 effective bits, median",
    6.9 * PICO,
    "J",
    None,
    "Murmann's ADC survey, rev20250609; best 0.30 pJ, 10th percentile 1.5 pJ",
    "measured",
)
MURMANN_ADC_8_MEDIAN = 37.5 * PICO
"""Of 7.5-8.5 effective bits, in the same survey."""
MURMANN_ADC = Constant(
    "ADC of 7.5-8.5 effective bits, 10th percentile",
    5.3 * PICO,
    "J",
    None,
    "Murmann's ADC survey, rev20250609; best 1.09 pJ, median 37.5 pJ",
    "measured",
)
LU_2015 = Constant(
    "floating-gate engine, a MAC",
    2 * PICO,
    "J",
    130,
    "Lu et al., JSSC 50(1), 270-281, 2015: 1 TOPS/W peak, two operations a MAC assumed",
    "measured",
)
GUO_2018 = Constant(
    "NOR-flash perceptron, a cell",
    20e3 * PICO / 101_780,
    "J",
    180,
    "Guo et al., IEDM 2017 and TNNLS 29(10), 4782, 2018: below 20 nJ a pattern, 101,780 cells; an upper bound",
    "measured",
)
GENOV_2001 = Constant(
    "charge-injection array, a binary MAC",
    0.5 * PICO,
    "J",
    500,
    "Genov and Cauwenberghs, TCAS-II 48(10), 930, 2001: 0.5 pJ a MAC",
    "measured",
)
IBM_2023 = Constant(
    "64-core phase-change chip, a MAC",
    2 * PICO / 9.76,
    "J",
    14,
    "Le Gallo et al., Nature Electronics 6, 2023, doi 10.1038/s41928-023-01010-1: 9.76 TOPS/W, whole chip",
    "measured",
)
MORADI_2024 = Constant(
    "charge-based SRAM score, a MAC",
    2 * PICO / 14.8,
    "J",
    65,
    "Moradifirouzabadi et al., A-SSCC 2024: 14.8 TOPS/W in the core",
    "measured",
)
TPU_V4 = Constant(
    "TPU v4, a MAC at peak",
    2 * 170 * PICO / 275,
    "J",
    7,
    "cloud.google.com/tpu/docs/v4: 170 W mean, 275 T operations/s at peak; whole chip with its memory",
    "measured",
)
KELLER_2023 = Constant(
    "4 bit transformer accelerator on BERT-base, a MAC",
    2 * PICO / 38.7,
    "J",
    5,
    "Keller et al., JSSC 58(4), 1129, 2023, doi 10.1109/JSSC.2023.3234893: 38.7 TOPS/W on BERT-base at 0.67 V",
    "measured",
)
ZHANG_2022 = Constant(
    "softmax unit of base 2, a cycle",
    13.12e3 * PICO / 3000,
    "J",
    28,
    "Zhang et al., TCAS-I 2022, doi 10.1109/TCSI.2022.3175534: 13.12 mW at 3 GHz, synthesised; abstract read, one "
    "exponential a cycle assumed",
    "modelled",
)
SPAGNOLO_2022 = Constant(
    "approximate softmax circuit",
    1 * PICO,
    "J",
    28,
    "Spagnolo et al., Aggressive Approximation of the SoftMax Function for Power-Efficient Hardware Implementations, "
    "2022: below 1 pJ, an upper bound; abstract read, one exponential assumed",
    "modelled",
)
IBM_2023_PRECISE = Constant(
    "64-core phase-change chip, a MAC at high precision",
    2 * PICO / 2.48,
    "J",
    14,
    "Le Gallo et al., Nature Electronics 6, 2023, doi 10.1038/s41928-023-01010-1: 2.48 TOPS/W at high precision, whole "
    "chip",
    "measured",
)
LPDDR4 = Constant("LPDDR4", 8 * 8 * PICO, "J/B", None, "hwcomponents-cacti: 8 pJ a bit, the device alone", "modelled")
HBM2 = Constant(
    "HBM2",
    8 * 3.92 * PICO,
    "J/B",
    None,
    "O'Connor et al., MICRO 2017, doi 10.1145/3123939.3124545: 3.92 pJ a bit, the device alone",
    "modelled",
)
IMAGER_51 = Constant(
    "compressive VGA imager with its ADC, a pixel",
    51 * PICO,
    "J",
    110,
    "Park et al., JSSC 56(8), 2021: 0.7 mW at 45 frames/s, of an imager that compresses four times before it converts",
    "measured",
)
IMAGER_40 = Constant(
    "always-on imager with its ADC, a pixel",
    45.5e-6 / (15 * 320 * 240),
    "J",
    None,
    "Choi et al., ISSCC 2015, 6.3: 45.5 µW at 15 frames/s, 8 bits, nothing compressed; 320 x 240 pixels recalled",
    "recalled",
)
IMAGER_99 = Constant(
    "QVGA log-gradient imager, a pixel",
    99 * PICO,
    "J",
    130,
    "Young et al., JSSC 54(11), 2932, 2019",
    "measured",
)
