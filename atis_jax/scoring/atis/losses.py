"""The analog scorer's own terms of the co-design loss, each a pure function."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

PROBABILITY_FLOOR = 1e-4
"""Keep probabilities are held this far from 0 and 1 inside logarithms."""
SPREAD_OF_HALF_SPAN = 1.0 / 3.0
"""Wanted standard deviation of the scores over half the comparator's span: three of them reach the rails."""


def keep_rate(kept: Float[Array, "L"], target: Float[Array, "L"], scored: Float[Array, "L"]) -> Float[Array, ""]:
    """Sum over scored layers of the squared error of the kept fraction (DynamicViT's rate loss, per layer)."""
    return jnp.sum(scored * (kept - target) ** 2)


def score_swing(
    voltage: Float[Array, "L B N G"],
    seen: Bool[Array, "L B N G"],
    half_span_v: float,
    scored: Float[Array, "L"],
    counted: Bool[Array, "B N"],
) -> Float[Array, ""]:
    """How far the scores at the comparator are from using its range: (mean / h)^2 + (std / h - 1/3)^2, h half the span.

    Averaged over scored layers and groups. Without it the cross-entropy, which likes every gate open, pushes all
    scores of a layer against a rail, where the soft comparator has no slope and the layer never prunes.

    Args:
        voltage: scores, volts.
        seen: tokens that reach the layer's comparator.
        half_span_v: h, volts.
        scored: 1 for layers with a scorer, 0 for others.
        counted: tokens that are a method's to judge.
    """
    weight = (seen & counted[..., None]).astype(voltage.dtype)
    total = jnp.maximum(jnp.sum(weight, axis=(1, 2)), 1.0)
    level = voltage / half_span_v
    mean_LxG = jnp.sum(level * weight, axis=(1, 2)) / total
    variance_LxG = jnp.sum((level - mean_LxG[:, None, None]) ** 2 * weight, axis=(1, 2)) / total
    # The root's slope is infinite at zero; a spread below a thousandth of the span is as good as none.
    spread_LxG = jnp.sqrt(variance_LxG + 1e-6)
    miss_L = jnp.mean(mean_LxG**2 + (spread_LxG - SPREAD_OF_HALF_SPAN) ** 2, axis=1)
    return jnp.sum(miss_L * scored) / jnp.maximum(jnp.sum(scored), 1.0)


def attention_agreement(
    probability: Float[Array, "L B N G"],
    important: Bool[Array, "L B N"],
    scored: Float[Array, "L"],
    counted: Bool[Array, "B N"],
) -> Float[Array, ""]:
    """Cross-entropy between keep probability and "the dense network attends to it", over scored layers.

    Args:
        probability: soft decisions, of tokens pruned before as well: what an earlier layer lost can still teach.
        important: tokens among those the dense network's CLS attends to most, as many as the layer should keep.
        scored: 1 for layers with a scorer, 0 for others.
        counted: tokens that are a method's to judge.
    """
    p = jnp.clip(jnp.mean(probability, axis=-1), PROBABILITY_FLOOR, 1.0 - PROBABILITY_FLOOR)
    entropy = -jnp.where(important, jnp.log(p), jnp.log1p(-p))
    weight = jnp.broadcast_to(counted, entropy.shape[1:]).astype(entropy.dtype)
    mean_L = jnp.sum(entropy * weight, axis=(1, 2)) / jnp.maximum(jnp.sum(weight), 1.0)
    return jnp.sum(mean_L * scored) / jnp.maximum(jnp.sum(scored), 1.0)
