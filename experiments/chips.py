"""A trained design, and the same on many fabricated chips: as they are made, or each calibrated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.circuits.chip import Chip, Environment, nominal_environment
from atis_jax.circuits.hardware import Hardware
from atis_jax.data.dataset import Split
from atis_jax.data.pipeline import Batch, Shape, by_shape
from atis_jax.models.backbone import Model
from atis_jax.models.passes import ScorerInputs
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis.calibration import (
    CalibrationSpec,
    CalibrationTokens,
    Trim,
    calibrate_chip,
    trimmed,
    with_trim_dac,
)
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.training import evaluate
from atis_jax.training.calibration_tokens import record_tokens
from atis_jax.training.evaluate import Evaluator
from atis_jax.training.state import TrainState
from atis_jax.typing import Key
from atis_jax.units import celsius_to_kelvin
from experiments.build import build_kernel, build_method, build_task, fed
from experiments.settings import CodesignSettings

SCOUT_CHIPS = 2
"""Chips whose counts, beside the perfect chip's, choose the first capacities."""
TOKEN_EXAMPLES = 64
"""Training examples whose tokens calibration plays."""
CALIBRATED_AT_ONCE = 32
"""Chips whose benches are simulated together."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network with its scorer, ready to measure.

    Attributes:
        evaluator: runs it.
        state: the training state it came from.
    """

    evaluator: Evaluator
    state: TrainState

    def inputs(self, chip, environment, design=None, attention=None) -> ScorerInputs:
        """The scorer's inputs on a chip (leaves (L, ...)) in an environment.

        Args:
            chip: of the scorer.
            environment: of both.
            design: where a chip has its own.
            attention: chip of a kernel that is a circuit.
        """
        own = self.state.design if design is None else design
        return ScorerInputs(own, chip, environment, self.state.scorer_state, attention)


def with_scorer(settings: CodesignSettings, model: Model, state: TrainState, kind: str) -> Trained:
    """A stage's result with the scorer it was trained with."""
    scored = settings.pruning.scored(settings.model.depth)
    method, task = build_method(settings, kind), build_task(settings)
    return Trained(Evaluator(model, state.params, method, scored, task, build_kernel(settings)), state)


def perfect_inputs(trained: Trained, depth: int) -> ScorerInputs:
    """The design on the chip without any error, at the nominal temperature."""
    method = trained.evaluator.method
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * depth), method.perfect_chip())
    return trained.inputs(stacked, nominal_environment(method.hardware))


def known_tokens(
    settings: CodesignSettings, trained: Trained, train: Split, method: CalibrationSpec, root: Key
) -> CalibrationTokens:
    """The tokens of every layer that calibration plays, from training examples on the perfect chip."""
    evaluator = trained.evaluator
    return record_tokens(
        evaluator.model,
        trained.state.params,
        evaluator.method,
        perfect_inputs(trained, evaluator.model.depth),
        fed(settings, train, slice(TOKEN_EXAMPLES)),
        method.tokens,
        root,
        scored=evaluator.scored,
        kernel=evaluator.kernel,
    )


@dataclasses.dataclass(frozen=True)
class Chips:
    """A design on many chips: leaves of ``chips``, ``environments`` and ``trims`` carry a leading axis of chips.

    Attributes:
        trained: the design, in the hardware that the chips are made in.
        chips, environments: what each is and where it works.
        trims: what calibration set on each; None as fabricated.
        noise: of each, the key of its reads.
        temperature_c: of each, C.
        attention: of each, what a kernel that is a circuit is; None of others.
    """

    trained: Trained
    chips: Any
    environments: Any
    trims: Trim | None
    noise: Any
    temperature_c: np.ndarray
    attention: Any = None

    def __len__(self) -> int:
        return len(self.temperature_c)

    def inputs(self, number: int) -> ScorerInputs:
        """What the scorer is on chip ``number``."""
        chip, environment = layer_of(self.chips, number), layer_of(self.environments, number)
        attention = layer_of(self.attention, number)
        if self.trims is None:
            return self.trained.inputs(chip, environment, attention=attention)
        evaluator = self.trained.evaluator
        design = _programmed(
            evaluator.spec, evaluator.hardware, self.trained.state.design, layer_of(self.trims, number)
        )
        return self.trained.inputs(chip, environment, design, attention)


@partial(jax.jit, static_argnums=(0, 1))
def _programmed(spec, hardware, design, trim):
    return jax.vmap(lambda one, its: trimmed(one, its, spec, hardware))(design, trim)


