"""Array type names used across the package (jaxtyping re-exports and the key type)."""

from __future__ import annotations

from typing import Any

from jaxtyping import Array, Bool, Float, Int

Key = Array
"""A typed PRNG key (``jax.random.key``), scalar unless said otherwise."""
PyTree = Any
Scalar = Float[Array, ""]
Real = float | Float[Array, "*shape"]
"""A float field of a frozen specification: a Python float, or an array when traced, swept or differentiated."""

__all__ = ["Array", "Bool", "Float", "Int", "Key", "PyTree", "Real", "Scalar"]
