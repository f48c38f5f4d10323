"""The energy ledger as the co-design loss sees it: a function of kept fractions and design."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.energy.baselines import dense_ledger, digital_ledger, energy_ratio, folded_digital_ledger
from atis_jax.energy.ledger import Ledger, ledger
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import NetworkShape, ScorerShape
from atis_jax.models.vit import VisionTransformer
from atis_jax.scoring.design import Design, array_program
from atis_jax.scoring.spec import ScorerSpec

IDEAL_DAC_BITS = 8
"""Bits charged for a converter without a resolution (the ``ideal`` hardware): the digital scorer's int8."""


def network_shape(model: VisionTransformer, channels: int) -> NetworkShape:
    """What the ledger needs to know of the network."""
    spec = model.spec
    if spec.stem == "conv":
        squares = model.tokens * (spec.patch // 2) ** 2
        stem_macs = squares * 36 * channels * spec.stem_width
        stem_macs += squares * spec.stem_width * spec.width + model.tokens * spec.width**2
    else:
        stem_macs = model.tokens * spec.patch**2 * channels * spec.width
    return NetworkShape(
        tokens=model.tokens,
        width=spec.width,
        depth=spec.depth,
        heads=spec.heads,
        mlp_width=spec.mlp_width,
        classes=model.classes,
        stem_macs=stem_macs,
    )


def scorer_shape(spec: ScorerSpec, hardware: Hardware, depth: int, first_layer: int) -> ScorerShape:
    """What the ledger needs to know of the scorer; the hardware's bits must be concrete."""
    bits = hardware.dac.resolution
    return ScorerShape(
        inputs=spec.inputs,
        prototypes=spec.groups,
        dac_bits=IDEAL_DAC_BITS if bits is None else int(bits),
        projection=spec.projection,
        arrangement=spec.arrangement,
        layers=tuple(layer >= first_layer for layer in range(depth)),
        differential=spec.differential,
    )


def array_current_a(
    design: Design, spec: ScorerSpec, hardware: Hardware, query: Float[Array, "L G D"]
) -> Float[Array, "L"]:
    """Sum of the bias currents of each layer's array, or of its two halves, amperes."""
    held = jax.vmap(lambda d, q: array_program(d, spec, hardware, q))(design, query)
    return jnp.sum(jnp.abs(held.signed_current_a), axis=(1, 2))


def pruned_ledger(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape,
    spec: ScorerSpec,
    hardware: Hardware,
    token_time_s: float,
    kept: Float[Array, "L"],
    design: Design,
    query: Float[Array, "L G D"],
) -> Ledger:
    """Energy of one image at kept fractions ``kept`` (after each layer), for the scorer's kind.

    A random scorer is charged the network alone: choosing by chance costs nothing here.
    """
    tokens = kept * network.tokens
    scored = jnp.concatenate([jnp.full((1,), float(network.tokens)), tokens[:-1]])
    if spec.kind == "analog":
        current_a = array_current_a(design, spec, hardware, query)
        return ledger(preset, network, scorer, scored, tokens, current_a, hardware.supply_v, token_time_s)
    if spec.kind == "digital":
        if spec.prototype != "ema":
            return folded_digital_ledger(preset, network, scorer, scored, tokens)
        return digital_ledger(preset, network, scorer, scored, tokens)
    unscored = ScorerShape(
        inputs=1,
        prototypes=1,
        dac_bits=1,
        projection="selection",
        arrangement="consensus",
        layers=(False,) * network.depth,
    )
    return digital_ledger(preset, network, unscored, scored, tokens)


def energy_ratio_term(
    preset: EnergyPreset,
    network: NetworkShape,
    scorer: ScorerShape,
    spec: ScorerSpec,
    hardware: Hardware,
    token_time_s: float,
) -> Callable[[Float[Array, "L"], Design, Float[Array, "L G D"]], Float[Array, ""]]:
    """(kept fractions, design, queries) -> energy over the dense network's, differentiable."""
    dense = dense_ledger(preset, network)

    def ratio(kept, design, query):
        spent = pruned_ledger(preset, network, scorer, spec, hardware, token_time_s, kept, design, query)
        return energy_ratio(spent, dense)

    return ratio
