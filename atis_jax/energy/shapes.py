"""Shapes and counts the ledger works on: the network, the scorer, the tokens, the memories."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax.numerics import pytree, static
from atis_jax.typing import Real
from atis_jax.validation import SettingError, check_choice, choose

PROJECTIONS = ("learned", "gaussian", "sparse_sign", "selection")
IN_TURNS = {"consensus": False, "grouped": False, "multiplexed": True}
"""Whether one array takes turns for the prototypes of an arrangement; else each has its own."""
ARRANGEMENTS = tuple(IN_TURNS)
FORMATS = ("int4", "int8", "fp16")
MEMORIES = ("none", "sram_32k", "sram_1m", "dram")
OF_PIXELS = {"tokens": False, "pixels": True}
"""Whether a scorer looks at raw pixels in front of the network; else at a layer's normalised tokens."""
SOURCES = tuple(OF_PIXELS)
READS_ONCE = {"every_layer": False, "first_layer": True}
"""Whether one read serves every scored layer, each with a threshold of its own; else each reads for itself."""
READS = tuple(READS_ONCE)


@pytree
class NetworkShape:
    """Shape of the transformer, all static.

    Attributes:
        tokens: patch tokens (or words) of one example, without the protected ones.
        width: d, the embedding dimension.
        depth: L, transformer layers.
        heads: attention heads; the count of multiply-accumulates does not depend on it.
        mlp_width: m, hidden width of the MLP.
        classes: outputs of the head.
        stem_macs: multiply-accumulates of the patch embedding of one example.
        protected: tokens that are never pruned (CLS).
        head_tokens: tokens the head reads: 1 for a classifier, every token for a language model in training or
            scoring.
        pixel_values: numbers a camera converts for one patch; 0 where the signal does not come from a camera.
        sent_bytes: bytes of the result that are sent over the air, 0 where it stays.
        key_width: numbers of a token's keys, all heads together; fewer than d where query heads share them, 0: d.
        mlp_maps: matrices of the MLP: up and down, or those and a gate.
        post_norm: whether norms stand behind attention and MLP, so that what a scorer normalises it normalises for
            itself alone; else attention needs the same normalised token.
        attention: the circuit that computes attention (``energy.attention.costs.AttentionCircuit``); None: exact.

    Raises:
        SettingError: for a count below its bound.
    """

    tokens: int = static()
    width: int = static()
    depth: int = static()
    heads: int = static()
    mlp_width: int = static()
    classes: int = static()
    stem_macs: int = static()
    protected: int = static(default=1)
    head_tokens: int = static(default=1)
    pixel_values: int = static(default=0)
    sent_bytes: int = static(default=0)
    key_width: int = static(default=0)
    mlp_maps: int = static(default=2)
    post_norm: bool = static(default=False)
    attention: Any = static(default=None)

    def __post_init__(self):
        zero_allowed = ("stem_macs", "protected", "pixel_values", "sent_bytes", "classes", "key_width")
        _check_counts(self, "network", zero_allowed=zero_allowed)

    @property
    def keys(self) -> int:
        """Numbers of a token's keys, and of its values."""
        return self.key_width or self.width

    @property
    def attention_weights(self) -> int:
        """Weights of a layer's Q, K, V and output maps: 2 d^2 + 2 d k, k numbers of a token's keys."""
        return 2 * self.width * (self.width + self.keys)

    @property
    def mlp_weights(self) -> int:
        """Weights of a layer's MLP: 2 d m, 3 d m with a gate."""
        return self.mlp_maps * self.width * self.mlp_width

    @property
    def weights(self) -> int:
        """Weights of all layers' matrices: L (4 d^2 + 2 d m) of a plain one. Embedding and head not counted."""
        return self.depth * (self.attention_weights + self.mlp_weights)


