"""Numerical plumbing shared by every layer: frozen pytrees, bounded transforms, straight-through, freed memory."""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_T = TypeVar("_T")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h


def keep_freed_memory() -> bool:
    """Ask glibc to keep freed blocks instead of returning them to the system; True where that could be asked.

    XLA on CPU frees and allocates the same large buffers every step, and glibc hands blocks of this size straight
    back, so a fifth to a third of a training step went into page faults. The arenas that glibc gives to threads
    other than the first hold at most 64 MB, hence one arena for all. Only an entry point may call it: it holds for
    the whole process.
    """
    try:
        adjust = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, (1 << 31) - 1), (_M_ARENA_MAX, 1))
    return all(adjust(option, value) for option, value in wanted)


def static(**kwargs: Any) -> Any:
    """A dataclass field that is part of the tree's structure (hashable, not traced, not differentiated)."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


@dataclass_transform(frozen_default=True, field_specifiers=(static, dataclasses.field))
def pytree(cls: type[_T]) -> type[_T]:
    """Make ``cls`` a frozen dataclass and a JAX pytree; fields declared with ``static()`` are metadata."""
    cls = dataclasses.dataclass(frozen=True)(cls)
    return jax.tree_util.register_dataclass(cls)


def layer_of(tree: Any, layer: Any) -> Any:
    """Entry ``layer`` of every leaf's leading axis."""
    return jax.tree.map(lambda leaf: leaf[layer], tree)


def stack(trees: Sequence[Any]) -> Any:
    """Trees of one structure stacked along a new leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def power_of_two(bits: Any) -> Any:
    """2^bits as a whole number, also of traced bits, where the power itself may be off by a rounding.

    The gradient is that of the power, ln 2 2^bits.
    """
    return 2.0**bits if isinstance(bits, int | float) else round_straight_through(2.0**bits)


def straight_through(forward: Float[Array, "*s"], backward: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The value of ``forward`` with the gradient of ``backward`` (Bengio et al. 2013, arXiv 1308.3432).

    Written so that the value is ``forward`` to the bit, which ``backward + stop_gradient(forward - backward)``
    is not.
    """
    return _straight_through(forward, backward)


@jax.custom_jvp
def _straight_through(forward, backward):
    return forward


@_straight_through.defjvp
def _straight_through_jvp(primals, tangents):
    forward, _ = primals
    return forward, jnp.asarray(tangents[1], forward.dtype)


def round_straight_through(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Round to nearest, gradient one."""
    return straight_through(jnp.round(x), x)


@dataclasses.dataclass(frozen=True)
class Bounded:
    """An open interval (low, high) reached from the real line by a sigmoid, in linear or logarithmic steps.

    ``value = low + (high - low) sigmoid(raw)`` or the same in log. Physical parameters train through this: a
    current cannot leave its range, and the gradient never dies at a clip (it shrinks towards the edge).

    Attributes:
        low: lower bound, in the quantity's unit.
        high: upper bound, in the quantity's unit.
        log: interpolate the logarithm; both bounds must be positive.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        if not self.low < self.high:
            raise ValueError(f"Bounded: low {self.low} must be below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"Bounded: low {self.low} must be positive for a logarithmic range")

    def _ends(self) -> tuple[Any, Any]:
        return (jnp.log(self.low), jnp.log(self.high)) if self.log else (self.low, self.high)

    def forward(self, raw: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The physical value of an unconstrained ``raw``."""
        low, high = self._ends()
        value = low + (high - low) * jax.nn.sigmoid(raw)
        return jnp.exp(value) if self.log else value

    def inverse(self, value: Float[Array, "*s"] | float) -> Float[Array, "*s"]:
        """The ``raw`` whose value is ``value``; ``value`` must lie strictly inside the interval."""
        low, high = self._ends()
        x = jnp.log(value) if self.log else jnp.asarray(value)
        fraction = (x - low) / (high - low)
        return jnp.log(fraction) - jnp.log1p(-fraction)
