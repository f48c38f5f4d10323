"""Joules per example of a transformer behind a scorer whose sums end in a clocked latch, line by line."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.components import memory, projection
from atis_jax.energy.ledger import Ledger, counts, with_network
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import NO_MEMORY, Memory, NetworkShape, ScorerShape, TokenCounts, per_layer
from atis_jax.typing import Real


def latched_ledger(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape,
    tokens: TokenCounts,
    lines_j: Callable[[Float[Array, "L"]], dict[str, Float[Array, "L"]]],
    uses: Real,
    memory_of: Memory = NO_MEMORY,
) -> Ledger:
    """Energy of one example with such a score behind the same projection.

    A threshold is a branch, programmed as the weights are: no converter sets it.

    Args:
        preset: what an operation costs.
        network: shape of the transformer.
        scorer: shape of the scorer; its bits play no part.
        tokens: how many are scored, kept and attended to in each layer.
        lines_j: J a token of each layer's scorer as lines of the ledger, from its inputs.
        uses: examples between two programmings of the floating gates.
        memory_of: where weights and tokens are read from.

    Raises:
        SettingError: if a per-layer number is not of length ``depth``.
    """
    scored, _ = counts(network, scorer, tokens)
    inputs = per_layer(scorer.inputs, network, "scorer.inputs", broadcast=True)
    branches = float(scorer.prototypes) * jnp.sum(jnp.asarray(scorer.reading, float) * (inputs + 1.0))
    scorer_bytes = projection.projection_bytes(network, scorer, inputs)
    return with_network(
        preset,
        network,
        scorer,
        tokens,
        memory_of,
        before_conversion=False,
        scorer_memory_j=memory.scorer_j(preset, network, scorer, memory_of, inputs, scored, scorer_bytes),
        projection_j=jnp.sum(scored * projection.projection_j(preset, network, scorer, inputs)),
        programming_j=branches * preset.program_j / uses,
        **{name: jnp.sum(scored * one_j) for name, one_j in lines_j(inputs).items()},
    )
