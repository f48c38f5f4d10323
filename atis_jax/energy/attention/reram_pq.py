"""Relevance of product-quantised queries and keys from tables in ReRAM, a race for the largest, exact attention after.

Liu S. et al., HARDSEA, TVLSI 32(2), 2024 (doi 10.1109/tvlsi.2023.3337777). Read here: the abstract, which has ratios to
a GPU and no joule of its own; every energy and time is our choice (``constants.attention``). How one table serves all
keys at once is not told; we charge a read of a cell for each pair and sub-vector.
"""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp

from atis_jax.energy.attention.costs import AttentionCircuit, AttentionCosts, Wear
from atis_jax.energy.constants import attention
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import NetworkShape


@dataclasses.dataclass(frozen=True)
class ReramPqCircuit(AttentionCircuit):
    """Tables of C x C cells, one a head and sub-vector.

    Attributes:
        pairs: share of the pairs that are computed exactly.
        subvectors: S of a head's width.
        codes: C of a sub-vector.
    """

    subvectors: int = 8
    codes: int = 16

    def costs(self, preset: EnergyPreset, network: NetworkShape, queries, keys, token_byte_j: float) -> AttentionCosts:
        """N queries on m keys: C multiply-accumulates a number to find its code, n m H S cells read, n m H in the race.

        Of exact attention 2 d multiply-accumulates for each pair that stays. Codes and decisions are moved.
        """
        d, heads = float(network.width), float(network.heads)
        pairs = queries * keys
        coding = (queries * d + keys * float(network.keys)) * self.codes
        read = pairs * heads * self.subvectors
        moved = (queries + keys) * heads * self.subvectors * math.log2(self.codes) / 8.0 + pairs * heads / 8.0
        nothing = jnp.zeros_like(pairs)
        return AttentionCosts(
            exact_macs=jnp.asarray(self.pairs) * 2.0 * d * pairs,
            digital_macs=coding,
            analog_macs=read,
            cells=nothing + self.tables(network),
            written_cells=nothing,
            conversions_in=nothing,
            conversions_out=nothing,
            comparisons=pairs * heads,
            moved_bytes=moved,
            exponentials=jnp.asarray(self.pairs) * pairs * heads,
            seconds=queries * heads * attention.RERAM_READ_TIME.value,
            digital_j=coding * preset.score_mac_j,
            array_j=read * attention.RERAM_READ.value,
            write_j=nothing,
            conversion_j=nothing,
            comparison_j=pairs * heads * preset.comparator_j,
            moved_j=moved * token_byte_j,
        )

    def tables(self, network: NetworkShape) -> int:
        """Cells of a layer."""
        return network.heads * self.subvectors * self.codes**2

    def wear(self, network: NetworkShape) -> Wear:
        """Tables are written once a network, and no token writes."""
        lasts = attention.RERAM_WRITES
        return Wear(network.depth * self.tables(network), 0, (float(lasts.low or 0), float(lasts.high or 0)))
