"""One linear map of the normalised token in front of Q, K and V, and a threshold: what ATIS does, in plain digital.

    s = w . LN(x) + b;  a token stays if s > theta.

After KVzap (arXiv 2601.07891, NVIDIA/kvpress), which evicts from a cache by a linear map, or a small MLP, of the hidden
state, fitted to KVzip+ scores. Here w starts as ridge regression on the log of the attention that a token receives in
the dense network, less its example's mean (``scoring.atis.regression``), and s has mean 0 and deviation 1 over the
examples that it starts from. Of KVzap: the linear map of the state that Q, K and V are made of, and the threshold.
Different: the target; one score for all heads, where it has one a KV head; a threshold for each layer, such that the
wanted share of these examples passes all so far, where it has one for all layers; no window of recent tokens.

Thresholds go on following the kept fraction while training; ``trained`` moves w and b too.

Shape suffixes: n tokens, D width, L layers, B examples, N tokens.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.circuits.comparator import keep_probability
from atis_jax.energy.baselines import folded_digital_ledger
from atis_jax.energy.ledger import Ledger
from atis_jax.energy.shapes import ScorerShape
from atis_jax.numerics import pytree
from atis_jax.scoring.atis.projection import normalise
from atis_jax.scoring.atis.regression import FITTED, attention_target, moments
from atis_jax.scoring.atis.threshold import MIN_SMOOTHING
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Method, Survey
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Key
from atis_jax.validation import check_settings, setting

HALF_SPAN = 2.0
"""Deviations of the score that the soft comparator's width is relative to."""
OPEN = -10.0
"""Threshold of a layer that is to keep whatever reaches it, in deviations."""
TARGETS = tuple(name for name, parts in FITTED.items() if parts)


@dataclasses.dataclass(frozen=True)
class LinearSpec:
    """What it is fitted to, and whether it is trained on."""

    kind: str = setting("linear", doc="which scorer decides")
    target: str = setting("received", choices=TARGETS, doc="attention that it is fitted to: from all rows, or from CLS")
    trained: bool = setting(True, doc="training moves the map, else its threshold alone")

    def __post_init__(self):
        check_settings(self, "scorer")


@pytree
class LinearDesign:
    """A layer's.

    Attributes:
        weight: (D,) w.
        bias: () b.
        threshold: (1,) theta.
    """

    weight: Float[Array, "D"]
    bias: Float[Array, ""]
    threshold: Float[Array, "1"]


class Linear(Method):
    """A linear score against a threshold."""

    Spec = LinearSpec
    tracked = True

    def __init__(self, spec: LinearSpec, hardware, target: Float[Array, "L"] | None = None):
        self.surveys = FITTED[spec.target]
        super().__init__(spec, hardware, target)

    def begin(self, key: Key, survey: Survey, kept: Float[Array, "L"]) -> tuple[LinearDesign, Any]:
        """Fitted to the survey, thresholds at the wanted shares; no memory."""
        counted = jnp.broadcast_to(survey.counted, survey.seen.shape[1:3])
        target = attention_target(survey.attended, self.spec.target, survey.counted, 1)
        fit = jax.jit(jax.vmap(regressed, (0, 0, None)))
        weight, bias, score = fit(normalise(survey.seen), target[..., 0], counted)
        threshold = wanted_thresholds(score, counted, jnp.asarray(kept))
        return LinearDesign(weight, bias, threshold[:, None]), ()

    def labels(self, design: LinearDesign) -> LinearDesign:
        """Map and threshold, each with its own optimiser."""
        moves: Any = "scorer" if self.spec.trained else "frozen"
        return LinearDesign(moves, moves, "threshold")  # type: ignore[arg-type]

    def score(self, design: LinearDesign, chip, environment, tokens, context: Context, key: Key | None):
        """See ``Method``; ``voltage`` is s, in deviations."""
        score = (normalise(tokens) @ design.weight + design.bias)[:, None]
        width = HALF_SPAN * jnp.maximum(context.smoothing, MIN_SMOOTHING)
        probability = keep_probability(score, design.threshold, 0.0, width)
        return Decision(score, probability, score > design.threshold), context.state

    def metrics(self, design: LinearDesign) -> dict[str, Array]:
        """Thresholds, in deviations of the score."""
        return {"threshold_per_layer": design.threshold[:, 0]}

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Any, state: Any) -> Ledger:
        """As a digital score of ATIS with its projection folded in: d multiply-accumulates and a comparison a token."""
        shape = ScorerShape(
            inputs=jnp.asarray(float(costs.network.width)),
            prototypes=1,
            dac_bits=jnp.asarray(8.0),
            projection="learned",
            arrangement="consensus",
            layers=costs.layers,
            format=costs.energy.score_format,
        )
        tokens = costs.tokens(kept, self.site)
        return folded_digital_ledger(costs.energy.prices(), costs.network, shape, tokens, costs.energy.memory())


def regressed(
    tokens: Float[Array, "B N D"], target: Float[Array, "B N"], counted: Bool[Array, "B N"]
) -> tuple[Float[Array, "D"], Float[Array, ""], Float[Array, "B N"]]:
    """Weight and bias of ridge regression, such that the score has mean 0 and deviation 1; and the score."""
    width, weight = tokens.shape[-1], counted.reshape(-1).astype(tokens.dtype)
    seen = tokens.reshape(-1, width)
    gram, covariance = moments(seen, target.reshape(-1, 1), weight)
    vector = jnp.linalg.solve(gram, covariance)[:, 0]
    score, total = tokens @ vector, jnp.maximum(jnp.sum(weight), 1.0)
    mean = jnp.sum(jnp.where(counted, score, 0.0)) / total
    deviation = jnp.sqrt(jnp.sum(jnp.where(counted, (score - mean) ** 2, 0.0)) / total)
    scale = 1.0 / jnp.maximum(deviation, jnp.finfo(deviation.dtype).tiny)
    return scale * vector, -scale * mean, scale * (score - mean)


def wanted_thresholds(
    score: Float[Array, "L B N"], counted: Bool[Array, "B N"], kept: Float[Array, "L"]
) -> Float[Array, "L"]:
    """One a layer, such that of the tokens that pass those before it as many pass it as make up the wanted share.

    Args:
        score: of every token in every layer of the dense network.
        counted: tokens to be judged.
        kept: share of them after each layer.
    """
    total = jnp.sum(counted)

    def layer(alive: Bool[Array, "B N"], given):
        score, kept = given
        share = jnp.clip(kept * total / jnp.maximum(jnp.sum(alive), 1), 0.0, 1.0)
        level = jnp.nanquantile(jnp.where(alive, score, jnp.nan), 1.0 - share)
        threshold = jnp.where(share < 1.0, level, OPEN)
        return alive & (score > threshold), threshold

    return jax.lax.scan(layer, counted, (score, kept))[1]
