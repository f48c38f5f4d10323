"""Running a trained design over a data set, on chips, and adding up. No side effects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from atis_jax import rng
from atis_jax.circuits.chip import Chip, Environment
from atis_jax.circuits.hardware import Hardware
from atis_jax.models.backbone import Model
from atis_jax.models.forward import Pruned, dense_forward, gathered_forward, masked_forward
from atis_jax.models.kernels import Kernel
from atis_jax.models.kernels.circuit import ArrayShape, Circuit
from atis_jax.models.passes import SOFTMAX, Batch, ScorerInputs
from atis_jax.pruning.gather import choose_capacity, step_of
from atis_jax.pruning.masks import kept_tokens
from atis_jax.scoring.method import Method
from atis_jax.scoring.registry import make_method
from atis_jax.training.task import Task
from atis_jax.typing import Key, PyTree
from atis_jax.validation import field_names


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """A trained network and method, ready to be run on chips.

    Attributes:
        model, params: the network.
        method: which tokens stay.
        scored: layers that have a scorer; the others keep what reaches them.
        task: what the network is asked.
        kernel: how attention is computed.
    """

    model: Model
    params: PyTree
    method: Method
    scored: range
    task: Task
    kernel: Kernel = SOFTMAX

    @property
    def spec(self) -> Any:
        """The method's section of the config."""
        return self.method.spec

    @property
    def hardware(self) -> Hardware:
        """Preset that chips are sampled from."""
        return self.method.hardware

    def on(self, hardware: Hardware, target: Float[Array, "L"]) -> Evaluator:
        """The same network and structure on another hardware; ``target`` as in ``make_method``."""
        return dataclasses.replace(self, method=make_method(self.spec, hardware, target))

    def masked(self) -> Callable[[Batch, ScorerInputs, Key | None], Pruned]:
        """The masked pass, jitted: (batch, inputs, noise key) -> Pruned."""
        fixed = self.model, self.method, self.scored, self.kernel
        return lambda batch, inputs, key: _masked(*fixed, self.params, batch, inputs, key)

    def gathered(self, capacities: tuple[int, ...]) -> Callable[[Batch, ScorerInputs, Key | None], Pruned]:
        """The gathered pass at ``capacities``, jitted: one compilation for each set of capacities."""
        fixed = self.model, self.method, self.scored, self.kernel, capacities
        return lambda batch, inputs, key: _gathered(*fixed, self.params, batch, inputs, key)


# Jitted here, not in the methods: however often an evaluator is asked for a pass, it is compiled once.
@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _masked(model, method, scored, kernel, params, batch, inputs, key):
    return masked_forward(model, params, method, batch, inputs, key, scored=scored, kernel=kernel)


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _gathered(model, method, scored, kernel, capacities, params, batch, inputs, key):
    given = model, params, method, batch, inputs, key
    return gathered_forward(*given, capacities=capacities, scored=scored, kernel=kernel)


@dataclasses.dataclass(frozen=True)
class Each:
    """What one pass found of each example, in the order of their numbers.

    Attributes:
        number: (n,) its place in the data set.
        right: (n,) 0 or 1 for a class, else the share that is right.
        loss: (n,) cross-entropy, nats.
        counted: (n,) its tokens that were a method's to judge.
        kept: (n, L) of these, those that were kept after each layer.
    """

    number: np.ndarray
    right: np.ndarray
    loss: np.ndarray
    counted: np.ndarray
    kept: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Each]) -> Each:
        """Examples of several parts, in the order of their numbers."""
        found = {name: np.concatenate([getattr(one, name) for one in parts]) for name in field_names(cls)}
        order = np.argsort(found["number"], kind="stable")
        return cls(**{name: column[order] for name, column in found.items()})


