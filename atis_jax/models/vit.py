"""A pre-norm vision transformer: patches of an image, a CLS token, blocks, a linear head on CLS, or on patches too.

Shape suffixes: B batch, R rows and S columns of pixels, C channels, N tokens (CLS first), T patches, D width, H heads,
K head width.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection, Mapping
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from atis_jax.data.dataset import Facts
from atis_jax.energy.shapes import NetworkShape
from atis_jax.models import blocks
from atis_jax.models.backbone import FromSpec
from atis_jax.models.kernels import Kernel
from atis_jax.models.pooling import mean_left
from atis_jax.pruning.stream import Attended, Stream
from atis_jax.typing import Key, PyTree
from atis_jax.validation import SettingError, check_settings, choose, setting

ROTARY_FASTEST, ROTARY_SLOWEST = math.pi / 2, math.pi / 20
"""Radians a patch: a period of 4 patches to one of 40, for grids about 8 patches wide."""
PROTECTED = 1
"""Tokens in front of the patches: CLS."""
HEADS = {"cls": False, "cls_mean": True}
"""What is classified, and whether the patches' mean is: beside CLS, as DINOv2 is evaluated (Oquab et al. 2024, arXiv
2304.07193)."""


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """Shape of the transformer. Dosovitskiy et al. 2021 (arXiv 2010.11929) with a choice of stem."""

    kind: str = setting("vit", choices=("vit",), doc="which network")
    width: int = setting(64, low=8, high=4096, doc="embedding dimension d_model")
    depth: int = setting(4, low=1, high=64, doc="number of transformer blocks")
    heads: int = setting(4, low=1, high=128, doc="attention heads; must divide width")
    mlp_width: int = setting(128, low=8, high=16384, doc="hidden width of the MLP")
    patch: int = setting(4, low=1, high=64, doc="side of a patch in pixels; must divide the image's rows and columns")
    stem: str = setting("conv", choices=("linear", "conv"), doc="patch embedding: one linear map, or two convolutions")
    stem_width: int = setting(32, low=4, high=1024, doc="channels of the first convolution of the conv stem")
    rotary: bool = setting(True, doc="rotate queries and keys by their patch's row and column (2-D RoPE)")
    dropout: float = setting(0.0, low=0.0, high=0.9, doc="dropout rate inside the blocks during training")
    activation: str = setting("gelu_tanh", choices=blocks.ACTIVATIONS, doc="of the MLP: gelu exact, or by tanh")
    norm_epsilon: float = setting(1e-6, low=0.0, high=0.1, exclusive_low=True, doc="added to a norm's variance")
    head: str = setting("cls", choices=HEADS, doc="what is classified: CLS, or CLS beside the mean of the patches left")
    weights: str | None = setting(
        None, path=True, doc="pretrained: a .safetensors or .onnx file, a folder with one, or package:NAME; None: none"
    )
    cut: bool = setting(False, doc="take only the first ``depth`` blocks of deeper weights")

    def __post_init__(self):
        check_settings(self, "model")
        blocks.check_heads(self)
        if self.cut and self.weights is None:
            raise SettingError(
                "model.cut = True with model.weights = None: there are no weights to take the first blocks of; name "
                "weights, or set cut = False"
            )
        if self.stem == "conv" and self.patch % 2:
            raise SettingError(
                f"model.patch = {self.patch} must be even for model.stem = 'conv', which first takes squares of two "
                "pixels; use an even patch or stem = 'linear'"
            )
        if self.rotary and (self.width // self.heads) % 4:
            raise SettingError(
                f"model.width / model.heads = {self.width // self.heads} must be a multiple of 4 for model.rotary: "
                "half of a head's dimensions turn with the row, half with the column, in pairs"
            )

    @property
    def pools(self) -> bool:
        """Whether the patches' mean is classified beside CLS."""
        return choose(HEADS, self.head, "model.head")

    def check_raw(self) -> None:
        """Whether each token is made of its own patch's pixels alone.

        Raises:
            SettingError: of its neighbours' too.
        """
        if self.stem != "linear":
            raise SettingError(
                f"config.model.stem = {self.stem!r} with a scorer of raw pixels (config.scorer.source = 'pixels'); its "
                "tokens are made of their neighbours' pixels too, so a pruned patch would be needed all the same: set "
                "model.stem = 'linear'"
            )

    def grid(self, rows: int, columns: int) -> tuple[int, int]:
        """Patches from top to bottom and from left to right of an image of ``rows`` x ``columns`` pixels.

        Raises:
            SettingError: the patch does not divide both.
        """
        if rows % self.patch or columns % self.patch:
            side = math.gcd(rows, columns)
            raise SettingError(
                f"model.patch = {self.patch} does not divide the image's {rows} x {columns} pixels; choose one of "
                f"{[p for p in range(1, side + 1) if side % p == 0]}"
            )
        return rows // self.patch, columns // self.patch


