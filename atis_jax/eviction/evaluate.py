"""What a text loses when a decoder's cache keeps a part of its prefix.

``compress``: the prefix is read in full, then all but the kept entries are evicted, and the words behind are read
against what is left. ``refuse``: a word that a gate refuses is seen by nobody but itself, already while the prefix is
read. Positions are the true ones, whatever was evicted. Both go through the decoder's own attention.

Shape suffixes: L layers, B texts, N words of the prefix, M words behind it, W words in all, D width, J key heads,
G scores of a word: one, or one a key head.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.eviction.budget import Budget
from atis_jax.eviction.loss import next_word_loss
from atis_jax.eviction.policy import Policy
from atis_jax.eviction.seen import Seen, show
from atis_jax.models.cache import Cache, empty_cache
from atis_jax.models.decoder import Decoder
from atis_jax.models.forward import SOFTMAX
from atis_jax.models.kernels import Kernel
from atis_jax.typing import Key, PyTree


@partial(jax.jit, static_argnames=("model", "kernel"))
def compress(
    model: Decoder,
    params: PyTree,
    seen: Seen,
    keep: Bool[Array, "L B #J N"],
    token: Int[Array, "B M"],
    label: Int[Array, "B M"],
    kernel: Kernel = SOFTMAX,
) -> Float[Array, "B"]:
    """Mean loss of what words behind a prefix say, of which only a part is kept, nats a word.

    Args:
        model: the network.
        params: its parameters.
        seen: the prefix, as read in full.
        keep: cache entries that stay.
        token: words behind the prefix.
        label: the word behind each.
        kernel: how attention is computed.
    """
    batch, words = token.shape
    position = jnp.broadcast_to(seen.words + jnp.arange(words), (batch, words))
    stream = model.words(params, token, position, jnp.zeros((1, words), bool))

    def layer(stream, here):
        block, turned, values, keep = here
        cache = filled(turned, values, words).evict(with_room(keep, seen.heads, words))
        stream, _ = model.attend(block, stream, kernel, cache=model.remember(block, stream, cache))
        return model.feed(block, stream), None

    stream, _ = jax.lax.scan(layer, stream, (model.blocks(params), seen.turned, seen.values, keep))
    return next_word_loss(model, params, stream.x, label)


def filled(turned: Float[Array, "B J N K"], values: Float[Array, "B J N K"], room: int) -> Cache:
    """One layer's cache with a prefix in its first slots and ``room`` free ones behind."""
    batch, heads, words, width = turned.shape
    free = empty_cache(batch, heads, room, width, turned.dtype)
    place = jnp.broadcast_to(jnp.arange(words, dtype=jnp.int32), (batch, heads, words))
    prefix = Cache(turned, values, place, jnp.ones(place.shape, bool), free.lost)
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=2) if a.ndim > 2 else b, prefix, free)
    return joined


def with_room(keep: Bool[Array, "B #J N"], heads: int, room: int) -> Bool[Array, "B J C"]:
    """Which slots of ``filled`` stay."""
    batch, _, words = keep.shape
    return jnp.pad(jnp.broadcast_to(keep, (batch, heads, words)), ((0, 0), (0, 0), (0, room)))


@partial(jax.jit, static_argnames=("model", "policy", "budget", "prefix", "kernel"))
def refuse(
    model: Decoder,
    params: PyTree,
    token: Int[Array, "B W"],
    label: Int[Array, "B W"],
    policy: Policy,
    learned: PyTree,
    threshold: Float[Array, "L #G"],
    key: Key,
    *,
    budget: Budget,
    prefix: int,
    kernel: Kernel = SOFTMAX,
) -> tuple[Float[Array, "B"], Bool[Array, "L B G N"]]:
    """Mean loss of what the words behind a prefix say, whose refused words nobody sees but themselves, nats a word.

    A word is judged in front of each layer's keys and values, by what the layers below made of it under the same rule.

    Args:
        model: the network.
        params: its parameters.
        token: the words.
        label: the word behind each.
        policy: a static one.
        learned: what it learned, leaves (L, ...).
        threshold: score that must be exceeded.
        key: for what the policy draws.
        budget: whose protected words are never refused; its share is the threshold's matter.
        prefix: N, words that may be refused; all, and the loss is of the whole text.
        kernel: how attention is computed.

    Returns:
        Losses, and which of the prefix's words were written.

    Raises:
        ValueError: the policy is not static.
    """
    if not policy.static:
        raise ValueError(f"{policy} scores a word by others; only static policies can refuse it before it is written")
    stream = model.embed(params, {"token": token})
    behind = token.shape[1] - prefix

    def layer(stream, here):
        block, learned, threshold, key = here
        seen = show(model, block, stream, token, prefix)
        score = policy.score(learned, seen, None, key)
        keep = budget.protected(prefix) | (score > threshold[None, :, None])
        written = jnp.pad(keep, ((0, 0), (0, 0), (0, behind)), constant_values=True)
        gate = jnp.moveaxis(written, 1, 2).astype(stream.x.dtype)
        attended, _ = model.attend(block, dataclasses.replace(stream, gate=gate), kernel)
        return model.feed(block, dataclasses.replace(attended, gate=None)), keep

    layers = model.blocks(params), learned, threshold, jax.random.split(key, model.depth)
    stream, keep = jax.lax.scan(layer, stream, layers)
    begin = prefix if behind else 0
    return next_word_loss(model, params, stream.x[:, begin:], label[:, begin:]), keep
