"""What a text loses when a decoder's cache keeps a part of its prefix.

``compress``: the prefix is read in full, then all but the kept entries are evicted, and the words behind are read
against what is left. ``refuse``: a word that a gate refuses is seen by nobody but itself, already while the prefix is
read. Positions are the true ones, whatever was evicted. Both go through the decoder's own attention.

Shape suffixes: L layers, B texts, N words of the prefix, M words behind it, W words in all, D width, J key heads,
G scores of a word: one, or one a key head.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.eviction.budget import Budget, thresholds
from atis_jax.eviction.loss import next_word_loss
from atis_jax.eviction.policy import Policy
from atis_jax.eviction.seen import Seen, show
from atis_jax.models.cache import Cache, empty_cache
from atis_jax.models.decoder import Decoder
from atis_jax.models.kernels import Kernel
from atis_jax.models.passes import SOFTMAX
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
    room = token.shape[1]

    def cache(turned, values, keep):
        return filled(turned, values, room).evict(with_room(keep, seen.heads, room))

    return next_word_loss(model, params, read_on(model, params, seen, token, cache, keep, kernel), label)


def read_on(
    model: Decoder,
    params: PyTree,
    seen: Seen,
    token: Int[Array, "B M"],
    cache: Callable[[Array, Array, Any], Cache],
    given: Any,
    kernel: Kernel = SOFTMAX,
) -> Float[Array, "B M D"]:
    """Words behind a prefix as they leave the last block.

    Args:
        model: the network.
        params: its parameters.
        seen: the prefix, as read in full.
        token: words behind the prefix.
        cache: (turned keys, values, a layer's leaves of ``given``) -> what is there of the prefix, and room for them.
        given: leaves (L, ...).
        kernel: how attention is computed.
    """
    batch, words = token.shape
    position = jnp.broadcast_to(seen.words + jnp.arange(words), (batch, words))
    stream = model.words(params, token, position, jnp.zeros((1, words), bool))

    def layer(stream, here):
        block, turned, values, given = here
        remembered = model.remember(block, stream, cache(turned, values, given))
        stream, _ = model.attend(block, stream, kernel, cache=remembered)
        return model.feed(block, stream), None

    stream, _ = jax.lax.scan(layer, stream, (model.blocks(params), seen.turned, seen.values, given))
    return stream.x


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


@partial(jax.jit, static_argnames=("model", "policy", "budget", "prefix", "local", "kernel"))
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
    local: int = 1,
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
        local: words that see a refused one all the same: itself, and those right behind it.
        kernel: how attention is computed.

    Returns:
        Losses, and which of the prefix's words were written.

    Raises:
        ValueError: the policy is not static.
    """

    def same(_, given):
        return given

    given = policy, learned, key, budget, prefix, local, kernel
    x, (keep, _) = _refused(model, params, token, *given, same, threshold)
    begin = prefix if prefix < token.shape[1] else 0
    return next_word_loss(model, params, x[:, begin:], label[:, begin:]), keep


@partial(jax.jit, static_argnames=("model", "policy", "budget", "prefix", "each", "local", "kernel"))
def holding(
    model: Decoder,
    params: PyTree,
    token: Int[Array, "B W"],
    policy: Policy,
    learned: PyTree,
    key: Key,
    *,
    budget: Budget,
    prefix: int,
    each: bool = True,
    local: int = 1,
    kernel: Kernel = SOFTMAX,
) -> Float[Array, "L #G"]:
    """The thresholds with which ``refuse`` keeps the budget's share of these texts, layer after layer.

    Not those of scores in the undisturbed network: what a layer sees depends on what the layers below refused.

    Args:
        model: the network.
        params: its parameters.
        token: texts to set them on.
        policy: a static one.
        learned: what it learned, leaves (L, ...).
        key: for what the policy draws.
        budget: what is to stay; protected words do not count.
        prefix: N, words that may be refused.
        each: a threshold for every score of a word; else one a layer for all.
        local: as of ``refuse``.
        kernel: how attention is computed.

    Raises:
        ValueError: the policy is not static.
    """

    def found(score, _):
        return thresholds(score[None], budget, each)[0]

    nothing = jnp.zeros(model.depth)
    given = policy, learned, key, budget, prefix, local, kernel
    _, (_, threshold) = _refused(model, params, token, *given, found, nothing)
    return threshold


def _refused(model, params, token, policy, learned, key, budget, prefix, local, kernel, threshold_of, given):
    """Words as they leave the last block, and of every layer what was kept and the threshold that was met.

    ``threshold_of(score, given)`` is a layer's threshold, from its scores and its leaf of ``given``.
    """
    if not policy.static:
        raise ValueError(f"{policy} scores a word by others; only static policies can refuse it before it is written")
    stream = model.embed(params, {"token": token})
    behind = token.shape[1] - prefix

    def layer(stream, here):
        block, learned, given, key = here
        score = policy.score(learned, show(model, block, stream, token, prefix), None, key)
        threshold = threshold_of(score, given)
        keep = budget.protected(prefix) | (score > threshold[None, :, None])
        written = jnp.pad(keep, ((0, 0), (0, 0), (0, behind)), constant_values=True)
        gate = jnp.moveaxis(written, 1, 2).astype(stream.x.dtype)
        attended, _ = model.attend(block, dataclasses.replace(stream, gate=gate, local=local), kernel)
        return model.feed(block, dataclasses.replace(attended, gate=None, local=1)), (keep, threshold)

    layers = model.blocks(params), learned, given, jax.random.split(key, model.depth)
    stream, told = jax.lax.scan(layer, stream, layers)
    return stream.x, told
