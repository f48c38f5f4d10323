"""What a trained dense network shows of a few examples, for a method to start from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import jax.numpy as jnp

from atis_jax.models.backbone import Model
from atis_jax.models.kernels import Kernel
from atis_jax.models.passes import SOFTMAX
from atis_jax.numerics import layer_of, stack
from atis_jax.pruning.stream import Attended
from atis_jax.scoring.method import Method, Survey
from atis_jax.typing import PyTree


def survey(
    model: Model,
    params: PyTree,
    method: Method,
    batch: Mapping[str, Any],
    kernel: Kernel = SOFTMAX,
    more: Collection[str] = (),
) -> Survey:
    """What ``method`` would look at in front of every layer of the dense network, and the attention it asks for.

    Args:
        model: the network.
        params: its parameters, trained without pruning.
        method: says what it sees, and which parts of the attention it wants (``surveys``).
        batch: examples.
        kernel: how attention is computed.
        more: further parts of the attention.
    """
    stream = model.embed(params, batch, raw=method.raw)
    blocks, needs = model.blocks(params), tuple(sorted(method.surveys | set(more)))
    seen, attended = [], []
    for layer in range(model.depth):
        seen.append(method.sees(stream.opened(method.groups))[0])
        block = layer_of(blocks, layer)
        stream, told = model.attend(block, stream, kernel, needs)
        stream = model.feed(block, stream)
        attended.append(Attended(**{name: getattr(told, name) for name in needs}))
    return Survey(jnp.stack(seen), stream.counted, stack(attended))
