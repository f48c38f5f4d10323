"""Measuring a trained design: accuracy on chips, masked against gathered, agreement with attention. No side effects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from atis_jax.circuits.chip import Chip, Environment
from atis_jax.circuits.frontend import realise
from atis_jax.circuits.hardware import Hardware
from atis_jax.models.forward import (
    Pruned,
    ScorerInputs,
    block,
    dense_forward,
    embed,
    gathered_forward,
    layer_of,
    masked_forward,
)
from atis_jax.models.vit import VisionTransformer
from atis_jax.pruning.gather import choose_capacity
from atis_jax.pruning.masks import PROTECTED, kept_tokens
from atis_jax.scoring.design import inputs_of, program
from atis_jax.scoring.projection import normalise
from atis_jax.scoring.spec import ScorerSpec
from atis_jax.scoring.types import Scorer
from atis_jax.typing import Key, PyTree

ROUNDING_V = 1e-5
"""Scores this near the threshold may fall either side of it by rounding alone (scores are of the order of 0.1 V)."""
ROUNDING_CODE = 1e-4
"""A converter input this near the edge between two codes (in codes) may round to either."""


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """A trained network and scorer, ready to be run on chips.

    Attributes:
        model, params: the network.
        scorer, spec, hardware: the scorer.
        first_layer: layers before it keep everything.
    """

    model: VisionTransformer
    params: PyTree
    scorer: Scorer
    spec: ScorerSpec
    hardware: Hardware
    first_layer: int

    def masked(self) -> Callable[[Any, ScorerInputs, Key | None], Pruned]:
        """The masked pass, jitted: (images, inputs, noise key) -> Pruned."""
        fixed = self.model, self.scorer, self.first_layer
        return lambda images, inputs, key: _masked(*fixed, self.params, images, inputs, key)

    def gathered(self, capacities: tuple[int, ...]) -> Callable[[Any, ScorerInputs, Key | None], Pruned]:
        """The gathered pass at ``capacities``, jitted: one compilation for each set of capacities."""
        fixed = self.model, self.scorer, self.first_layer, capacities
        return lambda images, inputs, key: _gathered(*fixed, self.params, images, inputs, key)


# Jitted here, not in the methods: however often an evaluator is asked for a pass, it is compiled once.
@partial(jax.jit, static_argnums=(0, 1, 2))
def _masked(model, scorer, first_layer, params, images, inputs, key):
    return masked_forward(model, params, scorer, images, inputs, key, first_layer=first_layer)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _gathered(model, scorer, first_layer, capacities, params, images, inputs, key):
    return gathered_forward(model, params, scorer, images, inputs, key, capacities=capacities, first_layer=first_layer)


@dataclasses.dataclass(frozen=True)
class Count:
    """What one pass over a data set adds up to.

    Attributes:
        correct: right answers.
        examples: images seen.
        kept: (L,) unprotected tokens kept, summed over images.
        largest: (L,) most tokens any image kept.
        overflow: tokens that found no room.
    """

    correct: float
    examples: float
    kept: np.ndarray
    largest: np.ndarray
    overflow: int

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.correct / self.examples


def count(run: Callable[[Any, ScorerInputs, Key | None], Pruned], batches, inputs: ScorerInputs, key) -> Count:
    """Run ``batches`` (dicts of image, label, weight) and add up; ``key`` is folded with the batch's number."""
    totals = []
    for number, batch in enumerate(batches):
        out = run(batch["image"], inputs, None if key is None else jax.random.fold_in(key, number))
        totals.append(_tally(out.logits, out.alive, out.overflow, batch["label"], batch["weight"]))
    correct, examples, kept, largest, overflow = zip(*jax.device_get(totals), strict=True)
    return Count(
        correct=float(np.sum(correct)),
        examples=float(np.sum(examples)),
        kept=np.sum(kept, axis=0),
        largest=np.max(largest, axis=0),
        overflow=int(np.sum(overflow)),
    )


@jax.jit
def _tally(logits, alive, overflow, label, weight):
    right = (jnp.argmax(logits, axis=-1) == label) * weight
    kept_LxB = jax.vmap(kept_tokens)(alive) * weight
    return (
        jnp.sum(right),
        jnp.sum(weight),
        jnp.sum(kept_LxB, axis=1),
        jnp.max(kept_LxB, axis=1),
        jnp.sum(overflow * (weight > 0)),
    )


def dense_accuracy(model: VisionTransformer, params: PyTree, batches: Iterable[dict]) -> float:
    """Accuracy of the network without pruning."""

    @jax.jit
    def right(params, batch):
        logits = dense_forward(model, params, batch["image"])[0]
        return jnp.sum((jnp.argmax(logits, -1) == batch["label"]) * batch["weight"]), jnp.sum(batch["weight"])

    totals = jax.device_get([right(params, batch) for batch in batches])
    return float(sum(t[0] for t in totals) / sum(t[1] for t in totals))


