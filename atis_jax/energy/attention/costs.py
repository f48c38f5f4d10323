"""What a circuit that computes attention takes, layer by layer: counts that are the shape's integers, and joules."""

from __future__ import annotations

import dataclasses
import math

from jaxtyping import Array, Float

from atis_jax.energy.components.memory import byte_j
from atis_jax.energy.constants import attention
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import Memory, NetworkShape, TokenCounts
from atis_jax.numerics import pytree

ADC_BITS = 8
"""Of ``constants.attention.CROSSBAR_ADC``."""


@pytree
class AttentionCosts:
    """One example in each layer, beside the maps to Q, K, V and out; every leaf is (L,).

    Attributes:
        exact_macs: multiply-accumulates of Q K^T and of the weighted sum that are left to the network's arithmetic.
        digital_macs: those that choosing pairs adds, in the scorer's int8.
        analog_macs: those that arrays do.
        cells: of the arrays in use.
        written_cells: of these, those written for the example.
        conversions_in: numbers that become voltages.
        conversions_out: currents or voltages that become numbers.
        comparisons: analog ones.
        moved_bytes: between memory and circuit, beyond what exact attention moves.
        exponentials: of the softmax, which is the network's arithmetic.
        seconds: one array after the other.
        digital_j: of ``digital_macs``.
        array_j: of ``analog_macs``.
        write_j: of ``written_cells``.
        conversion_j: of both kinds of conversions.
        comparison_j: of ``comparisons``.
        moved_j: of ``moved_bytes``.
    """

    exact_macs: Float[Array, "L"]
    digital_macs: Float[Array, "L"]
    analog_macs: Float[Array, "L"]
    cells: Float[Array, "L"]
    written_cells: Float[Array, "L"]
    conversions_in: Float[Array, "L"]
    conversions_out: Float[Array, "L"]
    comparisons: Float[Array, "L"]
    moved_bytes: Float[Array, "L"]
    exponentials: Float[Array, "L"]
    seconds: Float[Array, "L"]
    digital_j: Float[Array, "L"]
    array_j: Float[Array, "L"]
    write_j: Float[Array, "L"]
    conversion_j: Float[Array, "L"]
    comparison_j: Float[Array, "L"]
    moved_j: Float[Array, "L"]

    @property
    def spent_j(self) -> Float[Array, "L"]:
        """All that is not exact attention."""
        return self.digital_j + self.array_j + self.write_j + self.conversion_j + self.comparison_j + self.moved_j


@dataclasses.dataclass(frozen=True)
class Wear:
    """What is written, how often, and how often it can be.

    Attributes:
        programmed_cells: written once for a network, all layers.
        token_cells: written for every token, all layers.
        lasts: writes that a cell stands, from and to; None: no limit is known.
    """

    programmed_cells: int
    token_cells: int
    lasts: tuple[float, float] | None

    def lifetime_s(self, tokens_per_s: float, slots: int) -> tuple[float, float]:
        """How long cells live, s, from and to: a token takes the next of ``slots`` places, so each wears in turn.

        Infinite where no token writes, or no limit is known.
        """
        if self.lasts is None or self.token_cells == 0:
            return math.inf, math.inf
        return self.lasts[0] * slots / tokens_per_s, self.lasts[1] * slots / tokens_per_s


def converted_j(preset: EnergyPreset, bits: int) -> float:
    """An array's analog-to-digital conversion, J: that of 8 bits times the preset's growth for each further bit."""
    return attention.CROSSBAR_ADC.value * preset.adc_growth ** (bits - ADC_BITS)


@dataclasses.dataclass(frozen=True)
class AttentionCircuit:
    """A circuit in the place of exact attention. Hashable: it is part of a network's shape.

    Attributes:
        pairs: share of the query-key pairs that exact attention is left with, one number or one a layer.
    """

    pairs: float | tuple[float, ...] = 1.0

    def costs(
        self,
        preset: EnergyPreset,
        network: NetworkShape,
        queries: Float[Array, "L"],
        keys: Float[Array, "L"],
        token_byte_j: float,
    ) -> AttentionCosts:
        """What an example takes.

        Args:
            preset: prices of what it shares with all others: conversions, comparisons, arithmetic, memories.
            network: shape.
            queries: (L,) tokens that go through each layer, protected ones included.
            keys: (L,) tokens that each attends to.
            token_byte_j: moving a byte of a token.
        """
        raise NotImplementedError

    def wear(self, network: NetworkShape) -> Wear:
        """What is written."""
        raise NotImplementedError


def attention_costs(
    preset: EnergyPreset, network: NetworkShape, tokens: TokenCounts, memory: Memory
) -> AttentionCosts | None:
    """What the network's circuit takes of an example; None of exact attention."""
    if network.attention is None:
        return None
    queries = tokens.kept + network.protected
    keys = queries if tokens.attended is None else tokens.attended + network.protected
    return network.attention.costs(preset, network, queries, keys, byte_j(preset, memory.tokens))
