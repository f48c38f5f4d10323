"""Blocks that networks share, whatever they read: norms in front of attention and MLP, or behind the sums.

Parameters of all blocks are stacked, leaves (L, ...).

Shape suffixes: B batch, N tokens (CLS first), D width, H heads, K head width.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection
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
from atis_jax.validation import SettingError, choose

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu_tanh": nn.gelu,
    "gelu": functools.partial(nn.gelu, approximate=False),
}
"""Of the MLP: GELU (Hendrycks and Gimpel 2016, arXiv 1606.08415) by its tanh approximation, or exact."""


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

    @property
    def activation(self) -> str:
        """Of the MLP, one of ``ACTIVATIONS``."""
        ...

    @property
    def norm_epsilon(self) -> float:
        """Added to a norm's variance."""
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
        self.norm_attention = nn.LayerNorm(spec.norm_epsilon, use_scale=False, use_bias=False)
        self.out = nn.Dense(spec.width)
        self.norm_mlp = nn.LayerNorm(spec.norm_epsilon)
        self.up = nn.Dense(spec.mlp_width)
        self.down = nn.Dense(spec.width)
        self.drop = nn.Dropout(spec.dropout)

    def attend(
        self, stream: Stream, turn, kernel: Kernel, needs: Collection[str], deterministic: bool = True
    ) -> tuple[Float[Array, "B N D"], Attended]:
        """Tokens after attention, and what was asked for of it. ``turn`` is what ``rotate`` takes, or None."""
        x = stream.x.reshape(-1, stream.x.shape[-1])
        maps = self.qkv_kernel, self.qkv_bias
        mixed, attended = attention(self.norm_attention(x), *maps, self.spec.heads, stream, turn, kernel, needs)
        x = x + self.drop(self.out(mixed), deterministic=deterministic)
        return x.reshape(stream.x.shape), attended

    def feed(self, x_BxNxD: Float[Array, "B N D"], deterministic: bool = True) -> Float[Array, "B N D"]:
        """Tokens after the MLP."""
        x = x_BxNxD.reshape(-1, x_BxNxD.shape[-1])
        hidden = choose(ACTIVATIONS, self.spec.activation, "model.activation")(self.up(self.norm_mlp(x)))
        return (x + self.drop(self.down(hidden), deterministic=deterministic)).reshape(x_BxNxD.shape)

    def __call__(self, x_BxNxD: Float[Array, "B N D"]) -> Float[Array, "B N D"]:
        """Both, ungated: makes every parameter."""
        return self.feed(self.attend(unread(x_BxNxD), None, Softmax(), ())[0])


class PostNormBlock(nn.Module):
    """Attention and MLP, each with a norm behind its sum: Vaswani et al. 2017 (arXiv 1706.03762), as BERT has it.

    What enters left a norm, with its scale and bias, already: attention sees the token as it comes.
    """

    spec: BlockSpec

    def setup(self):
        """Declare the parts."""
        spec = self.spec
        self.qkv_kernel = self.param("qkv_kernel", nn.initializers.lecun_normal(), (spec.width, 3 * spec.width))
        self.qkv_bias = self.param("qkv_bias", nn.initializers.zeros, (3 * spec.width,))
        self.out = nn.Dense(spec.width)
        self.norm_attention = nn.LayerNorm(spec.norm_epsilon, use_fast_variance=False)
        self.up = nn.Dense(spec.mlp_width)
        self.down = nn.Dense(spec.width)
        self.norm_mlp = nn.LayerNorm(spec.norm_epsilon, use_fast_variance=False)
        self.drop = nn.Dropout(spec.dropout)

    def attend(
        self, stream: Stream, turn, kernel: Kernel, needs: Collection[str], deterministic: bool = True
    ) -> tuple[Float[Array, "B N D"], Attended]:
        """As of ``Block``."""
        x = stream.x.reshape(-1, stream.x.shape[-1])
        mixed, attended = attention(x, self.qkv_kernel, self.qkv_bias, self.spec.heads, stream, turn, kernel, needs)
        x = self.norm_attention(x + self.drop(self.out(mixed), deterministic=deterministic))
        return x.reshape(stream.x.shape), attended

    def feed(self, x_BxNxD: Float[Array, "B N D"], deterministic: bool = True) -> Float[Array, "B N D"]:
        """Tokens after the MLP."""
        x = x_BxNxD.reshape(-1, x_BxNxD.shape[-1])
        hidden = choose(ACTIVATIONS, self.spec.activation, "model.activation")(self.up(x))
        return self.norm_mlp(x + self.drop(self.down(hidden), deterministic=deterministic)).reshape(x_BxNxD.shape)

    def __call__(self, x_BxNxD: Float[Array, "B N D"]) -> Float[Array, "B N D"]:
        """Both, ungated: makes every parameter."""
        return self.feed(self.attend(unread(x_BxNxD), None, Softmax(), ())[0])


