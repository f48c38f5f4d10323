"""Forward passes: dense, masked (training), gathered (tokens really removed). Any scorer fits.

Shape suffixes: B images, N tokens (CLS first), T patches (N - 1), D width, H heads, G head groups, L layers,
C capacity of a layer. Design, chip and state carry a leading axis L.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.circuits.chip import Chip, Environment
from atis_jax.models.sensor import sensor_view
from atis_jax.models.vit import VisionTransformer
from atis_jax.numerics import pytree
from atis_jax.pruning.gather import pack, scatter_back
from atis_jax.pruning.masks import PROTECTED, at_fixed_rate, cascade, protect, training_gate
from atis_jax.scoring.knobs import held
from atis_jax.scoring.prototype import update_query
from atis_jax.scoring.types import Context, Decision, Scorer, ScorerState
from atis_jax.typing import Int, Key, PyTree
from atis_jax.validation import SettingError

EVERY_LAYER = range(2**31)
"""The scored layers of a network that has a scorer in front of all of them, however many they are."""
UNSEEN_V = -1e30
"""Stands for the score of a token that no scorer looked at: no circuit's, and finite for ``jax_debug_nans``."""


@pytree
class ScorerInputs:
    """Everything a network's scorers need besides tokens; leaves carry a leading axis of layers.

    Attributes:
        design: what is optimised.
        chip: what fabrication gave, or None for scorers without one. A second axis, after that of the layers, deals
            the images to several chips: the first B / chips images to the first, and so on.
        environment: temperature and supply, shared by all layers; one entry a chip if there are several.
        state: the scorers' memory.
    """

    design: Any
    chip: Chip | None
    environment: Environment | None
    state: ScorerState


@pytree
class Pruned:
    """What a pruned forward pass yields.

    Attributes:
        logits: (B, classes).
        alive: (L, B, N, G) cascaded keep masks after each layer's decision.
        voltage: (L, B, N, G) scores; ``UNSEEN_V`` where none was taken (pruned before, gathered pass only).
        probability: (L, B, N, G) keep probability of the soft comparator given that the token was alive.
        overflow: (L, B) kept tokens that found no room (always 0 in the masked pass).
        state: scorer memory afterwards.
    """

    logits: Float[Array, "B classes"]
    alive: Bool[Array, "L B N G"]
    voltage: Float[Array, "L B N G"]
    probability: Float[Array, "L B N G"]
    overflow: Int[Array, "L B"]
    state: ScorerState


def dense_forward(
    model: VisionTransformer, params: PyTree, images: Float[Array, "B S S C"], dropout_key: Key | None = None
) -> tuple[Float[Array, "B classes"], Float[Array, "L B H N"], Float[Array, "L B H N"], Float[Array, "L B H D"]]:
    """The network without pruning; ``dropout_key`` turns dropout on.

    Returns:
        logits, attention each token receives averaged over query rows, attention it receives from CLS, and each
        head's CLS query pulled back to token space.
    """
    x = embed(model, params, images)
    received, from_cls, queries = [], [], []
    for layer in range(model.spec.depth):
        x, attention, query = block(model, params, layer, x, dropout_key=dropout_key)
        received.append(jnp.mean(attention, axis=2))
        from_cls.append(attention[:, :, 0])
        queries.append(query)
    logits = classify(model, params, x)
    return logits, jnp.stack(received), jnp.stack(from_cls), jnp.stack(queries)


