"""Scores of ATIS as it starts, before anything is trained: on the chip without errors, example after example.

Shape suffixes: L layers, B examples, N tokens, D width, H heads, G head groups.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.chip import nominal_environment
from atis_jax.pruning.stream import Attended
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.projection import conditioned
from atis_jax.scoring.atis.regression import attention_target, moments
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.atis.start import mean_queries
from atis_jax.scoring.method import Survey
from atis_jax.scoring.types import Context
from atis_jax.typing import Key
from experiments.attention.settings import AttentionSettings

FITTED = "received"
"""Part of the attention that fitted prototypes start from."""
QUERIES = ("extracted", "ema")
"""Prototypes that are the network's own queries, whatever they are compared with."""


def specs_for(settings: AttentionSettings) -> dict[str, ScorerSpec]:
    """One score for all heads, by name: prototypes that are fitted, and those that are queries."""
    return {
        "learned": ScorerSpec(inputs=settings.inputs, start=FITTED),
        "selection": ScorerSpec(inputs=settings.selection_inputs, projection="selection", start=FITTED),
        **{name: ScorerSpec(inputs=settings.inputs, prototype=name) for name in QUERIES},
    }


def of_groups(settings: AttentionSettings, groups: int, arrangement: str) -> ScorerSpec:
    """A score a head group: an array for each at once (``grouped``), or one in turns (``multiplexed``)."""
    return ScorerSpec(inputs=settings.inputs, start=FITTED, arrangement=arrangement, groups=groups)


def starting_scores(method: Analog, key: Key, fit: Survey, shown: Survey) -> Float[Array, "L B N G"]:
    """Comparator voltages of the starting design's perfect chip, without read noise, V.

    Examples come one after another: an EMA prototype meets each with what those before it left.

    Args:
        method: the scorer; its start is fitted to ``fit``.
        key: draws what is drawn.
        fit: what the network shows of some examples.
        shown: of the others, with ``query``.
    """
    depth, _, tokens, _ = shown.seen.shape
    assert shown.attended.query is not None
    design, state = method.begin(key, fit, jnp.ones(depth))
    environment, perfect = nominal_environment(method.hardware), method.perfect_chip()

    def one_layer(design, state, seen_NxD, query_HxD, counted_N):
        context = Context(
            alive=jnp.ones((tokens, method.groups), bool),
            position=jnp.arange(tokens),
            counted=counted_N,
            full=jnp.sum(counted_N),
            state=state,
        )
        said, state = method.score(design, perfect, environment, seen_NxD, context, None)
        return said.voltage, method.remember(state, Attended(query=query_HxD[None]))

    def one_example(state, example):
        voltage, state = jax.vmap(one_layer, (0, 0, 0, 0, None))(design, state, *example)
        return state, voltage

    examples = jnp.moveaxis(shown.seen, 1, 0), jnp.moveaxis(shown.attended.query, 1, 0), shown.counted
    return jnp.moveaxis(jax.lax.scan(one_example, state, examples)[1], 0, 1)


def ridge_scores(fit: Survey, shown: Survey, groups: int) -> Float[Array, "L B N G"]:
    """Score w . x of the whole normalised token, w by ridge regression on the log attention that a group's heads give.

    What one vector a layer reaches by least squares, without a circuit and without a projection.

    Args:
        fit: examples of the regression.
        shown: examples that are scored.
        groups: G.
    """
    wanted = attention_target(fit.attended, FITTED, fit.counted, groups)
    weight = fit.counted.reshape(-1).astype(wanted.dtype)

    def one_layer(seen, wanted, shown):
        width = seen.shape[-1]
        gram, covariance = moments(conditioned(seen, "tokens").reshape(-1, width), wanted.reshape(-1, groups), weight)
        return conditioned(shown, "tokens") @ jnp.linalg.solve(gram, covariance)

    return jax.vmap(one_layer)(fit.seen, wanted, shown.seen)


def query_scores(fit: Survey, shown: Survey) -> Float[Array, "L B N 1"]:
    """Score q . x of the whole normalised token, q the mean query of ``fit``: extracted, without a projection."""
    assert fit.attended.query is not None
    mean_LxD = mean_queries(fit.attended.query, 1)[:, 0]
    return jnp.einsum("lbnd,ld->lbn", conditioned(shown.seen, "tokens"), mean_LxD)[..., None]
