"""A small pre-norm text encoder: a CLS token and words, learned positions, blocks, a linear head on CLS.

Shape suffixes: B batch, W words of a sentence with its padding, N tokens (CLS first), D width.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from atis_jax.data.dataset import Facts
from atis_jax.energy.shapes import NetworkShape
from atis_jax.models import blocks
from atis_jax.models.words import OfWords
from atis_jax.pruning.stream import Stream
from atis_jax.typing import Key, PyTree
from atis_jax.validation import check_settings, setting

PROTECTED = 1
"""Tokens in front of the words: CLS."""


@dataclasses.dataclass(frozen=True)
class EncoderSpec:
    """Shape of the encoder. Devlin et al. 2019 (arXiv 1810.04805), with the norms in front (Xiong et al. 2020)."""

    kind: str = setting("encoder", choices=("encoder",), doc="which network")
    width: int = setting(64, low=8, high=4096, doc="embedding dimension d_model")
    depth: int = setting(3, low=1, high=64, doc="number of transformer blocks")
    heads: int = setting(4, low=1, high=128, doc="attention heads; must divide width")
    mlp_width: int = setting(128, low=8, high=16384, doc="hidden width of the MLP")
    dropout: float = setting(0.0, low=0.0, high=0.9, doc="dropout rate inside the blocks during training")

    activation: ClassVar[str] = "gelu_tanh"
    norm_epsilon: ClassVar[float] = 1e-6

    def __post_init__(self):
        check_settings(self, "model")
        blocks.check_heads(self)


class Network(nn.Module):
    """Word embedding, CLS token, learned positions, ``depth`` blocks, norm, linear head on CLS."""

    spec: EncoderSpec
    facts: Facts

    def setup(self):
        """Declare the parts."""
        spec, facts = self.spec, self.facts
        normal = nn.initializers.normal(0.02)
        self.word = self.param("word", normal, (facts.vocabulary, spec.width))
        self.cls = self.param("cls", normal, (1, 1, spec.width))
        self.position = self.param("position", normal, (1, facts.length + PROTECTED, spec.width))
        self.blocks = [blocks.Block(spec) for _ in range(spec.depth)]
        self.norm = nn.LayerNorm()
        self.head = nn.Dense(facts.classes, kernel_init=nn.initializers.zeros)

    def embed(self, token_BxW: Int[Array, "B W"]) -> Float[Array, "B N D"]:
        """Words behind CLS, positions added; W may be below the longest sentence's length."""
        x = self.word[token_BxW]
        cls = jnp.broadcast_to(self.cls, (x.shape[0], 1, x.shape[-1]))
        return jnp.concatenate([cls, x], axis=1) + self.position[:, : x.shape[1] + PROTECTED]

    def classify(self, cls_BxD: Float[Array, "B D"]) -> Float[Array, "B classes"]:
        """Logits from the CLS token."""
        return self.head(self.norm(cls_BxD))

    def __call__(self, token_BxW):
        """Makes every parameter."""
        x = self.embed(token_BxW)
        for block in self.blocks:
            x = block(x)
        return self.classify(x[:, 0])


@dataclasses.dataclass(frozen=True)
class Encoder(OfWords):
    """``models.backbone.Model`` of text: ``batch["token"]`` (B, W) whole numbers, ``batch["real"]`` (B, W) no padding.

    Where the data protect tokens of their own, ``batch["protected"]`` says which; CLS, in front, is this network's.

    Attributes:
        spec: its shape.
        facts: vocabulary, length of the longest sentence, classes.

    Raises:
        SettingError: the data are no text.
    """

    spec: EncoderSpec
    facts: Facts

    def __post_init__(self):
        self.check_words(self.facts.protected + 1)

    @property
    def tokens(self) -> int:
        """Words of the longest sentence."""
        return self.facts.length - self.facts.protected

    @property
    def length(self) -> int:
        """Words, what the data protect, and CLS."""
        return self.facts.length + PROTECTED

    @functools.cached_property
    def _network(self) -> Network:
        return Network(self.spec, self.facts)

    def init(self, key: Key) -> PyTree:
        """Untrained parameters; those of the blocks stacked, leaves (L, ...)."""
        made = self._network.init(key, jnp.zeros((1, self.facts.length), jnp.int32))
        return {"params": blocks.stacked_blocks(dict(made["params"]), self.depth)}

    def embed(self, params: PyTree, batch: Mapping[str, Any], raw: bool = False) -> Stream:
        """Words behind CLS, positions added.

        Raises:
            SettingError: ``raw``, or a batch of longer sentences than the data set said.
        """
        columns = ["token", "real", *(["protected"] if self.facts.protected else [])]
        self.check_batch(batch, columns, raw)
        token, real = batch["token"], batch["real"]
        x = cast(Array, self._network.apply(params, token, method="embed"))
        position = jnp.arange(x.shape[1])[None]
        own = jnp.ones((len(real), PROTECTED), bool)
        protected = position < PROTECTED
        if self.facts.protected:
            protected = jnp.concatenate([own, batch["protected"]], axis=1)
        return Stream(x, position, protected, real=jnp.concatenate([own, real], axis=1))

    @functools.cached_property
    def block(self) -> blocks.Block:
        """See ``OfWords``."""
        return blocks.Block(self.spec)

    def read_out(self, params: PyTree, stream: Stream) -> Float[Array, "B classes"]:
        """Logits from CLS, which is first whatever was removed."""
        return cast(Array, self._network.apply(params, stream.x[:, 0], method="classify"))

    def shape(self, camera: bool = False) -> NetworkShape:
        """See ``Model``: of a sentence as long as they are on average, padding costs nothing. No camera reads words."""
        del camera
        spec = self.spec
        return NetworkShape(
            tokens=round(self.facts.mean_length) or self.tokens,
            width=spec.width,
            depth=spec.depth,
            heads=spec.heads,
            mlp_width=spec.mlp_width,
            classes=self.facts.classes,
            stem_macs=0,
            protected=PROTECTED + self.facts.protected,
        )
