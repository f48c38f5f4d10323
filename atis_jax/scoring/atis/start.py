"""Where a design starts: projection and prototype as the spec says, gain and threshold fitted to real tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.atis.design import FEEDBACK_OHM, Design, inputs_of, threshold_range
from atis_jax.scoring.atis.initial import initial_design
from atis_jax.scoring.atis.knobs import full_scale_v, gates_in_order
from atis_jax.scoring.atis.losses import SPREAD_OF_HALF_SPAN
from atis_jax.scoring.atis.program import program, with_extracted_prototype
from atis_jax.scoring.atis.projection import conditioned
from atis_jax.scoring.atis.regression import FITTED, attention_target, fitted
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.method import Survey
from atis_jax.typing import Key
from atis_jax.units import thermal_voltage_v
from atis_jax.validation import choose

OPEN_QUANTILES = 2.0
"""Thresholds start this many standard deviations below the mean score: nearly every gate open."""
_EXTRACTED = {"static": False, "ema": False, "extracted": True}
"""Whether a design starts from a prototype taken out of the attention."""


Share = Callable[[Design, Float[Array, "n X"]], Float[Array, "n N"]]
"""(design, conditioned tokens) -> what each weight's current is multiplied by, -1 to 1."""


def mean_queries(query: Float[Array, "L B H D"], groups: int) -> Float[Array, "L G D"]:
    """CLS queries of every layer pulled back to token space, averaged over examples and each group's heads."""
    depth, batch, heads, width = query.shape
    return jnp.mean(query.reshape(depth, batch, groups, heads // groups, width), axis=(1, 3))


def starting_design(
    key: Key, spec: ScorerSpec, hardware: Hardware, survey: Survey, share: Share | None = None
) -> tuple[Design, Float[Array, "L G D"]]:
    """The design co-design starts from, and the queries its EMA prototypes start from.

    Projection and prototype as the spec says, drawn or fitted to attention (``regression``); feedback such that the
    score's RMS over the survey is a third of the span, thresholds two standard deviations below the mean score. Gates
    start in the order of what their inputs contribute to the scores. A shared design starts as one draw, from
    variances, queries and contributions averaged over layers.

    Args:
        key: draws projections and prototypes.
        spec: structure of the scorer.
        hardware: it is designed for.
        survey: tokens and queries of the dense network; a static prototype does without the queries.
        share: what a token makes of each weight's current; None: an OTA's (``transferred``).

    Returns:
        Design with a leading axis of layers, and (L, G, D) mean queries.
    """
    share = share or (lambda design, tokens: transferred(design, spec, hardware, tokens))
    depth, batch, tokens, width = survey.seen.shape
    if survey.attended.query is None:
        assert spec.prototype == "static", spec.prototype
        queries = jnp.zeros((depth, spec.groups, width))
    else:
        queries = mean_queries(survey.attended.query, spec.groups)
    seen_LxMxX = conditioned(survey.seen, spec.source).reshape(depth, batch * tokens, width)
    weight_M = jnp.broadcast_to(survey.counted, (batch, tokens)).reshape(-1).astype(seen_LxMxX.dtype)
    mean_LxX = jnp.average(seen_LxMxX, axis=1, weights=weight_M)
    variance_LxX = jnp.average(jnp.square(seen_LxMxX - mean_LxX[:, None]), axis=1, weights=weight_M)

    target_LxMxG = jnp.zeros((depth, batch * tokens, spec.groups))
    regressed = choose(FITTED, spec.start, "scorer.start")
    if regressed:
        target = attention_target(survey.attended, spec.start, survey.counted, spec.groups)
        target_LxMxG = target.reshape(target_LxMxG.shape)

    def one(layer_key, variance_X, query_GxD, seen_MxX, fit):
        design = initial_design(layer_key, spec, hardware, width, variance_X)
        if regressed:
            fit_tokens, target, weight = fit
            design = fitted(design, spec.projection, fit_tokens, target, weight, share)
        if choose(_EXTRACTED, spec.prototype, "scorer.prototype"):
            design = with_extracted_prototype(design, query_GxD)
        return fit_spread(design, spec, hardware, query_GxD, seen_MxX, weight_M, share)

    keys = jax.random.split(key, depth)
    fit = seen_LxMxX, target_LxMxG, jnp.broadcast_to(weight_M, seen_LxMxX.shape[:2])
    if spec.shared:
        of_all = jnp.mean(variance_LxX, axis=0), jnp.mean(queries, axis=0)
        fit = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), fit)
        designs = jax.vmap(one, in_axes=(None, None, None, 0, None))(keys[0], *of_all, seen_LxMxX, fit)
    else:
        designs = jax.vmap(one)(keys, variance_LxX, queries, seen_LxMxX, fit)
    if spec.input_gates:
        contribution_LxN = jax.vmap(
            lambda design, query, seen: contributions(design, spec, hardware, query, seen, weight_M, share)
        )(designs, queries, seen_LxMxX)
        if spec.shared:
            contribution_LxN = jnp.broadcast_to(jnp.mean(contribution_LxN, axis=0), contribution_LxN.shape)
        designs = dataclasses.replace(designs, input_gate=jax.vmap(gates_in_order)(contribution_LxN))
    return designs, queries


