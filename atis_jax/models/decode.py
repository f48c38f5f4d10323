"""A decoder word by word: a prompt is read at once into a cache, then each step reads one word and says the next.

Shape suffixes: B examples, N words of the prompt, V vocabulary. The leaves of a cache carry a leading axis of layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from atis_jax.models.cache import Cache, empty_cache
from atis_jax.models.decoder import Decoder
from atis_jax.models.forward import SOFTMAX
from atis_jax.models.kernels import Kernel
from atis_jax.numerics import pytree
from atis_jax.pruning.stream import spread
from atis_jax.typing import Key, PyTree
from atis_jax.validation import SettingError


@pytree
class Reading:
    """Where a decoder is in its texts.

    Attributes:
        cache: of every layer, leaves (L, B, ...).
        position: (B,) place of the next word.
    """

    cache: Cache
    position: Int[Array, "B"]


def prefill(
    model: Decoder, params: PyTree, batch: Mapping[str, Any], slots: int, kernel: Kernel = SOFTMAX
) -> tuple[Float[Array, "B V"], Reading]:
    """Read a prompt.

    Args:
        model: the network.
        params: its parameters.
        batch: the prompt; padding may stand anywhere.
        slots: of every key head's cache; words beyond are counted in ``Cache.lost``.
        kernel: how attention is computed.

    Returns:
        Logits of the word behind the last real one, and where the decoder is then.
    """
    stream = model.embed(params, batch)
    examples, words, _ = stream.x.shape

    def layer(stream, block):
        empty = empty_cache(examples, model.heads, slots, model.spec.key_width, stream.x.dtype)
        cache = model.remember(block, stream, empty)
        stream, _ = model.attend(block, stream, kernel)
        return model.feed(block, stream), cache

    stream, cache = jax.lax.scan(layer, stream, model.blocks(params))
    last = jnp.argmax(spread(stream.protected, examples), axis=1)[:, None, None]
    logits = model.predict(params, jnp.take_along_axis(stream.x, last, axis=1)[:, 0])
    real = jnp.ones((examples, words), bool) if stream.real is None else stream.real
    return logits, Reading(cache, jnp.sum(real, axis=-1, dtype=jnp.int32))


def step(
    model: Decoder, params: PyTree, reading: Reading, token: Int[Array, "B"], kernel: Kernel = SOFTMAX
) -> tuple[Float[Array, "B V"], Reading]:
    """Read one word.

    Args:
        model: the network.
        params: its parameters.
        reading: where the decoder is.
        token: the word of each text.
        kernel: how attention is computed.

    Returns:
        Logits of the word behind it, and where the decoder is then.
    """
    position = reading.position[:, None]
    stream = model.words(params, token[:, None], position, jnp.ones(position.shape, bool))

    def layer(stream, here):
        block, cache = here
        cache = model.remember(block, stream, cache)
        stream, _ = model.attend(block, stream, kernel, cache=cache)
        return model.feed(block, stream), cache

    stream, cache = jax.lax.scan(layer, stream, (model.blocks(params), reading.cache))
    return model.predict(params, stream.x[:, 0]), Reading(cache, reading.position + 1)


@partial(jax.jit, static_argnames=("model", "steps", "slots", "kernel"))
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

    Raises:
        SettingError: the cache is too small for the words.
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

    logits, reading = prefill(model, params, batch, slots, kernel)
    first = said(logits, 0)
    _, others = jax.lax.scan(one, (first, reading), jnp.arange(1, steps))
    return jnp.concatenate([first[None], others]).T