class Stem(nn.Module):
    """Image to patch tokens: one strided linear map, or a strided 3x3 neighbourhood and a residual map around it.

    Written as reshapes and matrix products: XLA's convolution gradients on CPU take several times as long.
    """

    spec: ModelSpec

    @nn.compact
    def __call__(self, image_BxRxSxC: Float[Array, "B R S C"]) -> Float[Array, "B T D"]:
        """Tokens row by row, T = R S / patch^2."""
        x = choose(_STEMS, self.spec.stem, "model.stem")(self.spec, image_BxRxSxC)
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


def space_to_depth(x_BxRxSxC: Float[Array, "B R S C"], size: int) -> Float[Array, "B R/size S/size size*size*C"]:
    """Each ``size`` x ``size`` square of pixels becomes one pixel with all its values."""
    batch, rows, columns, channels = x_BxRxSxC.shape
    x = x_BxRxSxC.reshape(batch, rows // size, size, columns // size, size, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows // size, columns // size, -1)


def neighbourhood(x_BxRxSxC: Float[Array, "B R S C"]) -> Float[Array, "B R S 9*C"]:
    """Each pixel with its eight neighbours, zero outside: a 3x3 convolution up to the matrix product."""
    rows, columns = x_BxRxSxC.shape[1:3]
    padded = jnp.pad(x_BxRxSxC, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifted, axis=-1)


def rotary_turn(rows: int, columns: int, key_width: int) -> tuple[Float[np.ndarray, "N J"], Float[np.ndarray, "N J"]]:
    """Cosine and sine of the angles by which each position's pairs of dimensions turn, J = K / 2.

    Two-dimensional RoPE (Su et al. 2021, arXiv 2104.09864; in two dimensions Heo et al. 2024, arXiv 2403.13298):
    half of the pairs turn with the row, half with the column, at angles per patch spaced evenly in logarithm from
    ``ROTARY_FASTEST`` to ``ROTARY_SLOWEST``. CLS, at position 0, does not turn.
    """
    pairs = key_width // 4
    frequency = np.geomspace(ROTARY_FASTEST, ROTARY_SLOWEST, pairs)
    row, column = np.divmod(np.arange(rows * columns), columns)
    angle = np.concatenate([np.outer(row, frequency), np.outer(column, frequency)], axis=1)
    angle = np.concatenate([np.zeros((1, 2 * pairs)), angle]).astype(np.float32)
    return np.cos(angle), np.sin(angle)


class Network(nn.Module):
    """Patch stem, CLS token, learned positions, ``depth`` blocks, norm, linear head."""

    spec: ModelSpec
    classes: int
    tokens: int

    def setup(self):
        """Declare the parts."""
        spec = self.spec
        self.stem = Stem(spec)
        self.cls = self.param("cls", nn.initializers.normal(0.02), (1, 1, spec.width))
        self.position = self.param("position", nn.initializers.normal(0.02), (1, self.tokens + 1, spec.width))
        self.blocks = [blocks.Block(spec) for _ in range(spec.depth)]
        self.norm = nn.LayerNorm()
        self.head = nn.Dense(self.classes, kernel_init=nn.initializers.zeros)

    def embed(self, scaled_BxRxSxC: Float[Array, "B R S C"]) -> Float[Array, "B N D"]:
        """Normalised images to tokens with CLS in front, positions added."""
        x = self.stem(scaled_BxRxSxC)
        cls = jnp.broadcast_to(self.cls, (x.shape[0], 1, x.shape[-1]))
        return jnp.concatenate([cls, x], axis=1) + self.position

    def classify(self, stream: Stream) -> Float[Array, "B classes"]:
        """Logits from CLS, which is first whatever was removed, and where the head says so from the patches left."""
        if not self.spec.pools:
            return self.head(self.norm(stream.x[:, 0]))
        x = self.norm(stream.x)
        mean = mean_left(x, stream, among=~stream.protected)
        return self.head(jnp.concatenate([x[:, 0], mean], axis=-1))

    def __call__(self, scaled_BxRxSxC):
        """Makes every parameter."""
        x = self.embed(scaled_BxRxSxC)
        for block in self.blocks:
            x = block(x)
        return self.classify(blocks.unread(x))


@dataclasses.dataclass(frozen=True)
class VisionTransformer(FromSpec):
    """``models.backbone.Model`` of images: ``batch["image"]`` (B, R, S, C) in [0, 1].

    Attributes:
        spec: its shape.
        facts: rows, columns, channels, mean and deviation of the images; classes.

    Raises:
        SettingError: the patch does not divide the images.
    """

    spec: ModelSpec
    facts: Facts

    def __post_init__(self):
        self.spec.grid(self.facts.rows, self.facts.columns)

    @property
    def grid(self) -> tuple[int, int]:
        """Patches from top to bottom and from left to right."""
        return self.spec.grid(self.facts.rows, self.facts.columns)

    @property
    def tokens(self) -> int:
        """Patches."""
        rows, columns = self.grid
        return rows * columns

    @property
    def length(self) -> int:
        """Patches and CLS."""
        return self.tokens + PROTECTED

    @functools.cached_property
    def _network(self) -> Network:
        return Network(self.spec, self.facts.classes, self.tokens)

    def init(self, key: Key) -> PyTree:
        """Untrained parameters; those of the blocks stacked, leaves (L, ...)."""
        facts = self.facts
        made = self._network.init(key, jnp.zeros((1, facts.rows, facts.columns, facts.channels)))
        return {"params": blocks.stacked_blocks(dict(made["params"]), self.depth)}

    def embed(self, params: PyTree, batch: Mapping[str, Any], raw: bool = False) -> Stream:
        """Patches behind CLS, positions added; ``raw`` adds each patch's pixels."""
        scaled = self._scaled(batch["image"])
        x = cast(Array, self._network.apply(params, scaled, method="embed"))
        position = jnp.arange(self.length)[None]
        along = {"raw": self.patch_pixels(batch["image"])} if raw else None
        return Stream(x=x, position=position, protected=position < PROTECTED, along=along)

    def blocks(self, params: PyTree) -> PyTree:
        """Leaves (L, ...)."""
        return params["params"]["blocks"]

    def attend(
        self, block: PyTree, stream: Stream, kernel: Kernel, needs: Collection[str] = (), dropout: Key | None = None
    ) -> tuple[Stream, Attended]:
        """See ``Model``."""
        turn = None
        if self.spec.rotary:
            cosine, sine = rotary_turn(*self.grid, self.spec.width // self.spec.heads)
            turn = jnp.asarray(cosine)[stream.position], jnp.asarray(sine)[stream.position]
        return blocks.attend(blocks.Block(self.spec), block, stream, turn, kernel, needs, dropout)

    def feed(self, block: PyTree, stream: Stream, dropout: Key | None = None) -> Stream:
        """See ``Model``."""
        return blocks.feed(blocks.Block(self.spec), block, stream, dropout)

    def read_out(self, params: PyTree, stream: Stream) -> Float[Array, "B classes"]:
        """Logits of what the head reads."""
        return cast(Array, self._network.apply(params, stream, method="classify"))

    def shape(self, camera: bool = False) -> NetworkShape:
        """See ``Model``."""
        spec, channels = self.spec, self.facts.channels
        return NetworkShape(
            tokens=self.tokens,
            width=spec.width,
            depth=spec.depth,
            heads=spec.heads,
            mlp_width=spec.mlp_width,
            classes=self.facts.classes,
            # The head's second half reads one vector more, whatever is pruned: it is counted with the stem.
            stem_macs=choose(_STEM_MACS, spec.stem, "model.stem")(spec, self.tokens, channels)
            + spec.pools * spec.width * self.facts.classes,
            pixel_values=spec.patch**2 * channels if camera else 0,
        )

    def patch_pixels(self, images: Float[Array, "B R S C"]) -> Float[Array, "B N P"]:
        """Every patch's pixel values, P = patch^2 C in the order of the linear stem's inputs; CLS has none, so zeros.

        Scaled by the data set's mean and standard deviation alone, which are fixed before the chip is made: what a
        sensor's reset level and exposure do. Nothing here depends on the image, as a normalisation would.
        """
        patches = space_to_depth(self._scaled(images), self.spec.patch)
        return jnp.pad(patches.reshape(images.shape[0], self.tokens, -1), ((0, 0), (PROTECTED, 0), (0, 0)))

    def _scaled(self, images: Float[Array, "B R S C"]) -> Float[Array, "B R S C"]:
        """(image - mean) / std with the data set's fixed statistics of each channel."""
        return (images - jnp.asarray(self.facts.mean)) / jnp.asarray(self.facts.std)


def _conv_stem_macs(spec: ModelSpec, tokens: int, channels: int) -> int:
    squares = tokens * (spec.patch // 2) ** 2
    neighbourhoods = squares * 36 * channels * spec.stem_width
    return neighbourhoods + squares * spec.stem_width * spec.width + tokens * spec.width**2


def _linear_stem_macs(spec: ModelSpec, tokens: int, channels: int) -> int:
    return tokens * spec.patch**2 * channels * spec.width


_STEM_MACS = {"conv": _conv_stem_macs, "linear": _linear_stem_macs}
"""Multiply-accumulates of the patch embedding of one image."""
