"""BERT, for published weights: words as a tokenizer cut them, post-norm blocks, a linear classifier or an embedding.

Shape suffixes: B batch, W tokens of a sentence with its padding ([CLS] first, [SEP] last of the real ones), D width.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from atis_jax.data.dataset import Facts
from atis_jax.energy.shapes import NetworkShape
from atis_jax.models import blocks
from atis_jax.models.pooling import mean_left
from atis_jax.models.words import OfWords
from atis_jax.pruning.stream import Stream
from atis_jax.typing import Key, PyTree
from atis_jax.validation import check_settings, choose, setting

PROTECTED = 2
"""Tokens around the words: [CLS] and [SEP]."""
TYPES = 2
"""Kinds of tokens: of a first sentence, and of a second."""


def _first(stream: Stream) -> Float[Array, "B D"]:
    """[CLS], which is first whatever was removed."""
    return stream.x[:, 0]


def _mean(stream: Stream) -> Float[Array, "B D"]:
    """Mean over what is there, [CLS] and [SEP] among it; each token as open as it is, and as large.

    Before anything is pruned that is the mean over all real tokens (Reimers and Gurevych 2019, arXiv 1908.10084).
    """
    return mean_left(stream.x, stream)


def _mean_of_all(stream: Stream) -> Float[Array, "B D"]:
    """Mean over all real tokens, a pruned one as it came into the layer that pruned it."""
    return _mean(dataclasses.replace(stream, gate=None))


class Pooling(NamedTuple):
    """How a sentence becomes one vector.

    Attributes:
        vector: of what is left of it.
        layered: whether it goes through one more layer, tanh(W x + b).
        every: whether pruned tokens are read too.
    """

    vector: Callable[[Stream], Array]
    layered: bool = False
    every: bool = False


POOLINGS = {
    "mean": Pooling(_mean),
    "mean_of_all": Pooling(_mean_of_all, every=True),
    "cls": Pooling(_first),
    "pooler": Pooling(_first, layered=True),
}
"""What is classified; "pooler" is what BERT was trained with."""


@dataclasses.dataclass(frozen=True)
class BertSpec:
    """Shape of the network. Devlin et al. 2019 (arXiv 1810.04805); the defaults are MiniLM's of 6 layers."""

    kind: str = setting("bert", choices=("bert",), doc="which network")
    width: int = setting(384, low=8, high=4096, doc="embedding dimension d_model")
    depth: int = setting(6, low=1, high=64, doc="number of transformer blocks")
    heads: int = setting(12, low=1, high=128, doc="attention heads; must divide width")
    mlp_width: int = setting(1536, low=8, high=16384, doc="hidden width of the MLP")
    head: str = setting(
        "mean",
        choices=POOLINGS,
        doc="what is classified: the mean of what is left, or of all, pruned tokens as they left; CLS; its pooler",
    )
    dropout: float = setting(0.0, low=0.0, high=0.9, doc="dropout rate inside the blocks during training")
    activation: str = setting("gelu", choices=blocks.ACTIVATIONS, doc="of the MLP: gelu exact, or by tanh")
    norm_epsilon: float = setting(1e-12, low=0.0, high=0.1, exclusive_low=True, doc="added to a norm's variance")
    weights: str | None = setting(
        None, path=True, doc="pretrained: a .safetensors or .onnx file, a folder with one, or package:NAME; None: none"
    )

    def __post_init__(self):
        check_settings(self, "model")
        blocks.check_heads(self)

    @property
    def pooling(self) -> Pooling:
        """What ``head`` stands for."""
        return choose(POOLINGS, self.head, "model.head")


