"""What flows between any two blocks of any network: the tokens, and what travels along with each.

Shape suffixes: B examples, N tokens, D width, G head groups, H heads, K head width. Where all examples agree the
leading axis of ``position``, ``protected`` and ``real`` may be 1.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.numerics import pytree, static


@pytree
class Stream:
    """The tokens in front of a block.

    Attributes:
        x: (B, N, D) the tokens.
        position: (B, N) each token's place in the full sequence, whatever was removed before it. Positions of
            attention, read noise and the way back to the full sequence go by it.
        protected: (B, N) tokens that no method may prune: CLS, the last word.
        real: (B, N) False for padding, which is never scored, attended to or counted. None: there is no padding.
        alive: (B, N, G) tokens that a head group still attends to. None: nothing has been decided, all are.
        gate: (B, N, G) how far each is open in the softmax, 0 to 1; with a gradient while training. True or False
            where tokens are really removed, which costs the softmax less. None: fully.
        size: (B, N) how many tokens each stands for: 1, more once others were merged into it, 0 for one that was merged
            away and for padding. None: nothing merges.
        along: None, or leaves (B, N, ...) that travel with the tokens: ``raw``, what each was made of; ``own``, the
            method's (``Method.along``).
        proportional: whether a key's weight grows with its size. Static.
        local: words that see a key whatever its gate: itself, and those right behind it by position. Static.
    """

    x: Float[Array, "B N D"]
    position: Int[Array, "B N"]
    protected: Bool[Array, "B N"]
    real: Bool[Array, "B N"] | None = None
    alive: Bool[Array, "B N G"] | None = None
    gate: Float[Array, "B N G"] | Bool[Array, "B N G"] | None = None
    size: Float[Array, "B N"] | None = None
    along: Any = None
    proportional: bool = static(default=False)
    local: int = static(default=1)

    @property
    def counted(self) -> Bool[Array, "B N"]:
        """Tokens that are a method's to judge: real ones that are not protected."""
        return ~self.protected if self.real is None else self.real & ~self.protected

    @property
    def present(self) -> Bool[Array, "B N"] | None:
        """Tokens that are there for others: real, and open to some head group. None: all are.

        Not ``alive``: what a soft decision only weighs is there. The query rows of these alone count: a dead token has
        one where it is masked, and none once it is really removed.
        """
        if self.gate is None:
            return self.real
        open_ = jnp.any(self.gate > 0, axis=-1)
        return open_ if self.real is None else open_ & self.real

    def opened(self, groups: int, sized: bool = False, proportional: bool = False) -> Stream:
        """The stream before anything was decided, by ``groups`` head groups: every real token alive, gates open.

        Args:
            groups: G.
            sized: also count how many tokens are merged into each, from one.
            proportional: keys weigh as much as that.
        """
        batch, tokens, _ = self.x.shape
        alive = jnp.ones((batch, tokens, groups), bool)
        if self.real is not None:
            alive = alive & self.real[..., None]
        size = alive[..., 0].astype(self.x.dtype) if sized and self.size is None else self.size
        gate = alive.astype(self.x.dtype)
        return dataclasses.replace(self, alive=alive, gate=gate, size=size, proportional=proportional)


@pytree
class Attended:
    """What a block's attention was, in the parts that were asked for; the others are None.

    Attributes:
        received: (B, H, N) attention that each token receives, averaged over the query rows of tokens ``present``.
        cls_row: (B, H, N) attention that each receives from the token the answer is read from: the first, or of a
            decoder the last word.
        keys: (B, H, N, K) keys, before they are turned by their positions.
        query: (B, H, D) the same token's query pulled back to token space, W_k q / sqrt(K).
        full: (B, H, N, N) every weight, rows are queries.
        inputs: (B, N, D) tokens as queries, keys and values are made of them.
    """

    received: Float[Array, "B H N"] | None = None
    cls_row: Float[Array, "B H N"] | None = None
    keys: Float[Array, "B H N K"] | None = None
    query: Float[Array, "B H D"] | None = None
    full: Float[Array, "B H N N"] | None = None
    inputs: Float[Array, "B N D"] | None = None


PARTS = tuple(field.name for field in dataclasses.fields(Attended))
"""Names of what a method may ask of the attention."""


def spread(values: Array, batch: int) -> Array:
    """``values`` with a leading axis of ``batch``, where it may have been 1."""
    return jnp.broadcast_to(values, (batch, *values.shape[1:]))


def rows(tree: Any, source: Int[Array, "B C"]) -> Any:
    """Rows ``source`` of every leaf (B, N, ...), all of them there."""

    def take(leaf: Array) -> Array:
        leaf = spread(leaf, source.shape[0])
        at = source.reshape(*source.shape, *(1,) * (leaf.ndim - 2))
        return jnp.take_along_axis(leaf, at, axis=1, mode="promise_in_bounds")

    return jax.tree.map(take, tree)