def unread(x: Float[Array, "B N D"]) -> Stream:
    """Tokens of which nothing is known but themselves."""
    nothing = jnp.zeros(x.shape[:2], int)
    return Stream(x, nothing, nothing > 0)


def attention(
    seen: Float[Array, "A D"],
    qkv_kernel: Float[Array, "D 3D"],
    qkv_bias: Float[Array, "3D"],
    heads: int,
    stream: Stream,
    turn: tuple[Array, Array] | None,
    kernel: Kernel,
    needs: Collection[str],
) -> tuple[Float[Array, "A D"], Attended]:
    """Values mixed by attention, heads side by side, and what was asked for of it.

    The CLS query pulled back to token space is W_k q / sqrt(K): its inner product with a token as attention sees it is
    that head's attention logit up to a constant (with rotary positions: the logit before the key is turned).

    Args:
        seen: tokens as attention sees them, A = B N: XLA on CPU runs a plain matrix product, and its gradient, about
            twice as fast as the same contraction with a batch axis in it.
        qkv_kernel: maps to queries, keys and values.
        qkv_bias: of the same.
        heads: H.
        stream: which tokens they are, and which of them are attended to.
        turn: what ``rotate`` takes, or None.
        kernel: how attention is computed.
        needs: parts of ``Attended`` to fill.
    """
    batch, tokens, width = stream.x.shape
    key_width = width // heads
    qkv = (seen @ qkv_kernel + qkv_bias).reshape(batch, tokens, 3, heads, key_width)
    q, k, v = jnp.transpose(qkv, (2, 0, 3, 1, 4))
    q = q / jnp.sqrt(key_width)
    query, keys = q[:, :, 0], k
    if turn is not None:
        q, k = rotate(q, turn), rotate(k, turn)
    mixed, attended = kernel(q, k, v, None, key_gate(stream, heads), rows=stream.present, needs=needs)
    if "query" in needs:
        key_kernel_DxHxK = qkv_kernel.reshape(width, 3, heads, key_width)[:, 1]
        pulled = jnp.einsum("dhk,bhk->bhd", key_kernel_DxHxK, query)
        attended = dataclasses.replace(attended, query=pulled)
    if "keys" in needs:
        attended = dataclasses.replace(attended, keys=keys)
    if "inputs" in needs:
        attended = dataclasses.replace(attended, inputs=seen.reshape(stream.x.shape))
    return jnp.moveaxis(mixed, 1, 2).reshape(-1, width), attended


def stacked_blocks(made: dict[str, Any], depth: int) -> PyTree:
    """Flax's parameters of a network, those of its blocks ``blocks_0`` ... stacked as ``blocks``, leaves (L, ...)."""
    blocks = [made[f"blocks_{layer}"] for layer in range(depth)]
    return {name: part for name, part in made.items() if not name.startswith("blocks_")} | {"blocks": stack(blocks)}


def attend(
    module: nn.Module,
    block: PyTree,
    stream: Stream,
    turn: tuple[Array, Array] | None,
    kernel: Kernel,
    needs: Collection[str],
    dropout: Key | None,
) -> tuple[Stream, Attended]:
    """``Model.attend`` of a network whose blocks are ``module``; ``turn`` is what ``rotate`` takes, or None."""
    rngs = {} if dropout is None else {"dropout": jax.random.fold_in(dropout, 0)}
    out = module.apply(
        {"params": block}, stream, turn, kernel, tuple(needs), dropout is None, method="attend", rngs=rngs
    )
    x, attended = cast(tuple[Array, Attended], out)
    return dataclasses.replace(stream, x=x), attended


def feed(module: nn.Module, block: PyTree, stream: Stream, dropout: Key | None) -> Stream:
    """``Model.feed`` of a network whose blocks are ``module``."""
    rngs = {} if dropout is None else {"dropout": jax.random.fold_in(dropout, 1)}
    x = module.apply({"params": block}, stream.x, dropout is None, method="feed", rngs=rngs)
    return dataclasses.replace(stream, x=cast(Array, x))
