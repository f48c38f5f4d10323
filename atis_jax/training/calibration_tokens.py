"""The known tokens that chips are calibrated with, recorded from the trained network on the perfect chip."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from atis_jax.models.backbone import Model
from atis_jax.models.decisions import score_batch
from atis_jax.models.kernels import Kernel
from atis_jax.models.kernels.circuit import fitted
from atis_jax.models.layers import kernel_of
from atis_jax.models.passes import EVERY_LAYER, SOFTMAX, Batch, Layer, Pass, ScorerInputs
from atis_jax.numerics import layer_of, stack
from atis_jax.pruning.masks import cascade
from atis_jax.scoring.atis.calibration import CalibrationTokens
from atis_jax.scoring.atis.design import inputs_of
from atis_jax.scoring.atis.method import Atis
from atis_jax.scoring.atis.projection import conditioned
from atis_jax.scoring.method import Method
from atis_jax.typing import Key, PyTree
from atis_jax.validation import SettingError


def record_tokens(
    model: Model,
    params: PyTree,
    method: Method,
    inputs_perfect: ScorerInputs,
    batch: Batch,
    count: int,
    key: Key,
    *,
    scored: range = EVERY_LAYER,
    kernel: Kernel = SOFTMAX,
) -> CalibrationTokens:
    """``count`` tokens for each layer, drawn without repetition from those that reach its comparator.

    The design runs on ``batch`` with hard decisions and without read noise; tokens pruned before a layer never reach
    it, and protected ones are kept whatever their score. A token reaches a layer while any head group keeps it. Behind
    the one read that serves all layers, inputs and scores are those of that read.

    Args:
        model: the network.
        params: its parameters.
        method: the scorer it was trained with, analog or digital.
        inputs_perfect: the design on the chip without errors, at the temperature it is stated at.
        batch: some of the training set.
        count: n, tokens for each layer.
        key: draws the tokens.
        scored: layers that have a scorer; the others prune nothing (their tokens are recorded all the same).
        kernel: how attention is computed; of a circuit, by the nominal one.

    Returns:
        Leaves (L, ...): array inputs, the perfect chip's scores, and the shares it keeps of these very tokens.

    Raises:
        SettingError: fewer than ``count`` tokens reach a layer.
        TypeError: the method has no array.
    """
    if not isinstance(method, Atis):
        raise TypeError(f"a {type(method).__name__} has no array whose inputs could be recorded")
    reached, array_inputs, score_v, keep = jax.jit(_run, static_argnums=(0, 2, 5, 6))(
        model, params, method, inputs_perfect, batch, scored, kernel
    )
    layers = []
    for layer in range(model.depth):
        candidates = np.flatnonzero(np.asarray(reached[layer]))
        if len(candidates) < count:
            examples = len(jax.tree.leaves(batch)[0])
            raise SettingError(
                f"calibration.tokens = {count}, but only {len(candidates)} tokens of the {examples} examples given "
                f"reach the comparator of layer {layer}; lower calibration.tokens or give more examples"
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
    model: Model, params: PyTree, method: Atis, inputs: ScorerInputs, batch: Batch, scored: range, kernel: Kernel
) -> tuple[Array, Array, Array, Array]:
    """Of every token (M: examples x positions) of every layer: reached (L, M), u (L, M, N), V and keep (L, M, G)."""
    stream, blocks = model.embed(params, batch, raw=method.raw).opened(method.groups), model.blocks(params)
    found, read = [], None
    for layer in range(model.depth):
        seen, reaching = method.sees(stream)
        design, chip, state = layer_of((inputs.design, inputs.chip, inputs.state), layer)
        here = ScorerInputs(design, chip, inputs.environment, state)
        said, _ = score_batch(method, here, layer, stream, seen, reaching)
        array_inputs = inputs_of(here.design, conditioned(seen, method.spec.source)) if read is None else read
        if method.reads_once and read is None and layer in scored:
            read = array_inputs
            stream = dataclasses.replace(stream, along={**(stream.along or {}), "own": said.along})
        assert stream.alive is not None
        found.append((jnp.any(stream.alive, axis=-1) & stream.counted, array_inputs, said.voltage, said.keep))
        alive = cascade(said.keep, stream.alive, stream.protected) if layer in scored else stream.alive
        stream = dataclasses.replace(stream, alive=alive, gate=alive.astype(stream.x.dtype))
        block, design = layer_of((blocks, fitted(params)), layer)
        own = kernel_of(Pass(model, kernel), Layer(layer, block, None, design), stream, stream.x.shape[1], None)
        stream = model.feed(block, model.attend(block, stream, own)[0])
    stacked = (jnp.stack(part) for part in zip(*found, strict=True))
    reached, array_inputs, voltage, keep = (part.reshape(len(part), -1, *part.shape[3:]) for part in stacked)
    return reached, array_inputs, voltage, keep
