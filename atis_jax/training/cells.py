"""Monte-Carlo evaluation: one compiled program over chips, temperatures, noise scales and inputs.

A *cell* is one fabricated chip at one temperature with its imperfections scaled by stated factors, of a hardware any
number of which (resolution included) may differ from cell to cell. The program draws
each cell's chip inside the compiled code from the chip's number, so a cell is a few numbers; it takes a chunk of cells
and a batch of inputs and counts. Cells run ``width`` at a time (``lax.map`` with ``batch_size``): 1 is a loop, all of
them a plain ``vmap``. Inputs are embedded once for all cells. Read noise is keyed by chip and by the input's number,
so neither the batch an input comes in nor the room a layer has changes what a cell meets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from atis_jax import rng
from atis_jax.circuits.chip import ArrayGeometry, Chip, Environment, sample_chip
from atis_jax.circuits.hardware import Hardware, with_fields
from atis_jax.circuits.imperfections import scale_imperfections
from atis_jax.models.forward import gathered_layers
from atis_jax.models.kernels.circuit import Circuit
from atis_jax.models.passes import ScorerInputs
from atis_jax.numerics import pytree
from atis_jax.pruning.masks import kept_tokens
from atis_jax.pruning.stream import Stream
from atis_jax.scoring.atis.calibration import Trim, trimmed
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.sharing import with_one_array
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import make_method
from atis_jax.training.evaluate import Evaluator, attention_chip
from atis_jax.typing import Key, PyTree

CELLS = "cells"
"""Name of the mesh axis that the cells of a chunk are shared over."""


@pytree
class Cells:
    """What tells cells apart; every leaf has a leading axis of cells.

    Attributes:
        chip: number of the chip; the same number is the same chip at every temperature and factor.
        temperature_k: K.
        factors: of each imperfection, in the order of ``circuits.imperfections.IMPERFECTIONS``.
        trim: what calibration set on that chip, leaves (cells, L, ...); zero for a chip as fabricated.
        fields: values of the hardware's fields by dotted path (``circuits.hardware.with_fields``), such as
            ``floating_gate.used_bits``; the hardware's own where a field is not named.
        supply: over the nominal one; None for the nominal.
    """

    chip: Int[Array, "C"]
    temperature_k: Float[Array, "C"]
    factors: Float[Array, "C K"]
    trim: Trim
    fields: Mapping[str, Float[Array, "C"]] = dataclasses.field(default_factory=dict)
    supply: Float[Array, "C"] | None = None


@pytree
class Inputs:
    """A batch of examples.

    Attributes:
        batch: what the network is fed, and what is right.
        weight: 1, or 0 for padding.
        number: of the example in its data set; keys its read noise.
        reference: whether the reference (the perfect chip) is right on it.
    """

    batch: dict[str, Array]
    weight: Float[Array, "B"]
    number: Int[Array, "B"]
    reference: Bool[Array, "B"]


@pytree
class Tally:
    """Counts of one chunk over a batch; leading axis of cells.

    Attributes:
        correct: right answers.
        lost: examples that the reference gets right and the cell wrong.
        gained: the other way round.
        kept: (C, L) counted tokens kept, summed over examples.
        counted: tokens that were the method's to judge, neither protected nor padding, summed over examples.
        largest: (C, L) most tokens that any example kept.
        overflow: kept tokens that found no room; such a cell's counts are void.
    """

    correct: Int[Array, "C"]
    lost: Int[Array, "C"]
    gained: Int[Array, "C"]
    kept: Int[Array, "C L"]
    counted: Int[Array, "C"]
    largest: Int[Array, "C L"]
    overflow: Int[Array, "C"]


def total(tally: Tally) -> Tally:
    """The counts over all batches of a tally with a leading axis of batches."""
    summed = jax.tree.map(lambda leaf: leaf.sum(axis=0), tally)
    return dataclasses.replace(summed, largest=tally.largest.max(axis=0))


def draw_chip(key: Key, number: Int[Array, ""], hardware: Hardware, depth: int, geometry: ArrayGeometry) -> Chip:
    """Chip ``number`` of the fabrication run ``key``, of a lot of its own: an array for each layer, leaves (L, ...)."""
    keys = jax.random.split(jax.random.fold_in(rng.key_of(key, "chip"), number), depth)
    lot = jax.random.fold_in(rng.key_of(key, "lot"), number)
    return jax.vmap(lambda layer_key: sample_chip(layer_key, hardware, geometry, lot))(keys)


def noise_keys(key: Key, chip: Int[Array, ""], number: Int[Array, "B"]) -> Key:
    """A key for each example on a chip: a chip that sees the same example twice meets the same noise."""
    on_chip = jax.random.fold_in(rng.key_of(key, "read_noise"), chip)
    return jax.vmap(jax.random.fold_in, (None, 0))(on_chip, number)


CellCounter = Callable[[PyTree, Design, Any, Float[Array, "L"], Key, Inputs, Cells], Tally]
"""(network, design, scorer state, target, key, inputs, cells) -> counts.

