"""A pre-norm causal decoder, after Llama or GPT-2: words, query heads that share keys, a head over the vocabulary.

Shape suffixes: B examples, N words, D width, H query heads, J key heads, K head width, V vocabulary, M of the MLP.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.data.dataset import Facts
from atis_jax.energy.shapes import NetworkShape
from atis_jax.models.backbone import FromSpec, Visible, causal, expand_groups, key_gate, rotate, visible_keys, window
from atis_jax.models.cache import Cache
from atis_jax.models.kernels import BLOCK, Kernel, in_blocks
from atis_jax.numerics import pytree
from atis_jax.pruning.stream import Attended, Stream, spread
from atis_jax.typing import Key, PyTree
from atis_jax.validation import SettingError, check_settings, choose, setting

EMBEDDING_STD = 0.02
"""Of untrained word vectors (Radford et al. 2019)."""


def _mapped(block: PyTree, name: str, x: Float[Array, "A X"]) -> Float[Array, "A Y"]:
    """One of a block's linear maps, with its bias where it has one."""
    y, bias = x @ block[name], block.get(f"{name}_bias")
    return y if bias is None else y + bias


def _swiglu(block: PyTree, x: Float[Array, "A D"]) -> Float[Array, "A M"]:
    return jax.nn.silu(_mapped(block, "gate", x)) * _mapped(block, "up", x)


def _gelu(block: PyTree, x: Float[Array, "A D"]) -> Float[Array, "A M"]:
    return jax.nn.gelu(_mapped(block, "up", x))


def _by_embedding(embedding: Float[Array, "V D"], x: Float[Array, "... D"]) -> Float[Array, "... V"]:
    """X E^T. As (E x^T)^T, which XLA must not see through: on CPU it transposes all of E first for several rows."""
    rows = jax.lax.optimization_barrier(embedding @ x.reshape(-1, x.shape[-1]).T).T
    return rows.reshape(*x.shape[:-1], -1)


_HIDDEN = {"swiglu": _swiglu, "gelu": _gelu}
"""What stands between the MLP's maps: a gate (Shazeer 2020, arXiv 2002.05202), or none."""
_MAPS = {"swiglu": ("gate", "up"), "gelu": ("up",)}
"""Maps into the MLP."""
_CENTRED = {"rms": False, "layer": True}
"""Whether a norm takes the mean off and adds a bias: LayerNorm (Ba et al. 2016, arXiv 1607.06450). Else it is RMSNorm
(Zhang and Sennrich 2019, arXiv 1910.07467)."""
_TABLE = {"rotary": False, "learned": True}
"""Whether a position is a vector of its own, added to its word. Else it turns queries and keys."""


