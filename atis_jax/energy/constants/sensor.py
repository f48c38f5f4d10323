"""What comes from a camera, and what leaves over the air."""

from __future__ import annotations

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
    f"{_CAMJ}: 100 fJ a conversion step, 8 bits. Low-power imagers measured as a whole: 51 pJ a pixel (Park et al., "
    "JSSC 56(8), 2021, 110 nm), 99 (Young et al., JSSC 54(11), 2019, 130 nm)",
    "modelled",
    low=6.5 * PICO,
    high=600 * PICO,
)
"""Low: the hwcomponents model of an 8 bit ADC at 65 nm; high: CamJ's example of a fast sensor."""
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
