"""What changes along a run, as pure functions of the step: learning rates, gate width, hardness, targets."""

from __future__ import annotations

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Num

from atis_jax.numerics import pytree
from atis_jax.training.spec import PruningSpec, StageSpec


@pytree
class Scheduled:
    """The co-design schedule at one step.

    Attributes:
        smoothing: soft comparator width over the score's half span.
        hardness: 0 while decisions are soft, 1 in hard fine-tuning.
        target: (L,) wanted kept fraction now.
    """

    smoothing: Float[Array, ""]
    hardness: Float[Array, ""]
    target: Float[Array, "L"]


def learning_rate(peak: float, stage: StageSpec) -> optax.Schedule:
    """Linear warm-up to ``peak``, then cosine to zero at the stage's last step."""
    warmup = max(1, round(stage.warmup * stage.steps))
    return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, max(stage.steps, warmup + 1))


def is_hard(step: Num[Array, "*s"] | int, steps: int, pruning: PruningSpec) -> Bool[Array, "*s"]:
    """Whether decisions are hard at ``step``, 0 at the start of co-design."""
    return jnp.asarray(step, jnp.float32) / steps >= pruning.hard_from


def schedule(step: Float[Array, ""] | int, steps: int, pruning: PruningSpec, target: Float[Array, "L"]) -> Scheduled:
    """Gates start open and wide, close along a cosine (as EViT's keep rate does), narrow, then turn hard.

    Once ``ramp_start`` is over the target is kept + (from - kept) (1 + cos(pi t)) / 2, t from 0 to 1 over ``ramp``.

    Args:
        step: 0 at the start of co-design.
        steps: length of co-design.
        pruning: shape of the schedule.
        target: (L,) the final wanted kept fractions.
    """
    progress = jnp.asarray(step, jnp.float32) / steps
    closing = jnp.clip((progress - pruning.ramp_start) / max(pruning.ramp, 1e-6), 0.0, 1.0)
    open_share = 0.5 * (1.0 + jnp.cos(jnp.pi * closing))
    highest = jnp.maximum(pruning.ramp_from, target)
    narrowing = jnp.clip(progress / max(pruning.hard_from, 1e-6), 0.0, 1.0)
    ratio = pruning.smoothing_end / pruning.smoothing_start
    return Scheduled(
        smoothing=pruning.smoothing_start * ratio**narrowing,
        hardness=is_hard(step, steps, pruning).astype(jnp.float32),
        target=jnp.where(progress < pruning.ramp_start, 1.0, target + (highest - target) * open_share),
    )
