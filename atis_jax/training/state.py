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

from atis_jax.models.kernels.circuit import FITTED
from atis_jax.numerics import pytree
from atis_jax.scoring.method import Method
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
        design: the scorers' design, leaves (L, ...).
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


def labels(values: dict[str, Any], method: Method | None) -> dict[str, Any]:
    """Which optimiser moves which leaf: network, scorer, knob, threshold or frozen."""
    design = values["design"]
    named = "frozen" if method is None else method.labels(design)
    if isinstance(named, str):
        named = jax.tree.map(lambda _, name=named: name, design)
    network = jax.tree.map(lambda _: "network", values["network"])
    if isinstance(network, dict) and FITTED in network:  # what a circuit for attention was fitted to rests
        network |= {FITTED: jax.tree.map(lambda _: "frozen", network[FITTED])}
    return {"network": network, "design": named}


def optimiser(
    stage: StageSpec, codesign: CodesignSpec, method: Method | None = None, knobs: bool = False
) -> optax.GradientTransformation:
    """AdamW or Muon for the network, others with their own rates for the scorer, its knobs and its thresholds.

    Network, scorer and knobs are clipped each by its own norm.

    The rates of scorer and knobs reach zero at ``codesign.scorer_until`` of the stage; the network then adapts to a
    selection that holds still.

    Args:
        stage: of training.
        codesign: rates of the scorer's parts.
        method: says which optimiser moves which part of its design; None: there is none.
        knobs: whether the design has any (``atis.knobs``). The state of an optimiser without them is what it was
            before there were any, so that stored ones can still be read.
    """
    scorer_stage = dataclasses.replace(stage, steps=max(1, round(codesign.scorer_until * stage.steps)))

    def until_rest(rate: float, **adam: float) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(stage.clip), optax.adam(learning_rate(rate, scorer_stage), **adam))

    transforms = {
        "network": optax.chain(
            optax.clip_by_global_norm(stage.clip), still_where_frozen(network_optimiser(stage), stage)
        ),
        "scorer": until_rest(codesign.scorer_learning_rate),
        "threshold": threshold_optimiser(stage, codesign),
        "frozen": optax.set_to_zero(),
    }
    if knobs:
        transforms["knob"] = until_rest(codesign.knob_learning_rate, b2=ADAM_B2)
    return optax.partition(transforms, lambda values: labels(values, method))


def threshold_optimiser(stage: StageSpec, codesign: CodesignSpec) -> optax.GradientTransformation:
    """What moves the thresholds: an integral controller on the kept fraction, or Adam on the loss.

    The controller is plain gradient descent on a "gradient" that the step sets to (wanted - kept), the batch's
    analogue of the circuit's adaptive threshold (``scoring.atis.threshold``). Its gain falls with the learning rate, so
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
        return jax.tree_util.tree_map_with_path(lambda path, leaf: leaf.ndim - stacked(path) > 1, values)

    def matrices(values):
        """Matrices of blocks are stacked along an axis of layers, each of which is one matrix."""
        found = {0: optax.contrib.MuonDimensionNumbers(0, 1), 1: optax.contrib.MuonDimensionNumbers(1, 2)}
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: found[stacked(path)] if leaf.ndim - stacked(path) == 2 else None, values
        )

    made: dict[str, Callable[[], optax.GradientTransformation]] = {
        "adamw": lambda: optax.adamw(rate, b2=ADAM_B2, weight_decay=stage.weight_decay, mask=decayed),
        # consistent_rms scales each update to AdamW's usual size, so that one learning rate fits both.
        "muon": lambda: optax.contrib.muon(
            rate,
            adam_b2=ADAM_B2,
            weight_decay=stage.weight_decay,
            weight_decay_mask=decayed,
            muon_weight_dimension_numbers=matrices,
            consistent_rms=MUON_RMS,
            adam_learning_rate=rate,
        ),
    }
    return choose(made, stage.optimiser, "stage.optimiser")()


def still_where_frozen(transform: optax.GradientTransformation, stage: StageSpec) -> optax.GradientTransformation:
    """``transform``, and of a stage with frozen blocks nothing moves that no loss reaches: no weight decay there.

    Of stacked blocks each layer stands for itself.
    """
    if not stage.frozen_blocks:
        return transform

    def kept_still(path, update, gradient):
        own = tuple(range(stacked(path), gradient.ndim))
        return jnp.where(jnp.any(gradient != 0, axis=own, keepdims=True), update, 0)

    def moved(gradient, state, params=None):
        updates, state = transform.update(gradient, state, params)
        return jax.tree_util.tree_map_with_path(kept_still, updates, gradient), state

    return optax.GradientTransformation(transform.init, moved)


def stacked(path: tuple[Any, ...]) -> int:
    """1 for a leaf of the blocks, whose first axis is that of the layers; else 0."""
    return int(any(getattr(key, "key", None) == "blocks" for key in path))


def create_state(
    params: PyTree,
    design: Any,
    scorer_state: Any,
    key: Key,
    transform: optax.GradientTransformation,
) -> TrainState:
    """A state at step 0 of a stage, no leaf of a weak type: the step would be compiled again for its own result."""

    @jax.jit  # operation by operation it would be a compilation for each shape
    def made(params, design, scorer_state, key):
        state = TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            design=design,
            scorer_state=scorer_state,
            opt_state=transform.init({"network": params, "design": design}),
            key=key,
        )
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), state)

    return made(params, design, scorer_state, key)


def advance(state: TrainState, **changes: Any) -> TrainState:
    """The state one step on, with ``changes``."""
    return dataclasses.replace(state, step=state.step + 1, **changes)
