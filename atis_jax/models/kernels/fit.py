"""Fitting a circuit to a trained network: full scales, thresholds and codes from what its attention sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from atis_jax.models.backbone import Model
from atis_jax.models.kernels.circuit import FITTED, Circuit, Seen, open_pairs
from atis_jax.models.kernels.softmax import Kernel, Softmax
from atis_jax.numerics import layer_of, stack
from atis_jax.pruning.stream import spread
from atis_jax.typing import Key, PyTree

FITTED_ON = 32
"""Examples that a circuit is fitted to: some thousands of queries and keys a head."""


class Watcher:
    """Exact attention that remembers what it was given, once."""

    rows_apart = False

    def __init__(self) -> None:
        self.given: tuple[Any, ...] = ()

    def __call__(self, q, k, v, visible, gate, *, rows=None, needs=()):
        """See ``Kernel``."""
        self.given = q, k, v, visible, gate
        return Softmax()(q, k, v, visible, gate, rows=rows, needs=needs)


def with_kernel(model: Model, params: PyTree, kernel: Kernel, batch: Mapping[str, Any], key: Key) -> PyTree:
    """The parameters with what ``kernel`` is fitted to under ``FITTED``; as they are where it is fitted to nothing.

    Args:
        model: the network.
        params: trained with exact attention.
        kernel: how attention is to be computed.
        batch: examples.
        key: of what is drawn.
    """
    if not isinstance(kernel, Circuit) or not kernel.fits:
        return params
    stream = model.embed(params, batch)
    blocks, designs = model.blocks(params), []
    present = spread(jnp.ones_like(stream.position, bool) if stream.real is None else stream.real, stream.x.shape[0])
    for layer in range(model.depth):
        watcher, block = Watcher(), layer_of(blocks, layer)
        stream, _ = model.attend(block, stream, watcher)
        stream = model.feed(block, stream)
        designs.append(kernel.begin(jax.random.fold_in(key, layer), seen(watcher, present)))
    return {**params, FITTED: {"design": stack(designs)}}


def seen(watcher: Watcher, present) -> Seen:
    """What a kernel sees of a layer; ``present`` (B, N) leaves padding out."""
    q, k, v, visible, gate = watcher.given
    there = jnp.broadcast_to(present[:, None], q.shape[:3])
    pair = open_pairs(q, k, visible, gate).reshape(*q.shape[:2], q.shape[2], k.shape[2])
    pair = pair & there[..., None] & there[:, :, None]
    return Seen(q=q, k=k, v=v, row=there, key=there, pair=pair)
