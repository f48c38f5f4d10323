"""The known tokens that chips are calibrated with, recorded from the trained network on the perfect chip."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax.models.forward import (
    EVERY_LAYER,
    ScorerInputs,
    block,
    embed,
    layer_of,
    score_layer,
    scorer_view,
    stack,
)
from atis_jax.models.sensor import sensor_view
from atis_jax.models.vit import VisionTransformer
from atis_jax.pruning.masks import PROTECTED, cascade
from atis_jax.scoring.calibration import CalibrationTokens
from atis_jax.scoring.design import inputs_of
from atis_jax.scoring.projection import conditioned
from atis_jax.scoring.types import Scorer
from atis_jax.typing import Key, PyTree
from atis_jax.validation import SettingError


def record_tokens(
    model: VisionTransformer,
    params: PyTree,
    scorer: Scorer,
    inputs_perfect: ScorerInputs,
    images: Float[Array, "B S S C"],
    count: int,
    key: Key,
    *,
    scored: range = EVERY_LAYER,
    source: str = "tokens",
) -> CalibrationTokens:
    """``count`` tokens for each layer, drawn without repetition from those that reach its comparator.

    The design runs on ``images`` with hard decisions and without read noise; tokens pruned before a layer never reach
    it, and protected ones are kept whatever their score. A token reaches a layer while any head group keeps it.

    Args:
        model: the network.
        params: its parameters.
        scorer: the scorer it was trained with.
        inputs_perfect: the design on the chip without errors, at the temperature it is stated at.
        images: some of the training set.
        count: n, tokens for each layer.
        key: draws the tokens.
        scored: layers that have a scorer; the others prune nothing (their tokens are recorded all the same).
        source: what the scorers look at, ``ScorerSpec.source``.

    Returns:
        Leaves (L, ...): array inputs, the perfect chip's scores, and the shares it keeps of these very tokens.

    Raises:
        SettingError: fewer than ``count`` tokens reach a layer.
    """
    reached, array_inputs, score_v, keep = jax.jit(_run, static_argnums=(0, 2, 5, 6))(
        model, params, scorer, inputs_perfect, images, scored, source
    )
    layers = []
    for layer in range(model.spec.depth):
        candidates = np.flatnonzero(np.asarray(reached[layer]))
        if len(candidates) < count:
            raise SettingError(
                f"calibration.tokens = {count}, but only {len(candidates)} tokens of the {len(images)} images given "
                f"reach the comparator of layer {layer}; lower calibration.tokens or give more images"
            )
        chosen = jax.random.choice(jax.random.fold_in(key, layer), candidates, (count,), replace=False)
        layers.append(
            CalibrationTokens(
                inputs=array_inputs[layer][chosen],
                score_v=score_v[layer][chosen],
                kept_fraction=jnp.mean(keep[layer][chosen].astype(jnp.float32), axis=0),
            )
        )
    return stack(layers)


def _run(
    model: VisionTransformer, params: PyTree, scorer: Scorer, inputs: ScorerInputs, images, scored: range, source: str
) -> tuple[Array, Array, Array, Array]:
    """Of every token (M: images x positions) of every layer: reached (L, M), u (L, M, N), V and keep (L, M, G)."""
    groups, batch, tokens = inputs.state.activity.shape[-1], images.shape[0], model.tokens + 1
    x, pixels = embed(model, params, images), sensor_view(model, images, source)
    alive = jnp.ones((batch, tokens, groups), bool)
    index = jnp.broadcast_to(jnp.arange(tokens), (batch, tokens))
    prunable = index >= PROTECTED
    seen = []
    for layer in range(model.spec.depth):
        looked_at, reaching = scorer_view(x, alive, index, pixels)
        decision, _ = score_layer(scorer, inputs, layer, looked_at, reaching, index, tokens, None, 0.0)
        array_inputs = inputs_of(layer_of(inputs.design, layer), conditioned(looked_at, source))
        seen.append((jnp.any(alive, axis=-1) & prunable, array_inputs, decision.voltage, decision.keep))
        if layer in scored:
            alive = cascade(decision.keep, alive)
        x, _, _ = block(model, params, layer, x, alive.astype(x.dtype))
    stacked = (jnp.stack(part) for part in zip(*seen, strict=True))
    reached, array_inputs, voltage, keep = (
        part.reshape(len(part), batch * tokens, *part.shape[3:]) for part in stacked
    )
    return reached, array_inputs, voltage, keep