def transferred(
    design: Design, spec: ScorerSpec, hardware: Hardware, tokens: Float[Array, "n D"]
) -> Float[Array, "n N"]:
    """What every OTA makes of normalised ``tokens``, as a share of its bias current, on the perfect chip.

    tanh whatever the hardware's law: in place of the linear one it keeps saturated inputs from blowing an estimate of
    the spread up.
    """
    slope = hardware.ota.kappa / (2.0 * thermal_voltage_v(hardware.thermal.nominal_temperature_k))
    return jnp.tanh(inputs_of(design, tokens) * full_scale_v(design, spec, hardware) * slope)


def contributions(
    design: Design,
    spec: ScorerSpec,
    hardware: Hardware,
    query: Float[Array, "G D"],
    tokens: Float[Array, "n X"],
    weight: Float[Array, "n"],
    share: Share,
) -> Float[Array, "N"]:
    """RMS over ``tokens`` (conditioned, weighed) of what each input adds to the scores, all head groups together, V."""
    programmed = program(design, spec, hardware, query)
    volts = programmed.feedback_ohm[:, None] * programmed.signed_current_a
    mean_square = jnp.average(jnp.square(share(design, tokens)), axis=0, weights=weight)
    return jnp.sqrt(mean_square * jnp.sum(jnp.square(volts), axis=0))


def fit_spread(
    design: Design,
    spec: ScorerSpec,
    hardware: Hardware,
    query: Float[Array, "G D"],
    tokens: Float[Array, "n X"],
    weight: Float[Array, "n"],
    share: Share,
) -> Design:
    """The design with feedback and threshold fitted to the linear scores of ``tokens`` (conditioned, weighed)."""
    programmed = program(design, spec, hardware, query)
    volts = programmed.feedback_ohm[:, None] * programmed.drawn_current_a
    score_v = share(design, tokens) @ volts.T
    mean_v = jnp.average(score_v, axis=0, weights=weight)
    spread_v = jnp.sqrt(jnp.average(jnp.square(score_v - mean_v), axis=0, weights=weight))
    span = threshold_range(hardware)
    factor = SPREAD_OF_HALF_SPAN * span.high / jnp.maximum(spread_v, 1e-6 * span.high)
    feedback_ohm = jnp.clip(programmed.feedback_ohm * factor, 2.0 * FEEDBACK_OHM.low, 0.5 * FEEDBACK_OHM.high)
    factor = feedback_ohm / programmed.feedback_ohm
    open_v = factor * (mean_v - OPEN_QUANTILES * spread_v)
    threshold_v = jnp.clip(open_v, -0.98 * span.high, 0.98 * span.high)
    return dataclasses.replace(design, feedback=FEEDBACK_OHM.inverse(feedback_ohm), threshold=span.inverse(threshold_v))
