"""What a pass of the dense decoder shows of every layer: all that a policy may score by.

Shape suffixes: L layers, B texts, N words of the prefix, M words behind it, W words read, D width, H query heads, J key
heads, K head width.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from atis_jax.models.decoder import Decoder
from atis_jax.models.kernels import Kernel
from atis_jax.models.passes import SOFTMAX
from atis_jax.numerics import pytree
from atis_jax.pruning.stream import Stream
from atis_jax.typing import PyTree

FUTURE = "future"
"""Name of the rows behind the prefix, each weighed 1 over their number: what an oracle knows and fits are fitted to."""


@pytree
class Seen:
    """A prefix as the dense decoder has it, leaves (L, B, ...); without L where one layer is meant.

    Attributes:
        token: (L, B, N) the words, the same in every layer.
        hidden: (L, B, N, D) normalised input of the attention: what a gate in front of keys and values sees.
        keys: (L, B, J, N, K) keys before they are turned.
        turned: (L, B, J, N, K) the same turned, as the cache has them.
        values: (L, B, J, N, K) values.
        queries: (L, B, H, N, K) queries over sqrt(K), turned; None where nobody asked.
        attention: by name, (L, B, H, N): sum over query rows of what each word receives, rows weighed as asked.
    """

    token: Int[Array, "*L B N"]
    hidden: Float[Array, "*L B N D"]
    keys: Float[Array, "*L B J N K"]
    turned: Float[Array, "*L B J N K"]
    values: Float[Array, "*L B J N K"]
    queries: Float[Array, "*L B H N K"] | None
    attention: dict[str, Float[Array, "*L B H N"]]

    @property
    def heads(self) -> int:
        """J, of the keys."""
        return self.keys.shape[-3]

    @property
    def words(self) -> int:
        """N, of the prefix."""
        return self.token.shape[-1]


def future_rows(prefix: int, words: int) -> Float[Array, "W"]:
    """Weights of the rows behind the prefix, for their mean."""
    return (jnp.arange(words) >= prefix) / max(words - prefix, 1)


def show(
    model: Decoder, block: PyTree, stream: Stream, token: Int[Array, "B W"], prefix: int, queries: bool = False
) -> Seen:
    """One layer's prefix before anybody attends; without attention."""
    shown = model.shown(block, stream)
    return Seen(
        token=token[:, :prefix],
        hidden=shown.hidden[:, :prefix],
        keys=shown.keys[:, :, :prefix],
        turned=shown.turned[:, :, :prefix],
        values=shown.values[:, :, :prefix],
        queries=shown.queries[:, :, :prefix] if queries else None,
        attention={},
    )


@partial(jax.jit, static_argnames=("model", "prefix", "queries", "kernel"))
def see(
    model: Decoder,
    params: PyTree,
    token: Int[Array, "B W"],
    prefix: int,
    rows: Mapping[str, Float[Array, "W"]],
    queries: bool = False,
    kernel: Kernel = SOFTMAX,
) -> tuple[Seen, Float[Array, "B M D"]]:
    """Read texts with nothing evicted.

    Args:
        model: the network.
        params: its parameters.
        token: words without padding.
        prefix: N, words that may be evicted once they are read; those behind are read too, as far as there are any.
        rows: weights of the query rows that a sum of attention is over, by name.
        queries: whether queries are shown.
        kernel: how attention is computed.

    Returns:
        The prefix in every layer, and the words behind it as they leave the last block: ``next_word_loss`` is of these.
    """
    stream = model.embed(params, {"token": token})
    stacked = jnp.stack(list(rows.values())) if rows else None

    def layer(stream, block):
        seen = show(model, block, stream, token, prefix, queries)
        stream, attended = model.attend(block, stream, kernel, ("full",) if rows else ())
        if stacked is not None:
            assert attended.full is not None
            sums = jnp.einsum("rn,bhnm->rbhm", stacked, attended.full[..., :prefix])
            seen = Seen(**{**vars(seen), "attention": dict(zip(rows, sums, strict=True))})
        return model.feed(block, stream), seen

    stream, seen = jax.lax.scan(layer, stream, model.blocks(params))
    return seen, stream.x[:, prefix:]