@dataclasses.dataclass(frozen=True)
class Count:
    """What one pass over a data set adds up to.

    Attributes:
        correct: right answers.
        examples: how many were seen.
        kept: (L,) counted tokens kept, summed over examples.
        counted: tokens that were a method's to judge, neither protected nor padding, summed over examples.
        largest: (L,) most tokens any example kept.
        overflow: tokens that found no room.
        length: tokens of a full sequence, protected ones and padding included, of the batch that had most.
        each: the same of every example.
    """

    correct: float
    examples: float
    kept: np.ndarray
    counted: float
    largest: np.ndarray
    overflow: int
    length: int
    each: Each

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.correct / self.examples

    @property
    def kept_fraction(self) -> np.ndarray:
        """(L,) share of the counted tokens that is kept."""
        return self.kept / self.counted


def count(
    run: Callable[[Batch, ScorerInputs, Key | None], Pruned], task: Task, batches, inputs: ScorerInputs, key
) -> Count:
    """Run ``batches`` (label, weight and number beside what the network is fed) and add up.

    ``key`` is folded with each example's number.
    """
    totals, told, length = [], [], 0
    for batch in batches:
        out = run(batch, inputs, example_keys(key, batch["number"]))
        *sums, right, loss, counted, kept = _tally(task, out, batch)
        totals.append(sums)
        told.append((batch["number"], batch["weight"], right, loss, counted, kept))
        length = max(length, out.alive.shape[2])
    correct, examples, kept, counted, largest, overflow = zip(*jax.device_get(totals), strict=True)
    return Count(
        correct=float(np.sum(correct)),
        examples=float(np.sum(examples)),
        kept=np.sum(kept, axis=0),
        counted=float(np.sum(counted)),
        largest=np.max(largest, axis=0),
        overflow=int(np.sum(overflow)),
        length=length,
        each=Each.joined([_each(*one) for one in jax.device_get(told)]),
    )


def _each(number, weight, right, loss, counted, kept_LxB) -> Each:
    """What a batch says of its examples, without those that fill it up."""
    real = weight > 0
    counted = np.broadcast_to(counted, real.shape)
    return Each(number[real], right[real], loss[real], counted[real], kept_LxB.T[real])


def added(counts: Sequence[Count]) -> Count:
    """What several passes over parts of a data set add up to."""
    return Count(
        correct=sum(one.correct for one in counts),
        examples=sum(one.examples for one in counts),
        kept=np.sum([one.kept for one in counts], axis=0),
        counted=sum(one.counted for one in counts),
        largest=np.max([one.largest for one in counts], axis=0),
        overflow=sum(one.overflow for one in counts),
        length=max(one.length for one in counts),
        each=Each.joined([one.each for one in counts]),
    )


def example_keys(key: Key | None, number: Int[Array, "B"] | np.ndarray) -> Key | None:
    """A key for each example, folded from its place in the data set: the batch it comes in does not matter."""
    return None if key is None else _folded(key, number)


@jax.jit
def _folded(key, number):
    return jax.vmap(jax.random.fold_in, (None, 0))(key, number)


