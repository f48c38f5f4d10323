"""The one loop over layers: decide, attend, feed. Any network, method, kernel; masked, or tokens really removed.

Shape suffixes: B examples, N tokens, L layers.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from atis_jax.models.backbone import Model
from atis_jax.models.decisions import apply_decision, example_keys, keep_everything, score_layer
from atis_jax.models.kernels import Kernel
from atis_jax.models.kernels.circuit import Circuit, Place, fitted
from atis_jax.models.passes import Layer, Pass, Record, ScorerInputs
from atis_jax.numerics import layer_of, stack
from atis_jax.pruning.reduce import back_to_full, pack_to, written_back
from atis_jax.pruning.stream import Attended, Stream, spread
from atis_jax.typing import Key, PyTree

UNSEEN_V = -1e30
"""Stands for the score of a token that no scorer looked at: no circuit's, and finite for ``jax_debug_nans``."""
UNROLLED = 6
"""Layers of one kind up to which each is compiled apart, which runs faster; more are one compiled loop."""
ATTENTION = zlib.crc32(b"attention")
"""Folded into the key of read noise for that of a kernel's."""


def run_layers(
    run: Pass,
    params: PyTree,
    stream: Stream,
    inputs: ScorerInputs | None,
    key: Key | None,
    capacities: tuple[int, ...] | None = None,
) -> tuple[Stream, tuple[Record | None, Attended]]:
    """Every layer in turn.

    Layers without a scorer, those with one and those behind them are stretches of one kind each, and so is the first
    with one where it alone reads. A stretch longer than
    ``UNROLLED`` is compiled once, as a loop, unless its tokens become fewer on the way.

    Args:
        run: what the pass is made of.
        params: of the network.
        stream: embedded; ``opened`` if a method decides.
        inputs: what the scorers need; None without a method.
        key: read noise.
        capacities: tokens that each layer has room for, to really remove the others; None leaves them masked.

    Returns:
        The stream behind the last layer, whole again where the head reads every token; the layers' records (None
        without a method) and attention, leaves (L, ...).
    """
    depth, full = run.model.depth, (spread(stream.counted, stream.x.shape[0]), stream.x.shape[1])
    blocks = run.model.blocks(params)
    design = fitted(params) if isinstance(run.kernel, Circuit) else None
    if run.frozen:
        stream = jax.lax.stop_gradient(stream)
    start, whole = stream, stream.x if capacities is not None and reads_every_token(run.model) else None
    found = []
    for layers in stretches(run, depth):

        def body(
            stream,
            layer: Layer,
            capacity: int | None = None,
            decides: bool = layers.start in run.scored,
            frozen: bool = layers.start < run.frozen,
        ):
            layer = layer._replace(block=jax.lax.stop_gradient(layer.block)) if frozen else layer
            return one_layer(run, stream, layer, full, key, decides, capacity, frozen)

        if capacities is None and len(layers) > UNROLLED:
            part = slice(layers.start, layers.stop)
            leaves = jax.tree.map(lambda leaf, part=part: leaf[part], (blocks, _per_layer(inputs), design))

            def scanned(stream, here):
                number, (block, own, design) = here
                given = None if inputs is None else dataclasses.replace(own, environment=inputs.environment)
                return body(stream, Layer(number, block, given, design))

            stream, told = jax.lax.scan(scanned, stream, (jnp.arange(layers.start, layers.stop), leaves))
            found.append(told)
            continue
        told = []
        for number in layers:
            capacity = None if capacities is None else capacities[number]
            here = Layer(number, layer_of(blocks, number), _of_layer(inputs, number), layer_of(design, number))
            stream, one = body(stream, here, capacity)
            whole = None if whole is None else written_back(whole, stream)
            told.append(one)
        found.append(stack(told))
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves) if len(leaves) > 1 else leaves[0], *found)
    return stream if whole is None else dataclasses.replace(start, x=whole), joined


def reads_every_token(model: Model) -> bool:
    """Whether the head says something of every token, pruned ones too."""
    return model.shape().head_tokens > 1


def stretches(run: Pass, depth: int) -> Iterator[range]:
    """Layers before the scored ones, those, and the ones behind them; empty ones left out.

    Of a method that reads once, the layer in which it does stands alone: from there on more travels with the tokens.
    Frozen layers are kept apart from the others.
    """
    scored = range(0, 0) if run.method is None else range(min(run.scored.start, depth), min(run.scored.stop, depth))
    alone = scored[: int(run.method is not None and run.method.reads_once)]
    for part in (range(0, scored.start), alone, scored[len(alone) :], range(scored.stop, depth)):
        frozen = part[: max(run.frozen - part.start, 0)]
        for kind in (frozen, part[len(frozen) :]):
            if len(kind):
                yield kind


