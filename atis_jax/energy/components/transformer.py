"""The network behind the scorer: normalisation, attention and MLP of the survivors, stem and head."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.attention.costs import AttentionCosts
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import NetworkShape, ScorerShape, TokenCounts, attention_macs, mlp_macs


def attention_j(
    preset: EnergyPreset, network: NetworkShape, tokens: TokenCounts, circuit: AttentionCosts | None = None
) -> Float[Array, ""]:
    """Q, K, V and output maps and the two products over all layers, J an example.

    Where a ``circuit`` computes attention, of the products what it leaves to the network's arithmetic.
    """
    if circuit is not None:
        maps = float(network.attention_weights) * (tokens.kept + network.protected)
        return preset.network_mac_j * jnp.sum(maps + circuit.exact_macs)
    attended = None if tokens.attended is None else tokens.attended + network.protected
    return preset.network_mac_j * jnp.sum(attention_macs(network, tokens.kept + network.protected, attended))


def mlp_j(preset: EnergyPreset, network: NetworkShape, tokens: TokenCounts) -> Float[Array, ""]:
    """MLP of every token that reaches it, over all layers, J an example."""
    return preset.network_mac_j * jnp.sum(mlp_macs(network, tokens.in_mlp + network.protected))


def exponentials_j(
    preset: EnergyPreset,
    network: NetworkShape,
    tokens: TokenCounts,
    normalised: Float[Array, "L"],
    circuit: AttentionCosts | None = None,
) -> Float[Array, ""]:
    """H n k of the softmax, a GELU for each of the m hidden numbers, a root a norm; over all layers, J an example.

    Args:
        preset: prices; nothing where it does not charge them.
        network: shape.
        tokens: n that go through attention, k that each attends to, and those in the MLP.
        normalised: (L,) patch tokens that layer's scorer or attention looks at.
        circuit: the one that computes attention: the softmax is then of what it leaves.
    """
    queries = tokens.kept + network.protected
    keys = queries if tokens.attended is None else tokens.attended + network.protected
    softmax = network.heads * queries * keys if circuit is None else circuit.exponentials
    gelu = network.mlp_width * (tokens.in_mlp + network.protected)
    return preset.charged_exponential_j * jnp.sum(softmax + gelu + normalised + network.protected)


def embedding_j(preset: EnergyPreset, network: NetworkShape, embedded: Float[Array, ""]) -> Float[Array, ""]:
    """Stem of the share ``embedded`` of the patches, and the head, J an example."""
    head_macs = float(network.width) * network.classes * network.head_tokens
    return preset.network_mac_j * (float(network.stem_macs) * embedded + head_macs)


def normalisation_j(preset: EnergyPreset, network: NetworkShape, normalised: Float[Array, "L"]) -> Float[Array, ""]:
    """2 d multiplications and 3 d additions a token: mean, centring, squares and their sum, scaling; J an example.

    Args:
        preset: prices.
        network: shape; the protected tokens are added here.
        normalised: (L,) patch tokens that layer's scorer or attention looks at.
    """
    per_token = network.width * (2.0 * preset.normalise_multiply_j + 3.0 * preset.normalise_add_j)
    return per_token * jnp.sum(normalised + network.protected)


def embedded_share(network: NetworkShape, scorer: ScorerShape | None, tokens: TokenCounts) -> Float[Array, ""]:
    """Share of the patches that are embedded: all, or those a scorer of raw pixels lets through."""
    if scorer is None or not scorer.of_pixels:
        return jnp.ones(())
    return tokens.kept[0] / network.tokens
