"""Shapes the ledger counts operations from, and the counts of a transformer layer."""

from __future__ import annotations

import dataclasses

from jaxtyping import Array, Float

from atis_jax.numerics import pytree, static
from atis_jax.validation import SettingError, check_choice

PROJECTIONS = ("learned", "gaussian", "sparse_sign", "selection")
ARRANGEMENTS = ("consensus", "grouped", "multiplexed")


@pytree
class NetworkShape:
    """Shape of the transformer, all static.

    Attributes:
        tokens: patch tokens of one image, without the protected ones.
        width: d, the embedding dimension.
        depth: L, transformer layers.
        heads: attention heads; the count of multiply-accumulates does not depend on it.
        mlp_width: m, hidden width of the MLP.
        classes: outputs of the head, which reads one token.
        stem_macs: multiply-accumulates of the patch embedding of one image.
        protected: tokens that are never pruned (CLS).

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

    def __post_init__(self):
        _check_counts(self, "network", zero_allowed=("stem_macs", "protected"))


@pytree
class ScorerShape:
    """Shape of the scorer, all static.

    Attributes:
        inputs: N, inputs of the array after projection.
        prototypes: G, scores per token.
        dac_bits: bits of each DAC.
        projection: one of ``PROJECTIONS``.
        arrangement: one of ``ARRANGEMENTS``: G arrays side by side, or one that takes G turns (multiplexed).
        layers: (L,) which layers have a scorer.
        differential: two half arrays of opposite weights a score, each with its own TIA, behind one set of DACs
            and in front of one comparator (paper 5.3).

    Raises:
        SettingError: for a count below 1 or a name that does not exist.
    """

    inputs: int = static()
    prototypes: int = static()
    dac_bits: int = static()
    projection: str = static()
    arrangement: str = static()
    layers: tuple[bool, ...] = static()
    differential: bool = static(default=False)

    def __post_init__(self):
        _check_counts(self, "scorer")
        check_choice(self.projection, PROJECTIONS, "scorer.projection")
        check_choice(self.arrangement, ARRANGEMENTS, "scorer.arrangement")
        if not isinstance(self.layers, tuple) or not all(isinstance(flag, bool) for flag in self.layers):
            raise SettingError(f"scorer.layers = {self.layers!r}; give a tuple with True or False for each layer")

    @property
    def arrays(self) -> int:
        """Array rows with a TIA that a token passes: G, or 2 G for differential scores."""
        return self.prototypes * (2 if self.differential else 1)


def attention_macs(network: NetworkShape, tokens: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """4 d^2 n + 2 n^2 d: Q, K, V and output maps, then Q K^T and the weighted sum of values.

    Args:
        network: shape; gives d.
        tokens: n that attend to each other, protected ones included.
    """
    d = float(network.width)
    return 4.0 * d * d * tokens + 2.0 * d * tokens * tokens


def mlp_macs(network: NetworkShape, tokens: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """2 d m n: up to the hidden width m and back, for n tokens."""
    return 2.0 * network.width * network.mlp_width * tokens


def token_latency_s(scorer: ScorerShape, token_time_s: Float[Array, ""] | float) -> Float[Array, ""] | float:
    """Seconds from inputs to the last decision on a token: G turns for a multiplexed array, else one."""
    return token_time_s * (scorer.prototypes if scorer.arrangement == "multiplexed" else 1)


def _check_counts(shape, path: str, zero_allowed: tuple[str, ...] = ()) -> None:
    """Every field annotated ``int`` is a whole number of at least 1, or 0 where that makes sense."""
    for field in dataclasses.fields(shape):
        if field.type not in (int, "int"):
            continue
        value, low = getattr(shape, field.name), 0 if field.name in zero_allowed else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise SettingError(f"{path}.{field.name} = {value!r}; give a whole number of at least {low}")