def masked_forward(
    model: VisionTransformer,
    params: PyTree,
    scorer: Scorer,
    images: Float[Array, "B S S C"],
    inputs: ScorerInputs,
    key: Key | None,
    *,
    scored: range = EVERY_LAYER,
    source: str = "tokens",
    ema_rate: float = 0.0,
    smoothing: Float[Array, ""] | float = 0.0,
    hardness: Float[Array, ""] | float = 1.0,
    fixed_rate: bool = False,
    detach_network: bool = False,
    detach_knobs: bool = False,
    secant: bool = False,
    dropout_key: Key | None = None,
) -> Pruned:
    """Every token is computed in every layer; pruned ones are gated out of the softmax.

    Args:
        model: the network.
        params: its parameters.
        scorer: decides which tokens stay.
        images: in [0, 1].
        inputs: design, chip, environment and memory of the scorers.
        key: read noise, one key for the batch or (B,) one an image; None switches it off.
        scored: layers that have a scorer; the others keep every token that reaches them.
        source: what the scorers look at, ``ScorerSpec.source``.
        ema_rate: how fast ``state.query`` follows this batch's CLS queries (EMA prototype).
        smoothing: width of the soft comparator relative to the score's half span.
        hardness: 0 gates with the soft comparator, 1 with the hard decision (straight-through gradient).
        fixed_rate: take the gradient as if the thresholds held the kept fraction (``at_fixed_rate``).
        detach_network: stop the gradient that the scorer would send into the tokens it looks at.
        detach_knobs: stop the gradient that ``voltage`` would send into its layer's knobs (``scoring.knobs``); that of
            the decisions still reaches them, and through the tokens that of later layers' voltages.
        secant: the gradient of a pruned key's gate is that of opening it altogether (``models.vit.gated_softmax``).
        dropout_key: turns dropout on.
    """
    groups = inputs.state.activity.shape[-1]
    batch, tokens = images.shape[0], model.tokens + 1
    x, pixels = embed(model, params, images), sensor_view(model, images, source)
    alive = jnp.ones((batch, tokens, groups), bool)
    gate = jnp.ones((batch, tokens, groups), x.dtype)
    index = jnp.broadcast_to(jnp.arange(tokens), (batch, tokens))
    trail, states = [], []
    for layer in range(model.spec.depth):
        state = layer_of(inputs.state, layer)
        if layer in scored:
            looked_at, reaching = scorer_view(x, alive, index, pixels)
            looked_at = jax.lax.stop_gradient(looked_at) if detach_network else looked_at
            decision, state = score_layer(scorer, inputs, layer, looked_at, reaching, index, tokens, key, smoothing)
            probability, voltage = decision.keep_probability, decision.voltage
            if detach_knobs:  # the same numbers: XLA computes them once
                apart = dataclasses.replace(inputs, design=held(inputs.design))
                again, _ = score_layer(scorer, apart, layer, looked_at, reaching, index, tokens, key, smoothing)
                voltage = again.voltage
            if fixed_rate:
                probability = at_fixed_rate(probability, alive)
            alive = cascade(decision.keep, alive)
            gate = gate * protect(training_gate(probability, decision.keep, hardness))
        else:
            decision = keep_everything(alive)
            probability, voltage = decision.keep_probability, decision.voltage
        x, _, query = block(model, params, layer, x, gate, dropout_key=dropout_key, secant=secant)
        trail.append((alive, voltage, probability))
        states.append(remember_query(state, query, ema_rate))
    alive_LxBxNxG, voltage_LxBxNxG, probability_LxBxNxG = (jnp.stack(parts) for parts in zip(*trail, strict=True))
    return Pruned(
        logits=classify(model, params, x),
        alive=alive_LxBxNxG,
        voltage=voltage_LxBxNxG,
        probability=probability_LxBxNxG,
        overflow=jnp.zeros((model.spec.depth, batch), jnp.int32),
        state=stack(states),
    )


def gathered_forward(
    model: VisionTransformer,
    params: PyTree,
    scorer: Scorer,
    images: Float[Array, "B S S C"],
    inputs: ScorerInputs,
    key: Key | None,
    *,
    capacities: tuple[int, ...],
    scored: range = EVERY_LAYER,
    source: str = "tokens",
    ema_rate: float = 0.0,
) -> Pruned:
    """Tokens are really removed: attention and MLP run on a packed sequence of ``capacities[layer]`` tokens.

    Hard comparators, no gradient path meant. Survivors keep their order and their original position, by which the
    read noise is keyed, so the decisions equal those of ``masked_forward`` up to rounding.

    Raises:
        ValueError: if ``capacities`` is not one number per layer, grows down the layers, or leaves no room for the
            protected tokens.
    """
    check_capacities(capacities, model.spec.depth, model.tokens)
    x, pixels = embed(model, params, images), sensor_view(model, images, source)
    return gathered_layers(
        model, params, scorer, x, inputs, key, capacities=capacities, scored=scored, pixels=pixels, ema_rate=ema_rate
    )


