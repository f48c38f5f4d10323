"""The terms of the co-design loss, each a pure function."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from atis_jax.numerics import straight_through


def cross_entropy(
    logits: Float[Array, "B classes"], labels: Int[Array, "B"], smoothing: float = 0.0
) -> Float[Array, ""]:
    """Mean softmax cross-entropy with label smoothing."""
    return jnp.mean(cross_entropies(logits, labels, smoothing))


def cross_entropies(
    logits: Float[Array, "B classes"], labels: Int[Array, "B"], smoothing: float = 0.0
) -> Float[Array, "B"]:
    """Softmax cross-entropy of each example, with label smoothing."""
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(logits, targets)


def distillation(
    student: Float[Array, "B classes"], teacher: Float[Array, "B classes"], temperature: float
) -> Float[Array, ""]:
    """T^2 KL(teacher_T || student_T) (Hinton et al. 2015, arXiv 1503.02531); the teacher gets no gradient."""
    target, log_student = _softened(student, teacher, temperature)
    return temperature**2 * jnp.mean(optax.losses.kl_divergence(log_student, target))


def distillations(
    student: Float[Array, "B classes"], teacher: Float[Array, "B classes"], temperature: float
) -> Float[Array, "B"]:
    """``distillation`` of each example."""
    target, log_student = _softened(student, teacher, temperature)
    return temperature**2 * optax.losses.kl_divergence(log_student, target)


def _softened(student: Array, teacher: Array, temperature: float) -> tuple[Array, Array]:
    """The teacher's probabilities and the student's log probabilities at ``temperature``."""
    target = jax.nn.softmax(jax.lax.stop_gradient(teacher) / temperature)
    return target, jax.nn.log_softmax(student / temperature)


def worst_count(fraction: float, chips: int) -> int:
    """How many of ``chips`` the worst ``fraction`` is: the next whole number above fraction * chips, at least one."""
    # 0.07 * 100 is 7.000000000000001, and means 7.
    return max(1, math.ceil(fraction * chips - 1e-9))


def worst_chips(loss: Float[Array, "chips"], fraction: float) -> Float[Array, "chips"]:
    """Weights that make a mean over the worst chips: 1/k for the k with the largest loss, 0 for the others.

    They carry no gradient: where the choice of chips does not change, that of CVaR is the mean of theirs.

    Args:
        loss: one value for each chip; among equal ones the first counts as worse.
        fraction: share of chips that are the worst, in (0, 1]; k is ``worst_count``.
    """
    count = worst_count(fraction, loss.shape[0])
    _, worst = jax.lax.top_k(jax.lax.stop_gradient(loss), count)
    return jnp.zeros_like(loss).at[worst].set(1.0 / count)


def cvar(loss: Float[Array, "chips"], fraction: float) -> Float[Array, ""]:
    """Conditional value at risk: the mean loss of the worst ``fraction`` of chips.

    Where fraction * chips is whole it is min over t of t + mean(max(loss - t, 0)) / fraction (Rockafellar and
    Uryasev, Journal of Risk 2(3), 2000); elsewhere the number of chips is rounded up, and it is that minimum at the
    rounded fraction. Mean at fraction 1, maximum at 1 / chips or below.

    Args:
        loss: one value for each chip.
        fraction: in (0, 1].
    """
    return jnp.sum(worst_chips(loss, fraction) * loss)


def expected_kept(
    probability: Float[Array, "L B N G"], alive: Bool[Array, "L B N G"], counted: Bool[Array, "B N"]
) -> Float[Array, "L"]:
    """Kept fraction of the counted tokens after each layer: the hard count, with the soft count's gradient.

    The soft count of layer l is sum of p over the tokens alive before it. With head groups a token counts while any
    group keeps it; the probabilities are combined as if independent.
    """
    before = jnp.concatenate([jnp.ones_like(alive[:1]), alive[:-1]])
    gone = 1.0 - probability * before
    soft = 1.0 - jnp.prod(gone, axis=-1)
    hard = jnp.any(alive, axis=-1).astype(soft.dtype)
    weight = jnp.broadcast_to(counted, soft.shape[1:]).astype(soft.dtype)
    total = jnp.maximum(jnp.sum(weight), 1.0)
    hard_L, soft_L = (jnp.sum(part * weight, axis=(1, 2)) / total for part in (hard, soft))
    return straight_through(hard_L, soft_L)


def beyond_scored(kept: Float[Array, "L"], stop: int) -> Float[Array, "L"]:
    """``kept`` with the layers from ``stop`` on, which have no scorer, keeping what the one before them leaves.

    So that what they save counts in the gradient of the scorer that saves it; ``stop`` is 1 at least.
    """
    if stop == kept.shape[0]:
        return kept
    return jnp.concatenate([kept[:stop], jnp.broadcast_to(kept[stop - 1], (kept.shape[0] - stop,))])