@pytree
class ScorerShape:
    """Shape of the scorer. Array size and bits are leaves, one number or one a layer: they can be trained.

    Attributes:
        inputs: () or (L,) N, inputs of the array after projection.
        prototypes: G, scores per token. Static.
        dac_bits: () or (L,) bits of each DAC.
        projection: one of ``PROJECTIONS``. Static.
        arrangement: one of ``ARRANGEMENTS``: G arrays side by side, or one that takes G turns (multiplexed). Static.
        layers: (L,) which layers have a scorer. Static.
        differential: two half arrays of opposite weights a score, each with its own TIA, behind one set of DACs
            and in front of one comparator (paper 5.3). Static.
        shared: one projection and prototype for all layers, each of which still has its own array. Static.
        source: what is scored: tokens, or the raw pixels of a patch before they are converted. Static.
        format: number format of a projection and of a digital score, one of ``FORMATS``. Static.
        reads: one of ``READS``: an array in every scored layer; or one, in front of the first of them, whose score
            meets the thresholds of all while it stands, the later layers' bits being stored with the token. Static.

    Raises:
        SettingError: for a static number below its bound or a name that does not exist; ``check_scorer`` looks at the
            others.
    """

    inputs: Real
    prototypes: int = static()
    dac_bits: Real
    projection: str = static()
    arrangement: str = static()
    layers: tuple[bool, ...] = static()
    differential: bool = static(default=False)
    shared: bool = static(default=False)
    source: str = static(default="tokens")
    format: str = static(default="int8")
    reads: str = static(default="every_layer")

    def __post_init__(self):
        _check_counts(self, "scorer")
        check_choice(self.reads, READS, "scorer.reads")
        check_choice(self.projection, PROJECTIONS, "scorer.projection")
        check_choice(self.arrangement, ARRANGEMENTS, "scorer.arrangement")
        check_choice(self.source, SOURCES, "scorer.source")
        check_choice(self.format, FORMATS, "scorer.format")
        if not isinstance(self.layers, tuple) or not all(isinstance(flag, bool) for flag in self.layers):
            raise SettingError(f"scorer.layers = {self.layers!r}; give a tuple with True or False for each layer")

    @property
    def arrays(self) -> int:
        """Array rows with a TIA that a token passes: G, or 2 G for differential scores."""
        return self.prototypes * (2 if self.differential else 1)

    @property
    def of_pixels(self) -> bool:
        """Whether raw pixels are scored."""
        return choose(OF_PIXELS, self.source, "scorer.source")

    @property
    def reading(self) -> tuple[bool, ...]:
        """Layers in front of which a token is scored: those with a scorer, or the first of them alone."""
        if not choose(READS_ONCE, self.reads, "scorer.reads"):
            return self.layers
        return tuple(flag and not any(self.layers[:layer]) for layer, flag in enumerate(self.layers))

    @property
    def thresholds(self) -> int:
        """Thresholds that a score meets: 1, or one for each scored layer."""
        return sum(self.layers) if choose(READS_ONCE, self.reads, "scorer.reads") else 1

    @property
    def in_turns(self) -> bool:
        """Whether the prototypes take turns on one array."""
        return choose(IN_TURNS, self.arrangement, "scorer.arrangement")


def check_scorer(scorer: ScorerShape) -> None:
    """Check array size and bits where they are concrete; not done on construction: gradients are of the same class.

    Raises:
        SettingError: names the number, its value and what it must be.
    """
    check_number(scorer.inputs, "scorer.inputs", 0.0, "inputs of the array, above 0", exclusive=True)
    check_number(scorer.dac_bits, "scorer.dac_bits", 1.0, "bits, at least 1")


@pytree
class TokenCounts:
    """Token counts of one example, patch tokens only: protected ones are added where they belong.

    Attributes:
        scored: (L,) tokens the scorer of each layer looks at; ignored where a layer has none.
        kept: (L,) tokens that go through each layer (kept by any prototype); through its attention alone where ``fed``
            is given.
        attended: (L,) tokens each of them attends to; None for those that go through the layer with it. More than
            that where keys come from a cache.
        fed: (L,) tokens that go through each MLP; None for those that go through the attention before it. Fewer where
            they are removed between the two.
    """

    scored: Float[Array, "L"]
    kept: Float[Array, "L"]
    attended: Float[Array, "L"] | None = None
    fed: Float[Array, "L"] | None = None

    @property
    def in_mlp(self) -> Float[Array, "L"]:
        """(L,) tokens that go through each MLP."""
        return self.kept if self.fed is None else self.fed


