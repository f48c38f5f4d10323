"""LTP (Kim et al. 2022, arXiv 2107.00910): a token stays if the attention it receives reaches its layer's threshold.

Definitions from the paper and from what the authors' code does (kssteven418/LTP, commit 8ab31a6). Deviations: protected
tokens stay (there CLS can be pruned too), and where it divides by the padded length we divide by that of the sequence,
so that padding changes no decision. What moves a threshold counts in temperatures: steps are then as small as the
scores are.

The rule "relative" is the same code's older one: a token stays if it receives the threshold's share of what the most
attended one does, in every layer, with nothing trained.

Two stages, as the run's ``pruning.hard_from`` has them: while decisions are soft the block's output is multiplied by
sigmoid((s - theta) / T) and no attention is touched; once they are hard, tokens leave in front of the MLP and
thresholds rest. With ``hard_from = 0`` no threshold is ever trained; ``codesign.scorer_until`` beyond it lets the
optimiser's momentum move them on.

How many tokens stay is a matter of lambda there. With thresholds "tracked" each follows the share that is wanted of its
layer (``Method.tracked``), in both stages and in the first layer too, which keeps every token else; soft masks, their
loss and the two stages are the same.

Shape suffixes: n tokens, H heads, L layers.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.energy.ledger import Ledger
from atis_jax.numerics import pytree
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Method, Place, Survey, Trail
from atis_jax.scoring.rivals.attention import received_bill
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Key
from atis_jax.validation import SettingError, check_settings, choose, setting

LEAST_IMPORTANCE = 1e-5
"""A token that receives less is pruned whatever the threshold."""

OF_LARGEST = {"absolute": False, "relative": True}
"""Whether a threshold is a share of the layer's largest importance."""


TRACKED = {"learned": False, "tracked": True}
"""Whether thresholds follow the wanted share; else the loss."""


@dataclasses.dataclass(frozen=True)
class LtpSpec:
    """Where thresholds start, how soft they are, and what keeping a token costs."""

    kind: str = setting("ltp", doc="which scorer decides")
    final_threshold: float = setting(
        0.01, low=0.0, high=1.0, doc="thresholds start at this times l/L, l from 0; the mean token receives 1/n"
    )
    temperature: float = setting(1e-3, low=0.0, exclusive_low=True, high=1.0, doc="T, width of the soft mask")
    weight: float = setting(0.1, low=0.0, high=100.0, doc="lambda, of the soft masks' mean over tokens, summed over l")
    rule: str = setting(
        "absolute", choices=tuple(OF_LARGEST), doc="thresholds of the attention itself, or of its share of the largest"
    )

    thresholds: str = setting(
        "learned", choices=tuple(TRACKED), doc="moved by the loss, as published; or each by what pruning.kept wants"
    )

    def __post_init__(self):
        check_settings(self, "scorer")
        if choose(OF_LARGEST, self.rule, "scorer.rule") and choose(TRACKED, self.thresholds, "scorer.thresholds"):
            raise SettingError(
                f"scorer.thresholds = 'tracked' with scorer.rule = {self.rule!r}, whose one threshold rests; set "
                "thresholds = 'learned', or rule = 'absolute'"
            )


@pytree
class LtpDesign:
    """theta = ``start`` + T ``threshold``.

    Attributes:
        start: () where it starts; a layer that starts at 0 keeps every token unless its threshold is tracked.
        threshold: (1,) what is learned, or tracked, in temperatures.
    """

    start: Float[Array, ""]
    threshold: Float[Array, "1"]


