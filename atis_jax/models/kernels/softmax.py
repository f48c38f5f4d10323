"""What a kernel is, and the plain one: softmax of Q K^T over the keys whose gate is open.

Shape suffixes: B examples, H heads, N tokens (query rows first), K head width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.pruning.stream import Attended
from atis_jax.validation import check_settings, setting

PRUNED_HEADROOM = 30.0
"""exp of this is far from overflow, also as a sum of squares in a gradient's norm, and far above any ratio of attention
weights that matters. Much less costs accuracy: how far a pruned key stands above the kept ones is what brings it
back."""

BLOCK = 128
"""Query rows that ``in_blocks`` takes at once; smaller blocks leave out more, in products too small to be quick."""


class Kernel(Protocol):
    """Queries, keys and values to mixed values; ``Attended`` holds the parts of ``needs`` that weights tell.

    One that is a circuit (``kernels.circuit.Circuit``) is put in its place first, which gives it design, chip,
    environment and noise.
    """

    def __call__(
        self,
        q: Float[Array, "B H N K"],
        k: Float[Array, "B H M K"],
        v: Float[Array, "B H M K"],
        visible: Bool[Array, "#B #H N M"] | None,
        gate: Float[Array, "#B #H #N M"] | None,
        *,
        rows: Bool[Array, "B N"] | None = None,
        needs: Collection[str] = (),
    ) -> tuple[Float[Array, "B H N K"], Attended]:
        """Mix ``v``.

        Args:
            q: queries, already over sqrt(K).
            k: keys.
            v: values.
            visible: keys that each query may see at all; None: all of them.
            gate: factor of each key's weight; None: one.
            rows: query rows that count in ``received``; None: all.
            needs: parts of ``Attended`` to fill.
        """
        ...


def gated_softmax(
    logits: Float[Array, "*rows keys"],
    gate: Float[Array, "*rows keys"] | Bool[Array, "*rows keys"] | None,
    secant: bool = False,
    visible: Bool[Array, "*rows keys"] | None = None,
) -> Float[Array, "*rows keys"]:
    """A_ij = g_j exp(a_ij) / sum_k g_k exp(a_ik): softmax over keys weighted by their gate.

    With gates of zero and one this is the softmax over the kept keys alone; the gradient with respect to a gate is
    finite everywhere, also at zero, because the gate multiplies instead of adding its logarithm. The largest kept
    logit is taken off first, so that no pruned key, however large, starves the kept ones; one above it by more than
    ``PRUNED_HEADROOM`` counts as that much. After DynamicViT (Rao et al. 2021, eq. 11) without its self term.
    ``gate`` and ``visible`` broadcast against ``logits``. A gate that is True or False is a further ``visible``: the
    same values in fewer passes over the logits, and no gradient to it.

    Without ``visible`` at least one gate in a row must be positive (CLS always is). With it, a row that sees no key
    with an open gate is zero, in value and gradient.

    At a gate of zero the gradient is the tangent's, w_j / S for a pruned key of weight w_j = exp(a_ij) beside kept ones
    that sum to S: what a first small opening does, without bound where the key stands far above them. ``secant`` makes
    it w_j / (S + w_j), what opening the gate altogether does, never more than one. Values are the same.
    """
    if gate is not None and gate.dtype == bool:
        visible = gate if visible is None else visible & gate
        gate = None
    if gate is None:  # about a third quicker than with a gate of one
        seen = logits if visible is None else jnp.where(visible, logits, -jnp.inf)
        peak = jax.lax.stop_gradient(jnp.max(seen, axis=-1, keepdims=True))
        weight = jnp.exp(seen - (peak if visible is None else jnp.where(jnp.isfinite(peak), peak, 0.0)))
        total = jnp.sum(weight, axis=-1, keepdims=True)
        return weight / (total if visible is None else jnp.where(total > 0, total, 1.0))
    open_ = gate > 0 if visible is None else (gate > 0) & visible
    peak = jax.lax.stop_gradient(jnp.max(jnp.where(open_, logits, -jnp.inf), axis=-1, keepdims=True))
    if visible is not None:
        peak = jnp.where(jnp.isfinite(peak), peak, 0.0)
    weight = jnp.exp(jnp.minimum(logits - peak, PRUNED_HEADROOM))
    if visible is not None:
        weight = jnp.where(visible, weight, 0.0)
    if secant:
        total = jax.lax.stop_gradient(jnp.sum(weight * gate, axis=-1, keepdims=True))
        opened = total * jax.nn.sigmoid(logits - peak - jnp.log(jnp.where(total > 0, total, 1.0)))
        weight = jnp.where(open_, weight, opened if visible is None else jnp.where(visible, opened, 0.0))
    weight = weight * gate
    total = jnp.sum(weight, axis=-1, keepdims=True)
    return weight / (total if visible is None else jnp.where(total > 0, total, 1.0))


Keeps = Callable[[Float[Array, "A N M"], Bool[Array, "A N M"]], Bool[Array, "A N M"]]
"""Which pairs of those that are open stay, by their logits."""


@dataclasses.dataclass(frozen=True)
class SoftmaxSpec:
    """Exact attention in the network's own arithmetic: nothing to choose."""

    kind: str = setting("softmax", doc="how attention is computed")

    def __post_init__(self):
        check_settings(self, "kernel")


