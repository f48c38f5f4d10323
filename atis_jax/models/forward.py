"""Passes through a network: dense, masked (training), gathered (tokens really removed).

Shape suffixes: B examples, N tokens, D width, G head groups, L layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.circuits.chip import Environment
from atis_jax.models.backbone import Model
from atis_jax.models.kernels import Kernel
from atis_jax.models.kernels.circuit import Circuit
from atis_jax.models.layers import run_layers
from atis_jax.models.passes import EVERY_LAYER, SOFTMAX, Batch, Pass, Record, Relaxation, ScorerInputs
from atis_jax.numerics import pytree
from atis_jax.pruning.stream import Attended, Stream, spread
from atis_jax.scoring.method import Method
from atis_jax.typing import Int, Key, PyTree
from atis_jax.validation import SettingError


@pytree
class Pruned:
    """What a pruned forward pass yields.

    Attributes:
        logits: (B, classes), or (B, N, vocabulary) of a network that says something of every token.
        alive: (L, B, N, G) keep masks after each layer's decision.
        voltage: (L, B, N, G) scores; ``UNSEEN_V`` where none was taken (pruned before, gathered pass only).
        probability: (L, B, N, G) keep probability of the soft comparator given that the token was alive.
        overflow: (L, B) kept tokens that found no room (always 0 in the masked pass).
        state: scorer memory afterwards.
        counted: (B, N) tokens that are a method's to judge; its leading axis is 1 where all examples agree.
        tokens: (B, N, D) in front of the head, where they were asked for.
    """

    logits: Float[Array, "B ..."]
    alive: Bool[Array, "L B N G"]
    voltage: Float[Array, "L B N G"]
    probability: Float[Array, "L B N G"]
    overflow: Int[Array, "L B"]
    state: Any
    counted: Bool[Array, "B N"]
    tokens: Float[Array, "B N D"] | None = None

    @property
    def before(self) -> Bool[Array, "L B N G"]:
        """Tokens that reach each layer's decision: what the one before it left."""
        return jnp.concatenate([jnp.ones_like(self.alive[:1]), self.alive[:-1]])


def dense_forward(
    model: Model,
    params: PyTree,
    batch: Batch,
    *,
    needs: Collection[str] = (),
    kernel: Kernel = SOFTMAX,
    attention: Any = None,
    environment: Environment | None = None,
    key: Key | None = None,
    dropout_key: Key | None = None,
    frozen: int = 0,
) -> tuple[Float[Array, "B ..."], Attended]:
    """The network without pruning.

    Args:
        model: the network.
        params: its parameters.
        batch: what it is fed.
        needs: parts of ``Attended`` to give back.
        kernel: how attention is computed.
        attention: chips of a kernel that is a circuit, as in ``ScorerInputs``; None: the nominal one.
        environment: it works in.
        key: its noise; None switches it off.
        dropout_key: turns dropout on.
        frozen: see ``Pass``.

    Returns:
        Logits, and each layer's attention in the parts of ``needs``, leaves (L, B, ...).
    """
    run = Pass(model, kernel, needs=tuple(sorted(needs)), dropout=dropout_key, frozen=frozen)
    inputs = ScorerInputs(None, None, environment, None, attention) if isinstance(kernel, Circuit) else None
    stream, attended = dense_layers(run, params, batch, inputs, key)
    return model.read_out(params, stream), attended


def dense_layers(
    run: Pass, params: PyTree, batch: Batch, inputs: ScorerInputs | None = None, key: Key | None = None
) -> tuple[Stream, Attended]:
    """``dense_forward`` up to what stands in front of the head."""
    stream, (_, attended) = run_layers(run, params, run.model.embed(params, batch), inputs, key)
    return stream, attended


