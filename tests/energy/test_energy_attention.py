"""Circuits for attention: counts by walking tokens, heads and cells; joules by their prices; wear by its writes."""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest
from energy_cases import MEMORY, NETWORK, PRICES, TOKENS

from atis_jax.energy.attention.charge_domain import ChargeDomainCircuit
from atis_jax.energy.attention.memristor import MemristorCircuit
from atis_jax.energy.attention.reram_pq import ReramPqCircuit
from atis_jax.energy.baselines import dense_ledger
from atis_jax.energy.constants import attention

KEPT = (0.25, 0.5, 1.0)
CIRCUITS = {
    "charge_domain": ChargeDomainCircuit(KEPT, bits=5),
    "charge_domain, converted": ChargeDomainCircuit(KEPT, bits=5, exact=False),
    "reram_pq": ReramPqCircuit(KEPT, subvectors=4, codes=8),
    "memristor": MemristorCircuit(input_bits=6, output_bits=7),
}
QUERIES, KEYS = (65, 41, 18), (65, 41, 18)
WIDTH, HEADS = NETWORK.width, NETWORK.heads
COUNTS = (
    *("exact_macs", "analog_macs", "digital_macs", "written_cells"),
    *("conversions_in", "conversions_out", "comparisons", "exponentials"),
)


def walked(name: str, layer: int) -> dict[str, float]:
    """Counts of a layer, token by token and head by head; a head is 8 wide."""
    found = dict.fromkeys(COUNTS, 0.0)
    for _ in range(KEYS[layer]):
        for _ in range(HEADS):
            if name.startswith("charge"):
                found["written_cells"] += 8 * 5
                found["digital_macs"] += 8
            elif name == "reram_pq":
                found["digital_macs"] += 8 * 8
            else:
                found["written_cells"] += 8 * 2 * 2
    for _ in range(QUERIES[layer]):
        for _ in range(HEADS):
            if name.startswith("charge"):
                found["conversions_in"] += 8
                found["digital_macs"] += 8
                found["comparisons"] += 1
            elif name == "reram_pq":
                found["digital_macs"] += 8 * 8
            else:
                found["conversions_in"] += 8
                found["conversions_out"] += 8
            for _ in range(KEYS[layer]):
                if name == "memristor":
                    found["analog_macs"] += 2 * 8
                    found["conversions_in"] += 1
                    found["conversions_out"] += 1
                    found["exponentials"] += 1
                    continue
                found["comparisons"] += 1
                found["analog_macs"] += 4 if name == "reram_pq" else 8
                found["exact_macs"] += KEPT[layer] * (8 if "converted" in name else 16)
                found["conversions_out"] += KEPT[layer] if "converted" in name else 0
                found["exponentials"] += KEPT[layer]
    return found


@pytest.mark.parametrize("name", CIRCUITS)
def test_counts_are_those_of_a_walk(name):
    found = CIRCUITS[name].costs(PRICES, NETWORK, jnp.asarray(QUERIES, float), jnp.asarray(KEYS, float), 0.5)
    for layer in range(3):
        for count, expected in walked(name, layer).items():
            assert float(getattr(found, count)[layer]) == pytest.approx(expected, rel=1e-6), count
    if name == "reram_pq":
        np.testing.assert_array_equal(found.cells, 4 * 4 * 8 * 8)  # heads, sub-vectors, 8 x 8 codes
    else:
        np.testing.assert_array_equal(found.cells, found.written_cells)
    mac_j = {
        "charge": attention.CHARGE_MAC.value,
        "reram_": attention.RERAM_READ.value,
        "memris": 2 * attention.RERAM_READ.value,
    }
    np.testing.assert_allclose(found.array_j, found.analog_macs * mac_j[name[:6]], rtol=1e-6)
    np.testing.assert_allclose(found.comparison_j, found.comparisons * PRICES.comparator_j, rtol=1e-6)
    np.testing.assert_allclose(found.moved_j, found.moved_bytes * 0.5, rtol=1e-6)


def test_the_ledger_has_the_circuit_on_a_line_and_fewer_products_on_anothers():
    circuit = CIRCUITS["charge_domain"]
    network = dataclasses.replace(NETWORK, attention=circuit)
    exact, found = (dense_ledger(PRICES, one, MEMORY, TOKENS) for one in (NETWORK, network))
    queries = TOKENS.kept + NETWORK.protected
    costs = circuit.costs(PRICES, NETWORK, jnp.asarray(queries), jnp.asarray(queries), PRICES.sram_32k_j_per_byte)
    assert (
        float(found.pairs_j) == pytest.approx(float(jnp.sum(costs.spent_j)), rel=1e-6) and float(exact.pairs_j) == 0.0
    )
    fewer = sum(2 * WIDTH * n**2 * (1 - kept) for n, kept in zip(queries, KEPT, strict=True))
    assert float(exact.attention_j - found.attention_j) == pytest.approx(fewer * PRICES.network_mac_j, rel=1e-4)
    no_exponentials = sum(4 * n**2 * (1 - kept) for n, kept in zip(queries, KEPT, strict=True))
    spared_j = float(exact.exponentials_j - found.exponentials_j)
    assert spared_j == pytest.approx(no_exponentials * PRICES.exponential_j, rel=1e-4)
    same = {line for line, value in exact.as_dict().items() if float(value) == float(found.as_dict()[line])}
    assert same == set(exact.as_dict()) - {"attention", "pairs", "exponentials"}


def test_wear_is_writes_a_token_over_what_a_cell_stands():
    """Three layers of 32 numbers of keys; a place is written once in 1,000 tokens."""
    written = {name: circuit.wear(NETWORK) for name, circuit in CIRCUITS.items()}
    assert written["memristor"].token_cells == 3 * 32 * 2 * 2 and written["memristor"].programmed_cells == 0
    assert written["reram_pq"].token_cells == 0 and written["reram_pq"].programmed_cells == 3 * 4 * 4 * 64
    assert written["charge_domain"].token_cells == 3 * 32 * 5
    assert written["memristor"].lifetime_s(1e6, 1000) == (10.0, 1e5)
    assert (
        written["reram_pq"].lifetime_s(1e6, 1000) == (math.inf, math.inf) == written["charge_domain"].lifetime_s(1, 1)
    )
