"""Digital arithmetic of a score: bringing a token from d to N, the inner product, and both folded into one."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import NetworkShape, ScorerShape

SPARSE_SIGN_DENSITY = 1 / 3
"""Share of entries that are not zero in Achlioptas' projection (2003, doi 10.1016/S0022-0000(03)00025-4)."""
FORMAT_BYTES = {"int4": 0.5, "int8": 1.0, "fp16": 2.0}
SPARSE_SIGN_BYTES = 0.25
"""Two bits an entry: +, 0 or -."""


def mac_j(preset: EnergyPreset, scorer: ScorerShape) -> float:
    """A multiply-accumulate in the scorer's number format, J."""
    return {"int4": preset.score_mac_int4_j, "int8": preset.score_mac_j, "fp16": preset.score_mac_fp16_j}[scorer.format]


def projection_j(
    preset: EnergyPreset, network: NetworkShape, scorer: ScorerShape, inputs: Float[Array, "L"]
) -> Float[Array, "L"]:
    """Bringing one token from d to N, J.

    N d multiply-accumulates for a dense matrix; N d / 3 additions for sparse signs (the mean over draws); nothing
    for a selection of dimensions.
    """
    entries = inputs * float(network.width)
    if scorer.projection == "selection":
        return jnp.zeros_like(entries)
    if scorer.projection == "sparse_sign":
        return entries * SPARSE_SIGN_DENSITY * preset.score_add_j
    return entries * mac_j(preset, scorer)


def projection_bytes(network: NetworkShape, scorer: ScorerShape, inputs: Float[Array, "L"]) -> Float[Array, "L"]:
    """Bytes of a layer's projection matrix; a selection has none."""
    entries = inputs * float(network.width)
    if scorer.projection == "selection":
        return jnp.zeros_like(entries)
    return entries * (SPARSE_SIGN_BYTES if scorer.projection == "sparse_sign" else FORMAT_BYTES[scorer.format])


def linear_numbers(network: NetworkShape, scorer: ScorerShape, inputs: Float[Array, "L"]) -> Float[Array, "L"]:
    """Numbers of a token that a linear score depends on: those selected, never more than d; else all d."""
    width = jnp.full_like(inputs, float(network.width))
    return jnp.minimum(inputs, width) if scorer.projection == "selection" else width
