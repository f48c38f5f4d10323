"""What simulating chips costs, against the bare network and against simpler ways to run the scorer. Medians of one run.

    python -m experiments.montecarlo.price [--run=runs/quickstart] [--repeats=9] [--only=cells|array|scorer] [--plain]

1. Cells of a trained design (a chip each, tokens really removed) against the bare network's forward pass over as many
   inputs at the mean kept tokens: no scorer, no gather, every input embedded. And against the bare network that shares
   the embedding between cells as the Monte-Carlo program does.
2. The array alone, 64 chips x 4096 tokens x 64 inputs in one call: ``lax.map``, chunked ``vmap``, plain ``vmap``,
   against a Python loop over chips of one jitted call, and against compiling for each chip.
3. The whole scorer, ``atis_jax.scorer`` with projection and converters, 64 chips at three temperatures, by the number
   of tokens: ``vmap`` over chips against ``lax.map``. With ``--plain`` freed memory goes back to the system, as in a
   script that does not ask for more (``atis_jax.numerics.keep_freed_memory``).
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

import atis_jax
from atis_jax.circuits.chip import ArrayGeometry, nominal_environment, sample_chip
from atis_jax.circuits.frontend import Program, read, realise
from atis_jax.circuits.presets import get_preset
from atis_jax.data.registry import make_dataset
from atis_jax.models.passes import SOFTMAX
from atis_jax.numerics import keep_freed_memory, layer_of
from atis_jax.pruning.stream import rows
from atis_jax.training.cells import CELLS, cell_counter
from experiments.montecarlo import arms, engine
from experiments.montecarlo.settings import MonteCarloSpec
from experiments.trained_run import load_trained

WIDTHS = (1, 2, 4, 8, 16)
SIZES = ((2, 64, 64, 32), (8, 64, 64, 32), (32, 64, 64, 32), (128, 64, 64, 32), (16, 64, 384, 64))
"""Of part 3: examples, tokens of each, width, inputs of the array."""
COMPILED_CHIPS = 3
"""Chips that are compiled for one by one; the time of 64 is theirs in proportion."""


def medians(cases: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each case, the cases taking turns; compiled before."""
    for case in cases.values():
        jax.block_until_ready(case())
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            began = time.perf_counter()
            jax.block_until_ready(case())
            seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(taken)) for name, taken in seconds.items()}


def cells_price(folder: str, repeats: int, chunk: int = 32, batch: int = 128) -> None:
    """Print what a chip's pass costs over the bare network's."""
    run = load_trained(folder)
    spec = MonteCarloSpec(chips=chunk, temperature_c=(27.0,), examples=batch, batch_size=batch, chunk=chunk)
    arm = arms.make_arm(run, {"run": folder}, arms.chip_rows(spec))
    key = arms.fabrication_key(0)
    examples = dataclasses.replace(run.test.take(np.arange(batch)), bucket=None)
    (inputs,) = engine.batches(make_dataset(run.settings.data), examples, batch)
    runner = engine.Engine(spec, key)
    room = runner.room(arm, [inputs])
    model, params = arm.evaluator.model, arm.state.params
    counts = runner.count(arm, [inputs], np.arange(chunk), engine.full_room(arm, inputs))
    kept = counts.kept.sum(axis=(0, 1)) / (chunk * batch)
    tokens = tuple(int(np.ceil(one)) + model.length - model.tokens for one in kept)
    mesh = jax.make_mesh((len(jax.devices()),), (CELLS,), axis_types=(jax.sharding.AxisType.Auto,))

    def bare(shared: bool, width: int) -> Callable[[], Any]:
        def embedded(batch, number):
            """Depends on the cell, so that nothing is taken out of the loop."""
            stream = model.embed(params, batch).opened(1)
            return dataclasses.replace(stream, x=stream.x + 1e-9 * number)

        def cell(number, batch, stream):
            if not shared:
                moved = jax.tree.map(lambda leaf: leaf + jnp.asarray(1e-9 * number, leaf.dtype), batch)
                stream = embedded(moved, number)
            stream = dataclasses.replace(stream, x=stream.x + 1e-9 * number)
            for layer, count in enumerate(tokens):
                stream = rows(stream, jnp.broadcast_to(jnp.arange(count), (len(stream.x), count)))
                block = layer_of(model.blocks(params), layer)
                stream = model.feed(block, model.attend(block, stream, SOFTMAX)[0])
            return jnp.argmax(model.read_out(params, stream), axis=-1)

        def chunked(numbers, batch):
            stream = embedded(batch, 0.0) if shared else None
            at_once = width if width > 1 else None
            return jax.lax.map(lambda number: cell(number, batch, stream), numbers, batch_size=at_once)

        split = PartitionSpec(CELLS)
        run_all = jax.jit(
            jax.shard_map(chunked, mesh=mesh, in_specs=(split, PartitionSpec()), out_specs=split, check_vma=False)
        )
        numbers = jnp.arange(chunk, dtype=jnp.float32)
        return lambda: run_all(numbers, inputs.batch)

    def chips(width: int) -> Callable[[], Any]:
        program = jax.jit(cell_counter(arm.evaluator, room, width, mesh))
        cells = jax.tree.map(jnp.asarray, arm.cells)
        target, state = jnp.asarray(arm.target, jnp.float32), arm.state
        return lambda: program(params, state.design, state.scorer_state, target, key, inputs, cells)

    default = engine.WIDTH.get(jax.default_backend(), engine.WIDEST)
    cases = {f"chips, {width} at once": chips(width) for width in WIDTHS}
    cases |= {"bare network": bare(False, default), "bare network, embedding shared": bare(True, default)}
    found = medians(cases, repeats)
    print(f"{chunk} cells x {batch} inputs, {len(jax.devices())} devices; room {room}, mean kept {tokens} with CLS")
    for name, seconds in found.items():
        print(f"  {name:32} {1e6 * seconds / chunk / batch:7.1f} us an input, {seconds / found['bare network']:.2f}")
    print(
        f"  price at {default} at once: {found[f'chips, {default} at once'] / found['bare network']:.2f} (bound 1.25)"
    )


