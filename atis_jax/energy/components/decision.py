"""From a score to a bit: comparators, their thresholds, and what holds weights and thresholds in place."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.cells.supply import comparator_supply_a
from atis_jax.energy.front_end import PRICED, FrontEnd
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import ScorerShape


def comparators_j(
    preset: EnergyPreset, front_end: FrontEnd, scorer: ScorerShape, on_s: Float[Array, "L"]
) -> Float[Array, "L"]:
    """A token's comparisons, G for each threshold that a score meets, J.

    The power of as many of the built comparators while the array is on, or the preset's price of each.
    """
    compared = scorer.prototypes * scorer.thresholds
    if front_end.circuit == PRICED:
        return jnp.full_like(on_s, compared * preset.comparator_j)
    return compared * comparator_supply_a() * front_end.supply_v * preset.built_comparator * on_s


def switching_j(preset: EnergyPreset, scorer: ScorerShape, inputs: Float[Array, "L"]) -> Float[Array, "L"]:
    """Selecting the stored bias of each OTA for the next prototype, J a token: multiplexed arrays only.

    All prototypes are stored and a select line is switched; rewriting floating gates for every token would take
    milliseconds and nanojoules a cell (``programming_j``), which no token stream can pay.
    """
    switched = scorer.in_turns and scorer.prototypes > 1
    return scorer.arrays * inputs * preset.switch_j if switched else jnp.zeros_like(inputs)


def reference_j(preset: EnergyPreset, front_end: FrontEnd, scorer: ScorerShape) -> float:
    """Setting a layer's G thresholds anew for an example (a word, in a decoder), J: one conversion each.

    By a converter of the preset's price a bit, whatever the array's inputs are converted by. A threshold that follows
    the tokens (``scorer.adaptive_rate_v``) moves a capacitor at the comparator, which is not charged.
    """
    return scorer.prototypes * front_end.reference_bits * preset.dac_j_per_bit


def programmed_cells(front_end: FrontEnd, scorer: ScorerShape, inputs: Float[Array, "L"]) -> Float[Array, ""]:
    """Floating gates written once a deployment: every OTA of every array, and thresholds held by one.

    Args:
        front_end: says whether thresholds are held by floating gates.
        scorer: shape; a shared prototype is programmed into the array of every layer.
        inputs: (L,) array inputs.
    """
    thresholds = float(scorer.prototypes * sum(scorer.layers)) if front_end.reference_bits == 0 else 0.0
    return scorer.arrays * jnp.sum(jnp.asarray(scorer.reading, float) * inputs) + thresholds


def programming_j(preset: EnergyPreset, front_end: FrontEnd, cells: Float[Array, ""]) -> Float[Array, ""]:
    """Writing every cell once, spread over the examples until the next time, J an example."""
    return cells * preset.program_j / front_end.uses
