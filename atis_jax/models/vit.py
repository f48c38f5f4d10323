"""A small pre-norm vision transformer in Flax Linen whose blocks attend to gated tokens.

Shape suffixes: B batch, N tokens (CLS first), D width, H heads, K head width, G head groups.
The model knows nothing of scorers: it offers ``embed``, ``block`` and ``classify``, and ``models.forward`` strings
them together with whatever scorer it is given.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from atis_jax.models.spec import ModelSpec
from atis_jax.validation import choose

ROTARY_FASTEST, ROTARY_SLOWEST = math.pi / 2, math.pi / 20
"""Radians a patch: a period of 4 patches to one of 40, for grids about 8 patches wide."""

PRUNED_HEADROOM = 30.0
"""exp of this is far from overflow, also as a sum of squares in a gradient's norm, and far above any ratio of attention
weights that matters. Much less costs accuracy: how far a pruned key stands above the kept ones is what brings it
back."""


class Stem(nn.Module):
    """Image to patch tokens: one strided linear map, or a strided 3x3 neighbourhood and a residual map around it.

    Written as reshapes and matrix products: XLA's convolution gradients on CPU take several times as long.
    """

    spec: ModelSpec

    @nn.compact
    def __call__(self, image_BxSxSxC: Float[Array, "B S S C"]) -> Float[Array, "B T D"]:
        """Tokens row by row, T = (S / patch)^2."""
        x = choose(_STEMS, self.spec.stem, "model.stem")(self.spec, image_BxSxSxC)
        return x.reshape(x.shape[0], -1, self.spec.width)


def _linear_stem(spec: ModelSpec, x: Array) -> Array:
    return nn.Dense(spec.width, name="patch")(space_to_depth(x, spec.patch))


def _conv_stem(spec: ModelSpec, x: Array) -> Array:
    x = neighbourhood(space_to_depth(x, 2))
    x = nn.gelu(nn.Dense(spec.stem_width, name="conv")(x))
    x = nn.Dense(spec.width, name="patch")(space_to_depth(x, spec.patch // 2))
    return x + nn.Dense(spec.width, name="mix")(nn.gelu(nn.LayerNorm(name="norm")(x)))


_STEMS = {"linear": _linear_stem, "conv": _conv_stem}
"""The layers of each stem; they become those of the ``Stem`` that calls them."""


def space_to_depth(x_BxSxSxC: Float[Array, "B S S C"], size: int) -> Float[Array, "B S/size S/size size*size*C"]:
    """Each ``size`` x ``size`` square of pixels becomes one pixel with all its values."""
    batch, side, _, channels = x_BxSxSxC.shape
    small = side // size
    x = x_BxSxSxC.reshape(batch, small, size, small, size, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, small, small, -1)


def neighbourhood(x_BxSxSxC: Float[Array, "B S S C"]) -> Float[Array, "B S S 9*C"]:
    """Each pixel with its eight neighbours, zero outside: a 3x3 convolution up to the matrix product."""
    side = x_BxSxSxC.shape[1]
    padded = jnp.pad(x_BxSxSxC, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, i : i + side, j : j + side] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifted, axis=-1)


def gated_softmax(
    logits: Float[Array, "*rows keys"], gate: Float[Array, "*rows keys"] | None, secant: bool = False
) -> Float[Array, "*rows keys"]:
    """A_ij = g_j exp(a_ij) / sum_k g_k exp(a_ik): softmax over keys weighted by their gate in [0, 1].

    With gates of zero and one this is the softmax over the kept keys alone; the gradient with respect to a gate is
    finite everywhere, also at zero, because the gate multiplies instead of adding its logarithm. At least one gate
    in a row must be positive (CLS always is). The largest kept logit is taken off first, so that no pruned key,
    however large, starves the kept ones; one above it by more than ``PRUNED_HEADROOM`` counts as that much.
    After DynamicViT (Rao et al. 2021, eq. 11) without its self term, which only changes rows that nobody reads.
    ``gate`` broadcasts against ``logits``.

    At a gate of zero the gradient is the tangent's, w_j / S for a pruned key of weight w_j = exp(a_ij) beside kept ones
    that sum to S: what a first small opening does, without bound where the key stands far above them. ``secant`` makes
    it w_j / (S + w_j), what opening the gate altogether does, never more than one. Values are the same.
    """
    if gate is None:
        weight = jnp.exp(logits - jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True)))
    else:
        kept = jnp.where(gate > 0, logits, -jnp.inf)
        peak = jax.lax.stop_gradient(jnp.max(kept, axis=-1, keepdims=True))
        weight = jnp.exp(jnp.minimum(logits - peak, PRUNED_HEADROOM))
        if secant:
            total = jax.lax.stop_gradient(jnp.sum(weight * gate, axis=-1, keepdims=True))
            weight = jnp.where(gate > 0, weight, total * jax.nn.sigmoid(logits - peak - jnp.log(total)))
        weight = weight * gate
    return weight / jnp.sum(weight, axis=-1, keepdims=True)


class Block(nn.Module):
    """Pre-norm attention and MLP.

    The norm before attention has no scale and no bias of its own (they fold into the q, k, v map), so the scorer,
    which looks at the same normalised token, and the attention see one and the same vector.
    """

    spec: ModelSpec

    @nn.compact
    def __call__(
        self,
        x_BxNxD: Float[Array, "B N D"],
        gate_BxNxG: Float[Array, "B N G"] | None,
        turn: tuple[Array, Array] | None,
        deterministic: bool = True,
        secant: bool = False,
    ) -> tuple[Float[Array, "B N D"], Float[Array, "B H N N"], Float[Array, "B H D"]]:
        """One block.

        Returns the tokens, the attention, and for each head the CLS query pulled back to token space,
        W_k q / sqrt(K): its inner product with a normalised token is that head's attention logit up to a constant
        (with rotary positions: the logit before the key is turned).

        ``turn`` is ``rotary_turn`` of the tokens' positions, or None; ``secant`` is ``gated_softmax``'s.
        """
        spec = self.spec
        batch, tokens, width = x_BxNxD.shape
        heads, key_width = spec.heads, spec.width // spec.heads
        qkv_kernel = self.param("qkv_kernel", nn.initializers.lecun_normal(), (width, 3 * width))
        qkv_bias = self.param("qkv_bias", nn.initializers.zeros, (3 * width,))
        drop = nn.Dropout(spec.dropout, deterministic=deterministic)

        # Dense layers see (B N, D) and attention (B H, N, K): XLA on CPU runs a plain matrix product, and its
        # gradient, about twice as fast as the same contraction with batch axes in it.
        x = x_BxNxD.reshape(-1, width)
        h = nn.LayerNorm(use_scale=False, use_bias=False, name="norm_attention")(x)
        qkv = (h @ qkv_kernel + qkv_bias).reshape(batch, tokens, 3, heads, key_width)
        q, k, v = jnp.transpose(qkv, (2, 0, 3, 1, 4)).reshape(3, batch * heads, tokens, key_width)
        q = q / jnp.sqrt(key_width)
        query = q[:, 0].reshape(batch, heads, key_width)
        if turn is not None:
            q, k = rotate(q, turn, heads), rotate(k, turn, heads)
        logits = jnp.einsum("ank,amk->anm", q, k)
        gate = None if gate_BxNxG is None else expand_groups(gate_BxNxG, heads).reshape(-1, 1, tokens)
        attention = gated_softmax(logits, gate, secant)
        mixed = jnp.einsum("anm,amk->ank", attention, v).reshape(batch, heads, tokens, key_width)
        mixed = jnp.moveaxis(mixed, 1, 2).reshape(-1, width)
        x = x + drop(nn.Dense(width, name="out")(mixed))
        hidden = nn.gelu(nn.Dense(spec.mlp_width, name="up")(nn.LayerNorm(name="norm_mlp")(x)))
        x = x + drop(nn.Dense(width, name="down")(hidden))
        key_kernel_DxHxK = qkv_kernel.reshape(width, 3, heads, key_width)[:, 1]
        query_BxHxD = jnp.einsum("dhk,bhk->bhd", key_kernel_DxHxK, query)
        return x.reshape(x_BxNxD.shape), attention.reshape(batch, heads, tokens, tokens), query_BxHxD


def rotary_turn(grid: int, key_width: int) -> tuple[Float[np.ndarray, "N J"], Float[np.ndarray, "N J"]]:
    """Cosine and sine of the angles by which each position's pairs of dimensions turn, J = K / 2.

    Two-dimensional RoPE (Su et al. 2021, arXiv 2104.09864; in two dimensions Heo et al. 2024, arXiv 2403.13298):
    half of the pairs turn with the row, half with the column, at angles per patch spaced evenly in logarithm from
    ``ROTARY_FASTEST`` to ``ROTARY_SLOWEST``. CLS, at position 0, does not turn.
    """
    pairs = key_width // 4
    frequency = np.geomspace(ROTARY_FASTEST, ROTARY_SLOWEST, pairs)
    row, column = np.divmod(np.arange(grid * grid), grid)
    angle = np.concatenate([np.outer(row, frequency), np.outer(column, frequency)], axis=1)
    angle = np.concatenate([np.zeros((1, 2 * pairs)), angle]).astype(np.float32)
    return np.cos(angle), np.sin(angle)


def rotate(values: Float[Array, "A N K"], turn: tuple[Array, Array], heads: int) -> Float[Array, "A N K"]:
    """Turn each pair (i, i + K/2) of dimensions by its token's angle; ``turn`` is (N, J), or (B, N, J) if gathered."""
    cosine, sine = (jnp.repeat(part, heads, axis=0) if part.ndim == 3 else part for part in turn)
    a, b = jnp.split(values, 2, axis=-1)
    return jnp.concatenate([a * cosine - b * sine, a * sine + b * cosine], axis=-1)