class Ltp(Method):
    """Importance is the attention a token receives, in the mean over heads and query rows."""

    Spec = LtpSpec
    needs = frozenset({"received"})
    site = "before_mlp"
    gates = "output"

    def __init__(self, spec: LtpSpec, hardware, target: Float[Array, "L"] | None = None):
        self.relative = choose(OF_LARGEST, spec.rule, "scorer.rule")
        self.relaxes = not self.relative
        self.tracked = choose(TRACKED, spec.thresholds, "scorer.thresholds")
        super().__init__(spec, hardware, target)

    def check(self, place: Place) -> None:
        """Tracked thresholds are tracked.

        Raises:
            SettingError: the run lets the loss move them.
        """
        if self.tracked and place.codesign.threshold != "tracked":
            raise SettingError(
                f"config.scorer.thresholds = 'tracked' with config.codesign.threshold = {place.codesign.threshold!r}: "
                "set codesign.threshold = 'tracked', or scorer.thresholds = 'learned'"
            )

    def begin(self, key: Key, survey: Survey, kept: Float[Array, "L"]) -> tuple[LtpDesign, Any]:
        """Thresholds that rise with depth, whatever fractions are wanted; no memory."""
        layers = survey.seen.shape[0]
        final = self.spec.final_threshold
        start = jnp.full(layers, final) if self.relative else starting_thresholds(final, layers)
        return LtpDesign(start=start, threshold=jnp.zeros((layers, 1))), ()

    def labels(self, design: LtpDesign) -> LtpDesign:
        """Thresholds are trained, or tracked; of the relative rule nothing."""
        moves = "threshold" if self.tracked else "frozen" if self.relative else "scorer"
        return LtpDesign(start="frozen", threshold=moves)  # type: ignore[arg-type]

    def score(self, design: LtpDesign, chip, environment, tokens, context: Context, key: Key | None):
        """See ``Method``; ``voltage`` is the importance, a share of all attention."""
        assert context.attended is not None and context.attended.received is not None
        alive = context.alive[:, 0]
        present = jnp.ones_like(alive) if context.present is None else context.present
        length = context.full + jnp.sum(alive & ~context.counted)  # protected tokens are alive whenever they are there
        score = importance(context.attended.received, jnp.sum(present), length)
        if self.relative:
            keep = kept_beside_largest(score, alive, design.start)
            return Decision(score[:, None], keep.astype(score.dtype)[:, None], keep[:, None]), context.state
        threshold = design.start + self.spec.temperature * design.threshold[0]
        rests = (design.start <= 0.0) & (not self.tracked)
        probability = jnp.where(rests, 1.0, soft_mask(score, threshold, self.spec.temperature))
        keep = rests | kept_by(score, threshold)
        return Decision(score[:, None], probability[:, None], keep[:, None]), context.state

    def loss(self, trail: Trail, weights: Any) -> dict[str, Float[Array, ""]]:
        """Sum over layers of the soft masks' mean over the tokens it may judge, times lambda."""
        if self.relative:
            return {}
        counted = jnp.broadcast_to(trail.counted, trail.probability.shape[1:3])
        total = jnp.maximum(jnp.sum(counted, axis=-1), 1)
        mean = jnp.sum(jnp.where(counted, trail.probability[..., 0], 0.0), axis=-1) / total
        return {"loss_ltp": self.spec.weight * jnp.sum(trail.scored * jnp.mean(mean, axis=1))}

    def metrics(self, design: LtpDesign) -> dict[str, Array]:
        """Thresholds, as a share of all attention."""
        return {"threshold_per_layer": design.start + self.spec.temperature * design.threshold[:, 0]}

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Any, state: Any) -> Ledger:
        """The network, with MLPs of fewer tokens than its attention; H n^2 additions and n comparisons a layer.

        Of the relative rule n comparisons more, to find the largest.
        """
        return received_bill(costs, kept, self.site, lambda n: (1.0 + self.relative) * n)


def starting_thresholds(final: float, layers: int) -> Float[Array, "L"]:
    """theta_l = final l / L, l from 0."""
    return final * jnp.arange(layers) / layers


def importance(
    received: Float[Array, "H n"], rows: Float[Array, ""] | int, length: Float[Array, ""] | int
) -> Float[Array, "n"]:
    """s_j = sum_hi A_hij / (H length): rows of tokens that are gone count as zero, so scores fall as tokens leave.

    Args:
        received: mean over query rows of each head's attention.
        rows: how many rows that is the mean of.
        length: tokens of the full sequence.
    """
    return jnp.mean(received, axis=0) * rows / length


def soft_mask(score: Float[Array, "n"], threshold: Float[Array, ""] | float, temperature: float) -> Float[Array, "n"]:
    """sigmoid((s - theta) / T)."""
    return jax.nn.sigmoid((score - threshold) / temperature)


def kept_by(score: Float[Array, "n"], threshold: Float[Array, ""] | float) -> Bool[Array, "n"]:
    """Whether s >= max(theta, ``LEAST_IMPORTANCE``)."""
    return score >= jnp.maximum(threshold, LEAST_IMPORTANCE)


def kept_beside_largest(
    score: Float[Array, "n"], alive: Bool[Array, "n"], threshold: Float[Array, ""] | float
) -> Bool[Array, "n"]:
    """Whether s >= theta max(s), the largest over the tokens alive."""
    return score >= threshold * jnp.max(jnp.where(alive, score, 0.0))
