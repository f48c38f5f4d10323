"""The effective bits of the whole scoring chain: scores on a chip against what they should be."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax import rng
from atis_jax.circuits.chip import Chip, Environment, nominal_chip, nominal_environment
from atis_jax.circuits.dac import MAX_BITS
from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.scoring.atis.analog import read_scores, realise_design
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.types import ScorerState
from atis_jax.statistics import EffectiveBits, effective_bits
from atis_jax.training.cells import Cells, on_cell
from atis_jax.typing import Key


class ScoreBits(NamedTuple):
    """ENOB of scores beside their thresholds, leaves (L, G), under two opinions of what is wanted.

    Attributes:
        design: wanted is the same design without error: tanh, clipping at full scale and rails are part of it, since
            the network was trained through them.
        linear: wanted is the linear product of the same weights with inputs clipped at full scale: the OTAs' curvature
            and the rails are errors too, as in the ATIS paper, section 4.1.
    """

    design: EffectiveBits
    linear: EffectiveBits


def score_bits(
    spec: ScorerSpec,
    hardware: Hardware,
    design: Design,
    state: ScorerState,
    cell: Cells,
    inputs: Float[Array, "L n N"],
    key: Key,
) -> ScoreBits:
    """ENOB of what a cell's comparators see: converters, currents, OTAs, amplifier, reference and all noise.

    The wanted score comes from a chip without error or noise, with converters of ``MAX_BITS`` bits and continuous
    currents, at the nominal temperature. Scores are taken less their thresholds, as trimmed and as wanted, which
    matters to ``raw`` alone.

    Args:
        spec: structure of the scorer.
        hardware: that the cell's fields and factors change.
        design: leaves (L, ...).
        state: the scorer's memory, leaves (L, ...).
        cell: without the leading axis.
        inputs: what the array of each layer is fed, n tokens, +-1 full scale (``CalibrationTokens.inputs``).
        key: the fabrication run.
    """
    made, trimmed, chip, environment = on_cell(cell, spec, hardware, design, key)
    fine = finest(hardware)
    linear = with_fields(fine, {"ota.law": "linear", "tia.swing_v": math.inf})
    perfect, nominal = nominal_chip(fine, spec.geometry), nominal_environment(fine)
    with_all_bits = dataclasses.replace(spec, trainable_bits=False)
    keys = jax.random.split(jax.random.fold_in(rng.key_of(key, "score_bits"), cell.chip), len(inputs))

    def layer(design, trimmed, chip, query, inputs, key) -> ScoreBits:
        measured = _scores(trimmed, spec, made, chip, environment, query, inputs, key)

        def against(ideal: Hardware) -> EffectiveBits:
            wanted = _scores(design, with_all_bits, ideal, perfect, nominal, query, inputs, None)
            return jax.vmap(effective_bits, 1)(wanted, measured)

        return ScoreBits(against(fine), against(linear))

    return jax.vmap(layer)(design, trimmed, chip, state.query, inputs, keys)


def finest(hardware: Hardware) -> Hardware:
    """``hardware`` with the finest converters there are, and currents and references that are not rounded."""
    return with_fields(
        hardware,
        {
            "dac.bits": MAX_BITS,
            "dac.used_bits": None,
            "floating_gate.bits": None,
            "floating_gate.used_bits": None,
            "comparator.reference_bits": None,
        },
    )


def _scores(
    design: Design,
    spec: ScorerSpec,
    hardware: Hardware,
    chip: Chip,
    environment: Environment,
    query: Float[Array, "G D"],
    inputs: Float[Array, "n N"],
    key: Key | None,
) -> Float[Array, "n G"]:
    """What the comparators see less their thresholds, V; without noise if there is no key."""
    realised = realise_design(design, spec, hardware, query, chip, environment)
    threshold_v = realised.threshold_v[: spec.groups]
    if key is None:
        return read_scores(realised, spec, inputs, None) - threshold_v
    *nodes, noise = jax.random.normal(key, (spec.halves + 1, inputs.shape[0], spec.groups))
    score_v = read_scores(realised, spec, inputs, jnp.concatenate(nodes, axis=-1))
    return score_v + realised.comparator_noise_v * noise - threshold_v
