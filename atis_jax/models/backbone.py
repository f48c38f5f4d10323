"""What any network offers to the layer loop: embed, attend and feed of one block, read out.

Shape suffixes: B examples, N tokens, D width, H heads, G head groups.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.energy.shapes import NetworkShape
from atis_jax.models.kernels import Kernel
from atis_jax.pruning.stream import Attended, Stream
from atis_jax.typing import Key, PyTree

Visible = Callable[[Int[Array, "B N 1"], Int[Array, "B 1 M"]], Bool[Array, "B N M"]]
"""Which keys a query sees, by position of query and key, never by column: tokens may have been removed."""


class Model(Protocol):
    """A transformer, whatever it reads and says. Frozen and hashable: programs are compiled for it.

    Attributes:
        depth: L, blocks.
        width: D.
        heads: of keys; head groups of a scorer divide them.
        tokens: tokens of a full sequence that may be pruned.
        length: all tokens of a full sequence, protected ones included.
        dropout: rate while training; 0 for none.
    """

    @property
    def depth(self) -> int:
        """Blocks."""
        ...

    @property
    def width(self) -> int:
        """Of a token."""
        ...

    @property
    def heads(self) -> int:
        """Of the keys."""
        ...

    @property
    def tokens(self) -> int:
        """Prunable ones of a full sequence."""
        ...

    @property
    def length(self) -> int:
        """All tokens of a full sequence."""
        ...

    @property
    def dropout(self) -> float:
        """Rate while training."""
        ...

    def init(self, key: Key) -> PyTree:
        """Untrained parameters."""
        ...

    def embed(self, params: PyTree, batch: Mapping[str, Any], raw: bool = False) -> Stream:
        """A batch as tokens; with ``raw``, ``along["raw"]`` (B, N, P) is what each was made of, zero where of nothing.

        Raises:
            SettingError: ``raw`` of a network whose tokens are made of no signal.
        """
        ...

    def blocks(self, params: PyTree) -> PyTree:
        """The parameters of all blocks, leaves (L, ...)."""
        ...

    def attend(
        self, block: PyTree, stream: Stream, kernel: Kernel, needs: Collection[str] = (), dropout: Key | None = None
    ) -> tuple[Stream, Attended]:
        """One block's attention, added to the stream. ``block`` is one block's parameters."""
        ...

    def feed(self, block: PyTree, stream: Stream, dropout: Key | None = None) -> Stream:
        """One block's MLP, added to the stream."""
        ...

    def read_out(self, params: PyTree, stream: Stream) -> Float[Array, "B ..."]:
        """Logits."""
        ...

    def shape(self, camera: bool = False) -> NetworkShape:
        """What the energy ledger needs to know; ``camera``: whether a camera converts what is embedded."""
        ...


class FromSpec:
    """What any network's section says of its shape."""

    spec: Any

    @property
    def depth(self) -> int:
        """Blocks."""
        return self.spec.depth

    @property
    def width(self) -> int:
        """Of a token."""
        return self.spec.width

    @property
    def heads(self) -> int:
        """Of the keys."""
        return self.spec.heads

    @property
    def dropout(self) -> float:
        """Rate while training."""
        return self.spec.dropout


def causal(query: Int[Array, "B N 1"], key: Int[Array, "B 1 M"]) -> Bool[Array, "B N M"]:
    """A token sees itself and what came before it."""
    return key <= query


def window(width: int) -> Visible:
    """A token sees itself and the ``width - 1`` tokens before it."""
    return lambda query, key: (key <= query) & (key > query - width)


def rotate(values: Float[Array, "B H N K"], turn: tuple[Array, Array]) -> Float[Array, "B H N K"]:
    """Turn each pair (i, i + K/2) of dimensions by its token's angle; ``turn`` is (B, N, J), B may be 1."""
    cosine, sine = (part[:, None] for part in turn)
    a, b = jnp.split(values, 2, axis=-1)
    return jnp.concatenate([a * cosine - b * sine, a * sine + b * cosine], axis=-1)


def expand_groups(gate_BxNxG: Float[Array, "B N G"], heads: int) -> Float[Array, "B H N"]:
    """Each group's gate handed to its heads: head h belongs to group floor(h G / H). G must divide H."""
    return jnp.moveaxis(jnp.repeat(gate_BxNxG, heads // gate_BxNxG.shape[-1], axis=-1), -1, 1)


def key_gate(stream: Stream, heads: int) -> Float[Array, "B H 1 N"] | None:
    """What each key's weight is multiplied by: its gate, 0 for padding, its size where sizes are ``proportional``."""
    gate = None if stream.gate is None else expand_groups(stream.gate, heads)
    if stream.real is not None:
        real = stream.real[:, None].astype(stream.x.dtype)
        gate = real if gate is None else gate * real
    if stream.proportional and stream.size is not None:
        size = stream.size[:, None]
        gate = size if gate is None else gate * size
    return None if gate is None else jnp.broadcast_to(gate, (gate.shape[0], heads, gate.shape[-1]))[:, :, None]


def visible_keys(
    stream: Stream, gate: Float[Array, "B H 1 N"] | None, rule: Visible
) -> tuple[Bool[Array, "B 1 N N"], Float[Array, "B H N N"] | None]:
    """What each query sees by ``rule``, and the gates with the keys open that it sees whatever they are.

    A row always sees itself, and the real words right before it within ``Stream.local``.
    """
    query, key = stream.position[:, :, None], stream.position[:, None, :]
    mask = rule(query, key)[:, None]
    if gate is None:
        return mask, None
    # By slot: room that holds no token repeats the position of the first.
    itself = jnp.eye(mask.shape[-1], dtype=bool)
    if stream.local > 1:
        near = (key <= query) & (key > query - stream.local)
        near = near if stream.real is None else near & stream.real[:, None]
        itself = itself | near[:, None]
    own = jnp.ones_like(gate)
    if stream.proportional and stream.size is not None:
        own = jnp.maximum(stream.size, 1.0)[:, None, None]
    return mask, jnp.where(itself, own, gate)
