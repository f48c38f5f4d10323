"""Joules per example of a transformer behind a scorer, line by line.

The same functions serve the loss, the summary and the report. Everything is smooth in token counts, array size,
bits, currents, full scale, supply, token time and the preset's prices; structure is static. Counts of one example
give its exact energy; a mean count understates the quadratic part of attention by its variance, so ``vmap`` over
examples and average where that matters.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.attention.costs import attention_costs
from atis_jax.energy.components import array, converters, decision, memory, projection, sensor, transformer
from atis_jax.energy.front_end import FrontEnd, check_front_end
from atis_jax.energy.presets import EnergyPreset, check_preset
from atis_jax.energy.shapes import (
    NO_MEMORY,
    Memory,
    NetworkShape,
    ScorerShape,
    TokenCounts,
    check_scorer,
    check_tokens,
    per_layer,
)
from atis_jax.numerics import pytree


@pytree
class Ledger:
    """Joules per example, one field a line; ``docs/energy.md`` says what each means and what is left out.

    Attributes:
        sensor_read_j: a camera's pixels read as voltages.
        sensor_adc_j: their conversion.
        sensor_link_j: moving pixels off the sensor.
        embedding_j: stem and head.
        normalisation_j: normalising the tokens that a scorer or an attention looks at.
        scorer_memory_j: what scoring reads from memory: tokens, and its own weights.
        projection_j: bringing scored tokens from d to N in digital.
        score_j: digital inner product with the prototype, or whatever else a rival adds up; zero for an analog scorer.
        scorer_exponentials_j: exponentials, logarithms, roots and GELUs of a rival, where they are charged.
        dac_j: conversions, and holding them for converters that take turns; of pixels, holding them.
        ota_j: bias current over the time the array is on, and the input lines.
        tia_j: op-amp power over that time.
        comparator_j: comparisons, analog or digital.
        reference_j: setting the thresholds.
        switching_j: changing the prototype of a multiplexed array.
        programming_j: writing the floating gates, spread over their uses.
        attention_j: Q, K, V, output maps and the two products, on survivors; of pairs left out nothing.
        pairs_j: a circuit that computes attention, or chooses its pairs (``energy.attention``): arrays, writing them,
            conversions, comparisons, what it moves; zero for exact attention.
        mlp_j: MLP on survivors.
        exponentials_j: softmax, GELU and the norms' roots, where they are charged (``energy.exponentials``).
        activations_j: survivors' vectors in and out of memory.
        weights_j: the network's weights from memory.
        cache_j: keys and values of earlier steps from memory.
        uplink_j: sending the result over the air.
    """

    sensor_read_j: Float[Array, ""]
    sensor_adc_j: Float[Array, ""]
    sensor_link_j: Float[Array, ""]
    embedding_j: Float[Array, ""]
    normalisation_j: Float[Array, ""]
    scorer_memory_j: Float[Array, ""]
    projection_j: Float[Array, ""]
    score_j: Float[Array, ""]
    scorer_exponentials_j: Float[Array, ""]
    dac_j: Float[Array, ""]
    ota_j: Float[Array, ""]
    tia_j: Float[Array, ""]
    comparator_j: Float[Array, ""]
    reference_j: Float[Array, ""]
    switching_j: Float[Array, ""]
    programming_j: Float[Array, ""]
    attention_j: Float[Array, ""]
    pairs_j: Float[Array, ""]
    mlp_j: Float[Array, ""]
    exponentials_j: Float[Array, ""]
    activations_j: Float[Array, ""]
    weights_j: Float[Array, ""]
    cache_j: Float[Array, ""]
    uplink_j: Float[Array, ""]

    @property
    def total_j(self) -> Float[Array, ""]:
        """Sum of all lines."""
        return sum(self.as_dict().values(), jnp.zeros(()))

    @property
    def scoring_j(self) -> Float[Array, ""]:
        """What the scorer adds, memory reads to programming; normalisation is shared with attention."""
        return sum((getattr(self, f"{line}_j") for line in SCORING_LINES), jnp.zeros(()))

    def as_dict(self) -> dict[str, Float[Array, ""]]:
        """The lines in the order of the signal chain, in joules; keys are the names without ``_j``."""
        return {line: getattr(self, f"{line}_j") for line in LINES}


LINES = tuple(field.name.removesuffix("_j") for field in dataclasses.fields(Ledger))
SCORING_LINES = (
    "scorer_memory",
    "projection",
    "score",
    "scorer_exponentials",
    "dac",
    "ota",
    "tia",
    "comparator",
    "reference",
    "switching",
    "programming",
)
_MEMORY_ENTRIES = ("sram_32k_j_per_byte", "sram_1m_j_per_byte", "dram_j_per_byte")
LINE_ENTRIES: dict[str, tuple[str, ...]] = {
    "sensor_read": ("pixel_j",),
    "sensor_adc": ("adc_j", "adc_growth"),
    "sensor_link": ("link_j_per_byte",),
    "embedding": ("network_mac_j",),
    "normalisation": ("normalise_multiply_j", "normalise_add_j"),
    "scorer_memory": _MEMORY_ENTRIES,
    "projection": ("score_mac_j", "score_mac_int4_j", "score_mac_fp16_j", "score_add_j"),
    "score": ("score_mac_j", "score_mac_int4_j", "score_mac_fp16_j", "score_add_j"),
    "scorer_exponentials": ("exponential_j",),
    "dac": ("dac_j_per_bit", "dac_unit_f", "fabric_unit_f", "hold_f", "pixel_hold_f"),
    "ota": ("ota_dynamic_j", "line_f", "built_time"),
    "tia": ("tia_w", "built_op_amp", "built_time"),
    "comparator": ("comparator_j", "compare_j", "built_comparator", "built_time"),
    "reference": ("dac_j_per_bit",),
    "switching": ("switch_j",),
    "programming": ("program_j",),
    "attention": ("network_mac_j",),
    "pairs": ("network_mac_j", "score_mac_j", "dac_j_per_bit", "adc_growth", "comparator_j", *_MEMORY_ENTRIES),
    "mlp": ("network_mac_j",),
    "exponentials": ("exponential_j",),
    "activations": _MEMORY_ENTRIES,
    "weights": _MEMORY_ENTRIES,
    "cache": _MEMORY_ENTRIES,
    "uplink": ("uplink_j_per_byte",),
}
"""Entries of the preset each line can draw on; with ``presets.nodes_nm`` this gives the nodes of a line."""


def ledger(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape,
    tokens: TokenCounts,
    front_end: FrontEnd,
    memory_of: Memory = NO_MEMORY,
) -> Ledger:
    """Energy of one example with the analog scorer.

    Args:
        preset: what an operation costs.
        network: shape of the transformer.
        scorer: shape of the scorer.
        tokens: how many are scored, kept and attended to in each layer.
        front_end: converters, array and decision.
        memory_of: where weights and tokens are read from; by default arithmetic alone is charged.

    Returns:
        Joules per example.

    Raises:
        SettingError: if a per-layer number is not of length ``depth``, or the converter does not cover the bits.
    """
    check_front_end(front_end)
    tokens = checked_tokens(network, tokens)
    bias_a = per_layer(front_end.bias_current_a, network, "front_end.bias_current_a")
    front_end = dataclasses.replace(front_end, bias_current_a=bias_a)
    scored, _ = counts(network, scorer, tokens)
    has_scorer = jnp.asarray(scorer.layers, float)
    inputs = per_layer(scorer.inputs, network, "scorer.inputs", broadcast=True)
    bits = per_layer(scorer.dac_bits, network, "scorer.dac_bits", broadcast=True)
    per_layer(front_end.full_scale_v, network, "front_end.full_scale_v", broadcast=True)
    array.check_token_time(front_end, scorer, inputs, bits)
    longer = array.built_time(preset, front_end)
    on_s = longer * array.on_time_s(front_end, scorer, inputs, bits)
    cells = decision.programmed_cells(front_end, scorer, inputs)
    ota_j = longer * array.bias_j(front_end, scorer, inputs, bits) + array.line_j(preset, front_end, scorer, inputs)
    converted_j = converters.token_j(preset, front_end, inputs, bits)
    if scorer.of_pixels:
        converted_j += sensor.held_j(preset, front_end.supply_v, inputs)
    scorer_bytes = projection.projection_bytes(network, scorer, inputs)  # the prototype is in the array itself
    return with_network(
        preset,
        network,
        scorer,
        tokens,
        memory_of,
        before_conversion=scorer.of_pixels,
        scorer_memory_j=memory.scorer_j(preset, network, scorer, memory_of, inputs, scored, scorer_bytes)
        + memory.stored_bits_j(preset, scorer, memory_of, tokens),
        projection_j=jnp.sum(scored * projection.projection_j(preset, network, scorer, inputs)),
        dac_j=jnp.sum(scored * converted_j),
        ota_j=jnp.sum(scored * ota_j),
        tia_j=jnp.sum(scored * array.tia_j(preset, front_end, scorer, on_s)),
        comparator_j=jnp.sum(scored * decision.comparators_j(preset, front_end, scorer, on_s)),
        reference_j=jnp.sum(has_scorer) * decision.reference_j(preset, front_end, scorer),
        switching_j=jnp.sum(scored * decision.switching_j(preset, scorer, inputs)),
        programming_j=decision.programming_j(preset, front_end, cells),
    )


def with_network(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape | None,
    tokens: TokenCounts,
    memory_of: Memory,
    before_conversion: bool = False,
    **scoring: Float[Array, ""],
) -> Ledger:
    """The lines of ``scoring``, zero where not given, beside those of sensor, network and memory.

    Args:
        preset: what an operation costs.
        network: shape of the transformer.
        scorer: None where nothing is scored.
        tokens: how many are scored, kept and attended to in each layer.
        memory_of: where weights and tokens are read from.
        before_conversion: whether a camera converts only the patches that are embedded. What is scored by its pixels
            is scored on the sensor, before or behind the converter: only what is embedded is moved off it.
        **scoring: lines of ``SCORING_LINES`` with their ``_j``.
    """
    check_preset(preset)
    tokens = checked_tokens(network, tokens)
    _, normalised = counts(network, scorer, tokens)
    embedded = transformer.embedded_share(network, scorer, tokens)
    converted = embedded if before_conversion else jnp.ones(())
    circuit = attention_costs(preset, network, tokens, memory_of)
    idle: dict[str, Array] = dict.fromkeys((f"{line}_j" for line in SCORING_LINES), jnp.zeros(()))
    return Ledger(
        sensor_read_j=jnp.asarray(sensor.read_j(preset, network)),
        sensor_adc_j=sensor.conversion_j(preset, network, converted),
        sensor_link_j=sensor.link_j(preset, network, embedded),
        embedding_j=transformer.embedding_j(preset, network, embedded),
        normalisation_j=transformer.normalisation_j(preset, network, normalised),
        attention_j=transformer.attention_j(preset, network, tokens, circuit),
        pairs_j=jnp.zeros(()) if circuit is None else jnp.sum(circuit.spent_j),
        mlp_j=transformer.mlp_j(preset, network, tokens),
        exponentials_j=transformer.exponentials_j(preset, network, tokens, normalised, circuit),
        activations_j=memory.activations_j(preset, network, memory_of, tokens),
        weights_j=jnp.asarray(memory.weights_j(preset, network, memory_of)),
        cache_j=memory.cache_j(preset, network, memory_of, tokens),
        uplink_j=jnp.asarray(sensor.uplink_j(preset, network)),
        **(idle | scoring),
    )


def checked_tokens(network: NetworkShape, tokens: TokenCounts) -> TokenCounts:
    """``tokens`` as arrays.

    Raises:
        SettingError: a count that is negative or not finite, or a vector that is not of length ``depth``.
    """
    check_tokens(tokens)
    attended, fed = tokens.attended, tokens.fed
    return TokenCounts(
        scored=per_layer(tokens.scored, network, "tokens.scored"),
        kept=per_layer(tokens.kept, network, "tokens.kept"),
        attended=None if attended is None else per_layer(attended, network, "tokens.attended"),
        fed=None if fed is None else per_layer(fed, network, "tokens.fed"),
    )


def counts(
    network: NetworkShape, scorer: ScorerShape | None, tokens: TokenCounts
) -> tuple[Float[Array, "L"], Float[Array, "L"]]:
    """(scored, normalised) patch tokens of each layer.

    Nothing is scored in a layer without a scorer, or behind the one read that serves them all. A layer that scores
    normalises every token its scorer sees, another those that go through it: normalising the tokens it prunes is a cost
    of scoring, and in a network whose norms stand behind its maps normalising any. Raw pixels are not normalised.

    Raises:
        SettingError: if a vector is not of length ``depth``.
    """
    tokens = checked_tokens(network, tokens)
    scored, kept = tokens.scored, tokens.kept
    if scorer is None:
        return jnp.zeros_like(kept), kept
    check_scorer(scorer)
    reads = per_layer(jnp.asarray(scorer.reading), network, "scorer.layers")
    for_scorer = scored + kept if network.post_norm else scored
    return jnp.where(reads, scored, 0.0), jnp.where(reads & (not scorer.of_pixels), for_scorer, kept)