def expand_groups(gate_BxNxG: Float[Array, "B N G"], heads: int) -> Float[Array, "B H N"]:
    """Each group's gate handed to its heads: head h belongs to group floor(h G / H). G must divide H."""
    return jnp.moveaxis(jnp.repeat(gate_BxNxG, heads // gate_BxNxG.shape[-1], axis=-1), -1, 1)


class VisionTransformer(nn.Module):
    """Patch stem, CLS token, learned positions, ``depth`` blocks, norm, linear head on CLS."""

    spec: ModelSpec
    classes: int
    tokens: int
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def setup(self):
        """Declare the parts."""
        spec = self.spec
        self.stem = Stem(spec)
        self.cls = self.param("cls", nn.initializers.normal(0.02), (1, 1, spec.width))
        self.position = self.param("position", nn.initializers.normal(0.02), (1, self.tokens + 1, spec.width))
        self.blocks = [Block(spec) for _ in range(spec.depth)]
        self.norm = nn.LayerNorm()
        self.head = nn.Dense(self.classes, kernel_init=nn.initializers.zeros)

    def embed(self, image_BxSxSxC: Float[Array, "B S S C"]) -> Float[Array, "B N D"]:
        """Images in [0, 1] to tokens with CLS in front, positions added."""
        x = self.stem(scaled(self, image_BxSxSxC))
        cls = jnp.broadcast_to(self.cls, (x.shape[0], 1, x.shape[-1]))
        return jnp.concatenate([cls, x], axis=1) + self.position

    def block(
        self, layer: int, x_BxNxD, gate_BxNxG=None, index_BxN=None, deterministic: bool = True, secant: bool = False
    ):
        """Block ``layer`` on tokens gated by ``gate_BxNxG`` (None: every token), ``secant`` that of ``gated_softmax``.

        ``index_BxN`` are the tokens' original positions once some were removed; None for the full sequence.
        """
        turn = None
        if self.spec.rotary:
            cosine, sine = rotary_turn(math.isqrt(self.tokens), self.spec.width // self.spec.heads)
            turn = jnp.asarray(cosine), jnp.asarray(sine)
            if index_BxN is not None:
                turn = turn[0][index_BxN], turn[1][index_BxN]
        return self.blocks[layer](x_BxNxD, gate_BxNxG, turn, deterministic, secant)

    def classify(self, x_BxNxD: Float[Array, "B N D"]) -> Float[Array, "B classes"]:
        """Logits from the CLS token."""
        return self.head(self.norm(x_BxNxD[:, 0]))

    def __call__(self, image_BxSxSxC):
        """Dense forward pass, used for initialisation."""
        x = self.embed(image_BxSxSxC)
        for layer in range(self.spec.depth):
            x, _, _ = self.block(layer, x)
        return self.classify(x)


def scaled(model: VisionTransformer, image_BxSxSxC: Float[Array, "B S S C"]) -> Float[Array, "B S S C"]:
    """(image - mean) / std with the data set's fixed statistics of each channel; images in [0, 1]."""
    return (image_BxSxSxC - jnp.asarray(model.mean)) / jnp.asarray(model.std)
