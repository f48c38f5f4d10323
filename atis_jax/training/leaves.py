"""Leaves of a training state as plain NumPy arrays and back, bit for bit; keys and numbers included."""

from __future__ import annotations

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.typing import PyTree


def named_leaves(tree: PyTree) -> tuple[dict[str, Any], Any]:
    """The leaves by their path in the tree, and the tree's structure."""
    pairs, definition = jax.tree_util.tree_flatten_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in pairs}
    if len(named) != len(pairs):
        raise TypeError("two leaves of the state have the same path; use field names without dots")
    return named, definition


def is_key(leaf: Any) -> bool:
    """Whether the leaf is a typed PRNG key (or an array of them)."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def dtype_name(leaf: Any) -> str:
    """The leaf's dtype, or the Python type of a number."""
    return str(leaf.dtype) if hasattr(leaf, "dtype") else type(leaf).__name__


def to_storage(state: PyTree) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays Orbax writes, and for each leaf what is needed to make it again.

    Raises:
        TypeError: a leaf is not a number or an array, or its type is weak.
    """
    arrays: dict[str, np.ndarray] = {}
    leaves: dict[str, Any] = {}
    for name, leaf in named_leaves(state)[0].items():
        if not isinstance(leaf, (jax.Array, np.ndarray, np.generic, bool, int, float)):
            raise TypeError(f"state leaf {name} is a {type(leaf).__name__}; only arrays and numbers can be stored")
        if getattr(leaf, "weak_type", False):
            # Restored it would be strong, promote differently, and the run would no longer be bit-identical.
            raise TypeError(f"state leaf {name} has a weak type; make it with jnp.asarray(value, dtype)")
        raw = np.asarray(jax.random.key_data(cast(jax.Array, leaf)) if is_key(leaf) else leaf)
        leaves[name] = {
            "dtype": dtype_name(leaf),
            "shape_seen": list(np.shape(leaf)),
            "raw_dtype": raw.dtype.name,
            "shape": list(raw.shape),
            "key": str(jax.random.key_impl(cast(jax.Array, leaf))) if is_key(leaf) else None,
            "stored": raw.size > 0,  # Orbax refuses arrays without elements
        }
        if raw.size:
            arrays[name] = raw
    return arrays, leaves


def from_storage(raw: np.ndarray | None, record: dict[str, Any], like: Any) -> Any:
    """The leaf again.

    Args:
        raw: its array; None if it has no elements.
        record: what ``to_storage`` noted about it.
        like: the leaf of the abstract state; says which kind of array to make.
    """
    if raw is None:
        raw = np.empty(record["shape"], np.dtype(record["raw_dtype"]))
    if record["key"] is not None:
        return jax.random.wrap_key_data(jnp.array(raw), impl=record["key"])
    if isinstance(like, np.generic):
        return raw[()]
    if isinstance(like, (bool, int, float)):
        return raw.item()
    # A copy: an array that shares NumPy's memory cannot be donated to the training step.
    return raw if isinstance(like, np.ndarray) else jax.device_put(raw, may_alias=False)
