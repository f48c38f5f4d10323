"""Named sets of per-operation energies, each number traceable to the constants it is made of.

An entry is a sum of terms, factor times constant. Digital, converter and routing figures of one preset are
from different technology nodes, because nobody publishes all of them at one; ``nodes_nm`` and the tables say
which. Write both tables into the docs with ``python -m atis_jax.energy.presets docs/energy.md``.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys

from atis_jax.energy import constants as c
from atis_jax.energy.constants import Constant
from atis_jax.numerics import pytree, static
from atis_jax.validation import SettingError, check_choice


@pytree
class EnergyPreset:
    """What one operation costs. Every float is a leaf, so a ledger can be differentiated by its constants.

    Attributes:
        network_mac_j: multiply-accumulate of attention, MLP, stem and head.
        score_mac_j: multiply-accumulate of a projection or of a digital score (int8, accumulated in 32 bits).
        score_add_j: addition of a sparse sign projection.
        compare_j: digital comparison of a score with a threshold.
        normalise_multiply_j: multiplication in the normalisation of a token.
        normalise_add_j: addition in the normalisation of a token.
        dac_j_per_bit: one conversion, divided by its bits.
        ota_dynamic_j: moving the input line of one OTA for one token.
        tia_w: power of one TIA's op-amp while it is on.
        comparator_j: one analog comparison.
        switch_j: switching the bias line of one OTA to another prototype (time-multiplexed arrays).
        name: of the preset.
    """

    network_mac_j: float
    score_mac_j: float
    score_add_j: float
    compare_j: float
    normalise_multiply_j: float
    normalise_add_j: float
    dac_j_per_bit: float
    ota_dynamic_j: float
    tia_w: float
    comparator_j: float
    switch_j: float
    name: str = static(default="custom")


@dataclasses.dataclass(frozen=True)
class Term:
    """``factor`` times ``constant``; ``reason`` says what a factor other than one is."""

    constant: Constant
    factor: float = 1.0
    reason: str = ""

    @property
    def value(self) -> float:
        """The product, in the unit of the entry it is part of."""
        return self.factor * self.constant.value


def _terms(*parts: Constant | Term) -> tuple[Term, ...]:
    return tuple(part if isinstance(part, Term) else Term(part) for part in parts)


_BOUND = "an upper bound: any digital operation charged as a whole MAC"
_PAPER_ANALOG = {
    "dac_j_per_bit": _terms(c.PAPER_DAC),
    "ota_dynamic_j": _terms(Term(c.PAPER_CORE_DYNAMIC, 1 / (64 * 1e6), "1 / (64 OTAs x 1 MHz)")),
    "tia_w": _terms(c.PAPER_NO_TIA),
    "comparator_j": _terms(c.PAPER_NOT_CHARGED),
    "switch_j": _terms(c.PAPER_NOT_CHARGED),
}
_PUBLISHED_ANALOG = {
    "dac_j_per_bit": _terms(Term(c.SAR_DAC_8B, 1 / 8, "1 / 8 bit")),
    "ota_dynamic_j": _terms(Term(c.LINE_CAPACITANCE, 1.0 * 0.1, "C V dV, 1 V supply x 0.1 V step")),
    "tia_w": _terms(c.TIA_POWER),
    "comparator_j": _terms(c.COMPARATOR),
    "switch_j": _terms(Term(c.LINE_CAPACITANCE, 1.0**2, "C V^2, 1 V select line")),
}


def _digital(int8_multiply, int32_add, fp16_multiply, fp32_add, network: str):
    """Digital entries from a table of operations; the accumulator is always the wide one."""
    int8_mac = _terms(int8_multiply, int32_add)
    fp16_mac = _terms(fp16_multiply, fp32_add)
    return {
        "network_mac_j": {"int8": int8_mac, "fp16": fp16_mac}[network],
        "score_mac_j": int8_mac,
        "score_add_j": _terms(int32_add),
        "compare_j": _terms(int32_add),
        "normalise_multiply_j": _terms(fp16_multiply),
        "normalise_add_j": _terms(fp32_add),
    }


_HOROWITZ = (c.HOROWITZ_INT8_MULTIPLY, c.HOROWITZ_INT32_ADD, c.HOROWITZ_FP16_MULTIPLY, c.HOROWITZ_FP32_ADD)
_JOUPPI = (c.JOUPPI_INT8_MULTIPLY, c.JOUPPI_INT32_ADD, c.JOUPPI_FP16_MULTIPLY, c.JOUPPI_FP32_ADD)

_RECIPES: dict[str, dict[str, tuple[Term, ...]]] = {
    "paper_4_2": {
        "network_mac_j": _terms(c.PAPER_MAC),
        "score_mac_j": _terms(c.PAPER_MAC),
        "score_add_j": _terms(Term(c.PAPER_MAC, 1.0, _BOUND)),
        # Neither the digital nor the analog comparison is charged in the paper, so neither is favoured.
        "compare_j": _terms(c.PAPER_NOT_CHARGED),
        "normalise_multiply_j": _terms(Term(c.PAPER_MAC, 1.0, _BOUND)),
        "normalise_add_j": _terms(Term(c.PAPER_MAC, 1.0, _BOUND)),
        **_PAPER_ANALOG,
    },
    "horowitz_45nm": {**_digital(*_HOROWITZ, network="int8"), **_PUBLISHED_ANALOG},
    "horowitz_45nm_fp16": {**_digital(*_HOROWITZ, network="fp16"), **_PUBLISHED_ANALOG},
    "jouppi_7nm": {**_digital(*_JOUPPI, network="int8"), **_PUBLISHED_ANALOG},
    "jouppi_7nm_fp16": {**_digital(*_JOUPPI, network="fp16"), **_PUBLISHED_ANALOG},
}
PRESET_NAMES = tuple(_RECIPES)


def energy_preset(name: str) -> EnergyPreset:
    """The preset called ``name``; there is no default, because the choice decides what a ledger says.

    Raises:
        SettingError: for an unknown name; lists the ones there are.
    """
    recipe = provenance(name)
    return EnergyPreset(name=name, **{entry: sum(t.value for t in terms) for entry, terms in recipe.items()})


def provenance(name: str) -> dict[str, tuple[Term, ...]]:
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
    """Every constant that some preset uses, as a Markdown table: value, node, evidence, source."""
    used = dict.fromkeys(t.constant for recipe in _RECIPES.values() for terms in recipe.values() for t in terms)
    rows = [
        "| constant | value | range to sweep | node (nm) | evidence | source |",
        "|---|---|---|---|---|---|",
    ]
    for constant in used:
        swept = "" if constant.low is None else f"{_si(constant.low, '')}-{_si(constant.high, constant.unit)}"
        node = "not given" if constant.node_nm is None else str(constant.node_nm)
        value = _si(constant.value, constant.unit)
        rows.append(f"| {constant.name} | {value} | {swept} | {node} | {constant.evidence} | {constant.source} |")
    return "\n".join(rows)


def presets_table_markdown() -> str:
    """Every entry of every preset, its value and the constants it is made of, as a Markdown table."""
    names = " | ".join(f"`{name}`" for name in PRESET_NAMES)
    rows = [f"| entry | {names} |", "|---|" + "---|" * len(PRESET_NAMES)]
    for field in dataclasses.fields(EnergyPreset):
        if field.name == "name":
            continue
        unit = {"_j": "J", "_w": "W", "it": "J/bit"}[field.name[-2:]]
        cells = [_cell(_RECIPES[name][field.name], unit) for name in PRESET_NAMES]
        rows.append(f"| `{field.name}` | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cell(terms: tuple[Term, ...], unit: str) -> str:
    parts = [t.constant.name + (f" ({t.reason})" if t.reason else "") for t in terms]
    return f"{_si(sum(t.value for t in terms), unit)}: " + " + ".join(parts)


def _si(value: float | None, unit: str) -> str:
    """Three significant digits with the prefix that fits: u for powers, p, and f below 0.01 p."""
    if not value:
        return f"0 {unit}".strip()
    prefix, scale = ("u", 1e-6) if value >= 1e-7 else ("p", 1e-12) if value >= 1e-14 else ("f", 1e-15)
    return f"{value / scale:.3g} {prefix}{unit}" if unit else f"{value / scale:.3g}"


_TABLES = {"constants": constants_table_markdown, "presets": presets_table_markdown}


def with_current_tables(page: str) -> str:
    """``page`` with its tables, between ``<!-- NAME table -->`` and ``<!-- end -->``, made current.

    Raises:
        SettingError: if the page lacks a marker.
    """
    for name, table in _TABLES.items():
        begin = f"<!-- {name} table -->"
        if begin not in page or "<!-- end -->" not in page.split(begin)[1]:
            raise SettingError(f"the page has no '{begin}' followed by '<!-- end -->'; put both where it belongs")
        before, rest = page.split(begin, 1)
        after = rest.split("<!-- end -->", 1)[1]
        page = f"{before}{begin}\n{table()}\n<!-- end -->{after}"
    return page


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m atis_jax.energy.presets docs/energy.md")
    path = pathlib.Path(sys.argv[1])
    path.write_text(with_current_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
