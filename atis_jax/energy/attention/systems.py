"""The systems of the ATIS paper's Table 1: its claims, what their own papers print, what our models give.

One layer of the paper's section 4.2: 1,024 tokens, width 512, 8 heads of 64, at the prices of ``PRESET``, memory not
charged. Every system is at its own working point, not at equal accuracy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from atis_jax.energy import paper
from atis_jax.energy.attention.charge_domain import ChargeDomainCircuit
from atis_jax.energy.attention.costs import AttentionCircuit, Wear
from atis_jax.energy.attention.memristor import MemristorCircuit
from atis_jax.energy.attention.reram_pq import ReramPqCircuit
from atis_jax.energy.baselines import dense_ledger
from atis_jax.energy.constants import analog, attention
from atis_jax.energy.front_end import PRICED, FrontEnd
from atis_jax.energy.ledger import ledger
from atis_jax.energy.presets import energy_preset
from atis_jax.energy.shapes import TokenCounts
from atis_jax.formatting import si

PRESET = "horowitz_45nm"
LAYER = paper.NETWORK
TOKENS = LAYER.tokens
RATE = attention.TOKEN_RATE.value
KEPT = 0.3
"""Of the tokens that ATIS scores: the middle of the paper's 60 to 80 % pruned."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """A row of the paper's table, as printed.

    Attributes:
        system, hardware, stage, reconfigurable, endurance: its columns.
    """

    system: str
    hardware: str
    stage: str
    reconfigurable: str
    endurance: str


@dataclasses.dataclass(frozen=True)
class Model:
    """What our model of a system gives for ``LAYER``; joules and seconds are of a token.

    Attributes:
        circuit_j: arrays, converters, comparators, writing.
        products_j: Q K^T and A V that are left to digital arithmetic.
        rest_j: maps to Q, K, V and out, normalisation, MLP.
        pairs: share of the pairs that exact attention is left with; None: it computes none.
        seconds: of the circuit, heads or rows in turn; None: not modelled.
    """

    circuit_j: float
    products_j: float
    rest_j: float
    pairs: float | None
    seconds: float | None

    @property
    def total_j(self) -> float:
        """A layer in all."""
        return self.circuit_j + self.products_j + self.rest_j


@dataclasses.dataclass(frozen=True)
class System:
    """A row.

    Attributes:
        name: whose work it is, by its real authors.
        claim: the paper's row.
        slip: what the paper's row says that its source does not, empty where there is none.
        printed: what the system's own paper prints, each with a tag: V read in its abstract or code, D derived from
            that, U not found.
        model: what ours gives.
        wear: what is written.
        switch: joules and seconds to load another network of this shape.
        forgets_hz: tokens a second below which the oldest words of the window have lost their charge; 0: never.
    """

    name: str
    claim: Claim
    slip: str
    printed: str
    model: Callable[[], Model]
    wear: Wear
    switch: tuple[float, float]
    forgets_hz: float = 0.0


def on_circuit(circuit: AttentionCircuit) -> Model:
    """The layer with attention by a circuit."""
    n, preset = jnp.full((1,), float(TOKENS)), energy_preset(PRESET)
    costs = circuit.costs(preset, LAYER, n, n, 0.0)
    products = float(costs.exact_macs[0]) * preset.network_mac_j
    left = None if not products else float(jnp.asarray(circuit.pairs))
    return Model(float(costs.spent_j[0]) / TOKENS, products / TOKENS, _rest_j(), left, float(costs.seconds[0]) / TOKENS)


def exact() -> Model:
    """The layer as it is."""
    products = 2.0 * LAYER.width * TOKENS * energy_preset(PRESET).network_mac_j
    return Model(0.0, products, _rest_j(), 1.0, None)


def gain_cell() -> Model:
    """Its own figures, as printed: the window and the head's width are those of this layer."""
    return Model(LAYER.heads * attention.GAIN_CELL_TOKEN.value, 0.0, _rest_j(), None, attention.GAIN_CELL_TIME.value)


def atis() -> Model:
    """The scorer of section 4.2 in front of the layer, at the same prices, with ``KEPT`` of the tokens behind it."""
    counts = TokenCounts(jnp.full(1, float(TOKENS)), jnp.full(1, KEPT * TOKENS))
    front_end = FrontEnd(
        jnp.full((1,), 64 * paper.BIAS_A), paper.SUPPLY_V, paper.TOKEN_S, reference_bits=0, circuit=PRICED
    )
    found = ledger(energy_preset(PRESET), LAYER, paper.SCORER, counts, front_end)
    n = KEPT * TOKENS
    products = 2.0 * LAYER.width * n**2 * energy_preset(PRESET).network_mac_j
    scoring = float(found.scoring_j)
    rest = float(found.total_j) - float(found.embedding_j) - scoring - products
    return Model(scoring / TOKENS, products / TOKENS, rest / TOKENS, KEPT**2, paper.TOKEN_S)


