"""Digital arithmetic of a score: bringing a token from d to N, the inner product, and both folded into one."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import NetworkShape, ScorerShape
from atis_jax.validation import choose

SPARSE_SIGN_DENSITY = 1 / 3
"""Share of entries that are not zero in Achlioptas' projection (2003, doi 10.1016/S0022-0000(03)00025-4)."""
FORMAT_BYTES = {"int4": 0.5, "int8": 1.0, "fp16": 2.0}
SPARSE_SIGN_BYTES = 0.25
"""Two bits an entry: +, 0 or -."""


def mac_j(preset: EnergyPreset, scorer: ScorerShape) -> float:
    """A multiply-accumulate in the scorer's number format, J."""
    return mac_of_format_j(preset, scorer.format)


def mac_of_format_j(preset: EnergyPreset, format: str) -> float:
    """A multiply-accumulate of a score in a number format, J."""
    by_format = {"int4": preset.score_mac_int4_j, "int8": preset.score_mac_j, "fp16": preset.score_mac_fp16_j}
    return choose(by_format, format, "scorer.format")


def projection_j(
    preset: EnergyPreset, network: NetworkShape, scorer: ScorerShape, inputs: Float[Array, "L"]
) -> Float[Array, "L"]:
    """Bringing one token from d to N, J.

    N d multiply-accumulates for a dense matrix; N d / 3 additions for sparse signs (the mean over draws); nothing
    for a selection of dimensions.
    """
    entries = inputs * float(network.width)
    dense_j, sparse_j = mac_j(preset, scorer), preset.score_add_j
    spent: dict[str, Callable[[], Float[Array, "L"]]] = {
        "learned": lambda: entries * dense_j,
        "gaussian": lambda: entries * dense_j,
        "sparse_sign": lambda: entries * SPARSE_SIGN_DENSITY * sparse_j,
        "selection": lambda: jnp.zeros_like(entries),
    }
    return choose(spent, scorer.projection, "scorer.projection")()


def projection_bytes(network: NetworkShape, scorer: ScorerShape, inputs: Float[Array, "L"]) -> Float[Array, "L"]:
    """Bytes of a layer's projection matrix; a selection has none."""
    entries = inputs * float(network.width)
    entry_bytes = choose(FORMAT_BYTES, scorer.format, "scorer.format")
    found: dict[str, Callable[[], Float[Array, "L"]]] = {
        "learned": lambda: entries * entry_bytes,
        "gaussian": lambda: entries * entry_bytes,
        "sparse_sign": lambda: entries * SPARSE_SIGN_BYTES,
        "selection": lambda: jnp.zeros_like(entries),
    }
    return choose(found, scorer.projection, "scorer.projection")()


def linear_numbers(network: NetworkShape, scorer: ScorerShape, inputs: Float[Array, "L"]) -> Float[Array, "L"]:
    """Numbers of a token that a linear score depends on: those selected, never more than d; else all d."""
    width = jnp.full_like(inputs, float(network.width))
    return jnp.minimum(inputs, width) if selects(scorer) else width


def selects(scorer: ScorerShape) -> bool:
    """Whether the score reads some of a token's numbers only."""
    return choose(_SELECTS, scorer.projection, "scorer.projection")


_SELECTS = {"learned": False, "gaussian": False, "sparse_sign": False, "selection": True}