def check_tokens(tokens: TokenCounts) -> None:
    """Check the counts where they are concrete.

    Raises:
        SettingError: a count that is negative or not finite.
    """
    for name in ("scored", "kept", "attended", "fed"):
        if (value := getattr(tokens, name)) is not None:
            check_number(value, f"tokens.{name}", 0.0, "counts of at least 0")


@pytree
class Memory:
    """Where weights and tokens are read from, all static.

    Attributes:
        weights: memory of the network's weights, one of ``MEMORIES``.
        tokens: memory of the tokens between operations. Where it is charged, a scorer's own weights are too, in the
            smallest memory that holds them.
        cache: memory of keys and values that earlier steps left.
        batch: examples that share one reading of the weights.

    Raises:
        SettingError: for an unknown memory or a batch below 1.
    """

    weights: str = static(default="none")
    tokens: str = static(default="none")
    cache: str = static(default="none")
    batch: int = static(default=1)

    def __post_init__(self):
        for name in ("weights", "tokens", "cache"):
            check_choice(getattr(self, name), MEMORIES, f"memory.{name}")
        _check_counts(self, "memory")


def attention_macs(
    network: NetworkShape, tokens: Float[Array, "*s"], attended: Float[Array, "*s"] | None = None
) -> Float[Array, "*s"]:
    """4 d^2 n + 2 n k d: Q, K, V and output maps, then Q K^T and the weighted sum of values.

    Where query heads share keys the maps are smaller, the two products are not.

    Args:
        network: shape; gives d.
        tokens: n that go through the layer, protected ones included.
        attended: k that each of them attends to; n where not given.
    """
    d = float(network.width)
    keys = tokens if attended is None else attended
    return float(network.attention_weights) * tokens + 2.0 * d * tokens * keys


def mlp_macs(network: NetworkShape, tokens: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """2 d m n: up to the hidden width m and back, for n tokens; 3 d m n with a gate."""
    return float(network.mlp_weights) * tokens


def all_tokens(network: NetworkShape) -> Float[Array, "L"]:
    """(L,) every patch token in every layer."""
    return jnp.full((network.depth,), float(network.tokens))


def per_layer(value, network: NetworkShape, name: str, *, broadcast: bool = False) -> Array:
    """``value`` as one number for each layer.

    Args:
        value: (L,), or () where ``broadcast``.
        network: gives L.
        name: for the message.
        broadcast: whether one number may stand for all layers.

    Raises:
        SettingError: another shape.
    """
    array = jnp.asarray(value, float) if not hasattr(value, "dtype") else value
    if broadcast and array.shape == ():
        array = jnp.broadcast_to(array, (network.depth,))
    if array.shape != (network.depth,):
        raise SettingError(
            f"{name} has shape {array.shape}; give one value for each of the {network.depth} layers, "
            f"shape ({network.depth},); use jax.vmap for more examples"
        )
    return array


def check_number(value, path: str, low: float, words: str, *, exclusive: bool = False) -> None:
    """Raise SettingError unless every number of a concrete ``value`` is finite and at least (or above) ``low``.

    Traced values are not looked at.
    """
    if isinstance(value, jax.core.Tracer):
        return
    try:
        numbers = np.asarray(value, float)
    except (TypeError, ValueError):
        numbers = np.asarray(np.nan)
    if (
        isinstance(value, bool)
        or not np.all(numbers > low if exclusive else numbers >= low)
        or np.any(np.isinf(numbers))
    ):
        raise SettingError(f"{path} = {value!r}; give {words}")


def _check_counts(shape, path: str, zero_allowed: tuple[str, ...] = ()) -> None:
    """Every field annotated ``int`` is a whole number of at least 1, or 0 where that makes sense."""
    for field in dataclasses.fields(shape):
        if field.type not in (int, "int"):
            continue
        value, low = getattr(shape, field.name), 0 if field.name in zero_allowed else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise SettingError(f"{path}.{field.name} = {value!r}; give a whole number of at least {low}")


NO_MEMORY = Memory()
"""Arithmetic alone."""
