"""Thresholds that keep given shares of some examples' tokens, without training: cut where as many scores lie above."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from atis_jax.circuits.hardware import Hardware
from atis_jax.scoring.atis.design import FEEDBACK_OHM, Design, threshold_range

ROUNDS = 3
"""Passes over the examples: a layer's scores move with what the layers in front of it prune, and less each time."""
INSIDE = 0.98
"""Of the reference's half span: where a threshold lies at most."""


def cuts_v(
    score_v: Float[np.ndarray, "L B N"], counted: Bool[np.ndarray, "B N"], kept: Sequence[float]
) -> Float[np.ndarray, "L"]:
    """Of each layer, the voltage with as many scores of tokens that reach it above as are to be kept, V.

    A token that a layer drops reaches none behind it.

    Args:
        score_v: of every token in every layer.
        counted: tokens that are a method's to judge.
        kept: share of them after each layer, never growing.
    """
    alive, found = counted.copy(), []
    for score, share in zip(score_v, kept, strict=True):
        falling = np.sort(score[alive])[::-1]
        count = int(np.clip(round(share * counted.sum()), 1, len(falling)))
        below = falling[count] if count < len(falling) else falling[-1] - 2.0 * np.ptp(falling) - 1.0
        found.append(0.5 * (falling[count - 1] + below))
        alive &= score > found[-1]
    return np.asarray(found)


def fitted(
    scores: Callable[[Design], tuple[Float[np.ndarray, "L B N"], Bool[np.ndarray, "B N"]]],
    design: Design,
    hardware: Hardware,
    kept: Sequence[float],
) -> Design:
    """The design with thresholds that keep ``kept`` of the tokens after each layer; one head group.

    Where a cut lies outside of the reference's span, a smaller feedback brings scores and cut inside.

    Args:
        scores: from a design to what its layers score on the examples, V, and which tokens count.
        design: but for thresholds and feedback it stays; leaves (L, ...).
        hardware: gives the reference's span.
        kept: share after each layer.
    """
    span = threshold_range(hardware)
    for _ in range(ROUNDS):
        cut_v = cuts_v(*scores(design), kept)
        smaller = np.minimum(1.0, INSIDE * span.high / np.maximum(np.abs(cut_v), 1e-9))
        threshold_v, factor = (jnp.asarray(part, jnp.float32)[:, None] for part in (cut_v * smaller, smaller))
        feedback = FEEDBACK_OHM.inverse(FEEDBACK_OHM.forward(design.feedback) * factor)
        design = dataclasses.replace(design, threshold=span.inverse(threshold_v), feedback=feedback)
    return design