def gathered_layers(
    model: VisionTransformer,
    params: PyTree,
    scorer: Scorer,
    x: Float[Array, "B N D"],
    inputs: ScorerInputs,
    key: Key | None,
    *,
    capacities: tuple[int, ...],
    scored: range = EVERY_LAYER,
    pixels: Float[Array, "B N P"] | None = None,
    ema_rate: float = 0.0,
) -> Pruned:
    """``gathered_forward`` from the embedded tokens on, and ``sensor_view``'s pixels, which many chips can share."""
    groups = inputs.state.activity.shape[-1]
    batch, tokens = x.shape[0], model.tokens + 1
    alive = jnp.ones((batch, tokens, groups), bool)
    index = jnp.broadcast_to(jnp.arange(tokens), (batch, tokens))
    trail, states = [], []
    for layer in range(model.spec.depth):
        state = layer_of(inputs.state, layer)
        if layer in scored:
            looked_at, reaching = scorer_view(x, alive, index, pixels)
            decision, state = score_layer(scorer, inputs, layer, looked_at, reaching, index, tokens, key, 0.0)
        else:
            decision = keep_everything(alive)
        seen, seen_index = jnp.any(alive, axis=-1), index
        alive = cascade(decision.keep, alive)
        source, valid, overflow = jax.vmap(pack, in_axes=(0, None))(jnp.any(alive, axis=-1), capacities[layer])
        x, index = take(x, source), jnp.take_along_axis(index, source, axis=1)
        pixels = None if pixels is None else take(pixels, source)
        alive = take(alive, source) & valid[..., None]
        x, _, query = block(model, params, layer, x, alive.astype(x.dtype), index)
        trail.append(
            (
                back_to_full(alive.astype(x.dtype), index, valid, tokens, 0.0).astype(bool),
                back_to_full(decision.voltage, seen_index, seen, tokens, UNSEEN_V),
                back_to_full(decision.keep_probability, seen_index, seen, tokens, 0.0),
                overflow,
            )
        )
        states.append(remember_query(state, query, ema_rate))
    alive_LxBxNxG, voltage, probability, overflow_LxB = (jnp.stack(parts) for parts in zip(*trail, strict=True))
    return Pruned(
        logits=classify(model, params, x),
        alive=alive_LxBxNxG,
        voltage=voltage,
        probability=probability,
        overflow=overflow_LxB,
        state=stack(states),
    )


def embed(model: VisionTransformer, params: PyTree, images: Float[Array, "B S S C"]) -> Float[Array, "B N D"]:
    """Images to tokens, CLS first."""
    return cast(Array, model.apply(params, images, method="embed"))


def block(
    model: VisionTransformer,
    params: PyTree,
    layer: int,
    x,
    gate=None,
    index=None,
    dropout_key: Key | None = None,
    secant: bool = False,
) -> tuple[Float[Array, "B N D"], Float[Array, "B H N N"], Float[Array, "B H D"]]:
    """One block: tokens, attention, and each head's CLS query in token space. ``dropout_key`` turns dropout on."""
    rngs = {} if dropout_key is None else {"dropout": jax.random.fold_in(dropout_key, layer)}
    out = model.apply(params, layer, x, gate, index, dropout_key is None, secant, method="block", rngs=rngs)
    return cast(tuple[Array, Array, Array], out)


def classify(model: VisionTransformer, params: PyTree, x: Float[Array, "B N D"]) -> Float[Array, "B classes"]:
    """Logits from the CLS token."""
    return cast(Array, model.apply(params, x, method="classify"))


def scorer_view(
    x: Float[Array, "B N D"],
    alive: Bool[Array, "B N G"],
    index: Int[Array, "B N"],
    pixels: Float[Array, "B N P"] | None,
) -> tuple[Float[Array, "B N X"], Bool[Array, "B N G"]]:
    """What scorers look at, and which of it reaches their comparators; CLS, which has no pixels, is not at the sensor.

    Args:
        x: tokens in front of the layer.
        alive: those that some head group keeps.
        index: their original positions.
        pixels: of the same positions; None where the scorers look at the tokens.
    """
    if pixels is None:
        return x, alive
    return pixels, alive & (index >= PROTECTED)[..., None]


