"""Our figures beside those of others, with the ratio: what a reader should check before believing a ledger."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from atis_jax.energy.components.array import bias_j, line_j
from atis_jax.energy.components.converters import conversion_j
from atis_jax.energy.components.sensor import bits_j
from atis_jax.energy.constants import memory, published
from atis_jax.energy.constants.provenance import Constant
from atis_jax.energy.front_end import PRICED, FrontEnd
from atis_jax.energy.presets import energy_preset, preset_at_node
from atis_jax.energy.shapes import ScorerShape
from atis_jax.units import MICRO, NANO

ARRAY = ScorerShape(
    inputs=64.0, prototypes=1, dac_bits=6.0, projection="selection", arrangement="consensus", layers=(True,)
)
"""The paper's 64 OTAs of 100 nA at 1 V, on for 1 µs."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One quantity, here and elsewhere.

    Attributes:
        quantity: what is compared.
        ours: our figure, in ``unit``.
        how: where ours comes from.
        theirs: the constant it is held against.
        unit: of both.
    """

    quantity: str
    ours: float
    how: str
    theirs: Constant
    unit: str

    @property
    def ratio(self) -> float:
        """Ours over theirs."""
        return self.ours / self.theirs.value


def comparisons() -> tuple[Comparison, ...]:
    """Converters, arrays, arithmetic, memories and pixels."""
    return (*_converters(), *_arrays(), *_digital())


def _front_end(dac: str) -> FrontEnd:
    return FrontEnd(jnp.full((1,), 64 * 100 * NANO), 1.0, 1 * MICRO, dac=dac, circuit=PRICED)


def _converters() -> tuple[Comparison, ...]:
    preset, bits = energy_preset("horowitz_45nm"), jnp.asarray(8.0)
    per_bit = float(conversion_j(preset, _front_end("per_bit"), bits))
    capacitive = float(conversion_j(preset, _front_end("capacitive"), bits))
    fabric = float(conversion_j(preset, _front_end("fabric"), bits))
    paper = float(conversion_j(energy_preset("paper_4_2"), _front_end("per_bit"), bits))
    isaac_8 = dataclasses.replace(
        published.ISAAC_DRIVER, name="8 x ISAAC 1 bit driver", value=8 * published.ISAAC_DRIVER.value, unit="J"
    )
    return (
        Comparison("8 bit conversion", per_bit, "per_bit, published presets", isaac_8, "J"),
        Comparison("8 bit conversion", per_bit, "per_bit, published presets", published.TIMELY_DTC, "J"),
        Comparison("8 bit conversion", capacitive, "capacitive, C V^2 / 6 at 1 V", isaac_8, "J"),
        Comparison("8 bit conversion", fabric, "fabric, C V^2 / 6 at 1 V", isaac_8, "J"),
        Comparison("8 bit conversion", paper, "the paper's 1 pJ a bit", isaac_8, "J"),
        Comparison("pixel with ADC", preset.pixel_j + preset.adc_j, "pixel_j + adc_j", published.IMAGER_40, "J"),
        Comparison("pixel with ADC", preset.pixel_j + preset.adc_j, "pixel_j + adc_j", published.IMAGER_51, "J"),
        Comparison("pixel with ADC", preset.pixel_j + preset.adc_j, "pixel_j + adc_j", published.IMAGER_99, "J"),
        Comparison("8 bit ADC alone", preset.adc_j, "adc_j", published.ISAAC_ADC, "J"),
        Comparison("8 bit ADC alone", preset.adc_j, "adc_j", published.MURMANN_ADC, "J"),
        *(
            Comparison(f"{bits} bit ADC alone", float(bits_j(preset, bits)), "adc_j by its growth a bit", theirs, "J")
            for bits, theirs in ((4, published.FORMS_ADC), (6, published.MURMANN_ADC_6), (9, published.NEWTON_ADC))
        ),
    )


def _arrays() -> tuple[Comparison, ...]:
    preset = energy_preset("horowitz_45nm")
    front_end, inputs, bits = _front_end("per_bit"), jnp.full((1,), 64.0), jnp.full((1,), 6.0)
    array_j = float((bias_j(front_end, ARRAY, inputs, bits) + line_j(preset, front_end, ARRAY, inputs))[0]) / 64
    read_out_j = (preset.tia_w * 1 * MICRO + preset.comparator_j) / 64
    whole_j = array_j + read_out_j + float(conversion_j(preset, front_end, jnp.asarray(6.0)))
    core, whole = "currents and lines, 64 inputs", "with converters, TIA, comparator"
    return (
        Comparison("analog MAC, array", array_j, core, published.GUO_2018, "J"),
        Comparison("analog MAC, array", array_j, core, published.MORADI_2024, "J"),
        Comparison("analog MAC, whole", whole_j, whole, published.LU_2015, "J"),
        Comparison("analog MAC, whole", whole_j, whole, published.GENOV_2001, "J"),
        Comparison("analog MAC, whole", whole_j, whole, published.IBM_2023, "J"),
        Comparison("analog MAC, whole", whole_j, whole, published.IBM_2023_PRECISE, "J"),
    )


def _digital() -> tuple[Comparison, ...]:
    old, new = energy_preset("horowitz_45nm"), energy_preset("jouppi_7nm")
    half = energy_preset("jouppi_7nm_fp16")
    exponential = preset_at_node(28).exponential_j
    return (
        Comparison("digital MAC, 7 nm, fp16", float(half.network_mac_j), "arithmetic alone", published.TPU_V4, "J"),
        Comparison("digital MAC, 7 nm, int8", new.network_mac_j, "arithmetic alone", published.KELLER_2023, "J"),
        Comparison("digital MAC, 7 nm, int4", new.score_mac_int4_j, "arithmetic alone", published.KELLER_2023, "J"),
        Comparison("exponential, 28 nm", exponential, "three products and sums", published.ZHANG_2022, "J"),
        Comparison("exponential, 28 nm", exponential, "three products and sums", published.SPAGNOLO_2022, "J"),
        Comparison("DRAM, a byte", old.dram_j_per_byte, memory.HOROWITZ_DRAM.source, published.LPDDR4, "J/B"),
        Comparison("DRAM, a byte", new.dram_j_per_byte, memory.JOUPPI_DRAM.source, published.HBM2, "J/B"),
    )