def fabricate(settings: CodesignSettings, trained: Trained, train: Split, key: Key, root: Key) -> Chips:
    """``evaluation.chips`` chips dealt to its temperatures and supplies, calibrated as ``evaluation.calibration`` says.

    A method that is no circuit has one, and nothing to calibrate.

    Args:
        settings: of the run.
        trained: what all chips are meant to hold.
        train: training examples, whose tokens calibration plays.
        key: of chips, noise and measurements.
        root: of the run; draws the known tokens.
    """
    spec = settings.evaluation
    calibration = spec.calibration_spec() if trained.evaluator.method.fabricated else None
    if calibration is not None:
        target = jnp.asarray(settings.pruning.kept_of_incoming(settings.model.depth))
        hardware = with_trim_dac(trained.evaluator.hardware, calibration)
        made = dataclasses.replace(trained, evaluator=trained.evaluator.on(hardware, target))
    else:
        made = trained
    method = made.evaluator.method
    number = np.arange(spec.chips if method.fabricated or settings.has_circuit else 1)
    temperature_c = np.asarray(spec.temperature_c)[number % len(spec.temperature_c)]
    supply = np.asarray(spec.supply)[number // len(spec.temperature_c) % len(spec.supply)]
    chips = evaluate.chips_for(jax.random.fold_in(key, 1), method, settings.model.depth, len(number))
    evaluator = made.evaluator
    attention = evaluate.attention_chips_for(key, evaluator.kernel, evaluator.model, len(number))
    at = jnp.asarray(celsius_to_kelvin(temperature_c))
    environments = evaluate.environments_for(method.hardware, at, jnp.asarray(supply))
    noise = [jax.random.fold_in(jax.random.fold_in(key, 2), one) for one in number]
    trims = None
    if calibration is not None:
        tokens = known_tokens(settings, trained, train, calibration, root)
        factory = evaluate.environments_for(method.hardware, at)
        keys = jax.random.split(jax.random.fold_in(key, 3), len(number))
        query = made.state.scorer_state.query
        trims = _calibrate(
            method.spec, method.hardware, calibration, made.state.design, query, chips, factory, tokens, keys
        )
    return Chips(made, chips, environments, trims, noise, temperature_c, attention)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _calibrate(
    spec: ScorerSpec,
    hardware: Hardware,
    calibration: CalibrationSpec,
    design: Any,
    query: jax.Array,
    chips: Chip,
    environments: Environment,
    tokens: CalibrationTokens,
    keys: Key,
) -> Trim:
    def one(chip_in_place) -> Trim:
        chip, environment, key = chip_in_place
        return calibrate_chip(design, chip, environment, tokens, spec, hardware, calibration, key, query).trim

    return jax.lax.map(one, (chips, environments, keys), batch_size=CALIBRATED_AT_ONCE)


@dataclasses.dataclass(frozen=True)
class ChipCounts:
    """What the chips reach, one entry or row a chip.

    Attributes:
        accuracy: (chips,).
        kept_per_layer: (chips, L).
        capacities: room of each layer that they were computed with in the end, of batches of each shape.
        overflow: tokens that found none.
        each: what each chip finds of each example.
    """

    accuracy: np.ndarray
    kept_per_layer: np.ndarray
    capacities: dict[Shape, tuple[int, ...]]
    overflow: int
    each: list[evaluate.Each]


def count_chips(
    chips: Chips, batches: list[Batch], ideal: Mapping[Shape, evaluate.Count], capacities: tuple[int, ...] = ()
) -> ChipCounts:
    """Accuracy and counts of every chip: hard comparators, read noise, tokens really removed.

    Args:
        chips: see ``fabricate``.
        batches: examples.
        ideal: what the perfect chip counts on batches of each shape; with two scouts it chooses the first capacities.
        capacities: room of each layer, beyond which tokens are lost and counted; empty: room for all.
    """
    evaluator, groups = chips.trained.evaluator, by_shape(batches)
    room = {}
    for shape, group in groups.items():
        length = ideal[shape].length
        room[shape] = tuple(min(one, length) for one in capacities)
        if not capacities:
            masked = evaluator.masked()
            scouts = [
                evaluate.count(masked, evaluator.task, group, chips.inputs(number), chips.noise[number]).largest
                for number in range(min(SCOUT_CHIPS, len(chips)))
            ]
            largest = np.max([ideal[shape].largest, *scouts], axis=0)
            room[shape] = evaluate.capacities_for(largest, evaluator.model, evaluator.scored, length)
    compiled: dict = {}
    accuracy, kept, each, overflow = [], [], [], 0
    for number in range(len(chips)):
        counts = []
        for shape, group in groups.items():
            total, room[shape] = evaluate.count_gathered(
                evaluator, compiled, room[shape], group, chips.inputs(number), chips.noise[number], not capacities
            )
            counts.append(total)
        whole = evaluate.added(counts)
        accuracy.append(whole.accuracy)
        kept.append(whole.kept_fraction)
        each.append(whole.each)
        overflow += whole.overflow
    return ChipCounts(np.asarray(accuracy), np.asarray(kept), room, overflow, each)
