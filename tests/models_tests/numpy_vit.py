"""The vision transformer in float64 NumPy, token removal by deleting rows: the reference of these tests."""

from __future__ import annotations

import jax
import numpy as np

from atis_jax.data.dataset import Facts
from atis_jax.models.backbone import Model
from atis_jax.models.vit import ModelSpec, VisionTransformer
from atis_jax.numerics import layer_of, stack

SIDE, CLASSES = 8, 3
QUICK = {"xla_backend_optimization_level": 0}
"""Compiler options: code three times slower, made in half the time."""


def tiny_model(size: tuple[int, int] = (SIDE, SIDE), **changes) -> VisionTransformer:
    """Sixteen patches of two pixels, or those of ``size``; every head turns with its patch unless said otherwise."""
    fields = dict(width=16, depth=2, heads=2, mlp_width=24, patch=2, stem_width=5) | changes
    facts = Facts(classes=CLASSES, rows=size[0], columns=size[1], channels=1, mean=(0.3,), std=(0.5,))
    return VisionTransformer(ModelSpec(**fields), facts)


def lively_params(model: Model, seed: int = 0):
    """Parameters away from their start: an untrained head is zero and biases hide mistakes."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))["params"]
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        scale = 0.6 / np.sqrt(leaf.shape[0]) if leaf.ndim == 2 else 0.3
        if "qkv_kernel" in jax.tree_util.keystr(path):
            scale *= 3.0  # attention far from uniform
        offset = 1.0 if "'scale'" in jax.tree_util.keystr(path) else 0.0
        return jax.numpy.asarray(rng.normal(offset, scale, leaf.shape), "float32")

    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), shapes.pop("blocks"))
    blocks = [jax.tree_util.tree_map_with_path(draw, one) for _ in range(model.depth)]
    return {"params": jax.tree_util.tree_map_with_path(draw, shapes) | {"blocks": stack(blocks)}}


def images_for(seed: int, count: int, size: tuple[int, int] = (SIDE, SIDE)):
    return jax.numpy.asarray(np.random.default_rng(seed).uniform(0, 1, (count, *size, 1)), "float32")


def layer_norm(x, params=None):
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return y if params is None else y * params["scale"] + params["bias"]


def dense(x, params):
    return x @ params["kernel"] + params["bias"]


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def embed(model: VisionTransformer, p, image):
    """(tokens + 1, D) of one image."""
    spec, x = model.spec, (np.asarray(image, np.float64) - model.facts.mean) / model.facts.std
    if spec.stem == "linear":
        tokens = []
        for row in range(x.shape[0] // spec.patch):
            for column in range(x.shape[1] // spec.patch):
                square = x[row * spec.patch :, column * spec.patch :][: spec.patch, : spec.patch]
                tokens.append(dense(square.reshape(-1), p["stem"]["patch"]))
    else:
        rows, columns = x.shape[0] // 2, x.shape[1] // 2
        wide = np.zeros((rows + 2, columns + 2, 4))
        for row in range(rows):
            for column in range(columns):
                wide[row + 1, column + 1] = x[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(-1)
        convolved = np.zeros((rows, columns, spec.stem_width))
        kernel = p["stem"]["conv"]["kernel"].reshape(3, 3, 4, -1)
        for row in range(rows):
            for column in range(columns):
                patch = wide[row : row + 3, column : column + 3]
                convolved[row, column] = np.einsum("ijc,ijcw->w", patch, kernel) + p["stem"]["conv"]["bias"]
        convolved, size, tokens = gelu(convolved), spec.patch // 2, []
        for row in range(0, rows, size):
            for column in range(0, columns, size):
                token = dense(convolved[row : row + size, column : column + size].reshape(-1), p["stem"]["patch"])
                tokens.append(token + dense(gelu(layer_norm(token, p["stem"]["norm"])), p["stem"]["mix"]))
    return np.concatenate([p["cls"][0], np.stack(tokens)]) + p["position"][0]


def turn(vectors, index, model: VisionTransformer):
    """Rotary positions as complex numbers: pair (i, i + K/2) turns by row or column times a frequency."""
    half = vectors.shape[-1] // 2
    frequency = np.geomspace(np.pi / 2, np.pi / 20, half // 2)
    _, columns = model.grid
    angle = np.zeros((len(index), half))
    for slot, position in enumerate(index):
        if position > 0:
            row, column = divmod(position - 1, columns)
            angle[slot] = np.concatenate([row * frequency, column * frequency])
    z = (vectors[:, :half] + 1j * vectors[:, half:]) * np.exp(1j * angle)
    return np.concatenate([z.real, z.imag], axis=1)


def block(model: VisionTransformer, p, x, index, gate):
    """One block on the tokens at ``index``; ``gate`` (n, G) weighs keys in the softmax.

    Returns tokens, attention (H, n, n).
    """
    spec, width = model.spec, x.shape[-1]
    key_width, groups = width // spec.heads, gate.shape[1]
    qkv = layer_norm(x) @ p["qkv_kernel"] + p["qkv_bias"]
    mixed, attention = [], []
    for head in range(spec.heads):
        q, k, v = (qkv[:, part * width + head * key_width :][:, :key_width] for part in range(3))
        if spec.rotary:
            q, k = turn(q, index, model), turn(k, index, model)
        logits = q @ k.T / np.sqrt(key_width)
        weight = np.exp(logits - logits.max(-1, keepdims=True)) * gate[:, head * groups // spec.heads]
        attention.append(weight / weight.sum(-1, keepdims=True))
        mixed.append(attention[-1] @ v)
    x = x + dense(np.concatenate(mixed, axis=1), p["out"])
    hidden = gelu(dense(layer_norm(x, p["norm_mlp"]), p["up"]))
    return x + dense(hidden, p["down"]), np.stack(attention)


def forward(model: VisionTransformer, params, image, gates=None):
    """Logits of one image, and the attention of every layer.

    ``gates`` (L, N, G): tokens whose gate is zero for every group are deleted before the layer, for good.
    """
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)["params"]
    x, index, attentions = embed(model, p, image), np.arange(model.tokens + 1), []
    for layer in range(model.spec.depth):
        gate = np.ones((model.tokens + 1, 1)) if gates is None else np.asarray(gates[layer], np.float64)
        kept = gate[index].max(axis=1) > 0
        x, index = x[kept], index[kept]
        x, attention = block(model, layer_of(p["blocks"], layer), x, index, gate[index])
        attentions.append(attention)
    return dense(layer_norm(x[0], p["norm"]), p["head"]), attentions
