"""Starting points taken from data: token variances, score spread, and prototypes extracted from attention."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.energy.shapes import OF_PIXELS
from atis_jax.models.forward import block, dense_forward, embed
from atis_jax.models.sensor import patch_pixels
from atis_jax.models.vit import VisionTransformer
from atis_jax.pruning.masks import PROTECTED
from atis_jax.scoring.design import FEEDBACK_OHM, Design, inputs_of, threshold_range
from atis_jax.scoring.initial import initial_design
from atis_jax.scoring.knobs import full_scale_v, gates_in_order
from atis_jax.scoring.program import program, with_extracted_prototype
from atis_jax.scoring.projection import normalise
from atis_jax.scoring.spec import ScorerSpec
from atis_jax.training.losses import SPREAD_OF_HALF_SPAN
from atis_jax.typing import Key, PyTree
from atis_jax.units import thermal_voltage_v
from atis_jax.validation import choose

OPEN_QUANTILES = 2.0
"""Thresholds start this many standard deviations below the mean score: nearly every gate open."""


_EXTRACTED = {"static": False, "ema": False, "extracted": True}
"""Whether a design starts from a prototype taken out of the attention."""


def layer_tokens(model: VisionTransformer, params: PyTree, images: Float[Array, "B S S C"]) -> Float[Array, "L B T D"]:
    """Normalised patch tokens in front of every layer of the dense network."""
    x = embed(model, params, images)
    seen = []
    for layer in range(model.spec.depth):
        seen.append(normalise(x[:, PROTECTED:]))
        x, _, _ = block(model, params, layer, x)
    return jnp.stack(seen)


def scored_vectors(
    model: VisionTransformer, params: PyTree, images: Float[Array, "B S S C"], source: str
) -> Float[Array, "L B T X"]:
    """What scorers of ``source`` project: ``layer_tokens`` (X = D), or the same pixels for every layer (X = P)."""
    if not choose(OF_PIXELS, source, "scorer.source"):
        return layer_tokens(model, params, images)
    pixels = patch_pixels(model, images)[:, PROTECTED:]
    return jnp.broadcast_to(pixels, (model.spec.depth, *pixels.shape))


def mean_queries(
    model: VisionTransformer, params: PyTree, images: Float[Array, "B S S C"], groups: int
) -> Float[Array, "L G D"]:
    """CLS queries of every layer pulled back to token space, averaged over images and each group's heads."""
    *_, queries_LxBxHxD = dense_forward(model, params, images)
    depth, batch, heads, width = queries_LxBxHxD.shape
    return jnp.mean(queries_LxBxHxD.reshape(depth, batch, groups, heads // groups, width), axis=(1, 3))


def starting_design(
    key: Key,
    model: VisionTransformer,
    params: PyTree,
    spec: ScorerSpec,
    hardware: Hardware,
    images: Float[Array, "B S S C"],
) -> tuple[Design, Float[Array, "L G D"]]:
    """The design co-design starts from, and the queries its EMA prototypes start from.

    Projection and prototype as the spec says; feedback such that the score's RMS over ``images`` is a third of the
    span, thresholds two standard deviations below the mean score. Gates start in the order of what their inputs
    contribute to the scores. A shared design starts as one draw, from variances, queries and contributions averaged
    over layers.

    Returns:
        Design with a leading axis of layers, and (L, G, D) mean queries.
    """
    tokens_LxBxTxD = scored_vectors(model, params, images, spec.source)
    queries = mean_queries(model, params, images, spec.groups)
    variance_LxD = jnp.var(tokens_LxBxTxD, axis=(1, 2))

    def one(layer_key, variance_D, query_GxD, tokens_BxTxD):
        design = initial_design(layer_key, spec, hardware, tokens_BxTxD.shape[-1], variance_D)
        if choose(_EXTRACTED, spec.prototype, "scorer.prototype"):
            design = with_extracted_prototype(design, query_GxD)
        return fit_spread(design, spec, hardware, query_GxD, tokens_BxTxD.reshape(-1, tokens_BxTxD.shape[-1]))

    keys = jax.random.split(key, model.spec.depth)
    if spec.shared:
        of_all = jnp.mean(variance_LxD, axis=0), jnp.mean(queries, axis=0)
        designs = jax.vmap(one, in_axes=(None, None, None, 0))(keys[0], *of_all, tokens_LxBxTxD)
    else:
        designs = jax.vmap(one)(keys, variance_LxD, queries, tokens_LxBxTxD)
    if spec.input_gates:
        contribution_LxN = jax.vmap(lambda *layer: contributions(layer[0], spec, hardware, *layer[1:]))(
            designs, queries, tokens_LxBxTxD.reshape(model.spec.depth, -1, tokens_LxBxTxD.shape[-1])
        )
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
    design: Design, spec: ScorerSpec, hardware: Hardware, query: Float[Array, "G D"], tokens: Float[Array, "n D"]
) -> Float[Array, "N"]:
    """RMS over ``tokens`` (normalised) of what each input adds to the scores, all head groups together, V."""
    held = program(design, spec, hardware, query)
    volts = held.feedback_ohm[:, None] * held.signed_current_a
    mean_square = jnp.mean(jnp.square(transferred(design, spec, hardware, tokens)), axis=0)
    return jnp.sqrt(mean_square * jnp.sum(jnp.square(volts), axis=0))


def fit_spread(
    design: Design, spec: ScorerSpec, hardware: Hardware, query: Float[Array, "G D"], tokens: Float[Array, "n D"]
) -> Design:
    """The design with feedback and threshold fitted to the linear scores of ``tokens`` (from ``scored_vectors``)."""
    held = program(design, spec, hardware, query)
    score_v = transferred(design, spec, hardware, tokens) @ (held.feedback_ohm[:, None] * held.drawn_current_a).T
    span = threshold_range(hardware)
    factor = SPREAD_OF_HALF_SPAN * span.high / jnp.maximum(jnp.std(score_v, axis=0), 1e-6 * span.high)
    feedback_ohm = jnp.clip(held.feedback_ohm * factor, 2.0 * FEEDBACK_OHM.low, 0.5 * FEEDBACK_OHM.high)
    factor = feedback_ohm / held.feedback_ohm
    open_v = factor * (jnp.mean(score_v, axis=0) - OPEN_QUANTILES * jnp.std(score_v, axis=0))
    threshold_v = jnp.clip(open_v, -0.98 * span.high, 0.98 * span.high)
    return dataclasses.replace(design, feedback=FEEDBACK_OHM.inverse(feedback_ohm), threshold=span.inverse(threshold_v))