@dataclasses.dataclass(frozen=True)
class DecoderSpec:
    """Shape of the decoder, after Llama (Touvron et al. 2023, arXiv 2302.13971).

    GPT-2's (Radford et al. 2019) is mlp "gelu", norm "layer", norm_scale and bias True, positions "learned".
    """

    kind: str = setting("decoder", choices=("decoder",), doc="which network")
    width: int = setting(64, low=8, high=16384, doc="embedding dimension d_model")
    depth: int = setting(4, low=1, high=256, doc="number of transformer blocks")
    heads: int = setting(4, low=1, high=256, doc="query heads; must divide width")
    kv_heads: int = setting(2, low=1, high=256, doc="key and value heads, each shared by heads / kv_heads queries")
    mlp_width: int = setting(128, low=8, high=65536, doc="hidden width of the MLP")
    mlp: str = setting("swiglu", choices=tuple(_HIDDEN), doc="the MLP: gated, or plain")
    norm: str = setting("rms", choices=tuple(_CENTRED), doc="RMSNorm, or LayerNorm")
    norm_scale: bool = setting(False, doc="a scale in the norm before attention; else it is folded into Q, K, V")
    norm_epsilon: float = setting(1e-6, low=0.0, high=1e-2, exclusive_low=True, doc="added to the mean square")
    bias: bool = setting(False, doc="a bias in every map of the blocks")
    positions: str = setting("rotary", choices=tuple(_TABLE), doc="queries and keys turned, or a vector for each place")
    window: int = setting(0, low=0, high=2**20, doc="words each sees, itself included; 0: all before it")
    rotary_base: float = setting(10000.0, low=1.0, exclusive_low=True, doc="slowest period over 2 pi, words")
    tied: bool = setting(True, doc="the head is the embedding's transpose; else a matrix of its own")
    dropout: float = setting(0.0, low=0.0, high=0.9, doc="dropout rate inside the blocks during training")
    weights: str | None = setting(
        None, path=True, doc="pretrained: a .safetensors or .gguf file, a folder with one, or package:NAME; None: none"
    )

    def __post_init__(self):
        check_settings(self, "model")
        if self.width % self.heads:
            raise SettingError(
                f"model.heads = {self.heads} does not divide model.width = {self.width}; choose a divisor of the width"
            )
        if self.heads % self.kv_heads:
            raise SettingError(
                f"model.kv_heads = {self.kv_heads} does not divide model.heads = {self.heads}; every key head needs as "
                "many query heads: choose a divisor of the heads"
            )
        if self.key_width % 2 and not self.table:
            raise SettingError(
                f"model.width / model.heads = {self.key_width} must be even: a head's dimensions turn in pairs; choose "
                "other heads or another width"
            )

    @property
    def key_width(self) -> int:
        """K, of one head."""
        return self.width // self.heads

    @property
    def centred(self) -> bool:
        """Whether the norms take the mean off."""
        return choose(_CENTRED, self.norm, "model.norm")

    @property
    def table(self) -> bool:
        """Whether each position has a vector of its own."""
        return choose(_TABLE, self.positions, "model.positions")


@pytree
class Shown:
    """What a layer makes of its words.

    Attributes:
        hidden: (B, N, D) normalised input of the attention, which queries, keys and values are maps of.
        keys: (B, J, N, K) keys, before they are turned by their positions.
        turned: (B, J, N, K) the same turned, as a cache has them.
        values: (B, J, N, K) values.
        queries: (B, H, N, K) queries over sqrt(K), turned.
    """

    hidden: Float[Array, "B N D"]
    keys: Float[Array, "B J N K"]
    turned: Float[Array, "B J N K"]
    values: Float[Array, "B J N K"]
    queries: Float[Array, "B H N K"]


