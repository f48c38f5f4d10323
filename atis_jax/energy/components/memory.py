"""Memory traffic: weights, tokens between operations, keys and values of earlier steps, what a scorer reads.

Every matrix product reads its inputs once and writes its outputs once; weights are read once a batch. Scores of
attention stay next to the arithmetic (as flash attention does), so no n^2 numbers are moved. A machine with
smaller buffers moves more: this is a lower bound, the same rule for every contender.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax.energy.components.projection import FORMAT_BYTES, linear_numbers, projection_bytes, selects
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import Memory, NetworkShape, ScorerShape, TokenCounts
from atis_jax.numerics import straight_through
from atis_jax.validation import choose

ATTENTION_WIDTHS, MLP_WIDTHS = 10, 2
"""d-vectors moved a token and layer: into Q, K, V one and out three, into attention three and out one, output map one
and one; MLP one in and one out. The MLP's hidden vector, m numbers, is moved twice more."""

STATISTICS = 2
"""A token's mean and deviation. A score that reads less than the whole token cannot work them out, so the layer before
leaves them with the token as it writes it: two numbers more in and out of memory."""

SRAM_32K_BYTES, SRAM_1M_BYTES = 2**15, 2**20


def byte_j(preset: EnergyPreset, memory: str) -> float:
    """Reading or writing a byte of ``memory``, J."""
    by_memory = {
        "none": 0.0,
        "sram_32k": preset.sram_32k_j_per_byte,
        "sram_1m": preset.sram_1m_j_per_byte,
        "dram": preset.dram_j_per_byte,
    }
    return choose(by_memory, memory, "memory")


def weights_j(preset: EnergyPreset, network: NetworkShape, memory: Memory) -> float:
    """The matrices of all layers and of the head, read once a batch, J an example. Pruning saves none of it."""
    numbers = float(network.weights + network.width * network.classes)
    return numbers * preset.network_bytes * byte_j(preset, memory.weights) / memory.batch


def activations_j(preset: EnergyPreset, network: NetworkShape, memory: Memory, tokens: TokenCounts) -> Float[Array, ""]:
    """Vectors of the tokens kept, in and out of every matrix product, J an example."""
    attention = ATTENTION_WIDTHS * network.width * jnp.sum(tokens.kept + network.protected)
    mlp = (MLP_WIDTHS * network.width + 2 * network.mlp_width) * jnp.sum(tokens.in_mlp + network.protected)
    return preset.network_bytes * byte_j(preset, memory.tokens) * (attention + mlp)


def word_numbers(network: NetworkShape) -> int:
    """Numbers of a word's keys and values in one layer: 2 d of a plain network."""
    return 2 * network.keys


def cached_words_j(preset: EnergyPreset, network: NetworkShape, memory: Memory, number_bytes: float) -> float:
    """Reading or writing one word's keys and values of a layer, J.

    Args:
        preset: prices.
        network: shape.
        memory: where the cache is.
        number_bytes: of a number in it.
    """
    return word_numbers(network) * number_bytes * byte_j(preset, memory.cache)


def cache_j(preset: EnergyPreset, network: NetworkShape, memory: Memory, tokens: TokenCounts) -> Float[Array, ""]:
    """Keys and values of the tokens attended to beyond those computed here, J."""
    if tokens.attended is None:
        return jnp.zeros(())
    return cached_words_j(preset, network, memory, preset.network_bytes) * jnp.sum(tokens.attended - tokens.kept)


def scorer_j(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape,
    memory: Memory,
    inputs: Float[Array, "L"],
    scored: Float[Array, "L"],
    weight_bytes: Float[Array, "L"],
) -> Float[Array, ""]:
    """What scoring reads, J an example: each token's numbers once, and the layer's own weights once a batch.

    Args:
        preset: prices.
        network: shape.
        scorer: shape; raw pixels come straight from the sensor, not from memory.
        memory: where tokens are; the scorer's weights are in the smallest memory that holds them.
        inputs: (L,) array inputs.
        scored: (L,) tokens scored; 0 in layers that do not read.
        weight_bytes: (L,) weights of the layer's scorer that lie in memory.
    """
    if scorer.of_pixels:
        return jnp.zeros(())
    read = moved_numbers(network, scorer, inputs) * preset.network_bytes * byte_j(preset, memory.tokens)
    bytes_L = jnp.where(jnp.asarray(scorer.reading), weight_bytes, 0.0)
    once = jnp.max(bytes_L) if scorer.shared else jnp.sum(bytes_L)
    return jnp.sum(scored * read) + once * scorer_byte_j(preset, memory, once) / memory.batch


def stored_bits_j(preset: EnergyPreset, scorer: ScorerShape, memory: Memory, tokens: TokenCounts) -> Float[Array, ""]:
    """Later layers' decisions, taken with the first's, in and out of the tokens' memory, J an example.

    G bits for each later scored layer: written with every token that the first lets through, read by each layer for the
    tokens that reach it. Nothing where each layer reads for itself.
    """
    first = np.asarray(scorer.reading)
    later = np.asarray(scorer.layers) & ~first
    if scorer.thresholds == 1 or not later.any():
        return jnp.zeros(())
    bits = scorer.prototypes * (later.sum() * jnp.sum(tokens.kept * first) + jnp.sum(tokens.scored * later))
    return bits / 8.0 * byte_j(preset, memory.tokens)


def scorer_byte_j(preset: EnergyPreset, memory: Memory, scorer_bytes: Float[Array, ""]) -> Float[Array, ""]:
    """Reading a byte of a scorer's own weights, J: from the smallest memory that holds them all.

    Nobody fetches a scorer's few vectors from where the network's weights are. Nothing where tokens are not charged.
    """
    if memory.tokens == "none":
        return jnp.zeros(())
    larger = jnp.where(scorer_bytes <= SRAM_1M_BYTES, preset.sram_1m_j_per_byte, preset.dram_j_per_byte)
    return jnp.where(scorer_bytes <= SRAM_32K_BYTES, preset.sram_32k_j_per_byte, larger)


def moved_numbers(network: NetworkShape, scorer: ScorerShape, inputs: Float[Array, "L"]) -> Float[Array, "L"]:
    """Numbers that scoring a token moves: all d read, or those selected and the statistics, written and read."""
    width = float(network.width)
    if not selects(scorer):
        return jnp.full_like(inputs, width)
    moved = jnp.minimum(linear_numbers(network, scorer, inputs) + 2.0 * STATISTICS, width)
    # One input less is one number less, also where the whole token is read: there co-design starts.
    return straight_through(moved, inputs)


def digital_scorer_bytes(network: NetworkShape, scorer: ScorerShape, inputs: Float[Array, "L"]) -> Float[Array, "L"]:
    """Projection and prototypes of a digital score, bytes a layer."""
    return projection_bytes(network, scorer, inputs) + scorer.prototypes * inputs * FORMAT_BYTES[scorer.format]


def folded_scorer_bytes(network: NetworkShape, scorer: ScorerShape, inputs: Float[Array, "L"]) -> Float[Array, "L"]:
    """One folded vector a prototype, bytes a layer."""
    return scorer.prototypes * linear_numbers(network, scorer, inputs) * FORMAT_BYTES[scorer.format]
