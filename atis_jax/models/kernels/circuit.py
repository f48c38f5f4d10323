"""A kernel that is a circuit: what it is fitted to, the chip it is on, where it works, and what noise it meets.

Shape suffixes: B examples, H heads, N query rows, M keys, K head width, T tokens of a full sequence.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Collection
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.circuits.chip import Environment
from atis_jax.energy.attention.costs import AttentionCircuit
from atis_jax.models.kernels.softmax import per_head
from atis_jax.numerics import pytree, round_straight_through, static
from atis_jax.pruning.stream import Attended
from atis_jax.typing import Int, Key
from atis_jax.validation import SettingError

FITTED = "kernel"
"""Name, among a network's parameters, of the collection that holds a kernel's ``design``."""


def fitted(params: Any) -> Any:
    """What a kernel was fitted to, leaves (L, ...), among a network's parameters; None of parameters without."""
    return params[FITTED]["design"] if FITTED in params else None


@dataclasses.dataclass(frozen=True)
class ArrayShape:
    """What a chip is made for.

    Attributes:
        heads: H, of the queries.
        width: K, of a head.
        tokens: T, of a full sequence: rows of an array that holds keys.
    """

    heads: int
    width: int
    tokens: int


@pytree
class Place:
    """Where a circuit works, in one layer.

    Noise is drawn by the example and the tokens' places, never by the batch or the room that a packed sequence has.

    Attributes:
        design: what it was fitted to; None of one that is fitted to nothing.
        chip: what fabrication gave; None: the design itself.
        environment: temperature; None: the nominal one.
        position: (B, N) of each token in the full sequence; None: in order.
        key: (B,) of its noise, one an example; None switches it off.
        length: T. Static.
    """

    design: Any = None
    chip: Any = None
    environment: Environment | None = None
    position: Int[Array, "B N"] | None = None
    key: Key | None = None
    length: int = static(default=0)

    def slots(self, keys: int) -> Int[Array, "... M"]:
        """The row of an array that each of so many keys is in."""
        return jnp.arange(keys) if self.position is None else self.position

    def of_pairs(self, name: str, heads: int) -> Float[Array, "B H N N"]:
        """A standard normal of each pair and head."""

        def example(key, position):
            # Element i of a draw depends on key and i alone: a shorter sequence meets the same noise.
            keys = jax.vmap(jax.random.fold_in, (None, 0))(key, position)
            table = jax.vmap(lambda row: jax.random.normal(row, (self.length, heads)))(keys)
            return jnp.moveaxis(table[:, position], -1, 0)

        return jax.vmap(example)(self._named(name), self.position)

    def of_tokens(self, name: str, *shape: int) -> Float[Array, "B N ..."]:
        """Standard normals of each token."""

        def example(key, position):
            keys = jax.vmap(jax.random.fold_in, (None, 0))(key, position)
            return jax.vmap(lambda token: jax.random.normal(token, shape))(keys)

        return jax.vmap(example)(self._named(name), self.position)

    def _named(self, name: str) -> Key:
        assert self.key is not None
        return jax.vmap(jax.random.fold_in, (0, None))(self.key, zlib.crc32(name.encode()))


@pytree
class Seen:
    """Queries, keys and values of some examples in one layer, as a kernel sees them.

    Attributes:
        q: (B, H, N, K) over sqrt(K).
        k, v: (B, H, N, K).
        row: (B, H, N) query rows that count.
        key: (B, H, N) keys that are there.
        pair: (B, H, N, N) pairs that are computed.
    """

    q: Float[Array, "B H N K"]
    k: Float[Array, "B H N K"]
    v: Float[Array, "B H N K"]
    row: Bool[Array, "B H N"]
    key: Bool[Array, "B H N"]
    pair: Bool[Array, "B H N N"]


