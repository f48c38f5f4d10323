"""DynamicViT (Rao et al. 2021, arXiv 2106.02034): a small network in front of some layers says which tokens stay.

Definitions from what the authors' code does (raoyongming/DynamicViT, commit 1322e62). A stage is a layer in which
``pruning.kept`` falls. There a token stays in training if its log probability of staying and a Gumbel draw exceed
those of leaving, times the earlier stages' decisions: hard forward, the softmax's gradient, over a temperature of 1.
The kernel is ``policy_softmax``. Evaluated, those of the highest probability stay, floor(share N) of the full
sequence's N, and are seen by the plain softmax.

Losses: 2 mean_s (mean_i D_i - share_s)^2 of the decisions, and 0.5 times the squared distance of what is left from the
dense network's tokens. The paper adds 0.5 KL to its logits: ``loss.distill = 0.5`` here. Its other constants: 30
epochs, the backbone at a hundredth of the predictor's rate and still for 5 of them, shares fixed from the start
(``pruning.ramp = 0``), three stages. Decisions softened by ``pruning.hard_from`` are not in the paper.

Deviations. The distance is of tokens in front of the final norm, each standardised; theirs are behind it. Padding
counts as dropped. A share within ``ROUNDING`` below a whole count is that count. Without a key nothing is drawn.

Shape suffixes: n tokens, C width, L layers, B examples, N tokens.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.energy.ledger import Ledger
from atis_jax.numerics import pytree, straight_through
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.method import Method, Place, Survey, Trail
from atis_jax.scoring.rivals.predictor import PARTS, Predictor, keep_or_drop, sizes, untrained
from atis_jax.scoring.rivals.share import ROUNDING, highest, sorting
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Key
from atis_jax.validation import SettingError, check_settings, choose, setting

OF_BATCH = {"example": False, "batch": True}
"""Whether the share is asked of a batch on average; else of each example."""
NORM_EPSILON = 1e-6
"""Of the standardised tokens that are compared."""


@dataclasses.dataclass(frozen=True)
class DynamicVitSpec:
    """Weights of its losses."""

    kind: str = setting("dynamicvit", doc="which scorer decides")
    temperature: float = setting(1.0, low=0.0, exclusive_low=True, high=100.0, doc="tau of the Gumbel softmax")
    ratio: float = setting(2.0, low=0.0, high=100.0, doc="weight of the squared error of the share kept, a stage")
    ratio_of: str = setting("example", choices=tuple(OF_BATCH), doc="whose share: each example's, or the batch's mean")
    tokens: float = setting(0.5, low=0.0, high=100.0, doc="weight of the distance from the dense network's tokens")
    tokens_by: str = setting(
        "mse", choices=("mse", "kl"), doc="that distance: mean square, or divergence over channels"
    )

    def __post_init__(self):
        check_settings(self, "scorer")


@pytree
class DynamicVitDesign:
    """A layer's.

    Attributes:
        share: () of the full sequence's tokens that are left after it.
        stage: () 1 where it decides, else 0.
        predictor: what is trained.
    """

    share: Float[Array, ""]
    stage: Float[Array, ""]
    predictor: Predictor


class DynamicVit(Method):
    """A predictor looks at the tokens in front of a block."""

    Spec = DynamicVitSpec
    noise_stream = "random_scorer"
    chance = True
    trains_with = "policy_softmax"

    def check(self, place: Place) -> None:
        """The predictor halves the width twice.

        Raises:
            SettingError: it cannot.
        """
        if place.network.width % PARTS:
            raise SettingError(
                f"config.model.width = {place.network.width} with config.scorer.kind = 'dynamicvit', whose predictor "
                f"has a quarter of it; take a multiple of {PARTS}"
            )

    def begin(self, key: Key, survey: Survey, kept: Float[Array, "L"]) -> tuple[DynamicVitDesign, Any]:
        """Drawn predictors; no memory."""
        kept = jnp.asarray(kept)
        predictor = jax.vmap(lambda one: untrained(one, survey.seen.shape[-1]))(jax.random.split(key, len(kept)))
        return DynamicVitDesign(kept, stages(kept), predictor), ()

    def labels(self, design: DynamicVitDesign) -> Any:
        """The predictors are trained."""
        return DynamicVitDesign("frozen", "frozen", jax.tree.map(lambda _: "scorer", design.predictor))  # type: ignore[arg-type]

    def scheduled(self, design: DynamicVitDesign, kept: Float[Array, "L"]) -> DynamicVitDesign:
        """With the shares that are wanted now; stages stay."""
        return dataclasses.replace(design, share=jax.lax.stop_gradient(kept))

    def score(self, design: DynamicVitDesign, chip, environment, tokens, context: Context, key: Key | None):
        """See ``Method``; ``voltage`` is the log probability of staying."""
        judged = context.alive[:, 0] & context.counted
        policy = judged.astype(tokens.dtype)
        if context.gate is not None:
            policy = jnp.where(context.counted, context.gate[:, 0], 0.0)
        log_p = keep_or_drop(design.predictor, tokens, policy)
        trains, decides = jnp.asarray(context.smoothing) > 0, design.stage > 0
        drawn, soft = gumbel_decision(log_p, gumbels(key, context), self.spec.temperature)
        most = highest(log_p[:, 0], judged, jnp.floor(design.share * context.full + ROUNDING))
        keep = jnp.where(decides, jnp.where(trains, drawn, most), True)
        probability = jnp.where(decides, jnp.where(trains, soft, jnp.exp(log_p[:, 0])), 1.0)
        return Decision(log_p[:, :1], probability[:, None], keep[:, None]), context.state

    @property
    def compares_tokens(self) -> bool:
        """Where the distance from the dense network's has a weight."""
        return self.spec.tokens > 0

    def loss(self, trail: Trail, weights: Any) -> dict[str, Float[Array, ""]]:
        """The shares' squared error, and the tokens' distance."""
        stage = trail.scored * stages(trail.final)
        counted = jnp.broadcast_to(trail.counted, trail.probability.shape[1:3])
        probability = trail.probability[..., 0]
        taken = straight_through((probability >= 0.5).astype(probability.dtype), probability)
        decided = jnp.cumprod(jnp.where(stage[:, None, None] > 0, taken, 1.0), axis=0)
        of_batch = choose(OF_BATCH, self.spec.ratio_of, "scorer.ratio_of")
        terms = {"loss_ratio": self.spec.ratio * ratio_loss(decided, counted, trail.target, stage, of_batch)}
        if trail.tokens is not None and trail.teacher_tokens is not None:
            own, dense = (
                jax.nn.standardize(x, axis=-1, epsilon=NORM_EPSILON) for x in (trail.tokens, trail.teacher_tokens)
            )
            left = trail.alive[-1, ..., 0] & counted
            terms["loss_tokens"] = self.spec.tokens * token_loss(own, dense, left, self.spec.tokens_by)
        return terms

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: DynamicVitDesign, state: Any) -> Ledger:
        """The network, and a predictor in front of each stage.

        A stage of n tokens of width C: its norm, 5 C operations a token (``projection``); C^2 + C^2/2 + C^2/8 + C/2
        multiply-accumulates a token and n C/2 additions for the mean (``score``); n log2 n comparisons to sort them
        (``comparator``); the norm's root, a GELU for each hidden number, and for the log-softmax of two numbers two
        exponentials and a logarithm a token (``scorer_exponentials``); each token from memory, and the weights once a
        batch.
        """
        prices, network, tokens = costs.energy.prices(), costs.network, costs.tokens(kept, self.site)
        n, width = costs.has_scorer * design.stage * tokens.scored, float(network.width)
        macs = float(sum(a * b for a, b in sizes(network.width)))
        outputs = [float(out) for _, out in sizes(network.width)]
        weights = macs + sum(outputs) + 2.0 * width
        functions = 1.0 + sum(outputs[:-1]) + outputs[-1] + 1.0
        return costs.scored(
            kept,
            self.site,
            scorer_memory_j=costs.number_j * jnp.sum(n * width)
            + costs.weights_j(costs.has_scorer * design.stage * weights),
            projection_j=jnp.sum(n) * width * (2.0 * costs.mac_j + 3.0 * prices.score_add_j),
            score_j=jnp.sum(n) * (macs * costs.mac_j + 0.5 * width * prices.score_add_j),
            scorer_exponentials_j=jnp.sum(n) * functions * costs.exponential_j,
            comparator_j=jnp.sum(sorting(n)) * prices.compare_j,
        )


