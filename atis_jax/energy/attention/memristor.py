"""Both products of attention in memristor crossbars: keys and values written for every example, nothing left out.

Bettayeb et al., Scientific Reports 14:24173, 2024 (doi 10.1038/s41598-024-75021-z; "Wang" in the ATIS paper). Read
here: the abstract, whose 3 mJ and 15.52 s are of a workload it does not tell; every price is ours
(``constants.attention``).
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from atis_jax.energy.attention.costs import AttentionCircuit, AttentionCosts, Wear, converted_j
from atis_jax.energy.constants import attention
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import NetworkShape


@dataclasses.dataclass(frozen=True)
class MemristorCircuit(AttentionCircuit):
    """Two cells a number, one for each sign.

    Attributes:
        pairs: of no meaning here: every pair is computed, and none in digital.
        input_bits: of queries and attention weights.
        output_bits: of scores and mixed values.
    """

    input_bits: int = 8
    output_bits: int = 8

    def costs(self, preset: EnergyPreset, network: NetworkShape, queries, keys, token_byte_j: float) -> AttentionCosts:
        """N queries on m keys: 4 m k cells written (k numbers of a token's keys, as many of its values, both signs).

        2 n m d products of two cells each; n d and n m H numbers go in, n m H and n d come out. One row of cells is
        written at a time, one query read at a time, all heads at once.
        """
        d, heads = float(network.width), float(network.heads)
        pairs = queries * keys
        cells = 4.0 * keys * float(network.keys)
        weights, numbers = pairs * heads, queries * d
        nothing = jnp.zeros_like(pairs)
        read_s, write_s = attention.RERAM_READ_TIME.value, attention.RERAM_WRITE_TIME.value
        return AttentionCosts(
            exact_macs=nothing,
            digital_macs=nothing,
            analog_macs=2.0 * d * pairs,
            cells=cells,
            written_cells=cells,
            conversions_in=numbers + weights,
            conversions_out=weights + numbers,
            comparisons=nothing,
            moved_bytes=nothing,
            exponentials=weights,
            seconds=2.0 * keys * write_s + 2.0 * queries * read_s,
            digital_j=nothing,
            array_j=2.0 * 2.0 * d * pairs * attention.RERAM_READ.value,
            write_j=cells * attention.RERAM_WRITE.value,
            conversion_j=(numbers + weights)
            * (self.input_bits * preset.dac_j_per_bit + converted_j(preset, self.output_bits)),
            comparison_j=nothing,
            moved_j=nothing * token_byte_j,
        )

    def wear(self, network: NetworkShape) -> Wear:
        """Every token writes its keys and values in every layer."""
        lasts = attention.RERAM_WRITES
        return Wear(0, 4 * network.depth * network.keys, (float(lasts.low or 0), float(lasts.high or 0)))