class Circuit:
    """Base of the kernels that are circuits; a subclass is a frozen dataclass with ``spec`` and ``secant``.

    Alone it is a ``Kernel`` on the nominal chip, without noise. ``at`` puts it on a chip.

    Class attributes:
        fits: whether ``begin`` makes a design, without which it cannot run.
        rows_apart: False: noise is keyed by places, which a block of rows does not know.
    """

    fits: ClassVar[bool] = True
    rows_apart: ClassVar[bool] = False
    spec: Any

    def begin(self, key: Key, seen: Seen) -> Any:
        """What it is fitted to in one layer."""
        raise NotImplementedError

    def sample_chip(self, key: Key, shape: ArrayShape) -> Any:
        """One layer's chip."""
        raise NotImplementedError

    def attend(
        self,
        q: Float[Array, "B H N K"],
        k: Float[Array, "B H M K"],
        v: Float[Array, "B H M K"],
        visible: Bool[Array, "B H N M"] | None,
        gate: Float[Array, "B H N M"] | None,
        rows: Bool[Array, "B N"] | None,
        needs: Collection[str],
        place: Place,
    ) -> tuple[Float[Array, "B H N K"], Attended]:
        """``Kernel``'s law in its place; the axes of ``visible`` and ``gate`` broadcast."""
        raise NotImplementedError

    def circuit(self, design: Any = None) -> AttentionCircuit:
        """What the energy ledger must know of it; ``design``, leaves (L, ...), says which share of the pairs stays."""
        raise NotImplementedError

    def __call__(self, q, k, v, visible, gate, *, rows=None, needs=()) -> tuple[Float[Array, "B H N K"], Attended]:
        """See ``Kernel``: on the nominal chip, without noise."""
        return self.at(Place())(q, k, v, visible, gate, rows=rows, needs=needs)

    def at(self, place: Place) -> OnChip:
        """The kernel in its place.

        Raises:
            SettingError: it is fitted to something, and ``place`` has no design.
        """
        if self.fits and place.design is None:
            raise SettingError(
                f"kernel.kind = {self.spec.kind!r} has no full scales, thresholds or codes yet: it is fitted to a "
                "network; give parameters that models.kernels.fit.with_kernel made"
            )
        return OnChip(self, place)


@dataclasses.dataclass(frozen=True, eq=False)
class OnChip:
    """A circuit in its place: a ``Kernel``.

    An environment with an axis of chips deals the examples: the first B / chips of them to the first, and so on.
    """

    circuit: Circuit
    place: Place
    rows_apart: ClassVar[bool] = False

    def __call__(self, q, k, v, visible, gate, *, rows=None, needs=()) -> tuple[Float[Array, "B H N K"], Attended]:
        """See ``Kernel``."""
        environment = self.place.environment
        chips = () if environment is None else jnp.shape(environment.temperature_k)
        if not chips:
            return self.circuit.attend(q, k, v, visible, gate, rows, needs, self.place)
        batch = q.shape[0]

        def spread(part):
            return None if part is None else jnp.broadcast_to(part, (batch, *part.shape[1:]))

        given = q, k, v, spread(visible), spread(gate), spread(rows), self.place.position, self.place.key
        dealt = jax.tree.map(lambda leaf: leaf.reshape(*chips, -1, *leaf.shape[1:]), given)

        def on_chip(chip, environment, dealt):
            q, k, v, visible, gate, rows, position, key = dealt
            here = Place(self.place.design, chip, environment, position, key, self.place.length)
            return self.circuit.attend(q, k, v, visible, gate, rows, needs, here)

        by_chip = jax.vmap(on_chip)(self.place.chip, environment, dealt)
        return jax.tree.map(lambda leaf: leaf.reshape(batch, *leaf.shape[2:]), by_chip)


def open_pairs(
    q: Float[Array, "B H N K"],
    k: Float[Array, "B H M K"],
    visible: Bool[Array, "#B #H N M"] | None,
    gate: Float[Array, "#B #H #N M"] | None,
) -> Bool[Array, "A N M"]:
    """Pairs that are computed: what the row may see, and whose key is open."""
    batch, heads = q.shape[:2]
    found = jnp.ones((batch * heads, q.shape[2], k.shape[2]), bool)
    found = found if visible is None else found & per_head(visible, batch, heads)
    return found if gate is None else found & per_head(gate > 0, batch, heads)


def quantised(x: Float[Array, "*s"], scale: Float[Array, "*s"] | float, steps: int) -> Float[Array, "*s"]:
    """``x`` to the nearest of 2 ``steps`` + 1 equal levels from -``scale`` to ``scale``; straight-through inside."""
    return round_straight_through(jnp.clip(x / scale, -1.0, 1.0) * steps) * (scale / steps)


FRACTIONS = 24
"""Of the largest magnitude that are tried as a full scale."""


def full_scale(x: Float[Array, "n K"], counts: Bool[Array, "n"], steps: int) -> Float[Array, ""]:
    """The full scale at which ``quantised`` loses least in squared error, among fractions of the largest magnitude."""
    largest = jnp.maximum(jnp.max(jnp.where(counts[:, None], jnp.abs(x), 0.0)), 1e-6)
    tried = largest * jnp.arange(1, FRACTIONS + 1) / FRACTIONS

    def lost(scale):
        return jnp.sum(jnp.where(counts[:, None], jnp.square(quantised(x, scale, steps) - x), 0.0))

    return tried[jnp.argmin(jax.lax.map(lost, tried))]


def by_head(x: Float[Array, "B H N K"]) -> Float[Array, "H n K"]:
    """Vectors of all examples and tokens, head by head."""
    return jnp.moveaxis(x, 1, 0).reshape(x.shape[1], -1, x.shape[-1])