def array_price(repeats: int, chips: int = 64, tokens: int = 4096, inputs: int = 64) -> None:
    """Print what the array alone costs over many chips, way by way."""
    hardware, geometry = get_preset("nominal"), ArrayGeometry(inputs=inputs)
    environment = nominal_environment(hardware)
    weights = jax.random.normal(jax.random.key(1), (1, inputs))
    programmed = Program(2e-8 * weights, jnp.full(1, 5e5), jnp.zeros(1))
    played = jax.random.normal(jax.random.key(2), (tokens, inputs))
    keys = jax.random.split(jax.random.key(0), chips)

    def one(key):
        realised = realise(programmed, hardware, sample_chip(key, hardware, geometry), environment)
        return jax.vmap(read, (None, 0))(realised, played)

    jitted = jax.jit(one)
    compiled_ways = {"lax.map": jax.jit(lambda keys: jax.lax.map(one, keys)), "vmap": jax.jit(jax.vmap(one))}
    for width in WIDTHS[1:]:
        chunked = functools.partial(jax.lax.map, one, batch_size=width)
        compiled_ways[f"vmap of {width} chips"] = jax.jit(chunked)
    ways: dict[str, Callable[[], Any]] = {name: functools.partial(way, keys) for name, way in compiled_ways.items()}
    ways["jitted call, Python loop"] = lambda: [jitted(key) for key in keys]
    found = medians(ways, repeats)
    began = time.perf_counter()
    for key in keys[:COMPILED_CHIPS]:
        jax.block_until_ready(jax.jit(functools.partial(one, key))())
    compiled = (time.perf_counter() - began) * chips / COMPILED_CHIPS
    print(f"array alone, {chips} chips x {tokens} tokens x {inputs} inputs")
    for name, seconds in (found | {"compiled for each chip": compiled}).items():
        print(f"  {name:32} {1e3 * seconds:9.1f} ms, {seconds / found['jitted call, Python loop']:.2f}")
    best = min((name for name in found if name != "jitted call, Python loop"), key=lambda name: found[name])
    print(f"  fastest: {best}, {compiled / found[best]:.0f} times faster than compiling for each chip (bound 50)")


def scorer_price(repeats: int, chips: int = 64) -> None:
    """Print what the whole scorer costs over many chips, all at once and one after the other, by ``SIZES``."""
    celsius = jnp.asarray([0.0, 27.0, 70.0])
    print(f"whole scorer, {chips} chips at {len(celsius)} temperatures")
    for texts, tokens, width, inputs in SIZES:
        scorer = atis_jax.scorer("sky130_fg", inputs=inputs)
        x = jax.random.normal(jax.random.key(0), (texts, tokens, width))
        design = jax.jit(scorer.start)(jax.random.key(1), x, 0.5)
        dice = jax.vmap(scorer.sample_chip)(jax.random.split(jax.random.key(2), chips))

        def bits(design, x, chip, scorer=scorer):
            return jax.vmap(lambda one: scorer(design, x, chip, one).keep)(celsius)

        def in_turn(design, x, dice, bits=bits):
            return jax.lax.map(functools.partial(bits, design, x), dice)

        ways = {"vmap": jax.jit(jax.vmap(bits, (None, None, 0))), "lax.map": jax.jit(in_turn)}
        found = medians({name: functools.partial(way, design, x, dice) for name, way in ways.items()}, repeats)
        told = ", ".join(f"{name} {1e3 * seconds:.3g} ms" for name, seconds in found.items())
        print(f"  {texts} x {tokens} tokens, width {width}, {inputs} inputs: {told}")


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "cells": lambda given: cells_price(given.run, given.repeats),
    "array": lambda given: array_price(given.repeats),
    "scorer": lambda given: scorer_price(given.repeats),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the prices."""
    parser = argparse.ArgumentParser(prog="python -m experiments.montecarlo.price", description=__doc__)
    parser.add_argument("--run", default="runs/quickstart", help="folder of a finished co-design run, for the cells")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", choices=tuple(PARTS), help="one of the three")
    parser.add_argument("--plain", action="store_true", help="give freed memory back to the system")
    given = parser.parse_args(arguments)
    if not given.plain:
        keep_freed_memory()
    arms.one_device_a_core()
    for name, part in PARTS.items():
        if given.only in (None, name):
            part(given)


if __name__ == "__main__":
    main()
