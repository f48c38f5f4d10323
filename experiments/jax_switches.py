"""JAX's own switches that move numbers: refused when a run starts, the same for all of it, or told when they differ.

The others (``jax_debug_nans`` and its like, logging, kept programs ...) change no number of a run.
"""

from __future__ import annotations

import os
from typing import Any

import jax

from atis_jax.validation import UserError

REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "jax_enable_x64": ((False,), "a run computes in float32"),
    "jax_numpy_dtype_promotion": (("standard",), "whole numbers meet fractions in our arithmetic"),
    "jax_numpy_rank_promotion": (("allow", "warn"), "vectors meet matrices in our arithmetic"),
}
"""The values that a run can be made under, and why no others."""
KEPT = (
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_random_seed_offset",
    "jax_default_matmul_precision",
)
"""Other random numbers, or another precision: half a run of each is no run."""
ROUNDING = ("jax_disable_jit", "jax_disable_most_optimizations", "jax_optimization_level", "jax_softmax_custom_jvp")
"""The same law in another order of operations, as on another machine."""


def refuse_switches() -> None:
    """Refuse to start a run under switches that it does not work with; does not start JAX.

    Raises:
        UserError: names the switch, its value and the one to give.
    """
    for name, (fit, why) in REFUSED.items():
        value = getattr(jax.config, name)
        if value not in fit:
            raise UserError(f"{name} = {value}: {why}; start with {name.upper()}={fit[0]}, or without it")


def kept_switches() -> dict[str, str]:
    """What must be the same at every start of a run."""
    return {name: str(getattr(jax.config, name)) for name in KEPT}


def machine() -> dict[str, str]:
    """What a run may go on without, though its numbers are then rounded otherwise. Starts JAX."""
    facts = {"jax": jax.__version__, "platform": jax.default_backend()}
    flags = {"XLA_FLAGS": " ".join(sorted(os.environ.get("XLA_FLAGS", "").split()))}
    return facts | flags | {name: str(_value(name)) for name in ROUNDING}


def _value(name: str) -> Any:
    """Of a switch; a few are no attributes of ``jax.config``."""
    return getattr(jax.config, name) if hasattr(jax.config, name) else jax.config.read(name)