class Network(nn.Module):
    """Embeddings of word, position and type, a norm, ``depth`` blocks, a linear head."""

    spec: BertSpec
    facts: Facts

    def setup(self):
        """Declare the parts."""
        spec, facts = self.spec, self.facts
        normal = nn.initializers.normal(0.02)
        self.word = self.param("word", normal, (facts.vocabulary, spec.width))
        self.position = self.param("position", normal, (facts.length, spec.width))
        self.type = self.param("type", normal, (TYPES, spec.width))
        self.norm = nn.LayerNorm(spec.norm_epsilon, use_fast_variance=False)
        self.blocks = [blocks.PostNormBlock(spec) for _ in range(spec.depth)]
        if spec.pooling.layered:
            self.pooler = nn.Dense(spec.width)
        self.head = nn.Dense(facts.classes, kernel_init=nn.initializers.zeros)

    def embed(self, token_BxW: Int[Array, "B W"], type_BxW: Int[Array, "#B #W"]) -> Float[Array, "B W D"]:
        """Words, positions and types; a number outside the vocabulary makes NaN, not another word."""
        word = self.word.at[token_BxW].get(mode="fill", fill_value=jnp.nan)
        return self.norm(word + self.position[: token_BxW.shape[1]] + self.type[type_BxW])

    def pooled(self, stream: Stream) -> Float[Array, "B D"]:
        """A sentence as one vector."""
        pooling = self.spec.pooling
        x = pooling.vector(stream)
        return jnp.tanh(self.pooler(x)) if pooling.layered else x

    def classify(self, stream: Stream) -> Float[Array, "B classes"]:
        """Logits."""
        return self.head(self.pooled(stream))

    def __call__(self, token_BxW):
        """Makes every parameter."""
        x = self.embed(token_BxW, jnp.zeros((1, 1), jnp.int32))
        for block in self.blocks:
            x = block(x)
        return self.classify(blocks.unread(x))


@dataclasses.dataclass(frozen=True)
class Bert(OfWords):
    """``models.backbone.Model`` of text: ``batch`` has (B, W) ``token``, whole numbers, ``real`` and ``protected``.

    ``real`` is False for padding, ``protected`` True for [CLS] and [SEP], whose place differs from sentence to
    sentence. ``type``, where given, is 1 for tokens of a second sentence.

    Attributes:
        spec: its shape.
        facts: vocabulary, length of the longest sentence with [CLS] and [SEP], classes.

    Raises:
        SettingError: the data are no text.
    """

    spec: BertSpec
    facts: Facts

    def __post_init__(self):
        self.check_words(PROTECTED + 1)

    @property
    def tokens(self) -> int:
        """Words of the longest sentence."""
        return self.length - PROTECTED

    @property
    def length(self) -> int:
        """Words, [CLS] and [SEP]."""
        return self.facts.length

    @functools.cached_property
    def _network(self) -> Network:
        return Network(self.spec, self.facts)

    @functools.cached_property
    def block(self) -> blocks.PostNormBlock:
        """See ``OfWords``."""
        return blocks.PostNormBlock(self.spec)

    def init(self, key: Key) -> PyTree:
        """Untrained parameters; those of the blocks stacked, leaves (L, ...)."""
        made = self._network.init(key, jnp.zeros((1, self.length), jnp.int32))
        return {"params": blocks.stacked_blocks(dict(made["params"]), self.depth)}

    def embed(self, params: PyTree, batch: Mapping[str, Any], raw: bool = False) -> Stream:
        """Words with what is added to each; W may be below the longest sentence's length.

        Raises:
            SettingError: ``raw``, or a batch of longer sentences than the data set said.
        """
        columns = "token", "real", "protected"
        self.check_batch(batch, columns, raw)
        token, real, protected = (batch[name] for name in columns)
        kind = batch.get("type", jnp.zeros((1, 1), jnp.int32))
        x = cast(Array, self._network.apply(params, token, kind, method="embed"))
        return Stream(x=x, position=jnp.arange(x.shape[1])[None], protected=protected, real=real)

    def read_out(self, params: PyTree, stream: Stream) -> Float[Array, "B classes"]:
        """Logits from what is left of a sentence."""
        return cast(Array, self._network.apply(params, stream, method="classify"))

    def sentence(self, params: PyTree, stream: Stream) -> Float[Array, "B D"]:
        """The embedding of a sentence behind the last block, of length one."""
        pooled = cast(Array, self._network.apply(params, stream, method="pooled"))
        return pooled / jnp.linalg.norm(pooled, axis=-1, keepdims=True)

    def shape(self, camera: bool = False) -> NetworkShape:
        """See ``Model``: of a sentence as long as they are on average, padding costs nothing. No camera reads words."""
        del camera
        spec = self.spec
        tokens = round(self.facts.mean_length) or self.tokens
        return NetworkShape(
            tokens=tokens,
            width=spec.width,
            depth=spec.depth,
            heads=spec.heads,
            mlp_width=spec.mlp_width,
            classes=self.facts.classes,
            stem_macs=spec.width**2 if spec.pooling.layered else 0,
            protected=PROTECTED,
            head_tokens=tokens + PROTECTED if spec.pooling.every else 1,
            post_norm=True,
        )