def score_layer(
    scorer: Scorer, inputs: ScorerInputs, layer: int, x, alive, index, tokens: int, key: Key | None, smoothing
) -> tuple[Decision, ScorerState]:
    """Layer ``layer``'s scorer on a batch: vmapped over images, each with its own noise; state averaged over them.

    Averaging is exact for the state's linear parts and the natural reading of "recent sequences" for a batch; a
    stream of single sequences (batch of one) is followed exactly.
    """
    design, chip, state = (layer_of(part, layer) for part in (inputs.design, inputs.chip, inputs.state))

    def one(chip, environment, tokens_NxD, alive_NxG, index_N, image_key):
        context = Context(
            alive=alive_NxG, token_index=index_N, state=state, smoothing=smoothing, token_count=tokens, layer=layer
        )
        return scorer(design, chip, environment, tokens_NxD, context, image_key)

    keys = image_keys(key, layer, x.shape[0])
    images = jax.vmap(one, in_axes=(None, None, 0, 0, 0, None if key is None else 0))
    if inputs.environment is None or jnp.ndim(inputs.environment.temperature_k) == 0:
        decision, after = images(chip, inputs.environment, x, alive, index, keys)
    else:
        chips = jnp.shape(inputs.environment.temperature_k)[0]
        dealt = jax.tree.map(lambda a: a.reshape(chips, -1, *a.shape[1:]), (x, alive, index, keys))
        on_chips = jax.vmap(images)(chip, inputs.environment, *dealt)
        decision, after = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), on_chips)
    return decision, jax.tree.map(mean_over_images, after, state)


def image_keys(key: Key | None, layer: int, batch: int) -> Key | None:
    """A key for each image at this layer.

    Folded from one key for the batch by position; or, if ``key`` is (B,), each image's own, so that an image meets the
    same noise in whatever batch it comes.
    """
    if key is None:
        return None
    if key.ndim == 0:
        return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, layer), jnp.arange(batch))
    return jax.vmap(jax.random.fold_in, (0, None))(key, layer)


def mean_over_images(batched: Array, before: Array) -> Array:
    """A batch of states back to one: mean, or majority for booleans."""
    if before.dtype == bool:
        return jnp.mean(batched.astype(jnp.float32), axis=0) > 0.5
    return jnp.mean(batched, axis=0)


def keep_everything(alive: Bool[Array, "B N G"]) -> Decision:
    """The decision of a layer without a scorer."""
    ones = jnp.ones(alive.shape)
    return Decision(voltage=jnp.zeros(alive.shape), keep_probability=ones, keep=ones.astype(bool))


def remember_query(state: ScorerState, query: Float[Array, "B H D"], rate: float) -> ScorerState:
    """The state with its query moved towards this batch's; untouched at rate 0."""
    if rate == 0.0:
        return state
    moved = update_query(state.query, query, rate)
    return ScorerState(moved, state.activity, state.threshold_shift_v, state.last_keep)


def check_capacities(capacities: tuple[int, ...], depth: int, tokens: int) -> None:
    """Raise SettingError (a ValueError) naming the first capacity that cannot be."""
    if len(capacities) != depth:
        raise SettingError(f"capacities has {len(capacities)} entries for {depth} layers; give one per layer")
    before = tokens + PROTECTED
    for layer, capacity in enumerate(capacities):
        if not PROTECTED <= capacity <= before:
            raise SettingError(
                f"capacities[{layer}] = {capacity} must be at least the {PROTECTED} protected tokens and at most the "
                f"{before} of the layer before"
            )
        before = capacity


def layer_of(tree: PyTree, layer: int) -> PyTree:
    """Entry ``layer`` of every leaf's leading axis."""
    return jax.tree.map(lambda leaf: leaf[layer], tree)


def stack(trees: list[PyTree]) -> PyTree:
    """Trees of one structure stacked along a new leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def take(values_BxNxX: Array, source_BxC: Int[Array, "B C"]) -> Array:
    """Rows ``source`` of each image."""
    return jnp.take_along_axis(values_BxNxX, source_BxC[..., None], axis=1)


def back_to_full(values_BxCxG, index_BxC, valid_BxC, tokens: int, fill: float) -> Array:
    """Packed values of a batch at their original positions."""
    per_group: Callable = jax.vmap(scatter_back, in_axes=(1, None, None, None, None), out_axes=1)
    per_image = jax.vmap(per_group, in_axes=(0, 0, 0, None, None))
    return per_image(values_BxCxG, index_BxC, valid_BxC, tokens, fill)