def _rest_j() -> float:
    whole = dense_ledger(energy_preset(PRESET), LAYER)
    products = 2.0 * LAYER.width * TOKENS**2 * energy_preset(PRESET).network_mac_j
    return (float(whole.total_j) - float(whole.embedding_j) - products) / TOKENS


CHARGE, RERAM, CROSSBAR = ChargeDomainCircuit(0.25), ReramPqCircuit(0.33), MemristorCircuit()
FLOATING = attention.FLOATING_GATE_WRITES
SYSTEMS = (
    System(
        "Moradifirouzabadi et al. 2024",
        Claim(
            "Moradifirouzabadi [6]", "65nm CMOS ASIC, SRAM CIM", "After Q/K projection", "No (ASIC)", "Unlimited (SRAM)"
        ),
        "",
        "prunes 75 % on average; 14.8 TOPS/W core, 1.65 chip; 976.6 and 79.4 GOPS/mm², measured (V). "
        f"{si(64 * attention.CHARGE_MAC.value, 'J')} a 64-wide score in the core, "
        f"{si(64 * attention.CHARGE_SOC_MAC.value, 'J')} on the chip (D). Accuracy, bits, clock: U",
        lambda: on_circuit(CHARGE),
        CHARGE.wear(LAYER),
        (0.0, 0.0),
    ),
    System(
        "HARDSEA, Liu et al. 2024",
        Claim(
            "HARDSEA [17]",
            "ReRAM + SRAM hybrid",
            "Product-quantized token relevance",
            "No (NVM weights)",
            "Limited (10⁴-10⁸)",
        ),
        "",
        "12 to 33 % of attention with no loss, BERT and GPT-2; 13.5 to 28.5 times the speed, 291.6 to 1894.3 times "
        "the energy efficiency of a GPU; measured or simulated is not said (V). Joules, seconds, codebooks: U",
        lambda: on_circuit(RERAM),
        RERAM.wear(LAYER),
        (
            RERAM.tables(LAYER) * attention.RERAM_WRITE.value,
            RERAM.tables(LAYER) / RERAM.codes * attention.RERAM_WRITE_TIME.value,
        ),
    ),
    System(
        "Leroux et al. 2025 (gain cell)",
        Claim(
            "Sebastian [13]", "Gain-cell analog memory", "Full attention acceleration", "Partial", "Good (gain-cell)"
        ),
        "its authors are Leroux et al.",
        "6.15 nJ and 65 ns a token and head, window 1,024, 28 nm, SPICE (V)",
        gain_cell,
        Wear(0, 2 * LAYER.keys, None),
        (0.0, 0.0),
        attention.GAIN_CELL_WINDOW.value / attention.GAIN_CELL_RETENTION.value,
    ),
    System(
        "Bettayeb et al. 2024",
        Claim("Wang [11]", "Memristor crossbar", "Full attention (PSPICE sim)", "No", "Limited (10⁴-10⁸)"),
        "Bettayeb, Halawani, Khan, Saleh, Mohammad, Sci Rep 14:24173; NeuroSim 3.0, not PSPICE",
        "95.47 % on MNIST, about ten times fewer multiply-accumulates; 3 mJ, 15.52 s, 6895.7 µm², 59.55 µW of leakage, "
        "of a workload that is not told, simulated (V)",
        lambda: on_circuit(CROSSBAR),
        CROSSBAR.wear(LAYER),
        (0.0, 0.0),
    ),
    System(
        "ATIS",
        Claim(
            "ATIS (ours)",
            "FPAA (floating-gate)",
            "Before Q/K projection",
            "Yes (indefinite)",
            "Unlimited (floating-gate)",
        ),
        "floating gates wear too: 10⁴ to 10⁶ writes are usual, which a prototype written once never meets",
        "391 pJ a token without its projection (paper, reproduced; `energy.md`)",
        atis,
        Wear(64, 0, (float(FLOATING.low or 0), float(FLOATING.high or 0))),
        (64 * analog.FLOATING_GATE_WRITE.value, 64 * analog.FLOATING_GATE_WRITE_TIME.value),
    ),
)
