"""Running a trained design over a data set, on chips, and adding up. No side effects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from atis_jax.circuits.chip import Chip, Environment
from atis_jax.circuits.hardware import Hardware
from atis_jax.models.forward import (
    Pruned,
    ScorerInputs,
    dense_forward,
    gathered_forward,
    masked_forward,
)
from atis_jax.models.vit import VisionTransformer
from atis_jax.pruning.gather import choose_capacity
from atis_jax.pruning.masks import PROTECTED, kept_tokens
from atis_jax.scoring.registry import make_scorer
from atis_jax.scoring.spec import ScorerSpec
from atis_jax.scoring.types import Scorer
from atis_jax.typing import Key, PyTree


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """A trained network and scorer, ready to be run on chips.

    Attributes:
        model, params: the network.
        scorer, spec, hardware: the scorer.
        scored: layers that have a scorer; the others keep what reaches them.
    """

    model: VisionTransformer
    params: PyTree
    scorer: Scorer
    spec: ScorerSpec
    hardware: Hardware
    scored: range

    def on(self, hardware: Hardware, target: Float[Array, "L"]) -> Evaluator:
        """The same network and structure on another hardware; ``target`` as in ``make_scorer``."""
        return dataclasses.replace(self, hardware=hardware, scorer=make_scorer(self.spec, hardware, target))

    def masked(self) -> Callable[[Any, ScorerInputs, Key | None], Pruned]:
        """The masked pass, jitted: (images, inputs, noise key) -> Pruned."""
        fixed = self.model, self.scorer, self.scored, self.spec.source
        return lambda images, inputs, key: _masked(*fixed, self.params, images, inputs, key)

    def gathered(self, capacities: tuple[int, ...]) -> Callable[[Any, ScorerInputs, Key | None], Pruned]:
        """The gathered pass at ``capacities``, jitted: one compilation for each set of capacities."""
        fixed = self.model, self.scorer, self.scored, self.spec.source, capacities
        return lambda images, inputs, key: _gathered(*fixed, self.params, images, inputs, key)


# Jitted here, not in the methods: however often an evaluator is asked for a pass, it is compiled once.
@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _masked(model, scorer, scored, source, params, images, inputs, key):
    return masked_forward(model, params, scorer, images, inputs, key, scored=scored, source=source)


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _gathered(model, scorer, scored, source, capacities, params, images, inputs, key):
    where = {"scored": scored, "source": source}
    return gathered_forward(model, params, scorer, images, inputs, key, capacities=capacities, **where)


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
    """Run ``batches`` (dicts of image, label, weight, number) and add up; ``key`` is folded with each number."""
    totals = []
    for batch in batches:
        out = run(batch["image"], inputs, example_keys(key, batch["number"]))
        totals.append(_tally(out.logits, out.alive, out.overflow, batch["label"], batch["weight"]))
    correct, examples, kept, largest, overflow = zip(*jax.device_get(totals), strict=True)
    return Count(
        correct=float(np.sum(correct)),
        examples=float(np.sum(examples)),
        kept=np.sum(kept, axis=0),
        largest=np.max(largest, axis=0),
        overflow=int(np.sum(overflow)),
    )


def example_keys(key: Key | None, number: Int[Array, "B"]) -> Key | None:
    """A key for each example, folded from its place in the data set: the batch it comes in does not matter."""
    return None if key is None else _folded(key, number)


@jax.jit
def _folded(key, number):
    return jax.vmap(jax.random.fold_in, (None, 0))(key, number)


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


def capacities_for(largest: np.ndarray, tokens: int, scored: range) -> tuple[int, ...]:
    """One bucket per layer that holds ``largest`` tokens, never growing down the layers."""
    capacities, before = [], tokens + PROTECTED
    for layer, most in enumerate(largest):
        wanted = choose_capacity(int(most), tokens) if layer in scored else tokens + PROTECTED
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
    widen: bool = True,
) -> tuple[Count, tuple[int, ...]]:
    """Gathered pass over the data, again with more room wherever a token found none.

    Args:
        evaluator: network and scorer.
        batches: images, labels and weights.
        inputs: design, chip, environment and memory.
        key: read noise; None switches it off.
        compiled: passes by capacities; filled as needed, so that chips share compilations.
        capacities: where to start.
        widen: False keeps to ``capacities`` and counts the tokens lost.

    Returns:
        The count (with no overflow if ``widen``), and the capacities it was made with.
    """
    tokens = evaluator.model.tokens
    while True:
        if capacities not in compiled:
            compiled[capacities] = evaluator.gathered(capacities)
        total = count(compiled[capacities], batches, inputs, key)
        if total.overflow == 0 or not widen:
            return total, capacities
        # In every layer: survivors after an overflow are too few, so how much later layers need is not known.
        capacities = tuple(min(tokens + PROTECTED, c + max(1, tokens // 8)) for c in capacities)


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
