"""Eviction while a text is read, word by word: what is remembered of every cache entry, and what leaves.

Shape suffixes: B texts, J key heads, H query heads, C slots, T query rows, G scores of a word: one, or one a key head.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from atis_jax.eviction.policy import Policy
from atis_jax.eviction.seen import show
from atis_jax.models.decoder import Decoder
from atis_jax.models.passes import SOFTMAX
from atis_jax.pruning.stream import Attended
from atis_jax.typing import Key, PyTree
from atis_jax.validation import check_settings, setting


def accumulate(
    score: Float[Array, "*s C"], attention: Float[Array, "*s T C"], forgetting: float
) -> Float[Array, "*s C"]:
    """f^T score + sum over rows q of f^(T - 1 - q) attention: what each entry received, older rows forgotten.

    1 is H2O's sum; A2SF's factor is below.
    """
    rows = attention.shape[-2]
    weight = jnp.asarray(forgetting, attention.dtype) ** jnp.arange(rows - 1, -1, -1)
    return score * jnp.asarray(forgetting, score.dtype) ** rows + jnp.einsum("t,...tc->...c", weight, attention)


def survivors(
    score: Float[Array, "*s C"],
    position: Int[Array, "*s C"],
    written: Bool[Array, "*s C"],
    heavy: int,
    recent: int,
    sinks: int = 0,
) -> Bool[Array, "*s C"]:
    """Entries that stay: the last ``recent`` written, the first ``sinks`` words, and the best ``heavy`` of the others.

    Args:
        score: of every entry.
        position: of its word in the text.
        written: entries that hold a word.
        heavy: how many stay for their score; of equal ones the earlier slot.
        recent: how many stay for being late.
        sinks: how many stay for being early.
    """
    newest = jnp.max(jnp.where(written, position, -1), axis=-1, keepdims=True)
    protected = written & ((position > newest - recent) | (position < sinks))
    order = jnp.argsort(jnp.where(written & ~protected, -score, jnp.inf), axis=-1, stable=True)
    rank = jnp.argsort(order, axis=-1, stable=True)
    return written & (protected | (rank < heavy))


@dataclasses.dataclass(frozen=True)
class HeavyHitters:
    """``models.decode.Eviction`` of H2O, or of A2SF where it forgets; ``memory`` is each entry's score (L, B, J, C).

    Every step reads the weights of all heads. Entries that left lose their score for good.

    Attributes:
        heavy: entries that stay for their score.
        recent: entries that stay for being late.
        sinks: entries that stay for being early.
        forgetting: factor of what was received with each further word; 1 is H2O.
    """

    heavy: int = setting(32, low=0, high=1_000_000, doc="entries that stay for their score")
    recent: int = setting(32, low=0, high=1_000_000, doc="entries that stay for being late")
    sinks: int = setting(0, low=0, high=1_000_000, doc="entries that stay for being early")
    forgetting: float = setting(1.0, low=0.0, high=1.0, doc="factor of what was received with each further word")

    def __post_init__(self):
        check_settings(self, "eviction")

    @property
    def needs(self) -> tuple[str, ...]:
        """See ``Eviction``."""
        return ("full",)

    @property
    def slots(self) -> int:
        """C, of the smallest cache that serves: one more than stays."""
        return self.heavy + self.recent + self.sinks + 1

    def memory(self, model: Decoder, examples: int) -> Float[Array, "L B J C"]:
        """Before the first word."""
        return jnp.zeros((model.depth, examples, model.heads, self.slots))

    def __call__(self, memory, model, block, stream, cache, attended):
        """See ``Eviction``."""
        batch, heads, slots = cache.written.shape
        rows = attended.full.shape[2]
        grouped = jnp.sum(attended.full.reshape(batch, heads, -1, rows, slots), axis=2)
        score = accumulate(memory, grouped, self.forgetting)
        keep = survivors(score, cache.position, cache.written, self.heavy, self.recent, self.sinks)
        return cache.evict(keep), jnp.where(keep, score, 0.0)


@dataclasses.dataclass(frozen=True)
class Gate:
    """``models.decode.Eviction`` of a static policy: a refused word leaves with its own step, in which it saw itself.

    A word's slot is scratch until its step ends, so a cache of M entries needs one more. ``memory`` is what the policy
    learned, thresholds (L, #G) and keys (L,).

    Attributes:
        policy: a static one.
        sinks: first words, never refused.
    """

    policy: Policy
    sinks: int = 0

    def __post_init__(self):
        if not self.policy.static or self.policy.site not in ("hidden", "keys"):
            raise ValueError(f"{self.policy} does not score a word by its hidden state or its keys alone")

    @property
    def needs(self) -> tuple[str, ...]:
        """See ``Eviction``."""
        return ()

    def memory(
        self, model: Decoder, learned: PyTree, threshold: Float[Array, "L #G"], key: Key
    ) -> tuple[PyTree, Float[Array, "L #G"], Key]:
        """What the step goes by."""
        return learned, threshold, jax.random.split(key, model.depth)

    def __call__(self, memory, model, block, stream, cache, attended):
        """See ``Eviction``."""
        learned, threshold, key = memory
        words = stream.position.shape[1]
        seen = show(model, block, stream, jnp.zeros(stream.x.shape[:2], jnp.int32), words)
        score = self.policy.score(learned, seen, None, key)
        keep = (score > threshold[None, :, None]) | (stream.position[:, None] < self.sinks)
        refused = (cache.position[..., None] == stream.position[:, None, None]) & ~keep[:, :, None]
        return cache.evict(~jnp.any(refused, axis=-1)), memory


def streamed(
    logits: Float[Array, "*s H T T"],
    heavy: int,
    recent: int,
    sinks: int = 0,
    forgetting: float = 1.0,
    renormalised: bool = True,
    shared: int = 1,
) -> tuple[Bool[Array, "*s J T T"], Float[Array, "*s J T"]]:
    """Which keys each query of a known text sees while it is read word by word and entries leave.

    The same as a cache that is written and evicted: after a row, all but ``survivors`` of what it saw are gone.

    Args:
        logits: of every pair; keys behind a query do not matter.
        heavy: entries that stay for their score.
        recent: entries that stay for being late.
        sinks: entries that stay for being early.
        forgetting: factor of what was received with each further row.
        renormalised: weights are of the softmax over what is left, as a real cache has them; else over all that came
            before, as H2O's simulation has them.
        shared: query heads of each key head, whose entries they share; H = shared J.

    Returns:
        Visible keys of each query, and the scores behind the last, infinite for what left.
    """
    words = logits.shape[-1]
    place = jnp.arange(words)
    grouped = logits.reshape(*logits.shape[:-3], -1, shared, words, words)

    def row(carry, here):
        score, alive = carry
        number, logits = here
        before = place <= number
        visible = alive & before
        weighed = visible[..., None, :] if renormalised else before
        weights = jax.nn.softmax(jnp.where(weighed, logits, -jnp.inf), axis=-1)
        received = jnp.sum(weights, axis=-2, keepdims=True) * visible[..., None, :]
        score = accumulate(score, received, forgetting)
        keep = survivors(score, jnp.broadcast_to(place, score.shape), visible, heavy, recent, sinks)
        alive = keep | (alive & ~before)
        return (jnp.where(alive, score, 0.0), alive), visible

    shape = grouped.shape[:-3] + (words,)
    start = jnp.zeros(shape, logits.dtype), jnp.ones(shape, bool)
    (score, alive), visible = jax.lax.scan(row, start, (place, jnp.moveaxis(grouped, -2, 0)))
    return jnp.moveaxis(visible, 0, -2), jnp.where(alive, score, jnp.inf)


@dataclasses.dataclass(frozen=True)
class Streamed:
    """``models.kernels.Kernel`` of a known text under ``HeavyHitters``: what the cache would show, without a loop.

    Attributes:
        eviction: what leaves, and when.
        shared: query heads of each key head.
        rows_apart: False: what a row sees depends on the rows before it.
    """

    eviction: HeavyHitters
    shared: int = 1
    rows_apart: ClassVar[bool] = False

    def __call__(self, q, k, v, visible, gate, *, rows=None, needs=()) -> tuple[Float[Array, "B H N K"], Attended]:
        """See ``Kernel``."""
        of = self.eviction
        logits = jnp.einsum("bhnk,bhmk->bhnm", q, k)
        seen, _ = streamed(logits, of.heavy, of.recent, of.sinks, of.forgetting, shared=self.shared)
        seen = jnp.repeat(seen, self.shared, axis=1)
        return SOFTMAX(q, k, v, seen if visible is None else seen & visible, gate, rows=rows, needs=needs)
