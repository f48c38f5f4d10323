"""A decoder word by word: a prompt is read into a cache, then each step reads one word and says the next.

Shape suffixes: B examples, N words of the prompt, V vocabulary. The leaves of a cache carry a leading axis of layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from atis_jax.models.cache import Cache, empty_cache
from atis_jax.models.decoder import Decoder
from atis_jax.models.kernels import Kernel
from atis_jax.models.passes import SOFTMAX
from atis_jax.numerics import pytree
from atis_jax.pruning.stream import Attended, Stream, spread
from atis_jax.typing import Key, PyTree
from atis_jax.validation import SettingError


@pytree
class Reading:
    """Where a decoder is in its texts.

    Attributes:
        cache: of every layer, leaves (L, B, ...).
        position: (B,) place of the next word.
        memory: what an ``Eviction`` goes by, leaves (L, ...); None without one.
    """

    cache: Cache
    position: Int[Array, "B"]
    memory: PyTree = None


class Eviction(Protocol):
    """What leaves a layer's cache once a word was read. Hashable: programs are compiled for it.

    Attributes:
        needs: parts of ``Attended`` that it reads; its keys are the cache's slots.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """Parts of ``Attended``."""
        ...

    def __call__(
        self, memory: PyTree, model: Decoder, block: PyTree, stream: Stream, cache: Cache, attended: Attended
    ) -> tuple[Cache, PyTree]:
        """One layer's cache without what leaves it, and the memory after these words.

        Args:
            memory: this layer's.
            model: the network.
            block: this layer's parameters.
            stream: the words in front of the layer; they are in the cache already.
            cache: what they saw.
            attended: how.
        """
        ...


def prefill(
    model: Decoder,
    params: PyTree,
    batch: Mapping[str, Any],
    slots: int,
    kernel: Kernel = SOFTMAX,
    chunk: int | None = None,
) -> tuple[Float[Array, "B V"], Reading]:
    """Read a prompt.

    Args:
        model: the network.
        params: its parameters.
        batch: the prompt; padding may stand anywhere.
        slots: of every key head's cache; words beyond are counted in ``Cache.lost``.
        kernel: how attention is computed.
        chunk: words read at a time, each chunk against the cache: memory for attention grows with the prompt, not with
            its square. None: all at once. The result is the same.

    Returns:
        Logits of the word behind the last real one, and where the decoder is then.

    Raises:
        SettingError: chunks below one word, or a cache too small for a prompt that is read against it.
    """
    stream = model.embed(params, batch)
    examples, words, _ = stream.x.shape
    if chunk is not None and (chunk < 1 or slots < words):
        raise SettingError(
            f"chunk = {chunk} and slots = {slots} with a prompt of {words} words; give chunks of one word or more and "
            f"slots of at least {words}, or chunk = None"
        )
    if chunk is None:
        last, cache = _at_once(model, params, stream, slots, kernel)
    else:
        last, cache = _in_chunks(model, params, stream, slots, kernel, chunk)
    real = jnp.ones((examples, words), bool) if stream.real is None else stream.real
    return model.predict(params, last), Reading(cache, jnp.sum(real, axis=-1, dtype=jnp.int32))


def begin(model: Decoder, params: PyTree, examples: int, slots: int, memory: PyTree = None) -> Reading:
    """Before the first word of any text.

    Args:
        model: the network.
        params: its parameters.
        examples: B.
        slots: of every key head's cache.
        memory: of an eviction.
    """
    dtype = params["embedding"].dtype
    empty = empty_cache(examples, model.heads, slots, model.spec.key_width, dtype)
    caches = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (model.depth, *leaf.shape)), empty)
    return Reading(caches, jnp.zeros(examples, jnp.int32), memory)


def step(
    model: Decoder,
    params: PyTree,
    reading: Reading,
    token: Int[Array, "B"],
    kernel: Kernel = SOFTMAX,
    eviction: Eviction | None = None,
) -> tuple[Float[Array, "B V"], Reading]:
    """Read one word.

    Args:
        model: the network.
        params: its parameters.
        reading: where the decoder is.
        token: the word of each text.
        kernel: how attention is computed.
        eviction: what leaves the caches then; ``reading.memory`` is its. None: nothing.

    Returns:
        Logits of the word behind it, and where the decoder is then.
    """
    position = reading.position[:, None]
    stream = model.words(params, token[:, None], position, jnp.ones(position.shape, bool))
    stream, cache, memory = _against(model, params, stream, reading.cache, kernel, eviction, reading.memory)
    return model.predict(params, stream.x[:, 0]), Reading(cache, reading.position + 1, memory)


