"""Keys and values of words that were read before, in slots that may be given up one by one.

Shape suffixes: B examples, N words written at once, J key heads, C slots, K head width. Inside a network the leaves
carry a leading axis of layers.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.models.backbone import Visible
from atis_jax.numerics import pytree
from atis_jax.pruning.gather import pack
from atis_jax.pruning.stream import spread


@pytree
class Cache:
    """Slots of every key head, each with a word of its own: heads may keep different words.

    A slot's place says nothing; what a query sees goes by ``position`` and ``written``. So a slot given up is a key
    masked, and its room is the next word's.

    Attributes:
        keys: (B, J, C, K) keys, turned by their positions.
        values: (B, J, C, K) values.
        position: (B, J, C) place of each slot's word in the text.
        written: (B, J, C) slots that hold a word.
        lost: (B, J) words that found no room so far.
        gate: (B, J, C) factor of each slot's weight, with a gradient while a gate is trained. None: one.
    """

    keys: Float[Array, "B J C K"]
    values: Float[Array, "B J C K"]
    position: Int[Array, "B J C"]
    written: Bool[Array, "B J C"]
    lost: Int[Array, "B J"]
    gate: Float[Array, "B J C"] | None = None

    def write(
        self,
        keys: Float[Array, "B J N K"],
        values: Float[Array, "B J N K"],
        position: Int[Array, "B N"],
        here: Bool[Array, "B J N"],
    ) -> Cache:
        """The cache with further words in its free slots, in order; those beyond are counted in ``lost``.

        Args:
            keys: turned by their positions.
            values: of the same words.
            position: of the words.
            here: words that each head keeps.
        """

        def of_head(old: Cache, keys, values, position, here):
            slots, words = old.written.shape[0], here.shape[0]
            free, valid, _ = pack(~old.written, words)
            rank = jnp.maximum(jnp.cumsum(here) - 1, 0)
            fits = here & valid[rank]
            slot = jnp.where(fits, free[rank], slots)
            return Cache(
                keys=old.keys.at[slot].set(keys, mode="drop"),
                values=old.values.at[slot].set(values, mode="drop"),
                position=old.position.at[slot].set(position.astype(jnp.int32), mode="drop"),
                written=old.written.at[slot].set(True, mode="drop"),
                lost=old.lost + jnp.sum(here & ~fits, dtype=jnp.int32),
                gate=None if old.gate is None else old.gate.at[slot].set(1.0, mode="drop"),
            )

        per_head = jax.vmap(of_head, in_axes=(0, 0, 0, None, 0))
        return jax.vmap(per_head)(self, keys, values, spread(position, keys.shape[0]), here)

    def evict(self, keep: Bool[Array, "... B J C"]) -> Cache:
        """The cache without the slots that ``keep`` leaves out."""
        return dataclasses.replace(self, written=self.written & keep)

    def visible(self, query: Int[Array, "B N"], rule: Visible) -> Bool[Array, "B J N C"]:
        """Slots that queries at these positions see by ``rule``."""
        return rule(query[:, None, :, None], self.position[:, :, None]) & self.written[:, :, None]


def empty_cache(batch: int, heads: int, slots: int, key_width: int, dtype) -> Cache:
    """One layer's cache before the first word.

    Args:
        batch: B.
        heads: J.
        slots: C.
        key_width: K.
        dtype: of keys and values.
    """
    nothing = jnp.zeros((batch, heads, slots, key_width), dtype)
    position = jnp.zeros((batch, heads, slots), jnp.int32)
    return Cache(nothing, nothing, position, position > 0, jnp.zeros((batch, heads), jnp.int32))
