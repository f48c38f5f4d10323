"""What a pruned patch would have become, guessed from what it was: one linear map for each layer it may leave at.

Fitted by ridge regression on training images, with every patch there. It costs D^2 multiply-accumulates a pruned patch,
an eighth of one layer's at the usual widths or less. Shape suffixes: L layers, B images, N tokens, D width, M patches.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.models.backbone import Model
from atis_jax.models.passes import SOFTMAX, Batch
from atis_jax.numerics import layer_of, pytree
from atis_jax.pruning.stream import Stream
from atis_jax.scoring.atis.regression import moments
from atis_jax.typing import PyTree


@pytree
class Completion:
    """x_last ~ x W + b of a patch that comes into a layer as x.

    Attributes:
        kernel: (L, D, D) W.
        bias: (L, D) b.
    """

    kernel: Float[Array, "L D D"]
    bias: Float[Array, "L D"]


def fitted(model: Model, params: PyTree, batch: Batch) -> Completion:
    """The maps of every layer, from what the dense network makes of a batch."""
    stream = model.embed(params, batch)
    blocks, came = model.blocks(params), []
    for layer in range(model.depth):
        came.append(stream.x)
        block = layer_of(blocks, layer)
        stream = model.feed(block, model.attend(block, stream, SOFTMAX)[0])
    width = stream.x.shape[-1]
    weight = jnp.broadcast_to(stream.counted, stream.x.shape[:2]).reshape(-1).astype(stream.x.dtype)
    share, last = weight / jnp.sum(weight), stream.x.reshape(-1, width)

    def one(came: Float[Array, "M D"]) -> Completion:
        gram, covariance = moments(came, last, weight)
        kernel = jnp.linalg.solve(gram, covariance)
        return Completion(kernel, share @ last - share @ came @ kernel)

    return jax.lax.map(one, jnp.stack(came).reshape(model.depth, -1, width))


def completed(completion: Completion, stream: Stream, alive: Bool[Array, "L B N"]) -> Stream:
    """The stream behind the last layer with pruned patches moved on by the map of the layer they left at.

    Args:
        completion: see ``fitted``.
        stream: whole; a pruned patch as it came into the layer that pruned it.
        alive: after each layer's decision.
    """
    x = stream.x
    before = jnp.concatenate([jnp.ones_like(alive[:1]), alive[:-1]])

    def one(x, layer):
        part, left_here = layer
        guess = stream.x @ part.kernel + part.bias
        return jnp.where(left_here[..., None], guess, x), None

    return dataclasses.replace(stream, x=jax.lax.scan(one, x, (completion, before & ~alive))[0])
