"""What the analog scorer has to beat: no pruning, and the same score computed in digital.

The digital scorer spends ``score_mac_j`` (int8 products, 32 bit accumulator) where the analog one spends
DACs, OTAs and TIA. A linear score with a static prototype needs no projection at all, because q . (P x) =
(P^T q) . x: one vector of d numbers a prototype, worked out once. That folded baseline is the honest rival of
a linear scorer; what does not fold is the saturation of the OTAs.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.ledger import (
    Ledger,
    counts,
    network_lines,
    normalisation_line,
    projection_j_per_token,
)
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import NetworkShape, ScorerShape


def dense_ledger(preset: EnergyPreset, network: NetworkShape) -> Ledger:
    """The same network with every token in every layer and no scorer."""
    tokens = jnp.full((network.depth,), float(network.tokens))
    return _digital_lines(preset, network, tokens, tokens)


def digital_ledger(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape,
    scored_per_layer: Float[Array, "L"],
    kept_per_layer: Float[Array, "L"],
) -> Ledger:
    """The same score in digital: the projection, then G N multiply-accumulates and G compares a token.

    Args:
        preset: what an operation costs.
        network: shape of the transformer.
        scorer: shape of the scorer; ``dac_bits`` and ``arrangement`` play no part.
        scored_per_layer: (L,) patch tokens each scorer looks at; ignored where a layer has none.
        kept_per_layer: (L,) patch tokens that go through each layer.

    Raises:
        SettingError: if a per-layer vector is not of length ``depth``.
    """
    return _scored_in_digital(
        preset,
        network,
        scorer,
        scored_per_layer,
        kept_per_layer,
        projection_j=projection_j_per_token(preset, network, scorer),
        macs_per_prototype=scorer.inputs,
    )


def folded_digital_ledger(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape,
    scored_per_layer: Float[Array, "L"],
    kept_per_layer: Float[Array, "L"],
) -> Ledger:
    """Projection and prototype folded into one vector in digital: d multiply-accumulates a prototype.

    Valid for a linear score only: a static prototype and no saturation. A selection of N dimensions folds to
    the N numbers it reads (never more than d).

    Args:
        preset: what an operation costs.
        network: shape of the transformer.
        scorer: shape of the scorer.
        scored_per_layer: (L,) patch tokens each scorer looks at; ignored where a layer has none.
        kept_per_layer: (L,) patch tokens that go through each layer.

    Raises:
        SettingError: if a per-layer vector is not of length ``depth``.
    """
    read = min(scorer.inputs, network.width) if scorer.projection == "selection" else network.width
    return _scored_in_digital(
        preset, network, scorer, scored_per_layer, kept_per_layer, projection_j=0.0, macs_per_prototype=read
    )


def energy_ratio(ledger: Ledger, dense: Ledger) -> Float[Array, ""]:
    """Total over the dense total: below 1 the pruned network spends less."""
    return ledger.total_j / dense.total_j


def _scored_in_digital(
    preset, network, scorer, scored_per_layer, kept_per_layer, projection_j, macs_per_prototype
) -> Ledger:
    scored, kept, normalised = counts(network, scorer, scored_per_layer, kept_per_layer)
    scored_tokens = jnp.sum(scored)
    return _digital_lines(
        preset,
        network,
        kept,
        normalised,
        projection_j=scored_tokens * projection_j,
        score_j=scored_tokens * (scorer.prototypes * macs_per_prototype * preset.score_mac_j),
        comparator_j=scored_tokens * (scorer.prototypes * preset.compare_j),
    )


def _digital_lines(
    preset: EnergyPreset,
    network: NetworkShape,
    kept: Float[Array, "L"],
    normalised: Float[Array, "L"],
    **scoring: Float[Array, ""],
) -> Ledger:
    """A ledger whose analog lines are zero."""
    zero = jnp.zeros(())
    idle: dict[str, Array] = dict.fromkeys(
        ("projection_j", "score_j", "dac_j", "ota_j", "tia_j", "comparator_j", "switching_j"), zero
    )
    return Ledger(
        normalisation_j=normalisation_line(preset, network, normalised),
        **(idle | scoring),
        **network_lines(preset, network, kept),
    )