The target is the wanted share of incoming tokens kept at each layer, which the adaptive threshold steers to.
"""


def on_cell(
    cell: Cells, spec: ScorerSpec, hardware: Hardware, design: Design, key: Key
) -> tuple[Hardware, Design, Chip, Environment]:
    """One cell's hardware, the design as trimmed for its chip, the chip and its environment.

    Args:
        cell: without the leading axis.
        spec: structure of the scorer.
        hardware: that the cell's fields and factors change.
        design: as trained, leaves (L, ...).
        key: the fabrication run.
    """
    hardware, chip, environment = chip_of(cell, spec, hardware, len(design.threshold), key)
    design = jax.vmap(lambda design, trim: trimmed(design, trim, spec, hardware))(design, cell.trim)
    return hardware, design, chip, environment


def chip_of(
    cell: Cells, spec: ScorerSpec, hardware: Hardware, depth: int, key: Key
) -> tuple[Hardware, Chip, Environment]:
    """One cell's hardware, chip (leaves (L, ...), L = ``depth``) and environment; arguments as in ``on_cell``."""
    hardware = scale_imperfections(with_fields(hardware, cell.fields), cell.factors)
    chip = draw_chip(key, cell.chip, hardware, depth, spec.geometry)
    chip = with_one_array(chip) if spec.reads_once else chip
    supply_v = jnp.asarray(hardware.supply_v, cell.temperature_k.dtype)
    return hardware, chip, Environment(cell.temperature_k, supply_v if cell.supply is None else supply_v * cell.supply)


def cell_counter(evaluator: Evaluator, capacities: tuple[int, ...], width: int, mesh: Mesh) -> CellCounter:
    """The count of a chunk of cells over a batch of inputs, to be jitted by the caller.

    Args:
        evaluator: network and analog scorer.
        capacities: tokens each layer has room for, CLS included.
        width: cells that run at once on each device; it bounds the memory.
        mesh: one axis, ``CELLS``, over the devices that share a chunk; its size must divide the chunk's.
    """
    model, kernel = evaluator.model, evaluator.kernel

    def one(cell: Cells, params, design, state, target, key, inputs: Inputs, stream: Stream) -> Tally:
        hardware, on_chip, chip, environment = on_cell(cell, evaluator.spec, evaluator.hardware, design, key)
        attention = None
        if isinstance(kernel, Circuit):
            of_chip = jax.random.fold_in(rng.key_of(key, "attention_chip"), cell.chip)
            attention = attention_chip(of_chip, kernel, model)
        out = gathered_layers(
            model,
            params,
            make_method(evaluator.spec, hardware, target),
            stream,
            ScorerInputs(on_chip, chip, environment, state, attention),
            noise_keys(key, cell.chip, inputs.number),
            capacities=capacities,
            scored=evaluator.scored,
            kernel=kernel,
        )
        real = inputs.weight > 0
        right = evaluator.task.right(out.logits, inputs.batch) > 0
        kept_LxB = jax.vmap(kept_tokens, (0, None))(out.alive, out.counted).astype(jnp.int32) * real
        return Tally(
            correct=jnp.sum(right & real),
            lost=jnp.sum(inputs.reference & ~right & real),
            gained=jnp.sum(~inputs.reference & right & real),
            kept=jnp.sum(kept_LxB, axis=1),
            counted=jnp.sum(jnp.sum(out.counted, axis=-1) * real),
            largest=jnp.max(kept_LxB, axis=1),
            overflow=jnp.sum(out.overflow * real),
        )

    def chunk(params, design, state, target, key, inputs: Inputs, cells: Cells) -> Tally:
        stream = model.embed(params, inputs.batch, raw=evaluator.method.raw)
        at_once = width if width > 1 else None
        return jax.lax.map(
            lambda cell: one(cell, params, design, state, target, key, inputs, stream), cells, batch_size=at_once
        )

    shared, split = PartitionSpec(), PartitionSpec(CELLS)
    return jax.shard_map(chunk, mesh=mesh, in_specs=(*(shared,) * 6, split), out_specs=split, check_vma=False)


def take_cells(cells: Cells, numbers: np.ndarray) -> Cells:
    """The cells of these numbers."""
    return jax.tree.map(lambda leaf: leaf[numbers], cells)
