"""Named sets of per-operation energies, each number traceable to the constants it is made of.

An entry is a sum of terms, factor times constant. Digital, converter and routing figures of one preset are
from different technology nodes, because nobody publishes all of them at one; ``nodes_nm`` and the tables say
which. No entry is scaled from its node but by ``preset_at_node``, whose rule is stated there. Both tables are in
``docs/energy.md``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from atis_jax.energy import constants
from atis_jax.energy.constants import analog, arithmetic, converters, memory, paper, sensor
from atis_jax.energy.constants.provenance import Constant
from atis_jax.energy.shapes import check_number
from atis_jax.numerics import pytree, static
from atis_jax.validation import SettingError, check_choice


@pytree
class EnergyPreset:
    """What one operation costs. Every number is a leaf, so a ledger can be differentiated by its constants.

    Attributes:
        network_mac_j: multiply-accumulate of attention, MLP, stem and head.
        score_mac_j: multiply-accumulate of a projection or of a digital score in int8, accumulated in 32 bits.
        score_mac_int4_j: the same in int4, accumulated in 16 bits.
        score_mac_fp16_j: the same in fp16, accumulated in fp32.
        score_add_j: addition of a sparse sign projection.
        compare_j: digital comparison of a score with a threshold.
        normalise_multiply_j: multiplication in the normalisation of a token.
        normalise_add_j: addition in the normalisation of a token.
        exponential_j: one exponential, logarithm, root or GELU (``_FUNCTION``).
        sram_32k_j_per_byte: reading or writing a byte of a small memory beside the arithmetic.
        sram_1m_j_per_byte: of a large memory on the chip.
        dram_j_per_byte: of a memory off the chip.
        dac_j_per_bit: one conversion, divided by its bits.
        dac_unit_f: unit capacitor of a capacitive converter.
        fabric_unit_f: of one made of switched capacitors in the routing fabric.
        hold_f: capacitor that holds an input while its converter serves others.
        ota_dynamic_j: dynamic energy of one OTA for one token, where the source gives it as a whole.
        line_f: input line of one OTA, elsewhere.
        tia_w: power of one TIA's op-amp while it is on.
        comparator_j: one analog comparison.
        switch_j: switching the bias line of one OTA to another prototype (time-multiplexed arrays).
        program_j: writing one floating gate.
        pixel_j: reading one pixel out of the sensor, as a voltage.
        adc_j: converting it.
        link_j_per_byte: moving one byte off the sensor.
        uplink_j_per_byte: sending one byte of the result over the air.
        adc_growth: energy of a conversion over that of one with a bit less.
        pixel_hold_f: capacitor that holds a pixel until its patch is scored.
        built_time: time that the built circuit needs, over what its law says; 1 unless the law is in doubt.
        built_op_amp: what its op-amp draws, over what its branches say.
        built_comparator: the same of its comparator.
        network_bytes: bytes of a number of the network, 1 or 2. Static.
        charges_exponentials: whether ``exponential_j`` is charged. Static.
        name: of the preset. Static.
    """

    network_mac_j: float
    score_mac_j: float
    score_mac_int4_j: float
    score_mac_fp16_j: float
    score_add_j: float
    compare_j: float
    normalise_multiply_j: float
    normalise_add_j: float
    exponential_j: float
    sram_32k_j_per_byte: float
    sram_1m_j_per_byte: float
    dram_j_per_byte: float
    dac_j_per_bit: float
    dac_unit_f: float
    fabric_unit_f: float
    hold_f: float
    ota_dynamic_j: float
    line_f: float
    tia_w: float
    comparator_j: float
    switch_j: float
    program_j: float
    pixel_j: float
    adc_j: float
    link_j_per_byte: float
    uplink_j_per_byte: float
    adc_growth: float
    pixel_hold_f: float
    built_time: float
    built_op_amp: float
    built_comparator: float
    network_bytes: float = static(default=1.0)
    charges_exponentials: bool = static(default=False)
    name: str = static(default="custom")

    @property
    def charged_exponential_j(self) -> float:
        """What a ledger takes for an exponential: its price, or nothing."""
        return self.exponential_j if self.charges_exponentials else 0.0


UNITS = {
    field.name: next(
        (
            unit
            for end, unit in {"_j_per_bit": "J/bit", "_j_per_byte": "J/B", "_j": "J", "_w": "W", "_f": "F"}.items()
            if field.name.endswith(end)
        ),
        "",
    )
    for field in dataclasses.fields(EnergyPreset)
    if field.name not in ("name", "network_bytes", "charges_exponentials")
}
"""Unit of each entry, from its name."""
ENTRIES = tuple(UNITS)


def check_preset(preset: EnergyPreset) -> EnergyPreset:
    """``preset`` itself, once every concrete price was found finite and not negative.

    Raises:
        SettingError: names the entry, its value and its unit.
    """
    for entry, unit in UNITS.items():
        path = f"energy preset {preset.name!r}: {entry}"
        check_number(getattr(preset, entry), path, 0.0, f"a finite price of at least 0 {unit}")
    return preset


@dataclasses.dataclass(frozen=True)
class Term:
    """``factor`` times ``constant``, times ``ratio`` where one is given; ``reason`` says what they are."""

    constant: Constant
    factor: float = 1.0
    reason: str = ""
    ratio: Constant | None = None

    @property
    def constants(self) -> tuple[Constant, ...]:
        """What it is made of."""
        return (self.constant,) if self.ratio is None else (self.constant, self.ratio)

    @property
    def value(self) -> float:
        """The product, in the unit of the entry it is part of."""
        return self.at({})

    def at(self, values: Mapping[Constant, float]) -> float:
        """The product with some constants at another value."""
        return self.factor * math.prod(values.get(one, one.value) for one in self.constants)


def _terms(*parts: Constant | Term) -> tuple[Term, ...]:
    return tuple(part if isinstance(part, Term) else Term(part) for part in parts)


_BOUND = "an upper bound: any digital operation charged as a whole MAC"
_FREE = _terms(paper.NOT_CHARGED)
_FUNCTION = "by a polynomial of degree 2"
"""exp(x) = 2^-q L(r) with q = floor(-x / ln 2), r = x + q ln 2 and L of degree 2: three products and three sums.

