"""Runs cells on the devices there are: chunk by chunk within a memory budget, into a table that survives a kill."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from atis_jax.data.dataset import Dataset, Split
from atis_jax.models.passes import ScorerInputs
from atis_jax.training.cells import CELLS, Cells, Inputs, Tally, cell_counter, take_cells, total
from atis_jax.training.evaluate import Evaluator
from atis_jax.training.state import TrainState
from atis_jax.training.task import NextWord
from atis_jax.typing import Key
from atis_jax.validation import UserError
from experiments.chips import Trained, perfect_inputs
from experiments.montecarlo import memory
from experiments.montecarlo.settings import MonteCarloSpec
from experiments.montecarlo.table import CellTable
from experiments.progress import Progress

SCOUTS, SCOUTED = 16, 1024
"""Cells of an arm, evenly spread over it, whose counts choose the room of each layer; and on how many inputs."""
FEW = 2
"""Cells in a chunk of those that are computed with room for every token: scouts, and cells that found too little."""
WIDTH = {"cpu": 4}
"""Fastest number of cells at once where it was measured (``python -m experiments.montecarlo.price``)."""
WIDEST = 256


@dataclasses.dataclass(frozen=True)
class Arm:
    """Cells that share a network, a design and one structure of hardware.

    Attributes:
        labels: what the table says of every cell of the arm.
        evaluator: network, scorer and hardware.
        reference: network, scorer and hardware of the perfect chip that the cells are compared with.
        state: whose parameters, design and scorer memory are used.
        target: wanted share of incoming tokens kept, each layer.
        cells: what tells the cells apart (NumPy leaves).
        rows: what the table says of each cell.
    """

    labels: Mapping[str, Any]
    evaluator: Evaluator
    reference: Evaluator
    state: TrainState
    target: tuple[float, ...]
    cells: Cells
    rows: Sequence[Mapping[str, Any]]


@dataclasses.dataclass
class Account:
    """What an evaluation took, for ``summary.json``.

    Attributes:
        cells: in the whole table.
        computed: of these, in this process.
        redone: of the inputs times cells, those computed again with more room.
        seconds: spent computing, compilation included.
        planned_bytes: the most that any program plans for.
        widths, capacities: of the programs used.
    """

    cells: int = 0
    computed: int = 0
    redone: int = 0
    seconds: float = 0.0
    planned_bytes: int = 0
    widths: set[int] = dataclasses.field(default_factory=set)
    capacities: set[tuple[int, ...]] = dataclasses.field(default_factory=set)

    def summary(self, spec: MonteCarloSpec) -> dict[str, Any]:
        """The account as the summary tells it."""
        return {
            "cells": self.cells,
            "cells_computed_here": self.computed,
            "redone_fraction": self.redone / (self.computed * spec.examples) if self.computed else None,
            "examples": spec.examples,
            "chips": spec.chips,
            "seconds": self.seconds,
            # What the table gained: cells that fill up a chunk and those computed again are work, not results.
            "inputs_per_s": self.computed * spec.examples / self.seconds if self.seconds else None,
            "devices": len(jax.devices()),
            "widths": sorted(self.widths),
            "capacities": sorted(self.capacities),
            "memory": {
                "budget_bytes": spec.memory_mb * memory.MIB,
                "planned_bytes": self.planned_bytes,
                "peak_resident_bytes": memory.peak_bytes(),
            },
        }


def batches(dataset: Dataset, examples: Split, size: int) -> list[Inputs]:
    """Examples in batches of one size, the last one padded with weight 0; the reference is not known yet.

    Of examples in buckets a batch holds those of one, and the last one of each bucket is padded.
    """
    found = []
    for group in examples.groups():
        for first in range(0, len(group), size):
            place = np.arange(first, first + size)
            real = place < len(group)
            index = group[np.minimum(place, len(group) - 1)]
            fed = dataset.feed(examples.at(index)) | {"label": examples.labels[index]}
            found.append(
                Inputs(
                    batch=jax.tree.map(jnp.asarray, examples.cut(fed, index)),
                    weight=jnp.asarray(real, jnp.int32),
                    number=jnp.asarray(np.where(real, index, len(examples) + place - len(group)), jnp.int32),
                    reference=jnp.zeros(size, bool),
                )
            )
    return found


def of_one_shape(inputs: Sequence[Inputs]) -> list[list[Inputs]]:
    """Batches of one shape together, in the order they came: one program is compiled for each list."""
    found: dict[Any, list[Inputs]] = {}
    for batch in inputs:
        found.setdefault(shape_of(batch), []).append(batch)
    return list(found.values())


def shape_of(inputs: Inputs) -> tuple[tuple[int, ...], ...]:
    """The shape of all that a batch holds."""
    return tuple(leaf.shape for leaf in jax.tree.leaves(inputs))


def with_reference(arm: Arm, inputs: Sequence[Inputs]) -> tuple[list[Inputs], float]:
    """The inputs with what the arm's reference, at the nominal temperature and without noise, is right on.

    Returns:
        The inputs, and that chip's accuracy.

    Raises:
        UserError: the network says words: a window is neither right nor wrong, and counts are of such answers.
    """
    if isinstance(arm.reference.task, NextWord):
        raise UserError(
            "a Monte Carlo counts answers that are right, and a network that says the next word gives none; the run's "
            "own evaluation.chips and evaluation.temperature_c measure its loss on chips"
        )
    perfect = perfect_chip(arm.reference, arm.state)
    found, correct = [], 0
    for batch in inputs:
        run = arm.reference.gathered(full_room(arm, batch))
        right = arm.reference.task.right(run(batch.batch, perfect, None).logits, batch.batch) > 0
        found.append(dataclasses.replace(batch, reference=right))
        correct += int(jnp.sum(right * batch.weight))
    return found, correct / sum(int(batch.weight.sum()) for batch in inputs)


def perfect_chip(evaluator: Evaluator, state: TrainState) -> ScorerInputs:
    """The design on the chip without any error."""
    return perfect_inputs(Trained(evaluator, state), evaluator.model.depth)


class Engine:
    """Evaluates arms into one table. Programs are compiled once for each structure and kept."""

    def __init__(self, spec: MonteCarloSpec, key: Key):
        """Prepare.

        Args:
            spec: portions and budget.
            key: chips and read noise are drawn from it.
        """
        self._spec, self._key = spec, key
        self._mesh = jax.make_mesh((len(jax.devices()),), (CELLS,), axis_types=(jax.sharding.AxisType.Auto,))
        self._chunk = self._whole(spec.chunk)
        self._programs: dict[Any, Any] = {}
        self.account = Account()

    def _whole(self, cells: int) -> int:
        """``cells`` rounded up to what the devices can share evenly."""
        return -(-cells // self._mesh.size) * self._mesh.size

    def run(self, arms: Sequence[tuple[Arm, Sequence[Inputs]]], table: CellTable) -> None:
        """Compute the cells that are not in the table yet, arm after arm, chunk after chunk."""
        first = 0
        count = sum(len(arm.rows) for arm, _ in arms)
        self.account.cells = count
        with Progress(count, unit="inputs", start_step=len(table.done)) as bar:
            for arm, inputs in arms:
                self._run_arm(arm, inputs, first, table, bar)
                first += len(arm.rows)

    def _run_arm(self, arm: Arm, inputs: Sequence[Inputs], first: int, table: CellTable, bar: Progress) -> None:
        rooms: list[tuple[int, ...]] = []
        groups = of_one_shape(inputs)
        phase = " ".join(str(value) for value in arm.labels.values())
        for start in range(0, len(arm.rows), self._chunk):
            numbers = np.arange(start, min(start + self._chunk, len(arm.rows)))
            wanted = [n for n in numbers if first + n not in table.done]
            if not wanted:
                continue
            began = time.perf_counter()
            if not rooms:
                bar.announce(f"{phase}: compiling")
                rooms = [self.room(arm, group) for group in groups]
            tallies = [self._total(arm, *part, numbers) for part in zip(groups, rooms, strict=True)]
            tally = total(jax.tree.map(lambda *leaves: np.stack(leaves), *tallies))
            self.account.seconds += time.perf_counter() - began
            self.account.computed += len(wanted)
            examples = sum(int(batch.weight.sum()) for batch in inputs)
            table.append([self._row(arm, first, int(n), tally, int(n) - start, examples) for n in wanted])
            bar.update(len(table.done), count=len(wanted) * examples, phase=phase)

    def _total(self, arm: Arm, inputs: Sequence[Inputs], capacities: tuple[int, ...], numbers: np.ndarray) -> Tally:
        """Counts over inputs of one shape; a batch for which a cell had too little room is computed anew."""
        tally = self.count(arm, inputs, numbers, capacities)
        for index, batch in enumerate(inputs):
            tight = tally.overflow[index] > 0
            if tight.any():
                again = self.count(arm, [batch], numbers[tight], full_room(arm, batch), FEW)
                for name in ("correct", "lost", "gained", "kept", "largest", "overflow"):
                    getattr(tally, name)[index, tight] = getattr(again, name)[0]
                self.account.redone += int(tight.sum()) * int(batch.weight.sum())
        return total(tally)

    def room(self, arm: Arm, inputs: Sequence[Inputs]) -> tuple[int, ...]:
        """Tokens each layer needs room for, from a few cells of the arm on some of the inputs, which have one shape."""
        model, everything = arm.evaluator.model, full_room(arm, inputs[0])
        scouts = np.unique(np.linspace(0, len(arm.rows) - 1, SCOUTS).round().astype(int))
        few = inputs[: max(1, SCOUTED // len(inputs[0].weight))]
        largest = self.count(arm, few, scouts, everything, FEW).largest.max(axis=(0, 1))
        capacities, before, protected = [], everything[0], model.length - model.tokens
        for layer, most in enumerate(largest):
            wanted = int(most) + 1 if layer in arm.evaluator.scored else before
            before = min(before, wanted + protected)
            capacities.append(before)
        return tuple(capacities)

    def count(
        self,
        arm: Arm,
        inputs: Sequence[Inputs],
        numbers: np.ndarray,
        capacities: tuple[int, ...],
        chunk: int | None = None,
    ) -> Tally:
        """Counts of each batch, all of one shape, for the cells ``numbers``: NumPy leaves (batches, cells, ...)."""
        chunk = self._chunk if chunk is None else self._whole(chunk)
        parts = [
            self._chunk_count(arm, inputs, numbers[i : i + chunk], capacities, chunk)
            for i in range(0, len(numbers), chunk)
        ]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *parts)

    def _chunk_count(
        self, arm: Arm, inputs: Sequence[Inputs], numbers: np.ndarray, capacities: tuple[int, ...], chunk: int
    ) -> Tally:
        cells = jax.tree.map(jnp.asarray, take_cells(arm.cells, np.resize(numbers, chunk)))
        target = jnp.asarray(arm.target, jnp.float32)
        arguments = arm.state.params, arm.state.design, arm.state.scorer_state, target, self._key
        run = self._program(arm, capacities, chunk, (*arguments, inputs[0], cells))
        # All are queued before the first is waited for.
        tallies = jax.device_get([run(*arguments, batch, cells) for batch in inputs])
        return jax.tree.map(lambda *leaves: np.stack(leaves)[:, : len(numbers)], *tallies)

    def _program(self, arm: Arm, capacities: tuple[int, ...], chunk: int, arguments: tuple) -> Any:
        evaluator = arm.evaluator
        structure = jax.tree.structure(arguments)
        # All that ``cell_counter`` takes from the evaluator, which is part of the program.
        fixed = evaluator.model, evaluator.spec, evaluator.hardware, evaluator.scored, type(evaluator.task)
        known = (*fixed, capacities, chunk, structure, shape_of(arguments[-2]))
        if known not in self._programs:

            def compile_at(width: int) -> Any:
                function = cell_counter(evaluator, capacities, width, self._mesh)
                return jax.jit(function).lower(*arguments).compile()

            widest = min(self._spec.width or WIDTH.get(jax.default_backend(), WIDEST), chunk // self._mesh.size)
            compiled, width, planned = memory.fit(compile_at, widest, self._spec.memory_mb)
            self._programs[known] = compiled
            self.account.planned_bytes = max(self.account.planned_bytes, planned)
            self.account.widths.add(width)
            self.account.capacities.add(capacities)
        return self._programs[known]

    def _row(self, arm: Arm, first: int, number: int, tally: Tally, place: int, examples: int) -> dict[str, Any]:
        row: dict[str, Any] = {"cell": first + number, **arm.labels, **arm.rows[number], "examples": examples}
        row["correct"] = int(tally.correct[place])
        row["accuracy"] = row["correct"] / examples
        row["lost"], row["gained"] = int(tally.lost[place]), int(tally.gained[place])
        for layer, kept in enumerate(tally.kept[place], start=1):
            row[f"kept_{layer}"] = int(kept) / int(tally.counted[place])
        return row


def columns(arm: Arm) -> tuple[str, ...]:
    """Names of the table's columns; every arm of a table has the same."""
    depth = arm.evaluator.model.depth
    kept = tuple(f"kept_{layer}" for layer in range(1, depth + 1))
    return ("cell", *arm.labels, *arm.rows[0], "examples", "correct", "accuracy", "lost", "gained", *kept)


def full_room(arm: Arm, inputs: Inputs) -> tuple[int, ...]:
    """Room for every token of a batch in every layer."""
    model = arm.evaluator.model
    return (jax.eval_shape(model.embed, arm.state.params, inputs.batch).x.shape[1],) * model.depth