def masked_forward(
    model: Model,
    params: PyTree,
    method: Method,
    batch: Batch,
    inputs: ScorerInputs,
    key: Key | None,
    *,
    scored: range = EVERY_LAYER,
    relaxation: Relaxation | None = None,
    kernel: Kernel = SOFTMAX,
    dropout_key: Key | None = None,
    frozen: int = 0,
    tokens: bool = False,
) -> Pruned:
    """Every token is computed in every layer; pruned ones are gated out.

    Args:
        model: the network.
        params: its parameters.
        method: decides which tokens stay.
        batch: what the network is fed.
        inputs: design, chip, environment and memory of the scorers.
        key: read noise, one key for the batch or (B,) one an example; None switches it off.
        scored: layers in which the method decides; the others keep every token that reaches them.
        relaxation: how decisions are softened while training; None: hard ones.
        kernel: how attention is computed.
        dropout_key: turns dropout on.
        frozen: see ``Pass``.
        tokens: also give back the tokens in front of the head.
    """
    run = Pass(model, kernel, method, scored, relaxation or Relaxation(), dropout=dropout_key, frozen=frozen)
    start = opened_for(method, model.embed(params, batch, raw=method.raw))
    stream, (trail, _) = run_layers(run, params, start, inputs, key)
    found = _pruned(model.read_out(params, stream), trail, start)
    return dataclasses.replace(found, tokens=stream.x) if tokens else found


def gathered_forward(
    model: Model,
    params: PyTree,
    method: Method,
    batch: Batch,
    inputs: ScorerInputs,
    key: Key | None,
    *,
    capacities: tuple[int, ...],
    scored: range = EVERY_LAYER,
    kernel: Kernel = SOFTMAX,
) -> Pruned:
    """Tokens are really removed: attention and MLP run on a packed sequence of ``capacities[layer]`` tokens.

    Hard comparators, no gradient path meant. Survivors keep their order and their original position, by which the
    read noise is keyed, so the decisions equal those of ``masked_forward`` up to rounding. A head that reads every
    token reads a pruned one as it came into the layer that pruned it, in both.

    Raises:
        ValueError: if ``capacities`` is not one number per layer, grows down the layers, or leaves no room for the
            protected tokens.
    """
    check_capacities(capacities, model)
    stream = model.embed(params, batch, raw=method.raw)
    return gathered_layers(
        model, params, method, stream, inputs, key, capacities=capacities, scored=scored, kernel=kernel
    )


def gathered_layers(
    model: Model,
    params: PyTree,
    method: Method,
    stream: Stream,
    inputs: ScorerInputs,
    key: Key | None,
    *,
    capacities: tuple[int, ...],
    scored: range = EVERY_LAYER,
    kernel: Kernel = SOFTMAX,
) -> Pruned:
    """``gathered_forward`` from the embedded tokens on, which many chips can share."""
    if not method.cascade:
        raise ValueError(
            f"{type(method).__name__} does not cascade: a token that it drops in one layer is there in the next, so "
            "none can be removed; use masked_forward"
        )
    run = Pass(model, kernel, method, scored)
    start = opened_for(method, stream)
    last, (trail, _) = run_layers(run, params, start, inputs, key, capacities)
    return _pruned(model.read_out(params, last), trail, start)


def opened_for(method: Method, stream: Stream) -> Stream:
    """The embedded stream as ``method`` wants it: head groups, sizes, and what it has travel along."""
    start = stream.opened(method.groups, sized=method.merges, proportional=method.proportional)
    own = jax.tree.map(lambda leaf: spread(leaf, start.x.shape[0]), method.along(start))
    return start if own is None else dataclasses.replace(start, along={**(start.along or {}), "own": own})


def check_capacities(capacities: Sequence[int], model: Model) -> None:
    """Raise SettingError (a ValueError) naming the first capacity that cannot be."""
    depth, protected, before = model.depth, model.length - model.tokens, model.length
    if len(capacities) != depth:
        raise SettingError(f"capacities has {len(capacities)} entries for {depth} layers; give one per layer")
    for layer, capacity in enumerate(capacities):
        if not protected <= capacity <= before:
            raise SettingError(
                f"capacities[{layer}] = {capacity} must be at least the {protected} protected tokens and at most the "
                f"{before} of the layer before"
            )
        before = capacity


def _pruned(logits, trail: Record | None, start: Stream) -> Pruned:
    assert trail is not None
    return Pruned(
        logits=logits,
        alive=trail.alive,
        voltage=trail.voltage,
        probability=trail.probability,
        overflow=trail.overflow,
        state=trail.state,
        counted=start.counted,
    )
