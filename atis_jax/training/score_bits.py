"""The effective bits of the whole scoring chain: scores on a chip against the design's own without error."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax import rng
from atis_jax.circuits.chip import Chip, Environment, nominal_chip, nominal_environment
from atis_jax.circuits.dac import MAX_BITS
from atis_jax.circuits.frontend import realise
from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.scoring.analog import read_scores
from atis_jax.scoring.design import Design, array_program
from atis_jax.scoring.spec import ScorerSpec
from atis_jax.statistics import EffectiveBits, effective_bits
from atis_jax.training.evaluate import Evaluator
from atis_jax.training.montecarlo import Cells, on_cell
from atis_jax.typing import Key


def score_bits(
    evaluator: Evaluator, design: Design, state, cell: Cells, inputs: Float[Array, "L n N"], key: Key
) -> EffectiveBits:
    """ENOB of a cell's scores as its comparators see them: converters, currents, OTAs, amplifier and all noise.

    The wanted score is that of the same design on a chip without error or noise, with converters of ``MAX_BITS`` bits
    and continuous currents, at the nominal temperature: tanh, clipping at full scale and rails belong to the design.

    Args:
        evaluator: structure and hardware.
        design: leaves (L, ...).
        state: the scorer's memory, leaves (L, ...).
        cell: without the leading axis.
        inputs: what the array of each layer is fed, n tokens, +-1 full scale (``CalibrationTokens.inputs``).
        key: the fabrication run.

    Returns:
        Leaves (L, G).
    """
    spec, depth = evaluator.spec, evaluator.model.spec.depth
    hardware, held, chip, environment = on_cell(cell, evaluator, design, key)
    unlimited = fine(evaluator.hardware)
    perfect, nominal = nominal_chip(unlimited, spec.geometry), nominal_environment(unlimited)
    keys = jax.random.split(jax.random.fold_in(rng.stream(key, "read_noise"), cell.chip), depth)

    def layer(design, held, chip, query, inputs, key) -> EffectiveBits:
        wanted = _scores(design, spec, unlimited, perfect, nominal, query, inputs, None)
        measured = _scores(held, spec, hardware, chip, environment, query, inputs, key)
        return jax.vmap(effective_bits, 1)(wanted, measured)

    return jax.vmap(layer)(design, held, chip, state.query, inputs, keys)


def fine(hardware: Hardware) -> Hardware:
    """``hardware`` with the finest converters there are and currents that are not rounded."""
    return with_fields(
        hardware,
        {
            "dac.bits": MAX_BITS,
            "dac.used_bits": None,
            "floating_gate.bits": None,
            "floating_gate.used_bits": None,
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
    """What the comparators see, V; without noise if there is no key."""
    realised = realise(array_program(design, spec, hardware, query), hardware, chip, environment)
    if key is None:
        return read_scores(realised, spec, inputs, None)
    *nodes, noise = jax.random.normal(key, (spec.halves + 1, inputs.shape[0], spec.groups))
    return read_scores(realised, spec, inputs, jnp.concatenate(nodes, axis=-1)) + realised.comparator_noise_v * noise
