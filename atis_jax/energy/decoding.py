"""Joules of one word that a decoder generates, and of reading its prompt, line by line, for ways to keep its cache.

A gate scores a word before its keys and values exist, and a refused word is never written. A policy that looks at keys
or at attention lets it be written, and frees its place afterwards. Everything that is not the cache or the choice goes
through ``ledger``, ``digital_ledger`` and ``dense_ledger``: same formulas, same prices.

Shape suffix: L layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.energy.baselines import dense_ledger, digital_ledger
from atis_jax.energy.components import memory, projection
from atis_jax.energy.deployments import DeploymentSpec, PointSpec, deployment_scorer, front_end, prices
from atis_jax.energy.ledger import Ledger, ledger
from atis_jax.energy.presets import EnergyPreset
from atis_jax.energy.shapes import FORMATS, NetworkShape, ScorerShape, TokenCounts
from atis_jax.numerics import pytree
from atis_jax.typing import Real
from atis_jax.validation import SettingError, check_choice, choose

SCALES = ("converter", "digital")
"""Where an analog input gets its own gain and offset: in its converter's references, programmed once; or a
multiply-accumulate in front of it, with two numbers fetched from memory. A digital score has the gain in its weights
and the offset in its threshold."""
SUM_BYTES = 4
"""Of a running sum: an accumulator of attention, a component of KeyDiff's mean."""
NORM_BYTES = 2
"""Of a key's norm, which KeyDiff stores with it."""


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to keep a decoder's cache.

    Attributes:
        score: how a word is scored before its keys and values exist, one of ``SCORES``.
        by_head: whether there is a score for each key head; else one a layer.
        evicts: what a policy does that chooses among written words, one of ``EVICTIONS``.
    """

    score: str = "none"
    by_head: bool = False
    evicts: str = "nothing"

    def __post_init__(self):
        check_choice(self.score, SCORES, "way.score")
        check_choice(self.evicts, EVICTIONS, "way.evicts")

    @property
    def gates(self) -> bool:
        """Whether a word is refused before it is written."""
        return self.score != "none"

    @property
    def bounded(self) -> bool:
        """Whether the cache is smaller than the context."""
        return self.gates or self.evicts != "nothing"


@dataclasses.dataclass(frozen=True)
class Decoding:
    """A decoder in its place.

    Attributes:
        network: its shape; ``tokens`` plays no part.
        place: prices, memories, batch, format of scores, uses between programmings; its network and kept play no part.
        point: design point of the scorer, digital or analog.
        cache_format: of keys and values, one of ``FORMATS``; None: the network's.
        sees_itself: whether a refused word has keys and values in its own step, on a scratch column that is not
            written (``eviction.stepwise.Gate``); else they are not computed, and it attends to written words alone.
        scales: one of ``SCALES``.
        amplifier: whether an array's row is read by an op-amp; else by a resistor.
        chunk: words of a prompt that are read at a time: each chunk reads the weights, and the cache before it, once.

    Raises:
        SettingError: a name that does not exist, a chunk below one word, protected tokens.
    """

    network: NetworkShape
    place: DeploymentSpec
    point: PointSpec
    cache_format: str | None = None
    sees_itself: bool = True
    scales: str = "converter"
    amplifier: bool = True
    chunk: int = 512

    def __post_init__(self):
        check_choice(self.scales, SCALES, "decoding.scales")
        if self.cache_format is not None:
            check_choice(self.cache_format, FORMATS, "decoding.cache_format")
        if self.chunk < 1:
            raise SettingError(f"decoding.chunk = {self.chunk}; give one word or more")
        if self.network.protected or self.network.keys % self.head_width:
            raise SettingError(
                f"decoding.network has protected = {self.network.protected} and keys of {self.network.keys} numbers "
                f"for heads of {self.head_width}; give a decoder's: protected = 0, and whole key heads"
            )

    @property
    def head_width(self) -> int:
        """Numbers of one head."""
        return self.network.width // self.network.heads

    @property
    def key_heads(self) -> int:
        """Heads of keys and values, each shared by several query heads."""
        return self.network.keys // self.head_width

    def cache_bytes(self, preset: EnergyPreset) -> float:
        """Of a number in the cache."""
        return preset.network_bytes if self.cache_format is None else projection.FORMAT_BYTES[self.cache_format]

    def word_bytes(self, preset: EnergyPreset) -> float:
        """Of one word in the cache, all layers."""
        return self.network.depth * memory.word_numbers(self.network) * self.cache_bytes(preset)


@pytree
class WordLedger:
    """Joules of a generated word or of a prompt.

    Attributes:
        base: lines of ``Ledger``; its cache line is what is read, its scoring lines are the gate's.
        cache_write_j: keys and values written.
        eviction_memory_j: attention weights and running sums that a policy reads and writes.
        eviction_j: its additions, products and comparisons.
    """

    base: Ledger
    cache_write_j: Float[Array, ""]
    eviction_memory_j: Float[Array, ""]
    eviction_j: Float[Array, ""]

    def as_dict(self) -> dict[str, Float[Array, ""]]:
        """All lines in joules; keys are the names without ``_j``."""
        return self.base.as_dict() | {
            "cache_write": self.cache_write_j,
            "eviction_memory": self.eviction_memory_j,
            "eviction": self.eviction_j,
        }

    @property
    def total_j(self) -> Float[Array, ""]:
        """Sum of all lines."""
        return sum(self.as_dict().values(), jnp.zeros(()))

    @property
    def choosing_j(self) -> Float[Array, ""]:
        """What choosing words costs, before they are written or after."""
        return self.base.scoring_j + self.eviction_memory_j + self.eviction_j


@dataclasses.dataclass(frozen=True)
class Words:
    """Words of one step or prompt, all (L,).

    Attributes:
        scored: words that a gate looks at.
        queries: words that go through the layer.
        attended: keys that each of them sees, in the mean.
        projected: words whose keys and values are computed.
        fetched: share of the steps that read the maps of keys and values.
        written: words written to the cache.
        read: words read from it.
        searched: words among which a policy looks for the least.
        summed: running sums that it reads and writes, words of a key head.
    """

    scored: Float[Array, "L"]
    queries: Float[Array, "L"]
    attended: Float[Array, "L"]
    projected: Float[Array, "L"]
    fetched: Float[Array, "L"]
    written: Float[Array, "L"]
    read: Float[Array, "L"]
    searched: Float[Array, "L"]
    summed: Float[Array, "L"]


def word_ledger(
    way: Way, decoding: Decoding, context: Real, share: Real, preset: EnergyPreset | None = None
) -> WordLedger:
    """One generated word.

    Args:
        way: how the cache is kept.
        decoding: network and place.
        context: words before it.
        share: of them that the cache holds, where the way bounds it; of the words that come a gate lets in as many.
        preset: prices, in place of the place's own.
    """
    every = jnp.ones(decoding.network.depth)
    in_cache = share * context if way.bounded else context
    let_in = share if way.gates else 1.0
    own = 1.0 if decoding.sees_itself else let_in
    words = Words(
        scored=every,
        queries=every,
        attended=every * (in_cache + own),
        projected=every * own,
        fetched=every * (1.0 - (1.0 - own) ** decoding.place.batch),
        written=every * let_in,
        read=every * in_cache,
        searched=every * (in_cache + 1.0),
        summed=every * (in_cache + 1.0),
    )
    return _ledger(way, decoding, words, prices(decoding.place, decoding.point) if preset is None else preset, 1.0)


def prompt_ledger(
    way: Way, decoding: Decoding, context: Real, share: Real, drop: bool = False, preset: EnergyPreset | None = None
) -> WordLedger:
    """Reading a prompt of ``context`` words and saying the first one behind it.

    A gate refuses words as keys. A policy reads and writes everything and evicts once, behind the prompt. Causal:
    each word sees those before it and itself.

    Args:
        way: how the cache is kept.
        decoding: network and place.
        context: words of the prompt.
        share: of them that the cache holds.
        drop: whether a refused word leaves the network with that layer, for all deeper ones. The share of words that
            are left falls evenly in its logarithm, to ``share`` behind the last layer.
        preset: prices, in place of the place's own.

    Raises:
        SettingError: a way that refuses nothing cannot drop anything.
    """
    if drop and not way.gates:
        raise SettingError(f"drop = True with {way}, which refuses no word; set drop = False")
    depth = decoding.network.depth
    every, chunks = jnp.ones(depth), jnp.maximum(context / decoding.chunk, 1.0)
    let_in, own = every * (share if way.gates else 1.0), every
    scored, queries = every * context, every * context
    if drop:
        let_in = jnp.asarray(share) ** (jnp.arange(1.0, depth + 1.0) / depth)
        queries = let_in * context
        scored = jnp.concatenate([scored[:1], queries[:-1]])
        attended = (queries + 1.0) / 2.0
    else:
        own = every if decoding.sees_itself else let_in
        attended = let_in * (context - 1.0) / 2.0 + own
    written = let_in * context
    words = Words(
        scored=scored,
        queries=queries,
        attended=attended,
        projected=written if drop else own * context,
        fetched=every,
        written=written,
        read=written * (chunks - 1.0) / 2.0,
        searched=every * context,
        summed=every * context * (chunks + 1.0) / 2.0,
    )
    return _ledger(way, decoding, words, prices(decoding.place, decoding.point) if preset is None else preset, chunks)


def _ledger(way: Way, decoding: Decoding, words: Words, preset: EnergyPreset, passes: Real) -> WordLedger:
    """Lines of so many words, for which the weights are read ``passes`` times."""
    network, place = decoding.network, decoding.place
    tokens = TokenCounts(words.scored, words.queries, attended=words.attended)
    base = choose(_SCORED, way.score, "way.score")(way, decoding, tokens, preset)
    cached = memory.cached_words_j(preset, network, place.memory(), decoding.cache_bytes(preset))
    map_numbers = float(network.width * memory.word_numbers(network))
    map_read_j = map_numbers * preset.network_bytes * memory.byte_j(preset, place.weights) / place.batch
    of_policy = choose(_EVICTED, way.evicts, "way.evicts")(decoding, words, preset)
    base = dataclasses.replace(
        base,
        attention_j=base.attention_j - preset.network_mac_j * map_numbers * jnp.sum(words.queries - words.projected),
        weights_j=base.weights_j * passes - map_read_j * passes * jnp.sum(1.0 - words.fetched),
        cache_j=cached * jnp.sum(words.read),
    )
    return WordLedger(base, cached * jnp.sum(words.written), *of_policy)


def scorer_of(way: Way, decoding: Decoding) -> ScorerShape:
    """The gate's shape: the design point's inputs of the normalised word, or all of it; a score, or one a key head."""
    scorer = deployment_scorer(decoding.place, decoding.point, decoding.network)
    if way.score == "linear":
        scorer = dataclasses.replace(scorer, inputs=float(decoding.network.width), projection="selection")
    if way.by_head:
        scorer = dataclasses.replace(scorer, prototypes=decoding.key_heads, arrangement="grouped")
    return scorer


def _unscored(way: Way, decoding: Decoding, tokens: TokenCounts, preset: EnergyPreset) -> Ledger:
    return dense_ledger(preset, decoding.network, decoding.place.memory(), tokens)


def _in_digital(way: Way, decoding: Decoding, tokens: TokenCounts, preset: EnergyPreset) -> Ledger:
    return digital_ledger(preset, decoding.network, scorer_of(way, decoding), tokens, decoding.place.memory())


def _analog(way: Way, decoding: Decoding, tokens: TokenCounts, preset: EnergyPreset) -> Ledger:
    network, place, scorer = decoding.network, decoding.place, scorer_of(way, decoding)
    analog = front_end(place, decoding.point, scorer, network.depth)
    analog = dataclasses.replace(analog, amplifier=decoding.amplifier)
    found = ledger(preset, network, scorer, tokens, analog, place.memory())
    if decoding.scales == "converter":
        return found
    scale_bytes = 2.0 * scorer.inputs * projection.FORMAT_BYTES[scorer.format] * network.depth
    fetched_j = scale_bytes * memory.scorer_byte_j(preset, place.memory(), jnp.asarray(scale_bytes)) / place.batch
    scaled_j = scorer.inputs * projection.mac_j(preset, scorer) * jnp.sum(tokens.scored)
    return dataclasses.replace(
        found,
        scorer_memory_j=found.scorer_memory_j + fetched_j,
        projection_j=found.projection_j + scaled_j,
    )


_SCORED: dict[str, Callable[[Way, Decoding, TokenCounts, EnergyPreset], Ledger]] = {
    "none": _unscored,
    "linear": _in_digital,
    "digital": _in_digital,
    "analog": _analog,
}
SCORES = tuple(_SCORED)
"""Not at all; by a product with the whole word; with the design point's inputs; the same by the array."""

