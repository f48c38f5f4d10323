"""The one loop over layers: dense, masked (training), gathered (tokens really removed). Any network, method, kernel.

Shape suffixes: B examples, N tokens, D width, H heads, G head groups, L layers, C capacity of a layer. Design, chip and
memory carry a leading axis L.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.circuits.chip import Chip, Environment
from atis_jax.models.backbone import Model
from atis_jax.models.kernels import Kernel, Softmax
from atis_jax.models.kernels.circuit import Circuit, Place, fitted
from atis_jax.numerics import layer_of, pytree, stack, static
from atis_jax.pruning.masks import at_fixed_rate, cascade, protect, training_gate
from atis_jax.pruning.reduce import back_to_full, merge_into, merge_softly, pack_to, written_back
from atis_jax.pruning.stream import Attended, Stream, spread
from atis_jax.scoring.method import ON_OUTPUT, Method, mean_over_examples, scored
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Int, Key, PyTree
from atis_jax.validation import SettingError, choose

EVERY_LAYER = range(2**31)
"""The scored layers of a network that has a scorer in front of all of them, however many they are."""
UNSEEN_V = -1e30
"""Stands for the score of a token that no scorer looked at: no circuit's, and finite for ``jax_debug_nans``."""
UNROLLED = 6
"""Layers of one kind up to which each is compiled apart, which runs faster; more are one compiled loop."""
SOFTMAX = Softmax()
ATTENTION = zlib.crc32(b"attention")
"""Folded into the key of read noise for that of a kernel's."""

Batch = Mapping[str, Any]


@pytree
class ScorerInputs:
    """Everything a network's scorers need besides tokens; leaves carry a leading axis of layers.

    Attributes:
        design: what is optimised.
        chip: what fabrication gave, or None for scorers without one. A second axis, after that of the layers, deals
            the examples to several chips: the first B / chips of them to the first, and so on.
        environment: temperature and supply, shared by all layers; one entry a chip if there are several.
        state: the scorers' memory.
        attention: what fabrication gave the kernel, where it is a circuit; axes as of ``chip``.
    """

    design: Any
    chip: Chip | None
    environment: Environment | None
    state: Any
    attention: Any = None


@pytree
class Relaxation:
    """How decisions are softened while training; the default is the hard comparator.

    Attributes:
        smoothing: width of the soft comparator relative to the score's half span.
        hardness: 0 gates with the soft comparator, 1 with the hard decision (straight-through gradient).
        fixed_rate: take the gradient as if the thresholds held the kept fraction (``at_fixed_rate``).
        detach_network: stop the gradient that the scorer would send into the tokens it looks at.
    """

    smoothing: Float[Array, ""] | float = 0.0
    hardness: Float[Array, ""] | float = 1.0
    fixed_rate: bool = static(default=False)
    detach_network: bool = static(default=False)


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


@dataclasses.dataclass(frozen=True, eq=False)
class Pass:
    """What one pass is made of, apart from parameters, examples and what the scorers need.

    Attributes:
        model: the network.
        kernel: how attention is computed.
        method: which tokens stay; None: all.
        scored: layers in which it decides; the others keep every token that reaches them.
        relaxation: softened decisions while training.
        needs: parts of every layer's ``Attended`` to give back.
        dropout: turns dropout on.
        frozen: first blocks that no gradient goes into or through, nor into what is in front of them; a scorer there
            has those of its own decisions' voltages and probabilities alone.
    """

    model: Model
    kernel: Kernel = SOFTMAX
    method: Method | None = None
    scored: range = EVERY_LAYER
    relaxation: Relaxation = dataclasses.field(default_factory=Relaxation)
    needs: tuple[str, ...] = ()
    dropout: Key | None = None
    frozen: int = 0


class Layer(NamedTuple):
    """One layer's share of everything: its number, parameters, what its scorer needs, what its kernel is fitted to."""

    number: Any
    block: PyTree
    scorer: ScorerInputs | None
    fitted: Any = None


class Record(NamedTuple):
    """What one layer decided, at the tokens' original positions."""

    alive: Any
    voltage: Any
    probability: Any
    overflow: Any
    state: Any


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


def _of_layer(inputs: ScorerInputs | None, number: int) -> ScorerInputs | None:
    if inputs is None:
        return None
    per_layer = inputs.design, inputs.chip, inputs.state, inputs.attention
    design, chip, state, attention = layer_of(per_layer, number)
    return ScorerInputs(design, chip, inputs.environment, state, attention)


def _per_layer(inputs: ScorerInputs | None) -> ScorerInputs | None:
    """What has a leading axis of layers: all but the environment."""
    return None if inputs is None else dataclasses.replace(inputs, environment=None)
