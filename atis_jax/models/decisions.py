"""One layer's decision: a method's scorers on a batch, dealt to chips, and the stream with what they decided.

Shape suffixes: B examples, N tokens, G head groups, X what is looked at.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.models.passes import Layer, Pass, ScorerInputs
from atis_jax.pruning.masks import at_fixed_rate, cascade, protect, training_gate
from atis_jax.pruning.reduce import merge_into, merge_softly
from atis_jax.pruning.stream import Attended, Stream, spread
from atis_jax.scoring.method import ON_OUTPUT, Method, mean_over_examples, scored
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Key
from atis_jax.validation import choose


def apply_decision(run: Pass, stream: Stream, said: Decision) -> tuple[Stream, Float[Array, "B N 1"] | None]:
    """The stream with what the method decided: tokens gated out of the softmax, or merged.

    Returns:
        The stream, and what the block's output is to be multiplied by: None but for ``Method.gates`` "output".
    """
    method, relaxation = run.method, run.relaxation
    assert method is not None
    if said.along is not None:
        stream = dataclasses.replace(stream, along={**(stream.along or {}), "own": said.along})
    assert stream.alive is not None and stream.gate is not None
    if method.merges and said.share is not None:
        alive = cascade(said.keep, stream.alive, stream.protected)
        soft = jnp.asarray(relaxation.smoothing) > 0  # then what takes no further part in merging still is attended to
        gate = jnp.where(soft | alive, stream.gate, 0.0)
        return dataclasses.replace(merge_softly(stream, said.share), alive=alive, gate=gate), None
    if method.merges:
        assert said.into is not None
        return merge_into(stream, said.into, said.weight), None
    before = stream.alive if method.cascade else stream.opened(method.groups).alive
    assert before is not None
    hardness = relaxation.hardness if method.relaxes else 1.0
    gate = protect(training_gate(said.keep_probability, said.keep, hardness), stream.protected)
    alive = cascade(said.keep, before, stream.protected)
    if choose(ON_OUTPUT, method.gates, "method.gates"):
        hard = is_hard(run)
        open_ = stream.opened(method.groups).gate
        assert open_ is not None
        shut = jnp.where(hard, alive.astype(gate.dtype), open_)
        factor = jnp.where(hard, 1.0, jnp.max(gate, axis=-1, keepdims=True))
        return dataclasses.replace(stream, alive=alive, gate=shut), factor
    gate = stream.gate * gate if method.cascade else gate
    return dataclasses.replace(stream, alive=alive, gate=gate), None


def is_hard(run: Pass) -> Bool[Array, ""]:
    """Whether decisions are hard, with no trace of the soft ones."""
    assert run.method is not None
    return jnp.asarray(run.relaxation.hardness if run.method.relaxes else 1.0) >= 1.0


def score_layer(
    run: Pass,
    layer: Layer,
    stream: Stream,
    attended: Attended | None,
    counted: Bool[Array, "B N"],
    key: Key | None,
) -> tuple[Decision, Any]:
    """One layer's decision on a batch: each example with its own noise; memory averaged over them.

    Averaging is exact for the memory's linear parts and the natural reading of "recent sequences" for a batch; a
    stream of single sequences (batch of one) is followed exactly.
    """
    method, inputs = run.method, layer.scorer
    assert method is not None and inputs is not None
    seen, reaching = method.sees(stream)
    if run.relaxation.detach_network:
        seen, attended = jax.lax.stop_gradient((seen, attended))

    def decided(design):
        return score_batch(
            method, dataclasses.replace(inputs, design=design), layer.number, stream, seen, reaching,
            full=counted, key=key, smoothing=run.relaxation.smoothing, attended=attended,
        )  # fmt: skip

    said, state = decided(inputs.design)
    apart = method.apart(inputs.design)
    if apart is not None:  # the same numbers: XLA computes them once
        said = dataclasses.replace(said, voltage=decided(apart)[0].voltage)
    if choose(ON_OUTPUT, method.gates, "method.gates"):
        p = said.keep_probability
        said = dataclasses.replace(said, keep_probability=jnp.where(is_hard(run), jax.lax.stop_gradient(p), p))
    if run.relaxation.fixed_rate:
        assert stream.alive is not None
        steady = at_fixed_rate(said.keep_probability, stream.alive & stream.counted[..., None])
        said = dataclasses.replace(said, keep_probability=steady)
    return said, state


def score_batch(
    method: Method,
    inputs: ScorerInputs,
    number: Any,
    stream: Stream,
    seen: Float[Array, "B N X"],
    reaching: Bool[Array, "B N G"],
    *,
    full: Bool[Array, "B M"] | None = None,
    key: Key | None = None,
    smoothing: Float[Array, ""] | float = 0.0,
    attended: Attended | None = None,
) -> tuple[Decision, Any]:
    """One layer's scorers on a batch, dealt to as many chips as ``inputs`` has; ``inputs`` are those of the layer."""
    batch = seen.shape[0]
    counted = spread(stream.counted, batch)
    chips = () if inputs.environment is None else jnp.shape(inputs.environment.temperature_k)
    per_example = (
        seen,
        reaching,
        spread(stream.position, batch),
        counted,
        jnp.sum(counted if full is None else full, axis=-1),
        stream.size,
        attended,
        None if stream.present is None else spread(stream.present, batch),
        stream.along.get("own") if stream.along else None,
        stream.gate,
        example_keys(key, number, batch),
    )

    def on_chip(chip, environment, given):
        tokens, alive, position, counted, full, size, attended, present, along, gate, keys = given
        context = Context(
            alive=alive, position=position, counted=counted, full=full, state=inputs.state, smoothing=smoothing,
            attended=attended, size=size, layer=number, present=present, along=along, gate=gate,
        )  # fmt: skip
        return scored(method, inputs.design, chip, environment, tokens, context, keys)

    if not chips:
        said, after = on_chip(inputs.chip, inputs.environment, per_example)
    else:
        dealt = jax.tree.map(lambda leaf: leaf.reshape(*chips, -1, *leaf.shape[1:]), per_example)
        by_chip = jax.vmap(on_chip)(inputs.chip, inputs.environment, dealt)
        said, after = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), by_chip)
    return said, jax.tree.map(mean_over_examples, after, inputs.state)


def example_keys(key: Key | None, number: Any, batch: int) -> Key | None:
    """A key for each example at layer ``number``.

    Folded from one key for the batch by position; or, if ``key`` is (B,), each example's own, so that it meets the
    same noise in whatever batch it comes.
    """
    if key is None:
        return None
    if key.ndim == 0:
        return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, number), jnp.arange(batch))
    return jax.vmap(jax.random.fold_in, (0, None))(key, number)


def keep_everything(stream: Stream) -> Decision:
    """The decision of a layer without a scorer."""
    assert stream.alive is not None
    ones = jnp.ones(stream.alive.shape)
    return Decision(voltage=jnp.zeros(stream.alive.shape), keep_probability=ones, keep=ones.astype(bool))