def stages(kept: Float[Array, "L"]) -> Float[Array, "L"]:
    """1 for layers after which fewer are wanted than before, else 0."""
    return (kept < jnp.concatenate([jnp.ones_like(kept[:1]), kept[:-1]])).astype(kept.dtype)


def gumbels(key: Key | None, context: Context) -> Float[Array, "n 2"]:
    """A draw for staying and one for leaving, of each token by its place in the full sequence; 0 without a key."""
    if key is None:
        return jnp.zeros((*context.position.shape, 2))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, context.position)
    return jax.vmap(lambda one: jax.random.gumbel(one, (2,)))(keys)


def gumbel_decision(
    log_p: Float[Array, "n 2"], draw: Float[Array, "n 2"], temperature: float = 1.0
) -> tuple[Bool[Array, "n"], Float[Array, "n"]]:
    """Whether log p(keep) + g_0 >= log p(drop) + g_1, and the softmax of both over the temperature."""
    ahead = (log_p + draw)[:, 0] - (log_p + draw)[:, 1]
    return ahead >= 0, jax.nn.sigmoid(ahead / temperature)


def ratio_loss(
    decided: Float[Array, "L B N"],
    counted: Bool[Array, "B N"],
    share: Float[Array, "L"],
    stage: Float[Array, "L"],
    of_batch: bool,
) -> Float[Array, ""]:
    """Mean over stages of (mean_i D_i - share)^2, over examples too, or of the batch's mean."""
    total = jnp.maximum(jnp.sum(counted, axis=-1), 1)
    mean = jnp.sum(jnp.where(counted, decided, 0.0), axis=-1) / total
    mean = jnp.mean(mean, axis=1, keepdims=True) if of_batch else mean
    error = jnp.mean((mean - share[:, None]) ** 2, axis=1)
    return jnp.sum(stage * error) / jnp.maximum(jnp.sum(stage), 1.0)


def token_loss(
    own: Float[Array, "B N C"], dense: Float[Array, "B N C"], left: Bool[Array, "B N"], by: str
) -> Float[Array, ""]:
    """Distance of the tokens left from the dense network's, which get no gradient; 0 if there are none.

    "mse": mean square over tokens and channels. "kl": sum over channels of q (log q - log p), softmax over channels,
    mean over tokens.
    """
    dense = jax.lax.stop_gradient(dense)

    def divergence():
        log_p, log_q = jax.nn.log_softmax(own, axis=-1), jax.nn.log_softmax(dense, axis=-1)
        return jnp.sum(jnp.exp(log_q) * (log_q - log_p), axis=-1)

    of_token = choose(
        {"mse": lambda: jnp.mean((own - dense) ** 2, axis=-1), "kl": divergence}, by, "scorer.tokens_by"
    )()
    return jnp.sum(jnp.where(left, of_token, 0.0)) / jnp.maximum(jnp.sum(left), 1)