@partial(jax.jit, static_argnames=("model", "steps", "slots", "kernel", "chunk"))
def generate(
    model: Decoder,
    params: PyTree,
    batch: Mapping[str, Any],
    steps: int,
    *,
    slots: int | None = None,
    key: Key | None = None,
    temperature: Float[Array, ""] | float = 1.0,
    kernel: Kernel = SOFTMAX,
    chunk: int | None = None,
) -> Int[Array, "B steps"]:
    """The words that follow a prompt; compiled once for each shape, however many are said.

    Args:
        model: the network.
        params: its parameters.
        batch: the prompt.
        steps: words to say, one or more.
        slots: of every key head's cache; None: as many as there are words.
        key: draws the words; None says the likeliest.
        temperature: that logits are divided by where words are drawn.
        kernel: how attention is computed.
        chunk: words of the prompt read at a time; None: all at once.

    Raises:
        SettingError: the cache, or a table of positions, is too small for the words.
    """
    words = batch["token"].shape[1] + steps - 1  # the last one is said, not read
    slots = words if slots is None else slots
    if steps < 1 or slots < words:
        raise SettingError(
            f"slots = {slots} and steps = {steps} with a prompt of {batch['token'].shape[1]} words; give one step or "
            f"more, and slots of at least {words}, or None"
        )
    if model.spec.table and words > model.length:
        raise SettingError(
            f"steps = {steps} with a prompt of {batch['token'].shape[1]} words go beyond the {model.length} "
            "positions of model.positions = 'learned'; say fewer, or cut the prompt"
        )

    def said(logits, number):
        if key is None:
            return jnp.argmax(logits, axis=-1)
        return jax.random.categorical(jax.random.fold_in(key, number), logits / temperature)

    def one(carry, number):
        word, reading = carry
        logits, reading = step(model, params, reading, word, kernel)
        word = said(logits, number)
        return (word, reading), word

    logits, reading = prefill(model, params, batch, slots, kernel, chunk)
    first = said(logits, 0)
    _, others = jax.lax.scan(one, (first, reading), jnp.arange(1, steps))
    return jnp.concatenate([first[None], others]).T


def _at_once(model: Decoder, params: PyTree, stream: Stream, slots: int, kernel: Kernel) -> tuple[Array, Cache]:
    """The last real word (B, D) behind the last block, and the cache of every layer; words see one another."""
    examples = stream.x.shape[0]

    def layer(stream, block):
        empty = empty_cache(examples, model.heads, slots, model.spec.key_width, stream.x.dtype)
        cache = model.remember(block, stream, empty)
        stream, _ = model.attend(block, stream, kernel)
        return model.feed(block, stream), cache

    stream, cache = jax.lax.scan(layer, stream, model.blocks(params))
    last = jnp.argmax(spread(stream.protected, examples), axis=1)[:, None, None]
    return jnp.take_along_axis(stream.x, last, axis=1)[:, 0], cache


def _in_chunks(
    model: Decoder, params: PyTree, stream: Stream, slots: int, kernel: Kernel, chunk: int
) -> tuple[Array, Cache]:
    """The same as ``_at_once``; words see what the cache has, their own chunk in it."""
    examples, words, _ = stream.x.shape
    empty = empty_cache(examples, model.heads, slots, model.spec.key_width, stream.x.dtype)
    caches = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (model.depth, *leaf.shape)), empty)
    there = jnp.ones((1, words), bool) if stream.real is None else stream.real

    def cut(leaf: Array) -> Array:
        """(B, N, ...) filled up and cut, (chunks, B, chunk, ...)."""
        leaf = jnp.pad(leaf, [(0, 0), (0, -words % chunk)] + [(0, 0)] * (leaf.ndim - 2))
        return jnp.moveaxis(leaf.reshape(leaf.shape[0], -1, chunk, *leaf.shape[2:]), 1, 0)

    def one(carry, here):
        last, caches = carry
        x, position, protected, real = here
        stream = Stream(x=x, position=position, protected=protected, real=spread(real, examples))
        stream, caches, _ = _against(model, params, stream, caches, kernel)
        behind = spread(protected, examples)
        found = jnp.take_along_axis(stream.x, jnp.argmax(behind, axis=1)[:, None, None], axis=1)[:, 0]
        return (jnp.where(jnp.any(behind, axis=1)[:, None], found, last), caches), None

    parts = tuple(cut(part) for part in (stream.x, stream.position, stream.protected, there))
    (last, caches), _ = jax.lax.scan(one, (jnp.zeros_like(stream.x[:, 0]), caches), parts)
    return last, caches


def _against(
    model: Decoder,
    params: PyTree,
    stream: Stream,
    caches: Cache,
    kernel: Kernel,
    eviction: Eviction | None = None,
    memory: PyTree = None,
) -> tuple[Stream, Cache, PyTree]:
    """Words through every layer, written into its cache first and then reading what is there."""

    def layer(stream, here):
        block, cache, memory = here
        cache = model.remember(block, stream, cache)
        after, attended = model.attend(block, stream, kernel, () if eviction is None else eviction.needs, cache=cache)
        if eviction is not None:
            cache, memory = eviction(memory, model, block, stream, cache, attended)
        return model.feed(block, after), (cache, memory)

    stream, (caches, memory) = jax.lax.scan(layer, stream, (model.blocks(params), caches, memory))
    return stream, caches, memory