@dataclasses.dataclass(frozen=True)
class Decoder(FromSpec):
    """``models.backbone.Model`` of texts: ``batch["token"]`` (B, N), ``batch["real"]`` (B, N) where there is padding.

    Padding may stand anywhere and hold any number; inside, it is behind the real words. ``position`` counts real words.
    The last real word, behind which the next is said, is protected.

    Attributes:
        spec: its shape.
        facts: vocabulary, and length of the longest text.

    Raises:
        SettingError: the data are no text.
    """

    spec: DecoderSpec
    facts: Facts

    def __post_init__(self):
        for name, least in (("vocabulary", 1), ("length", 2)):
            if getattr(self.facts, name) < least:
                raise SettingError(
                    f"model.kind = 'decoder' with facts.{name} = {getattr(self.facts, name)} of the data, which must "
                    f"be at least {least}; choose a data set of text, or another network"
                )

    @property
    def heads(self) -> int:
        """Of the keys."""
        return self.spec.kv_heads

    @property
    def tokens(self) -> int:
        """Words of a full text but the last."""
        return self.length - 1

    @property
    def length(self) -> int:
        """Words of a full text."""
        return self.facts.length

    @property
    def rule(self) -> Visible:
        """Which words each sees."""
        return window(self.spec.window) if self.spec.window else causal

    def init(self, key: Key) -> PyTree:
        """Untrained parameters; those of the blocks stacked, leaves (L, ...)."""
        spec, shared = self.spec, self.spec.kv_heads * self.spec.key_width
        maps = {
            "query": (spec.width, spec.width),
            "key": (spec.width, shared),
            "value": (spec.width, shared),
            "out": (spec.width, spec.width),
            **{name: (spec.width, spec.mlp_width) for name in choose(_MAPS, spec.mlp, "model.mlp")},
            "down": (spec.mlp_width, spec.width),
        }
        of_words, of_head, *of_maps = jax.random.split(key, 2 + len(maps))
        blocks: dict[str, Array] = {}
        for (name, shape), own in zip(maps.items(), of_maps, strict=True):
            # What is added to the stream starts smaller in a deep network (Radford et al. 2019).
            fan_in = shape[0] * (2 * spec.depth if name in ("out", "down") else 1)
            blocks[name] = jax.random.normal(own, (spec.depth, *shape)) / jnp.sqrt(fan_in)
            if spec.bias:
                blocks[f"{name}_bias"] = jnp.zeros((spec.depth, shape[1]))
        for name in ("norm_mlp", *(("norm_attention",) if spec.norm_scale else ())):
            blocks |= self._fresh_norm(name, (spec.depth, spec.width))
        size = (self.facts.vocabulary, spec.width)
        params = {"embedding": EMBEDDING_STD * jax.random.normal(of_words, size), "blocks": blocks}
        params |= self._fresh_norm("norm", (spec.width,))
        if spec.table:
            own = jax.random.fold_in(of_words, 1)
            params["position"] = EMBEDDING_STD * jax.random.normal(own, (self.length, spec.width))
        return params if spec.tied else params | {"head": EMBEDDING_STD * jax.random.normal(of_head, size[::-1])}

    def embed(self, params: PyTree, batch: Mapping[str, Any], raw: bool = False) -> Stream:
        """Words, real ones first; ``along["column"]`` is where each stood, where there may be padding.

        A number outside the vocabulary makes NaN, not another word; that of padding does not matter.

        Raises:
            SettingError: ``raw``, or a text too long.
        """
        if raw:
            raise SettingError(
                "scorer.source = 'pixels' with model.kind = 'decoder'; words are made of no signal: set scorer.source "
                "= 'tokens'"
            )
        token, real = batch["token"], batch.get("real")
        columns = token.shape[1]
        if columns > self.length:
            raise SettingError(
                f"batch['token'] has {columns} words a text, beyond the {self.length} of the data's facts.length; cut "
                "the texts, or give the longest one's length"
            )
        position = jnp.arange(columns)[None]
        if real is None:
            return self.words(params, token, position, position == columns - 1)
        column = jnp.argsort(~real, axis=-1, stable=True)
        token, real = (jnp.take_along_axis(part, column, axis=1) for part in (token, real))
        last = position == jnp.sum(real, axis=-1, keepdims=True) - 1
        stream = self.words(params, jnp.where(real, token, 0), position, last)
        return dataclasses.replace(stream, real=real, along={"column": column})

    def words(
        self, params: PyTree, token: Int[Array, "B N"], position: Int[Array, "B N"], protected: Bool[Array, "B N"]
    ) -> Stream:
        """Words at these positions, as they enter the first block; beyond the table of positions they are NaN."""
        outside = self.facts.vocabulary
        number = jnp.where(token < 0, outside, token)  # a negative one would count from the end
        x = params["embedding"].at[number].get(mode="fill", fill_value=jnp.nan)
        if self.spec.table:
            x = x + params["position"].at[position].get(mode="fill", fill_value=jnp.nan)
        return Stream(x=x, position=position, protected=protected)

    def blocks(self, params: PyTree) -> PyTree:
        """Leaves (L, ...)."""
        return params["blocks"]

    def attend(
        self,
        block: PyTree,
        stream: Stream,
        kernel: Kernel,
        needs: Collection[str] = (),
        dropout: Key | None = None,
        *,
        cache: Cache | None = None,
    ) -> tuple[Stream, Attended]:
        """See ``Model``; ``Attended`` has one row of keys for each key head, and the last word in CLS's place.

        Args:
            block: one block's parameters.
            stream: the words.
            kernel: how attention is computed.
            needs: parts of ``Attended`` to fill.
            dropout: turns dropout on.
            cache: this layer's, in which the words are written already (``remember``): what is in it is all they see,
                and a word that was refused (not ``alive`` for a key head) sees itself besides.
        """
        spec, heads = self.spec, self.spec.kv_heads
        query, keys, values = self._maps(block, stream)
        k = self._turned(keys, stream)
        if cache is None:
            visible, gate = visible_keys(stream, key_gate(stream, heads), self.rule)
        else:
            own, visible = (k, values), cache.visible(stream.position, self.rule)
            k, values, gate = cache.keys, cache.values, None if cache.gate is None else cache.gate[:, :, None]
            if stream.alive is not None:  # columns for this pass alone, behind the cache's
                k, values = (jnp.concatenate(part, axis=2) for part in zip((k, values), own, strict=True))
                refused = ~expand_groups(stream.alive, heads)[..., None]
                visible = jnp.concatenate([visible, refused & jnp.eye(refused.shape[2], dtype=bool)], axis=-1)
                if gate is not None:
                    gate = jnp.pad(gate, ((0, 0), (0, 0), (0, 0), (0, refused.shape[2])), constant_values=1.0)
        k, values, visible = self._for_queries(k), self._for_queries(values), self._for_queries(visible)
        gate = None if gate is None else self._for_queries(gate)
        parts = {*needs, "full"} if "cls_row" in needs else set(needs)
        q = self._turned(query, stream)
        apart = getattr(kernel, "rows_apart", True)  # else a row depends on those before it
        if cache is None and not parts and apart and q.shape[2] > BLOCK:  # columns are in order of position
            mixed, attended = in_blocks(kernel, q, k, values, visible, gate), Attended()
        else:
            mixed, attended = kernel(q, k, values, visible, gate, rows=stream.present, needs=parts)
        last = jnp.argmax(spread(stream.protected, len(stream.x)), axis=1)[:, None, None, None]
        if "cls_row" in needs:
            assert attended.full is not None
            row = jnp.take_along_axis(attended.full, last, axis=2)[:, :, 0]
            attended = dataclasses.replace(attended, cls_row=row, full=attended.full if "full" in needs else None)
        if "query" in needs:
            of_last = jnp.take_along_axis(query, last, axis=2)[:, :, 0]
            attended = dataclasses.replace(attended, query=self._pulled_back(block, of_last))
        if "keys" in needs:
            attended = dataclasses.replace(attended, keys=keys)
        added = _mapped(block, "out", jnp.moveaxis(mixed, 1, 2).reshape(-1, spec.width))
        return self._plus(stream, added, dropout, 0), attended

    def feed(self, block: PyTree, stream: Stream, dropout: Key | None = None) -> Stream:
        """See ``Model``."""
        x = self.normalised(block, "norm_mlp", stream.x.reshape(-1, self.spec.width))
        hidden = choose(_HIDDEN, self.spec.mlp, "model.mlp")(block, x)
        return self._plus(stream, _mapped(block, "down", hidden), dropout, 1)

    def read_out(self, params: PyTree, stream: Stream) -> Float[Array, "B N V"]:
        """Logits of the word behind each, where it stood in the batch; ``stream`` has all words of the text."""
        logits = self.predict(params, stream.x)
        if stream.along is None:
            return logits
        return jnp.take_along_axis(logits, jnp.argsort(stream.along["column"], axis=-1)[..., None], axis=1)

    def predict(self, params: PyTree, x: Float[Array, "... D"]) -> Float[Array, "... V"]:
        """Logits of the word behind each of ``x``, which left the last block."""
        x = self.normalised(params, "norm", x)
        return _by_embedding(params["embedding"], x) if self.spec.tied else x @ params["head"]

    def normalised(self, params: PyTree, name: str, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        """``x`` as a norm leaves it.

        Args:
            params: of a block, or of the network for the norm behind the last.
            name: "norm_attention", "norm_mlp" or "norm"; its scale and bias are used where there are any.
            x: tokens.
        """
        if self.spec.centred:
            x = x - jnp.mean(x, axis=-1, keepdims=True)
        y = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + self.spec.norm_epsilon)
        scale, bias = params.get(name), params.get(f"{name}_bias")
        y = y if scale is None else y * scale
        return y if bias is None else y + bias

    def remember(self, block: PyTree, stream: Stream, cache: Cache) -> Cache:
        """``cache`` of this layer with the stream's words in it: each head's own, where some are pruned."""
        _, keys, values = self._maps(block, stream)
        here = jnp.ones(keys.shape[:3], bool)
        if stream.alive is not None:
            here = expand_groups(stream.alive, self.spec.kv_heads)
        if stream.real is not None:
            here = here & stream.real[:, None]
        return cache.write(self._turned(keys, stream), values, stream.position, here)

    def shown(self, block: PyTree, stream: Stream) -> Shown:
        """What a layer makes of its words before they attend to one another."""
        query, keys, values = self._maps(block, stream)
        return Shown(
            hidden=self.normalised(block, "norm_attention", stream.x),
            keys=keys,
            turned=self._turned(keys, stream),
            values=values,
            queries=self._turned(query, stream),
        )

    def shape(self, camera: bool = False) -> NetworkShape:
        """See ``Model``; every pair of words is counted, as is usual, the causal half too. No camera sees words."""
        spec = self.spec
        return NetworkShape(
            tokens=self.tokens,
            width=spec.width,
            depth=spec.depth,
            heads=spec.heads,
            mlp_width=spec.mlp_width,
            classes=self.facts.vocabulary,
            stem_macs=0,
            head_tokens=self.length,
            key_width=spec.kv_heads * spec.key_width,
            mlp_maps=1 + len(choose(_MAPS, spec.mlp, "model.mlp")),
        )

    def _maps(self, block: PyTree, stream: Stream) -> tuple[Array, Array, Array]:
        """Queries over sqrt(K), (B, H, N, K); keys and values, (B, J, N, K); none of them turned."""
        batch, words, width = stream.x.shape
        x = self.normalised(block, "norm_attention", stream.x.reshape(-1, width))
        maps = (_mapped(block, name, x) for name in ("query", "key", "value"))
        split = (part.reshape(batch, words, -1, self.spec.key_width) for part in maps)
        query, keys, values = (jnp.moveaxis(part, 2, 1) for part in split)
        return query / jnp.sqrt(self.spec.key_width), keys, values

    def _turned(self, values: Float[Array, "B H N K"], stream: Stream) -> Float[Array, "B H N K"]:
        """Pair i turned by position * base^(-2 i / K) (Su et al. 2021, arXiv 2104.09864), unless there is a table."""
        if self.spec.table:
            return values
        pairs = self.spec.key_width // 2
        frequency = self.spec.rotary_base ** (-jnp.arange(pairs) / pairs)
        angle = stream.position[..., None] * frequency
        return rotate(values, (jnp.cos(angle).astype(values.dtype), jnp.sin(angle).astype(values.dtype)))

    def _for_queries(self, part: Array) -> Array:
        """What each key head has, (B, J, ...), for each of its query heads; what all share stays as it is."""
        if part.shape[1] != self.spec.kv_heads:
            return part
        return jnp.repeat(part, self.spec.heads // self.spec.kv_heads, axis=1)

    def _pulled_back(self, block: PyTree, query: Float[Array, "B H K"]) -> Float[Array, "B H D"]:
        """W_k q: its product with a normalised token is that head's logit, before the key is turned.

        A bias of the norm or of the map adds the same to all of a query's logits, and is left out.
        """
        spec = self.spec
        kernel = block["key"].reshape(spec.width, spec.kv_heads, spec.key_width)
        if spec.norm_scale:
            kernel = kernel * block["norm_attention"][:, None, None]
        by_head = query.reshape(len(query), spec.kv_heads, -1, spec.key_width)
        return jnp.einsum("djk,bjsk->bjsd", kernel, by_head).reshape(len(query), spec.heads, spec.width)

    def _fresh_norm(self, name: str, shape: tuple[int, ...]) -> dict[str, Array]:
        """A norm's untrained scale, and its bias where it has one."""
        return {name: jnp.ones(shape)} | ({f"{name}_bias": jnp.zeros(shape)} if self.spec.centred else {})

    def _plus(self, stream: Stream, added: Float[Array, "A D"], dropout: Key | None, place: int) -> Stream:
        """The stream with ``added``, of which dropout leaves out some."""
        if dropout is not None:
            stays = jax.random.bernoulli(jax.random.fold_in(dropout, place), 1.0 - self.dropout, added.shape)
            added = jnp.where(stays, added / (1.0 - self.dropout), 0.0)
        return dataclasses.replace(stream, x=stream.x + added.reshape(stream.x.shape))