def capacities_for(largest: np.ndarray, tokens: int, first_layer: int) -> tuple[int, ...]:
    """One bucket per layer that holds ``largest`` tokens, never growing down the layers."""
    capacities, before = [], tokens + PROTECTED
    for layer, most in enumerate(largest):
        wanted = tokens + PROTECTED if layer < first_layer else choose_capacity(int(most), tokens)
        before = min(before, wanted)
        capacities.append(before)
    return tuple(capacities)


def count_gathered(
    evaluator: Evaluator,
    compiled: dict[tuple[int, ...], Callable],
    capacities: tuple[int, ...],
    batches,
    inputs: ScorerInputs,
    key,
) -> tuple[Count, tuple[int, ...]]:
    """Gathered pass over the data, again with one bucket more wherever a token found no room.

    Args:
        evaluator: network and scorer.
        batches: images, labels and weights.
        inputs: design, chip, environment and memory.
        key: read noise; None switches it off.
        compiled: passes by capacities; filled as needed, so that chips share compilations.
        capacities: where to start.

    Returns:
        The count, with no overflow, and the capacities that held it.
    """
    tokens = evaluator.model.tokens
    while True:
        if capacities not in compiled:
            compiled[capacities] = evaluator.gathered(capacities)
        total = count(compiled[capacities], batches, inputs, key)
        if total.overflow == 0:
            return total, capacities
        # Survivors after an overflow are too few, so the layer that overflowed first asks for more room until
        # nothing is lost.
        wider = tuple(min(tokens + PROTECTED, c + max(1, tokens // 8)) for c in capacities)
        capacities = wider


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far two ways to run the same design agree.

    Attributes:
        decisions: keep decisions compared (alive tokens of scored layers).
        inside: of these, how many lie within the rounding margin of the threshold.
        unequal_outside: decisions outside the margin that differ: a fault if not 0.
        equal: decisions that are equal, wherever they lie.
        max_abs_logit: largest difference of a logit over images whose decisions are all equal.
        images_compared: number of such images.
        overflow: tokens that found no room.
    """

    decisions: int
    inside: int
    unequal_outside: int
    equal: int
    max_abs_logit: float
    images_compared: int
    overflow: int


def masked_against_gathered(
    evaluator: Evaluator, capacities: tuple[int, ...], batches, inputs: ScorerInputs, key: Key | None
) -> Agreement:
    """Compare every decision and the logits of the two passes, noise and all.

    A decision lies inside the rounding margin if its score is within ``ROUNDING_V`` of the threshold, or if some
    converter input is within ``ROUNDING_CODE`` of the edge between two codes and the steps of those converters
    reach from the score to the threshold. Once an image's decisions differ, its later layers are not compared.
    """
    masked, gathered = evaluator.masked(), evaluator.gathered(capacities)
    margins = jax.jit(lambda params, images, inputs, pruned: _margins(evaluator, params, images, inputs, pruned))
    totals = np.zeros(5)
    largest = 0.0
    overflow = 0
    for number, batch in enumerate(batches):
        batch_key = None if key is None else jax.random.fold_in(key, number)
        a, b = masked(batch["image"], inputs, batch_key), gathered(batch["image"], inputs, batch_key)
        near = margins(evaluator.params, batch["image"], inputs, a)
        *sums, logit, lost = jax.device_get(_compare(a, b, near, batch["weight"] > 0, evaluator.first_layer))
        totals += np.asarray(sums, dtype=float)
        largest, overflow = max(largest, float(logit)), overflow + int(lost)
    decisions, inside, unequal_outside, equal, images = (int(total) for total in totals)
    return Agreement(decisions, inside, unequal_outside, equal, largest, images, overflow)


def _compare(a: Pruned, b: Pruned, near: Bool[Array, "L B N G"], real: Bool[Array, "B"], first_layer: int):
    before = jnp.concatenate([jnp.ones_like(a.alive[:1]), a.alive[:-1]])
    same = a.alive == b.alive
    image_same_so_far = jnp.cumprod(jnp.all(same, axis=(2, 3)), axis=0).astype(bool)
    reached = jnp.concatenate([jnp.ones_like(image_same_so_far[:1]), image_same_so_far[:-1]]) & real
    scored = (jnp.arange(a.alive.shape[0]) >= first_layer)[:, None, None, None]
    unprotected = (jnp.arange(a.alive.shape[2]) >= PROTECTED)[:, None]
    compared = before & reached[:, :, None, None] & scored & unprotected
    untouched = image_same_so_far[-1] & real
    difference = jnp.max(jnp.abs(a.logits - b.logits), axis=-1)
    return (
        jnp.sum(compared),
        jnp.sum(compared & near),
        jnp.sum(compared & ~near & ~same),
        jnp.sum(compared & same),
        jnp.sum(untouched),
        jnp.max(jnp.where(untouched, difference, 0.0)),
        jnp.sum(b.overflow * real),
    )


def _margins(
    evaluator: Evaluator, params: PyTree, images, inputs: ScorerInputs, pruned: Pruned
) -> Bool[Array, "L B N G"]:
    """Which decisions of the masked pass rounding could turn."""
    model, spec, hardware = evaluator.model, evaluator.spec, evaluator.hardware
    if spec.kind == "digital":
        held = jax.vmap(lambda design, query: program(design, spec, hardware, query))(inputs.design, inputs.state.query)
        return jnp.abs(pruned.voltage - held.threshold_v[:, None, None]) <= ROUNDING_V
    if inputs.chip is None or inputs.environment is None:
        return jnp.zeros(pruned.alive.shape, bool)
    x = embed(model, params, images)
    near = []
    for layer in range(model.spec.depth):
        design, chip, state = (layer_of(part, layer) for part in (inputs.design, inputs.chip, inputs.state))
        realised = realise(program(design, spec, hardware, state.query), hardware, chip, inputs.environment)
        distance_v = jnp.abs(pruned.voltage[layer] - realised.threshold_v)
        reach_v = jnp.full(distance_v.shape, ROUNDING_V)
        if hardware.dac.bits is not None:
            levels = 2**hardware.dac.bits - 1
            position = 0.5 * (inputs_of(design, normalise(x)) + 1.0) * levels
            at_edge = jnp.abs(jnp.abs(position - jnp.round(position)) - 0.5) < ROUNDING_CODE
            step_v = jnp.abs(realised.weight_v) * realised.slope_per_v * (2.0 * realised.full_scale_v / levels)
            # Twice the ideal step: the elements of one converter may differ by more than that only when broken.
            reach_v = reach_v + 2.0 * jnp.einsum("bnj,gj->bng", at_edge.astype(step_v.dtype), step_v)
        near.append(distance_v <= reach_v)
        gate = pruned.alive[layer].astype(x.dtype)
        x, _, _ = block(model, params, layer, x, gate)
    return jnp.stack(near)


def attention_agreement(
    score: Float[np.ndarray, "*s T"], keep: Bool[np.ndarray, "*s T"], received: Float[np.ndarray, "*s T"]
) -> tuple[Float[np.ndarray, "*s"], Float[np.ndarray, "*s"]]:
    """Rank agreement between score and attention: the paper's Phase 1 question.

    Args:
        score: scores of all unprotected tokens.
        keep: which of them are kept after that layer.
        received: attention each receives in the dense network, averaged over heads and query rows.

    Returns:
        Spearman rank correlation, and recall: of the k most attended tokens, the share that is among the k kept
        ones (k differs from image to image). Recall of an image that keeps nothing is 0.
    """
    a, b = ranks(score), ranks(received)
    a, b = (r - r.mean(axis=-1, keepdims=True) for r in (a, b))
    norm = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    spearman = (a * b).sum(axis=-1) / np.maximum(norm, 1e-12)
    kept = keep.sum(axis=-1)
    attended = ranks(-received) < kept[..., None]
    recall = (attended & keep).sum(axis=-1) / np.maximum(kept, 1)
    return spearman, recall


def ranks(values: Float[np.ndarray, "*s T"]) -> Float[np.ndarray, "*s T"]:
    """Ranks along the last axis, from 0, in order of value (ties in order of position)."""
    order = np.argsort(values, axis=-1, kind="stable")
    found = np.empty(values.shape)
    np.put_along_axis(found, order, np.broadcast_to(np.arange(values.shape[-1], dtype=float), values.shape), axis=-1)
    return found


def chips_for(
    key: Key, hardware: Hardware, spec: ScorerSpec, depth: int, chips: int, sample: Callable[..., Chip]
) -> Chip:
    """``chips`` fabricated chips, each with an array per layer: leaves (chips, L, ...)."""
    keys = jax.random.split(key, (chips, depth))
    return jax.vmap(jax.vmap(lambda k: sample(k, hardware, spec.geometry)))(keys)


def environments_for(hardware: Hardware, temperature_k: Float[Array, "chips"]) -> Environment:
    """Environments at the given temperatures and the nominal supply: leaves (chips,)."""
    supply = jnp.full(temperature_k.shape, hardware.supply_v)
    return Environment(temperature_k=temperature_k, supply_v=supply)