def one_layer(
    run: Pass,
    stream: Stream,
    layer: Layer,
    full: tuple[Bool[Array, "B N"], int],
    key: Key | None,
    decides: bool,
    capacity: int | None,
    frozen: bool = False,
) -> tuple[Stream, tuple[Record | None, Attended]]:
    """Decide, attend, feed: at the method's own site.

    Args:
        run: what the pass is made of.
        stream: in front of the layer.
        layer: its share of everything.
        full: (B, N) counted tokens of the full sequence, and its length.
        key: read noise.
        decides: whether this layer has a scorer.
        capacity: room for tokens, to really remove the others; None leaves them masked.
        frozen: whether no gradient goes through the tokens behind the decision.
    """
    model, method, batch = run.model, run.method, stream.x.shape[0]
    needs = (*run.needs, *(() if method is None else sorted(method.needs - set(run.needs))))
    dropout = None if run.dropout is None else jax.random.fold_in(run.dropout, layer.number)
    entered, reached, overflow = stream, stream, jnp.zeros((batch,), jnp.int32)
    said = None if method is None else keep_everything(stream)
    state = None if layer.scorer is None else layer.scorer.state
    factor = None

    def decide(site: str, attended: Attended | None):
        nonlocal stream, state, said, reached, overflow, factor
        here = method is not None and method.site == site
        if here and decides:
            reached = stream
            said, state = score_layer(run, layer, stream, attended, full[0], key)
            stream, factor = apply_decision(run, stream, said)
            if frozen:
                stream, factor = jax.lax.stop_gradient((stream, factor))
        if here and capacity is not None:
            stream, overflow = pack_to(stream, capacity)

    decide("before_attention", None)
    kernel = kernel_of(run, layer, stream, full[1], key)
    stream, attended = model.attend(layer.block, stream, kernel, needs, dropout)
    decide("before_mlp", attended)
    stream = model.feed(layer.block, stream, dropout)
    decide("after_feed", attended)
    if factor is not None and capacity is None:  # it is one where tokens are really removed: decisions are hard there
        stream = dataclasses.replace(stream, x=stream.x * factor)
    given = Attended(**{name: getattr(attended, name) for name in run.needs})
    if method is None:
        return stream, (None, given)
    state = method.remember(state, attended)
    assert said is not None and stream.alive is not None
    alive, voltage, probability = stream.alive, said.voltage, said.keep_probability
    if capacity is None and method.cascade and reads_every_token(model):
        stream = dataclasses.replace(stream, x=jnp.where(jnp.any(alive, axis=-1, keepdims=True), stream.x, entered.x))
    if capacity is not None:
        here, before = jnp.any(alive, axis=-1), jnp.any(reached.alive, axis=-1)  # type: ignore[arg-type]
        alive = back_to_full(alive.astype(stream.x.dtype), stream.position, here, full[1], 0.0).astype(bool)
        voltage = back_to_full(voltage, reached.position, before, full[1], UNSEEN_V)
        probability = back_to_full(probability, reached.position, before, full[1], 0.0)
    return stream, (Record(alive, voltage, probability, overflow, state), given)


def kernel_of(run: Pass, layer: Layer, stream: Stream, length: int, key: Key | None) -> Kernel:
    """The layer's kernel: a circuit on its chip, with noise of its own, keyed by example and place.

    Args:
        run: what the pass is made of.
        layer: its share of everything.
        stream: as it enters attention.
        length: of the full sequence.
        key: read noise.
    """
    if not isinstance(run.kernel, Circuit):
        return run.kernel
    keys, batch = None, stream.x.shape[0]
    if key is not None:
        own = jax.random.fold_in(key, ATTENTION) if key.ndim == 0 else _each_folded(key, ATTENTION)
        keys = example_keys(own, layer.number, batch)
    inputs = layer.scorer
    chip, environment = (None, None) if inputs is None else (inputs.attention, inputs.environment)
    design, position = jax.lax.stop_gradient(layer.fitted), spread(stream.position, batch)
    return run.kernel.at(Place(design, chip, environment, position, keys, length))


def _each_folded(key: Key, number: int) -> Key:
    return jax.vmap(jax.random.fold_in, (0, None))(key, number)


def _of_layer(inputs: ScorerInputs | None, number: int) -> ScorerInputs | None:
    if inputs is None:
        return None
    per_layer = inputs.design, inputs.chip, inputs.state, inputs.attention
    design, chip, state, attention = layer_of(per_layer, number)
    return ScorerInputs(design, chip, inputs.environment, state, attention)


def _per_layer(inputs: ScorerInputs | None) -> ScorerInputs | None:
    """What has a leading axis of layers: all but the environment."""
    return None if inputs is None else dataclasses.replace(inputs, environment=None)