_Spent = tuple[Float[Array, ""], Float[Array, ""]]


def _nothing(decoding: Decoding, words: Words, preset: EnergyPreset) -> _Spent:
    return jnp.zeros(()), jnp.zeros(())


def _attention_sums(decoding: Decoding, words: Words, preset: EnergyPreset) -> _Spent:
    """H2O: every query head's weights, out of the attention and in again; added to sums that lie beside the keys.

    A weight is known once its row is, so the row waits in the tokens' memory. Query heads that share keys share sums.
    """
    memory_of, heads = decoding.place.memory(), decoding.key_heads
    weights = decoding.network.heads * jnp.sum(words.queries * words.attended)
    rows_j = 2.0 * weights * preset.network_bytes * memory.byte_j(preset, memory_of.tokens)
    sums_j = 2.0 * SUM_BYTES * heads * jnp.sum(words.summed) * memory.byte_j(preset, memory_of.cache)
    return rows_j + sums_j, weights * preset.score_add_j + heads * jnp.sum(words.searched) * preset.compare_j


def _unlike_mean(decoding: Decoding, words: Words, preset: EnergyPreset) -> _Spent:
    """KeyDiff: each key's product with the sum of all keys over their norms, while attention has it at hand.

    A new key is squared, added up, divided and added to the sum, from which one that leaves is taken. Norms lie beside
    the keys, and so does the sum. A sum's own norm is the same for all and changes no order.
    """
    memory_of, heads = decoding.place.memory(), decoding.key_heads
    fresh, compared = jnp.sum(words.projected), jnp.sum(words.searched)
    beside_j = memory.byte_j(preset, memory_of.cache)
    moved = 2.0 * SUM_BYTES * decoding.network.keys * decoding.network.depth + NORM_BYTES * heads * (fresh + compared)
    of_new_j = decoding.network.keys * (2.0 * preset.normalise_multiply_j + 3.0 * preset.normalise_add_j)
    product_j = projection.mac_of_format_j(preset, decoding.place.score_format)
    each_j = (decoding.network.keys + heads) * product_j + heads * preset.compare_j
    return moved * beside_j, fresh * of_new_j + compared * each_j


_EVICTED: dict[str, Callable[[Decoding, Words, EnergyPreset], _Spent]] = {
    "nothing": _nothing,
    "oldest": _nothing,
    "least_attended": _attention_sums,
    "most_alike": _unlike_mean,
}
EVICTIONS = tuple(_EVICTED)
"""No word; the oldest but the first ones; what received least attention; keys most like the mean key."""

WAYS: dict[str, Way] = {
    "dense": Way(),
    "streaming": Way(evicts="oldest"),
    "keydiff": Way(evicts="most_alike"),
    "h2o": Way(evicts="least_attended"),
    "linear": Way("linear"),
    "twin": Way("digital"),
    "atis": Way("analog"),
    "linear_heads": Way("linear", by_head=True),
    "twin_heads": Way("digital", by_head=True),
    "atis_heads": Way("analog", by_head=True),
}
"""By name: no eviction; StreamingLLM; KeyDiff; H2O; KVzap's linear form of the whole word; ATIS in digital; ATIS."""


def way_of(name: str) -> Way:
    """The way called ``name``.

    Raises:
        SettingError: for an unknown name; lists those there are.
    """
    return choose(WAYS, name, "way")
