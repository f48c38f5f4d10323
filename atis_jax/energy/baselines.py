"""What the analog scorer has to beat: no pruning, and the same score computed in digital.

The digital scorer spends multiply-accumulates in its own format (int4, int8, fp16) where the analog one spends DACs,
OTAs and TIA. A linear score with a static prototype needs no projection at all, because q . (P x) = (P^T q) . x: one
vector of d numbers a prototype, worked out once. That folded baseline, or the plain one where it is cheaper, is the
honest rival of a linear scorer; what does not fold is the saturation of the OTAs.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.energy.components import memory, projection, sensor, transformer
from atis_jax.energy.ledger import Ledger, counts, with_network
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import NO_MEMORY, Memory, NetworkShape, ScorerShape, TokenCounts, all_tokens, per_layer
from atis_jax.validation import SettingError

FEW_BITS = 4
"""Numbers of so many bits are multiplied in int4."""


def dense_ledger(
    preset: EnergyPreset, network: NetworkShape, memory_of: Memory = NO_MEMORY, tokens: TokenCounts | None = None
) -> Ledger:
    """The same network with every token in every layer (or ``tokens``) and no scorer."""
    everyone = all_tokens(network)
    return with_network(preset, network, None, TokenCounts(everyone, everyone) if tokens is None else tokens, memory_of)


def digital_ledger(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape,
    tokens: TokenCounts,
    memory_of: Memory = NO_MEMORY,
) -> Ledger:
    """The same score in digital: the projection, then G N multiply-accumulates and G compares a token.

    A scorer of raw pixels sits behind the sensor's converters: every pixel is converted, and the patches it prunes are
    neither moved off the sensor nor embedded.

    Args:
        preset: what an operation costs.
        network: shape of the transformer.
        scorer: shape of the scorer; ``dac_bits`` and ``arrangement`` play no part, ``format`` does.
        tokens: how many are scored and kept in each layer.
        memory_of: where weights and tokens are read from.

    Raises:
        SettingError: if a per-layer vector is not of length ``depth``.
    """
    return _scored_in_digital(preset, network, scorer, tokens, memory_of, fold=False)


def folded_digital_ledger(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape,
    tokens: TokenCounts,
    memory_of: Memory = NO_MEMORY,
) -> Ledger:
    """Projection and prototype folded into one vector in digital: d multiply-accumulates a prototype.

    Valid for a linear score only: a static prototype and no saturation. A selection of N dimensions folds to
    the N numbers it reads (never more than d).

    Arguments and errors are those of ``digital_ledger``.
    """
    return _scored_in_digital(preset, network, scorer, tokens, memory_of, fold=True)


def cheapest_digital_ledger(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape,
    tokens: TokenCounts,
    memory_of: Memory = NO_MEMORY,
) -> Ledger:
    """Each layer in the cheaper form: folding a few sparse additions, or many prototypes, costs more than it saves.

    What is compared is arithmetic. Valid for a linear score only. Arguments and errors are those of ``digital_ledger``.
    """
    inputs = per_layer(scorer.inputs, network, "scorer.inputs", broadcast=True)
    read = projection.linear_numbers(network, scorer, inputs)
    more_j = scorer.prototypes * (read - inputs) * projection.mac_j(preset, scorer)
    fold = more_j <= projection.projection_j(preset, network, scorer, inputs)
    return _scored_in_digital(preset, network, scorer, tokens, memory_of, fold)


def coarse_then_fine_ledger(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape,
    tokens: TokenCounts,
    memory_of: Memory = NO_MEMORY,
    coarse_bits: int = 3,
) -> Ledger:
    """A digital score of raw pixels that are converted coarsely first; only what is kept is read again and in full.

    The pixels that the score looks at, of every patch, at ``coarse_bits``; arithmetic in the smallest format that holds
    them. A patch that is kept is read a second time, which costs less than holding it would.

    Arguments are those of ``digital_ledger``; ``coarse_bits`` below the 8 of a full conversion.

    Raises:
        SettingError: a scorer of tokens, which no camera converts.
    """
    if not scorer.of_pixels:
        raise SettingError(f"scorer.source = {scorer.source!r}: nothing is converted for its score; score pixels")
    if coarse_bits <= FEW_BITS:
        scorer = dataclasses.replace(scorer, format="int4")
    found = cheapest_digital_ledger(preset, network, scorer, tokens, memory_of)
    kept = transformer.embedded_share(network, scorer, tokens)
    coarse_j = sensor.coarse_j(preset, network, jnp.max(jnp.asarray(scorer.inputs)), coarse_bits)
    return dataclasses.replace(
        found,
        sensor_read_j=found.sensor_read_j * (1.0 + kept),
        sensor_adc_j=coarse_j + sensor.conversion_j(preset, network, kept),
    )


def energy_ratio(ledger: Ledger, dense: Ledger) -> Float[Array, ""]:
    """Total over the dense total: below 1 the pruned network spends less."""
    return ledger.total_j / dense.total_j


def _scored_in_digital(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape,
    tokens: TokenCounts,
    memory_of: Memory,
    fold: Bool[Array, "L"] | bool,
) -> Ledger:
    """Lines of a digital score; where ``fold``, of projection and prototype folded into one vector."""
    scored, _ = counts(network, scorer, tokens)
    inputs = per_layer(scorer.inputs, network, "scorer.inputs", broadcast=True)
    macs = jnp.where(fold, projection.linear_numbers(network, scorer, inputs), inputs)
    scorer_bytes = jnp.where(
        fold,
        memory.folded_scorer_bytes(network, scorer, inputs),
        memory.digital_scorer_bytes(network, scorer, inputs),
    )
    projection_j = jnp.where(fold, 0.0, projection.projection_j(preset, network, scorer, inputs))
    return with_network(
        preset,
        network,
        scorer,
        tokens,
        memory_of,
        scorer_memory_j=memory.scorer_j(preset, network, scorer, memory_of, inputs, scored, scorer_bytes)
        + memory.stored_bits_j(preset, scorer, memory_of, tokens),
        projection_j=jnp.sum(scored * projection_j),
        score_j=jnp.sum(scored * macs) * (scorer.prototypes * projection.mac_j(preset, scorer)),
        comparator_j=jnp.sum(scored) * (scorer.prototypes * scorer.thresholds * preset.compare_j),
    )
