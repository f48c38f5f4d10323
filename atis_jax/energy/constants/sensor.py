"""What comes from a camera, and what leaves over the air."""

from __future__ import annotations

from atis_jax.energy.constants import published
from atis_jax.energy.constants.provenance import Constant
from atis_jax.units import MICRO, PICO

_CAMJ = "CamJ (Ma et al., ISCA 2023), camj/analog/energy_model.py with its defaults"

PIXEL_READ = Constant(
    "pixel read-out",
    7.8 * PICO,
    "J",
    None,
    f"{_CAMJ}: photodiode, floating diffusion and two reads of a 1 pF column line",
    "modelled",
)
PIXEL_ADC = Constant(
    "pixel ADC",
    25.6 * PICO,
    "J",
    None,
    f"{_CAMJ}: 100 fJ a conversion step, 8 bits. Low-power imagers measured as a whole: about 40 pJ a pixel (Choi et "
    "al., ISSCC 2015), 51 with four times compression (Park et al., JSSC 56(8), 2021), 99 (Young et al., JSSC 54(11), "
    "2019)",
    "modelled",
    low=6.5 * PICO,
    high=600 * PICO,
)
"""Low: the hwcomponents model of an 8 bit ADC at 65 nm; high: CamJ's example of a fast sensor."""
ADC_GROWTH = Constant(
    "ADC, a bit more over a bit less",
    (published.ISAAC_ADC.value / published.FORMS_ADC.value) ** (1 / 4),
    "",
    32,
    "straight in log(energy) against bits through FORMS (4 bits) and ISAAC (8 bits), both at 32 nm, and on below 4; "
    "low: from ISAAC to Newton (9 bits); high: between the medians of Murmann's survey at 6 and 8 effective bits. A "
    "fixed price a conversion step would be 2",
    "modelled",
    low=published.NEWTON_ADC.value / published.ISAAC_ADC.value,
    high=(published.MURMANN_ADC_8_MEDIAN / published.MURMANN_ADC_6.value) ** (1 / 2),
)
PIXEL_HOLD = Constant(
    "capacitor that holds a pixel",
    1 * PICO,
    "F",
    None,
    "chosen: as large as the column line that the pixel drives (CamJ), 3.2 pJ from 1.8 V; 1 pA of leakage moves it by "
    "1 mV in 1 ms. Low: the 64 fF that noise alone asks for",
    "recalled",
    low=0.064 * PICO,
    high=2 * PICO,
)
PIXEL_LINK = Constant(
    "sensor link",
    100 * PICO,
    "J/B",
    None,
    "about 100 pJ a byte over MIPI, as quoted by SEAL (ISCA 2025); no first-hand figure found",
    "recalled",
    low=8 * PICO,
    high=160 * PICO,
)
WIFI = Constant(
    "Wi-Fi, a byte sent",
    6.0 * MICRO,
    "J/B",
    None,
    "802.11b: 3.3-8.7 µJ a byte from Barr and Asanovic, MobiSys 2003 (417-1090 nJ a bit), mean of both; 1-17 µJ in a "
    "vendor's note (Macnica)",
    "measured",
    low=1.0 * MICRO,
    high=17.0 * MICRO,
)
