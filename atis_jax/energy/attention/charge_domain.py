"""Approximate scores by charge sharing in SRAM, a comparator behind each, exact attention for the pairs that stay.

Moradifirouzabadi et al. 2024 (arXiv 2409.04940). Read here: the abstract, with the energy of its core; which parts of
the circuit that covers, and at how many bits, it does not say. We charge it for every multiply-accumulate whatever the
bits, and converters, comparisons and writing the keys besides: an upper bound, if the core's figure has them already.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from atis_jax.energy.attention.costs import AttentionCircuit, AttentionCosts, Wear, converted_j
from atis_jax.energy.constants import attention
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import NetworkShape

SCORE_BITS = 8
"""Of a score that is converted; chosen by us."""


@dataclasses.dataclass(frozen=True)
class ChargeDomainCircuit(AttentionCircuit):
    """One array of T x K cells of B bits serves the heads in turn.

    Attributes:
        pairs: share of the pairs that are computed again.
        bits: B, of queries and keys.
        exact: whether the scores of pairs that stay are computed again; else they are converted.
    """

    bits: int = 4
    exact: bool = True

    def costs(self, preset: EnergyPreset, network: NetworkShape, queries, keys, token_byte_j: float) -> AttentionCosts:
        """N queries on m keys: n m d products, n m H comparisons and n H more for the largest of each row.

        Of exact attention 2 d multiply-accumulates for each pair that stays, d where its score is converted instead.
        Rounding to B bits is a multiplication in the network's arithmetic for each number of queries and keys. Bits of
        queries, keys and decisions are moved.
        """
        stay, again = jnp.asarray(self.pairs), 2.0 if self.exact else 1.0
        d, heads = float(network.width), float(network.heads)
        pairs, stored = queries * keys, keys * float(network.keys)
        numbers = queries * d
        converted = (2.0 - again) * stay * pairs * heads
        comparisons = pairs * heads + queries * heads
        moved = (numbers + stored) * self.bits / 8.0 + pairs * heads / 8.0
        return AttentionCosts(
            exact_macs=stay * again * d * pairs,
            digital_macs=numbers + stored,
            analog_macs=pairs * d,
            cells=stored * self.bits,
            written_cells=stored * self.bits,
            conversions_in=numbers,
            conversions_out=converted,
            comparisons=comparisons,
            moved_bytes=moved,
            exponentials=stay * pairs * heads,
            seconds=queries * heads * attention.CHARGE_CYCLE.value,
            digital_j=(numbers + stored) * preset.network_mac_j,
            array_j=pairs * d * attention.CHARGE_MAC.value,
            write_j=stored * self.bits / 8.0 * preset.sram_32k_j_per_byte,
            conversion_j=numbers * self.bits * preset.dac_j_per_bit + converted * converted_j(preset, SCORE_BITS),
            comparison_j=comparisons * preset.comparator_j,
            moved_j=moved * token_byte_j,
        )

    def wear(self, network: NetworkShape) -> Wear:
        """Keys go into SRAM, which does not wear; a network brings a threshold a layer and two full scales a head."""
        numbers = network.depth * (1 + 2 * network.heads)
        return Wear(numbers, network.depth * network.keys * self.bits, None)
