"""What a training step reads and writes, and the optimisers that move it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jaxtyping import Array, Int

from atis_jax.numerics import pytree
from atis_jax.scoring.design import Design
from atis_jax.scoring.knobs import KNOBS
from atis_jax.training.schedule import learning_rate
from atis_jax.training.spec import CodesignSpec, StageSpec
from atis_jax.typing import Key, PyTree
from atis_jax.validation import choose

ADAM_B2 = 0.99
"""Second-moment decay: runs of a few thousand steps forget their start sooner than 0.999 lets them."""
MUON_RMS = 0.2
"""RMS of a Muon update before the learning rate (Liu et al. 2025, arXiv 2502.16982)."""


@pytree
class TrainState:
    """Everything a run needs to go on, apart from its position in the data.

    Attributes:
        step: steps taken in this stage.
        params: the network.
        design: the scorers' design, leaves (L, ...); for the random control the (L,) token counts.
        scorer_state: the scorers' memory, leaves (L, ...); empty while there is no scorer.
        opt_state: Optax's.
        key: root key of the run; every draw is folded out of it by stream name and step.
    """

    step: Int[Array, ""]
    params: PyTree
    design: Any
    scorer_state: Any
    opt_state: PyTree
    key: Key


_PROJECTION_LABELS = {"learned": "scorer", "gaussian": "frozen", "sparse_sign": "frozen", "selection": "frozen"}
_PROTOTYPE_LABELS = {"static": "scorer", "ema": "frozen", "extracted": "frozen"}


def labels(values: dict[str, Any], projection: str, prototype: str) -> dict[str, Any]:
    """Which optimiser moves which leaf: network, scorer, knob, threshold or frozen."""
    design = values["design"]
    if isinstance(design, Design):
        named: dict[str, Any] = dict(
            projection=choose(_PROJECTION_LABELS, projection, "scorer.projection"),
            input_gain="scorer",
            prototype=choose(_PROTOTYPE_LABELS, prototype, "scorer.prototype"),
            bias_scale="scorer",
            feedback="scorer",
            threshold="threshold",
        )
        knobs = {name: "knob" for name in KNOBS if getattr(design, name) is not None}
        # Where hardware is chosen at all, the currents' scale is chosen with it, as quickly.
        named |= knobs | ({"bias_scale": "knob"} if knobs else {})
        design_labels: Any = Design(**named)
    else:
        design_labels = jax.tree.map(lambda _: "frozen", design)
    return {"network": jax.tree.map(lambda _: "network", values["network"]), "design": design_labels}


def optimiser(
    stage: StageSpec,
    codesign: CodesignSpec,
    projection: str = "learned",
    prototype: str = "static",
    knobs: bool = False,
) -> optax.GradientTransformation:
    """AdamW or Muon for the network, others with their own rates for the scorer, its knobs and its thresholds.

    Network, scorer and knobs are clipped each by its own norm.

    The rates of scorer and knobs reach zero at ``codesign.scorer_until`` of the stage; the network then adapts to a
    selection that holds still.

    Args:
        stage: of training.
        codesign: rates of the scorer's parts.
        projection: of the scorer; trained only if ``learned``.
        prototype: of the scorer; trained only if ``static``.
        knobs: whether the design has any (``scoring.knobs``). The state of an optimiser without them is what it was
            before there were any, so that stored ones can still be read.
    """
    scorer_stage = dataclasses.replace(stage, steps=max(1, round(codesign.scorer_until * stage.steps)))

    def until_rest(rate: float, **adam: float) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(stage.clip), optax.adam(learning_rate(rate, scorer_stage), **adam))

    transforms = {
        "network": optax.chain(optax.clip_by_global_norm(stage.clip), network_optimiser(stage)),
        "scorer": until_rest(codesign.scorer_learning_rate),
        "threshold": threshold_optimiser(stage, codesign),
        "frozen": optax.set_to_zero(),
    }
    if knobs:
        transforms["knob"] = until_rest(codesign.knob_learning_rate, b2=ADAM_B2)
    return optax.partition(transforms, lambda values: labels(values, projection, prototype))


def threshold_optimiser(stage: StageSpec, codesign: CodesignSpec) -> optax.GradientTransformation:
    """What moves the thresholds: an integral controller on the kept fraction, or Adam on the loss.

    The controller is plain gradient descent on a "gradient" that the step sets to (wanted - kept), the batch's
    analogue of the circuit's adaptive threshold (``scoring.threshold``). Its gain falls with the learning rate, so
    that the chips of the last steps do not decide where it ends.
    """
    made: dict[str, Callable[[], optax.GradientTransformation]] = {
        "tracked": lambda: optax.sgd(learning_rate(codesign.threshold_learning_rate, stage)),
        "gradient": lambda: optax.adam(codesign.threshold_learning_rate),
    }
    return choose(made, codesign.threshold, "codesign.threshold")()


def network_optimiser(stage: StageSpec) -> optax.GradientTransformation:
    """AdamW, or Muon for the matrices (Jordan et al. 2024) with AdamW for the rest."""
    rate = learning_rate(stage.learning_rate, stage)

    def decayed(values):
        return jax.tree.map(lambda leaf: leaf.ndim > 1, values)

    made: dict[str, Callable[[], optax.GradientTransformation]] = {
        "adamw": lambda: optax.adamw(rate, b2=ADAM_B2, weight_decay=stage.weight_decay, mask=decayed),
        # consistent_rms scales each update to AdamW's usual size, so that one learning rate fits both.
        "muon": lambda: optax.contrib.muon(
            rate,
            adam_b2=ADAM_B2,
            weight_decay=stage.weight_decay,
            weight_decay_mask=decayed,
            consistent_rms=MUON_RMS,
            adam_learning_rate=rate,
        ),
    }
    return choose(made, stage.optimiser, "stage.optimiser")()


def create_state(
    params: PyTree,
    design: Any,
    scorer_state: Any,
    key: Key,
    transform: optax.GradientTransformation,
) -> TrainState:
    """A state at step 0 of a stage, no leaf of a weak type: the step would be compiled again for its own result."""
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        design=design,
        scorer_state=scorer_state,
        opt_state=transform.init({"network": params, "design": design}),
        key=key,
    )
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), state)


def advance(state: TrainState, **changes: Any) -> TrainState:
    """The state one step on, with ``changes``."""
    return dataclasses.replace(state, step=state.step + 1, **changes)