As I-BERT has it (Kim et al. 2021, ICML, arXiv 2101.01321; ``IntSoftmax`` in Hugging Face's transformers). Its GELU
takes two products and three sums. Chosen here: numbers are in the norms' formats; a GELU, a logarithm, a root cost as
much; the shift by q is free. ``energy.outside`` holds the price against published units.
"""
_BUILT = {
    "adc_growth": _terms(sensor.ADC_GROWTH),
    "built_time": _terms(analog.BUILT_TIME),
    "built_op_amp": _terms(analog.BUILT_OP_AMP),
    "built_comparator": _terms(analog.BUILT_COMPARATOR),
}
"""Ratios, no prices: the same in every preset."""
_PAPER = {
    "network_mac_j": _terms(paper.MAC),
    "score_mac_j": _terms(paper.MAC),
    "score_mac_int4_j": _terms(Term(paper.MAC, 1.0, "the paper has one price for a MAC")),
    "score_mac_fp16_j": _terms(Term(paper.MAC, 1.0, "the paper has one price for a MAC")),
    "score_add_j": _terms(Term(paper.MAC, 1.0, _BOUND)),
    # Neither the digital nor the analog comparison is charged in the paper, so neither is favoured.
    "compare_j": _FREE,
    "normalise_multiply_j": _terms(Term(paper.MAC, 1.0, _BOUND)),
    "normalise_add_j": _terms(Term(paper.MAC, 1.0, _BOUND)),
    "exponential_j": _terms(Term(paper.MAC, 6.0, f"x 6, {_FUNCTION}; {_BOUND}")),
    "sram_32k_j_per_byte": _FREE,
    "sram_1m_j_per_byte": _FREE,
    "dram_j_per_byte": _FREE,
    "dac_j_per_bit": _terms(paper.DAC),
    "dac_unit_f": _terms(converters.UNIT_CAPACITOR),
    "fabric_unit_f": _terms(converters.FABRIC_UNIT_CAPACITOR),
    "hold_f": _terms(paper.NO_LINE),
    "ota_dynamic_j": _terms(Term(paper.CORE_DYNAMIC, 1 / (64 * 1e6), "1 / (64 OTAs x 1 MHz)")),
    "line_f": _terms(paper.NO_LINE),
    "tia_w": _terms(paper.NO_TIA),
    "comparator_j": _FREE,
    "switch_j": _FREE,
    "program_j": _FREE,
    "pixel_j": _FREE,
    "adc_j": _FREE,
    "link_j_per_byte": _FREE,
    "uplink_j_per_byte": _FREE,
    "pixel_hold_f": _terms(paper.NO_LINE),
    **_BUILT,
}
_PUBLISHED_ANALOG = {
    "dac_j_per_bit": _terms(Term(converters.SAR_DAC_8B, 1 / 8, "1 / 8 bit")),
    "dac_unit_f": _terms(converters.UNIT_CAPACITOR),
    "fabric_unit_f": _terms(converters.FABRIC_UNIT_CAPACITOR),
    "hold_f": _terms(converters.HOLD_CAPACITOR),
    "ota_dynamic_j": _terms(Term(analog.LINE_CAPACITANCE, 0.0, "none beside line_f")),
    "line_f": _terms(analog.LINE_CAPACITANCE),
    "tia_w": _terms(analog.TIA_POWER),
    "comparator_j": _terms(converters.COMPARATOR),
    "switch_j": _terms(Term(analog.LINE_CAPACITANCE, 1.0**2, "C V^2, 1 V select line")),
    "program_j": _terms(analog.FLOATING_GATE_WRITE),
    "pixel_j": _terms(sensor.PIXEL_READ),
    "adc_j": _terms(sensor.PIXEL_ADC),
    "link_j_per_byte": _terms(sensor.PIXEL_LINK),
    "uplink_j_per_byte": _terms(sensor.WIFI),
    "pixel_hold_f": _terms(sensor.PIXEL_HOLD),
    **_BUILT,
}


def _digital(int8_multiply, int32_add, fp16_multiply, fp32_add, small, large, off_chip, network: str):
    """Digital entries from a table of operations and memories; the accumulator is always the wide one."""
    int8_mac = _terms(int8_multiply, int32_add)
    fp16_mac = _terms(fp16_multiply, fp32_add)
    product, total = arithmetic.INT4_MULTIPLY_OF_INT8, arithmetic.INT4_ADD_OF_INT32
    return {
        "network_mac_j": {"int8": int8_mac, "fp16": fp16_mac}[network],
        "score_mac_j": int8_mac,
        "score_mac_int4_j": _terms(
            Term(int8_multiply, reason=product.name, ratio=product), Term(int32_add, reason=total.name, ratio=total)
        ),
        "score_mac_fp16_j": fp16_mac,
        "score_add_j": _terms(int32_add),
        "compare_j": _terms(int32_add),
        "normalise_multiply_j": _terms(fp16_multiply),
        "normalise_add_j": _terms(fp32_add),
        "exponential_j": _terms(Term(fp16_multiply, 3.0, f"x 3, {_FUNCTION}"), Term(fp32_add, 3.0, "x 3")),
        "sram_32k_j_per_byte": _terms(small),
        "sram_1m_j_per_byte": _terms(large),
        "dram_j_per_byte": _terms(off_chip),
    }


_HOROWITZ = (
    arithmetic.HOROWITZ_INT8_MULTIPLY,
    arithmetic.HOROWITZ_INT32_ADD,
    arithmetic.HOROWITZ_FP16_MULTIPLY,
    arithmetic.HOROWITZ_FP32_ADD,
    memory.HOROWITZ_SRAM_32K,
    memory.HOROWITZ_SRAM_1M,
    memory.HOROWITZ_DRAM,
)
_JOUPPI = (
    arithmetic.JOUPPI_INT8_MULTIPLY,
    arithmetic.JOUPPI_INT32_ADD,
    arithmetic.JOUPPI_FP16_MULTIPLY,
    arithmetic.JOUPPI_FP32_ADD,
    memory.JOUPPI_SRAM_32K,
    memory.JOUPPI_SRAM_1M,
    memory.JOUPPI_DRAM,
)
_RECIPES: dict[str, dict[str, tuple[Term, ...]]] = {
    "paper_4_2": _PAPER,
    "horowitz_45nm": {**_digital(*_HOROWITZ, network="int8"), **_PUBLISHED_ANALOG},
    "horowitz_45nm_fp16": {**_digital(*_HOROWITZ, network="fp16"), **_PUBLISHED_ANALOG},
    "jouppi_7nm": {**_digital(*_JOUPPI, network="int8"), **_PUBLISHED_ANALOG},
    "jouppi_7nm_fp16": {**_digital(*_JOUPPI, network="fp16"), **_PUBLISHED_ANALOG},
}
DIGITAL_ENTRIES = tuple(_digital(*_HOROWITZ, network="int8"))
"""What scales with the node of the digital part; analog parts, held by matching and noise, do not."""
NODE_RANGE_NM = (7.0, 45.0)
PRESET_NAMES = tuple(_RECIPES)


def energy_preset(name: str | None) -> EnergyPreset:
    """The preset called ``name``; there is no default, because the choice decides what a ledger says.

    Raises:
        SettingError: for an unknown name; lists the ones there are.
    """
    return made_of(provenance(name), str(name))


def preset_at_node(node_nm: float, network: str = "int8") -> EnergyPreset:
    """Digital entries between the two tables at 45 and 7 nm: straight in log(energy) against log(node).

    E(n) = E_45 (n / 45)^p with p = ln(E_45 / E_7) / ln(45 / 7), entry by entry: a rule between two published
    points, not a law, and not carried beyond them. Converters and analog parts keep their values.

    Args:
        node_nm: 7 to 45.
        network: number format of the network, ``int8`` or ``fp16``.

    Raises:
        SettingError: a node outside the two tables, or another format.
    """
    low, high = NODE_RANGE_NM
    if not low <= node_nm <= high:
        raise SettingError(
            f"energy.node_nm = {node_nm} is outside the tables of {low:g} and {high:g} nm, beyond which nothing is "
            f"scaled; give a node from {low:g} to {high:g}"
        )
    end = "" if check_choice(network, ("int8", "fp16"), "energy.network") == "int8" else "_fp16"
    old, new = energy_preset(f"horowitz_45nm{end}"), energy_preset(f"jouppi_7nm{end}")
    share = math.log(high / node_nm) / math.log(high / low)
    scaled = {entry: getattr(old, entry) ** (1.0 - share) * getattr(new, entry) ** share for entry in DIGITAL_ENTRIES}
    return dataclasses.replace(old, **scaled, name=f"{node_nm:g}nm{end}")


def made_of(
    recipe: Mapping[str, tuple[Term, ...]], name: str, values: Mapping[Constant, float] | None = None
) -> EnergyPreset:
    """The prices of a recipe, with some of its constants at another value.

    Args:
        recipe: terms of each entry, as ``provenance`` gives them.
        name: of the result; one that ends in ``_fp16`` has numbers of two bytes.
        values: by constant, in its own unit.

    Raises:
        SettingError: a constant that the recipe is not made of.
    """
    values = values or {}
    used = set(constants_of(recipe))
    if strange := [constant.name for constant in values if constant not in used]:
        raise SettingError(f"energy preset {name!r} is not made of {strange}; give constants of its provenance")
    entries: dict[str, Any] = {entry: sum(term.at(values) for term in terms) for entry, terms in recipe.items()}
    return EnergyPreset(**entries, network_bytes=2.0 if name.endswith("_fp16") else 1.0, name=name)


def constants_of(recipe: Mapping[str, tuple[Term, ...]]) -> list[Constant]:
    """Every constant behind a recipe, once, in the order of its entries."""
    return list(dict.fromkeys(one for terms in recipe.values() for term in terms for one in term.constants))


def provenance(name: str | None) -> dict[str, tuple[Term, ...]]:
    """What each entry of preset ``name`` is made of.

    Raises:
        SettingError: for an unknown name; lists the ones there are.
    """
    return dict(_RECIPES[check_choice(name, PRESET_NAMES, "energy.preset")])


def nodes_nm(name: str) -> dict[str, tuple[int | None, ...]]:
    """Technology nodes behind each entry of preset ``name``, in nanometres; None where the source names none.

    Raises:
        SettingError: for an unknown name; lists the ones there are.
    """
    return {
        entry: tuple(dict.fromkeys(term.constant.node_nm for term in terms))
        for entry, terms in provenance(name).items()
    }


def constants_table_markdown() -> str:
    """Every constant as a Markdown table: value, range, node, evidence, source."""
    rows = ["| constant | value | range to sweep | node (nm) | evidence | source |", "|---|---|---|---|---|---|"]
    for constant in constants.ALL:
        swept = "" if constant.low is None else f"{_si(constant.low, '')}-{_si(constant.high, constant.unit)}"
        node = "not given" if constant.node_nm is None else str(constant.node_nm)
        value = _si(constant.value, constant.unit)
        rows.append(f"| {constant.name} | {value} | {swept} | {node} | {constant.evidence} | {constant.source} |")
    return "\n".join(rows)


def presets_table_markdown() -> str:
    """Every entry of every preset, its value and the constants it is made of, as a Markdown table."""
    names = " | ".join(f"`{name}`" for name in PRESET_NAMES)
    rows = [f"| entry | {names} |", "|---|" + "---|" * len(PRESET_NAMES)]
    for entry, unit in UNITS.items():
        cells = [_cell(_RECIPES[name][entry], unit) for name in PRESET_NAMES]
        rows.append(f"| `{entry}` | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cell(terms: tuple[Term, ...], unit: str) -> str:
    parts = [t.constant.name + (f" ({t.reason})" if t.reason else "") for t in terms]
    return f"{_si(sum(t.value for t in terms), unit)}: " + " + ".join(parts)


_PREFIXES = (("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9), ("p", 1e-12), ("f", 1e-15))


def _si(value: float | None, unit: str) -> str:
    """Three significant digits with the prefix that fits; the paper's own unit, p, down to 0.01 p."""
    if not value:
        return f"0 {unit}".strip()
    prefix, scale = next((pair for pair in _PREFIXES if value >= pair[1]), _PREFIXES[-1])
    if prefix == "f" and value >= 1e-14:
        prefix, scale = "p", 1e-12
    if not unit:
        return f"{value:.3g}" if value >= 1e-3 else f"{value / scale:.3g}"
    return f"{value / scale:.3g} {prefix}{unit}"
