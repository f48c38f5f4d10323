"""The pre-norm block that small networks share, whatever they read: parameters of all blocks stacked, leaves (L, ...).

Shape suffixes: B batch, N tokens (CLS first), D width, H heads, K head width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, Protocol, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from atis_jax.models.backbone import key_gate, rotate
from atis_jax.models.kernels import Kernel, Softmax
from atis_jax.numerics import stack
from atis_jax.pruning.stream import Attended, Stream
from atis_jax.typing import Key, PyTree
from atis_jax.validation import SettingError


class BlockSpec(Protocol):
    """What a block must know of its network's section."""

    @property
    def width(self) -> int:
        """Of a token."""
        ...

    @property
    def heads(self) -> int:
        """Of attention; divides the width."""
        ...

    @property
    def mlp_width(self) -> int:
        """Hidden width of the MLP."""
        ...

    @property
    def dropout(self) -> float:
        """Rate while training."""
        ...


def check_heads(spec: BlockSpec) -> None:
    """Whether every head has as much of the width.

    Raises:
        SettingError: it has not.
    """
    if spec.width % spec.heads:
        raise SettingError(
            f"model.heads = {spec.heads} does not divide model.width = {spec.width}; choose a divisor of the width"
        )


class Block(nn.Module):
    """Pre-norm attention and MLP.

    The norm before attention has no scale and no bias of its own (they fold into the q, k, v map), so the scorer,
    which looks at the same normalised token, and the attention see one and the same vector.
    """

    spec: BlockSpec

    def setup(self):
        """Declare the parts."""
        spec = self.spec
        self.qkv_kernel = self.param("qkv_kernel", nn.initializers.lecun_normal(), (spec.width, 3 * spec.width))
        self.qkv_bias = self.param("qkv_bias", nn.initializers.zeros, (3 * spec.width,))
        self.norm_attention = nn.LayerNorm(use_scale=False, use_bias=False)
        self.out = nn.Dense(spec.width)
        self.norm_mlp = nn.LayerNorm()
        self.up = nn.Dense(spec.mlp_width)
        self.down = nn.Dense(spec.width)
        self.drop = nn.Dropout(spec.dropout)

    def attend(
        self, stream: Stream, turn, kernel: Kernel, needs: Collection[str], deterministic: bool = True
    ) -> tuple[Float[Array, "B N D"], Attended]:
        """Tokens after attention, and what was asked for of it. ``turn`` is what ``rotate`` takes, or None.

        The CLS query pulled back to token space is W_k q / sqrt(K): its inner product with a normalised token is that
        head's attention logit up to a constant (with rotary positions: the logit before the key is turned).
        """
        heads = self.spec.heads
        batch, tokens, width = stream.x.shape
        key_width = width // heads
        # Dense layers see (B N, D): XLA on CPU runs a plain matrix product, and its gradient, about twice as fast as
        # the same contraction with a batch axis in it.
        x = stream.x.reshape(-1, width)
        qkv = (self.norm_attention(x) @ self.qkv_kernel + self.qkv_bias).reshape(batch, tokens, 3, heads, key_width)
        q, k, v = jnp.transpose(qkv, (2, 0, 3, 1, 4))
        q = q / jnp.sqrt(key_width)
        query, keys = q[:, :, 0], k
        if turn is not None:
            q, k = rotate(q, turn), rotate(k, turn)
        mixed, attended = kernel(q, k, v, None, key_gate(stream, heads), rows=stream.present, needs=needs)
        mixed = jnp.moveaxis(mixed, 1, 2).reshape(-1, width)
        x = x + self.drop(self.out(mixed), deterministic=deterministic)
        if "query" in needs:
            key_kernel_DxHxK = self.qkv_kernel.reshape(width, 3, heads, key_width)[:, 1]
            pulled = jnp.einsum("dhk,bhk->bhd", key_kernel_DxHxK, query)
            attended = dataclasses.replace(attended, query=pulled)
        if "keys" in needs:
            attended = dataclasses.replace(attended, keys=keys)
        return x.reshape(stream.x.shape), attended

    def feed(self, x_BxNxD: Float[Array, "B N D"], deterministic: bool = True) -> Float[Array, "B N D"]:
        """Tokens after the MLP."""
        x = x_BxNxD.reshape(-1, x_BxNxD.shape[-1])
        hidden = nn.gelu(self.up(self.norm_mlp(x)))
        return (x + self.drop(self.down(hidden), deterministic=deterministic)).reshape(x_BxNxD.shape)

    def __call__(self, x_BxNxD: Float[Array, "B N D"]) -> Float[Array, "B N D"]:
        """Both, ungated: makes every parameter."""
        nothing = jnp.zeros(x_BxNxD.shape[:2], int)
        x, _ = self.attend(Stream(x_BxNxD, nothing, nothing > 0), None, Softmax(), ())
        return self.feed(x)


def stacked_blocks(made: dict[str, Any], depth: int) -> PyTree:
    """Flax's parameters of a network, those of its blocks ``blocks_0`` ... stacked as ``blocks``, leaves (L, ...)."""
    blocks = [made[f"blocks_{layer}"] for layer in range(depth)]
    return {name: part for name, part in made.items() if not name.startswith("blocks_")} | {"blocks": stack(blocks)}


def attend(
    spec: BlockSpec,
    block: PyTree,
    stream: Stream,
    turn: tuple[Array, Array] | None,
    kernel: Kernel,
    needs: Collection[str],
    dropout: Key | None,
) -> tuple[Stream, Attended]:
    """``Model.attend`` of a network made of ``Block``; ``turn`` is what ``rotate`` takes, or None."""
    rngs = {} if dropout is None else {"dropout": jax.random.fold_in(dropout, 0)}
    out = Block(spec).apply(
        {"params": block}, stream, turn, kernel, tuple(needs), dropout is None, method="attend", rngs=rngs
    )
    x, attended = cast(tuple[Array, Attended], out)
    return dataclasses.replace(stream, x=x), attended


def feed(spec: BlockSpec, block: PyTree, stream: Stream, dropout: Key | None) -> Stream:
    """``Model.feed`` of a network made of ``Block``."""
    rngs = {} if dropout is None else {"dropout": jax.random.fold_in(dropout, 1)}
    x = Block(spec).apply({"params": block}, stream.x, dropout is None, method="feed", rngs=rngs)
    return dataclasses.replace(stream, x=cast(Array, x))