@partial(jax.jit, static_argnums=0)
def _tally(task, out, batch):
    weight, right = batch["weight"], task.right(out.logits, batch)
    kept_LxB = jax.vmap(kept_tokens, (0, None))(out.alive, out.counted) * weight
    return (
        jnp.sum(right * weight),
        jnp.sum(weight),
        jnp.sum(kept_LxB, axis=1),
        jnp.sum(jnp.sum(out.counted, axis=-1) * weight),
        jnp.max(kept_LxB, axis=1),
        jnp.sum(out.overflow * (weight > 0)),
        right,
        task.losses(out.logits, batch),
        jnp.sum(out.counted, axis=-1),
        kept_LxB,
    )


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a network says of each example, in the order of their numbers.

    Attributes:
        right: (n,) 0 or 1 for a class, else the share that is right.
        loss: (n,) cross-entropy, nats.
    """

    right: np.ndarray
    loss: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(np.mean(self.right, dtype=np.float64))


def dense_answers(model: Model, task: Task, params: PyTree, batches: Iterable[dict]) -> Answers:
    """The network without pruning, on every example."""

    @jax.jit
    def answers(params, batch):
        logits = dense_forward(model, params, batch)[0]
        return task.right(logits, batch), task.losses(logits, batch)

    told = jax.device_get([(batch["number"], batch["weight"] > 0, *answers(params, batch)) for batch in batches])
    number, right, loss = (np.concatenate([one[at][one[1]] for one in told]) for at in (0, 2, 3))
    order = np.argsort(number)
    return Answers(right[order], loss[order])


def dense_accuracy(model: Model, task: Task, params: PyTree, batches: Iterable[dict]) -> float:
    """Accuracy of the network without pruning."""
    return dense_answers(model, task, params, batches).accuracy


def capacities_for(largest: np.ndarray, model: Model, scored: range, length: int | None = None) -> tuple[int, ...]:
    """One bucket per layer that holds ``largest`` tokens, never growing down the layers.

    Args:
        largest: (L,) most tokens that any example keeps, protected ones not counted.
        model: the network.
        scored: layers that have a scorer.
        length: tokens of a full sequence, where those at hand are shorter than the data set's longest.
    """
    length = model.length if length is None else length
    capacities, before, protected = [], length, model.length - model.tokens
    for layer, most in enumerate(largest):
        wanted = choose_capacity(int(most), length - protected, protected) if layer in scored else length
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
        batches: examples, labels and weights.
        inputs: design, chip, environment and memory.
        key: read noise; None switches it off.
        compiled: passes by capacities; filled as needed, so that chips share compilations.
        capacities: where to start.
        widen: False keeps to ``capacities`` and counts the tokens lost.

    Returns:
        The count (with no overflow if ``widen``), and the capacities it was made with.
    """
    model = evaluator.model
    while True:
        if capacities not in compiled:
            compiled[capacities] = evaluator.gathered(capacities)
        total = count(compiled[capacities], evaluator.task, batches, inputs, key)
        if total.overflow == 0 or not widen:
            return total, capacities
        # In every layer: survivors after an overflow are too few, so how much later layers need is not known.
        capacities = tuple(min(total.length, c + step_of(model.tokens)) for c in capacities)


def chips_for(key: Key, method: Method, depth: int, chips: int) -> Chip | None:
    """``chips`` chips, each of its own lot, with an array per layer or one for all: leaves (chips, L, ...)."""
    if not method.fabricated:
        return None
    return _drawn(method, depth, chips, key)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _drawn(method, depth, chips, key):
    lots = jax.random.split(rng.key_of(key, "lot"), chips)

    def chip(keys, lot):
        return method.wired(jax.vmap(method.sample_chip, (0, None))(keys, lot))

    return jax.vmap(chip)(jax.random.split(key, (chips, depth)), lots)


def attention_chips_for(key: Key, kernel: Kernel, model: Model, chips: int) -> Any:
    """Of a kernel that is a circuit, ``chips`` chips with an array for each layer: leaves (chips, L, ...); else None.

    Their draws are those of the stream ``attention_chip`` of ``key``.
    """
    return _attention_drawn(kernel, model, chips, key) if isinstance(kernel, Circuit) else None


@partial(jax.jit, static_argnums=(0, 1, 2))
def _attention_drawn(kernel, model, chips, key):
    keys = jax.random.split(rng.key_of(key, "attention_chip"), chips)
    return jax.vmap(lambda key: attention_chip(key, kernel, model))(keys)


def attention_chip(key: Key, kernel: Circuit, model: Model) -> Any:
    """One chip of a circuit for attention, leaves (L, ...)."""
    shape = ArrayShape(heads=model.shape().heads, width=model.shape().width // model.shape().heads, tokens=model.length)
    return jax.vmap(lambda layer: kernel.sample_chip(layer, shape))(jax.random.split(key, model.depth))


def environments_for(
    hardware: Hardware, temperature_k: Float[Array, "chips"], supply: Float[Array, "chips"] | None = None
) -> Environment:
    """Environments at the given temperatures and supplies: leaves (chips,).

    Args:
        hardware: gives the nominal supply.
        temperature_k: K.
        supply: over the nominal one; None for the nominal.
    """
    nominal_v = jnp.full(temperature_k.shape, hardware.supply_v)
    return Environment(temperature_k=temperature_k, supply_v=nominal_v if supply is None else nominal_v * supply)
