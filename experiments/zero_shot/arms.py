"""What chooses the tokens of a network that is trained no further: methods that start from a few examples, or nothing.

Methods that only training teaches what to score (DynamicViT, DTEM, LTP's thresholds) are not among them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.method import Method
from atis_jax.scoring.rivals.attention import AttentionReceived, AttentionSpec
from atis_jax.scoring.rivals.evit import Evit, EvitSpec
from atis_jax.scoring.rivals.linear import Linear, LinearSpec
from atis_jax.scoring.rivals.norm import Norm, NormSpec
from atis_jax.scoring.rivals.position import Position, PositionSpec
from atis_jax.scoring.rivals.random import Random, RandomSpec
from atis_jax.scoring.rivals.spatten import Spatten, SpattenSpec
from atis_jax.scoring.rivals.tome import Tome, TomeSpec
from atis_jax.scoring.rivals.zerotprune import ZeroTPrune, ZeroTPruneSpec
from experiments.thresholds import cuts_v, fitted

FITTED = "received"
"""Part of the attention that prototypes start from."""
ROUNDS = 3
"""Passes over the examples: a layer's scores move with what the layers in front of it prune, and less each time."""


class Sizes(Protocol):
    """How many inputs the arrays have."""

    @property
    def inputs(self) -> int:
        """Of the design with a matrix in front."""
        ...

    @property
    def selection_inputs(self) -> int:
        """Of the design that selects dimensions."""
        ...


class Arm(NamedTuple):
    """A way to choose tokens.

    Attributes:
        words: what a reader calls it.
        method: its class.
        spec: its section, by the sizes of the arrays.
        scores: whether it has a score to compare with attention.
        sampled: whether it is on sampled chips; an analog score is else on the one without errors.
        imitates: arm whose score on the training examples a prototype is fitted to, in the place of attention.
    """

    words: str
    method: type[Method]
    spec: Callable[[Sizes], Any]
    scores: bool = True
    sampled: bool = False
    imitates: str | None = None


ARMS = {
    "analog": Arm("ATIS, attention received", Analog, lambda sizes: ScorerSpec(inputs=sizes.inputs, start=FITTED)),
    "chips": Arm(
        "ATIS, mean of chips",
        Analog,
        lambda sizes: ScorerSpec(inputs=sizes.inputs, start=FITTED),
        scores=False,
        sampled=True,
    ),
    "onward": Arm(
        "ATIS, attention to come", Analog, lambda sizes: ScorerSpec(inputs=sizes.inputs, start="received_onward")
    ),
    "cls": Arm("ATIS, attention from CLS", Analog, lambda sizes: ScorerSpec(inputs=sizes.inputs, start="cls_row")),
    "cls_onward": Arm(
        "ATIS, from CLS, to come", Analog, lambda sizes: ScorerSpec(inputs=sizes.inputs, start="cls_row_onward")
    ),
    "votes": Arm(
        "ATIS, Zero-TPrune's votes",
        Analog,
        lambda sizes: ScorerSpec(inputs=sizes.inputs, start=FITTED),
        imitates="zerotprune",
    ),
    "selection": Arm(
        "ATIS, selected inputs",
        Analog,
        lambda sizes: ScorerSpec(inputs=sizes.selection_inputs, projection="selection", start=FITTED),
    ),
    "linear": Arm("linear map of the token", Linear, lambda _: LinearSpec()),
    "attention_received": Arm("most attended", AttentionReceived, lambda _: AttentionSpec()),
    "spatten": Arm("SpAtten", Spatten, lambda _: SpattenSpec(accumulates=True)),
    "evit": Arm("EViT", Evit, lambda _: EvitSpec()),
    "zerotprune": Arm("Zero-TPrune", ZeroTPrune, lambda _: ZeroTPruneSpec()),
    "tome": Arm("ToMe", Tome, lambda _: TomeSpec(merged=None), scores=False),
    "norm": Arm("norm of the token", Norm, lambda _: NormSpec()),
    "position": Arm("place, evenly spread", Position, lambda _: PositionSpec(), scores=False),
    "random": Arm("random", Random, lambda _: RandomSpec(), scores=False),
}
"""By the name in a summary."""

Scores = Callable[[Any], tuple[Float[np.ndarray, "L B N"], Bool[np.ndarray, "B N"]]]
"""From a design to what its layers score on the examples that it is fitted to, and which tokens count."""


def at_share(method: Method, design: Any, scores: Scores, kept: Sequence[float]) -> Any:
    """The design that keeps ``kept`` of the tokens after each layer: thresholds cut where as many scores lie above.

    Args:
        method: whose design it is.
        design: as ``Method.begin`` gave it, leaves (L, ...).
        scores: of a design.
        kept: share after each layer.
    """
    if isinstance(method, Analog):
        return fitted(scores, design, method.hardware, kept)
    if isinstance(method, Linear):
        for _ in range(ROUNDS):
            cut = jnp.asarray(cuts_v(*scores(design), kept), jnp.float32)
            design = dataclasses.replace(design, threshold=cut[:, None])
    return design


class Watched(Method):
    """A method that says what it would and keeps every token: its scores are those of the dense network."""

    def __init__(self, method: Method):
        self.method = method
        self.needs, self.site, self.cascade, self.chance = method.needs, method.site, method.cascade, method.chance
        super().__init__(method.spec, method.hardware)

    def sees(self, stream):
        """As the method."""
        return self.method.sees(stream)

    def along(self, stream):
        """As the method."""
        return self.method.along(stream)

    def score(self, design, chip, environment, tokens, context, key):
        """Its decision with every token kept."""
        said, state = self.method.score(design, chip, environment, tokens, context, key)
        keep = jnp.ones_like(said.keep)
        kept = dataclasses.replace(said, keep=keep, keep_probability=keep.astype(tokens.dtype), into=None, weight=None)
        return kept, state