@dataclasses.dataclass(frozen=True)
class Softmax:
    """``gated_softmax`` of Q K^T, in the network's own arithmetic.

    Attributes:
        spec: its section.
        secant: which gradient a pruned key's gate has.
    """

    spec: SoftmaxSpec = SoftmaxSpec()
    secant: bool = False

    def __call__(self, q, k, v, visible, gate, *, rows=None, needs=()) -> tuple[Float[Array, "B H N K"], Attended]:
        """See ``Kernel``."""
        return mix(q, k, v, visible, gate, rows, needs, self.secant)


def mix(
    q: Float[Array, "B H N K"],
    k: Float[Array, "B H M K"],
    v: Float[Array, "B H M K"],
    visible: Bool[Array, "#B #H N M"] | None,
    gate: Float[Array, "#B #H #N M"] | None,
    rows: Bool[Array, "B N"] | None,
    needs: Collection[str],
    secant: bool,
    keeps: Keeps | None = None,
    logits: Float[Array, "A N M"] | None = None,
) -> tuple[Float[Array, "B H N K"], Attended]:
    """``v`` mixed by ``gated_softmax`` of Q K^T, as in ``Kernel``.

    Only over the pairs that ``keeps`` leaves, if given; of ``logits``, A = B H, in the place of Q K^T.
    """
    # Attention sees (B H, N, K): XLA on CPU runs that, and its gradient, about twice as fast as with two axes.
    batch, heads = q.shape[:2]
    q_AxNxK, k_AxMxK, v_AxMxK = (part.reshape(-1, *part.shape[2:]) for part in (q, k, v))
    logits = jnp.einsum("ank,amk->anm", q_AxNxK, k_AxMxK) if logits is None else logits
    visible = None if visible is None else per_head(visible, batch, heads)
    gate = None if gate is None else per_head(gate, batch, heads)
    if keeps is not None:
        seen = jnp.ones(logits.shape, bool) if visible is None else visible
        visible = seen & keeps(logits, seen if gate is None else seen & (gate > 0))
    attention = gated_softmax(logits, gate, secant, visible)
    mixed = jnp.einsum("anm,amk->ank", attention, v_AxMxK).reshape(q.shape)
    return mixed, told(attention.reshape(*q.shape[:2], *attention.shape[1:]), rows, needs)


def in_blocks(
    kernel: Kernel,
    q: Float[Array, "B H N K"],
    k: Float[Array, "B H N K"],
    v: Float[Array, "B H N K"],
    visible: Bool[Array, "#B #H N N"],
    gate: Float[Array, "#B #H N N"] | None,
) -> Float[Array, "B H N K"]:
    """``v`` mixed as ``kernel`` does where no token sees a later column: blocks of rows, each with the keys up to it.

    What lies beyond the diagonal is not computed; of long sequences that is close to half.
    """

    def block(first: int) -> Float[Array, "B H n K"]:
        rows, keys = slice(first, first + BLOCK), slice(first + BLOCK)
        opened = None if gate is None else gate[:, :, rows, keys]
        seen = visible[:, :, rows, keys]
        return kernel(q[:, :, rows], k[:, :, keys], v[:, :, keys], seen, opened)[0]

    return jnp.concatenate([block(first) for first in range(0, q.shape[2], BLOCK)], axis=2)


def per_head(values: Array, batch: int, heads: int) -> Array:
    """(B or 1, H or 1, N, M) as (B H, N, M)."""
    return jnp.broadcast_to(values, (batch, heads, *values.shape[2:])).reshape(-1, *values.shape[2:])


def told(attention: Float[Array, "B H N M"], rows: Bool[Array, "B N"] | None, needs: Collection[str]) -> Attended:
    """The parts of ``needs`` that attention weights tell, and no other."""
    received = None
    if "received" in needs and rows is None:
        received = jnp.mean(attention, axis=2)
    elif "received" in needs and rows is not None:
        weight = jnp.broadcast_to(rows, (attention.shape[0], attention.shape[2])).astype(attention.dtype)
        total = jnp.maximum(jnp.sum(weight, axis=-1), 1.0)[:, None, None]
        received = jnp.einsum("bhnm,bn->bhm", attention, weight) / total
    return Attended(
        received=received,
        cls_row=attention[:, :, 0] if "cls_row" in needs else None,
        full=attention if "full" in needs else None,
    )
