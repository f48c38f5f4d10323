"""The decoder in float64 NumPy, word by word and head by head: the reference of these tests."""

from __future__ import annotations

import jax
import numpy as np

from atis_jax.data.dataset import Facts
from atis_jax.models.decoder import Decoder, DecoderSpec

VOCABULARY, LENGTH = 11, 24


def tiny_decoder(**changes) -> Decoder:
    """Two layers, four query heads on two key heads unless said otherwise."""
    fields = dict(width=16, depth=2, heads=4, kv_heads=2, mlp_width=20) | changes
    return Decoder(DecoderSpec(**fields), Facts(classes=VOCABULARY, vocabulary=VOCABULARY, length=LENGTH))


def lively_params(model: Decoder, seed: int = 0, dtype="float64"):
    """Parameters away from their start: scales that are not one, attention far from uniform."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        name = jax.tree_util.keystr(path)
        if "norm" in name:
            values = rng.normal(1.0, 0.3, leaf.shape)
        elif "embedding" in name:
            values = rng.normal(0.0, 1.0, leaf.shape)
        else:
            sharper = 2.0 if "query" in name or "key" in name else 1.0
            values = rng.normal(0.0, sharper / np.sqrt(leaf.shape[-2]), leaf.shape)
        return jax.numpy.asarray(values, dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def texts(seed: int, count: int, words: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCABULARY, (count, words))


def rms_norm(x, scale, epsilon):
    return x / np.sqrt(np.mean(x * x) + epsilon) * scale


def turn(vector, position, base):
    """Pair (i, i + K/2) as one complex number, times exp(i position / base^(2 i / K))."""
    half = len(vector) // 2
    z = np.array([complex(vector[i], vector[i + half]) for i in range(half)])
    z = z * np.exp(1j * position * np.array([base ** (-2 * i / len(vector)) for i in range(half)]))
    return np.concatenate([z.real, z.imag])


def mlp(spec: DecoderSpec, p, x):
    up = x @ p["up"]
    if spec.mlp == "gelu":
        return (0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))) @ p["down"]
    gate = x @ p["gate"]
    return (gate / (1 + np.exp(-gate)) * up) @ p["down"]


def block(spec: DecoderSpec, p, x, sees):
    """One block; ``sees(j, n, m)`` says whether key head j shows word m to word n, beyond causality and window."""
    words, width, k_width = len(x), spec.width, spec.width // spec.heads
    normed = [rms_norm(row, p.get("norm_attention", np.ones(width)), spec.norm_epsilon) for row in x]
    out = np.zeros_like(x)
    for n in range(words):
        mixed = []
        for head in range(spec.heads):
            shared = head // (spec.heads // spec.kv_heads)
            own, theirs = slice(head * k_width, (head + 1) * k_width), slice(shared * k_width, (shared + 1) * k_width)
            query = turn((normed[n] @ p["query"])[own], n, spec.rotary_base)
            first = max(0, n - spec.window + 1) if spec.window else 0
            seen = [m for m in range(first, n + 1) if m == n or sees(shared, n, m)]
            keys = [turn((normed[m] @ p["key"])[theirs], m, spec.rotary_base) for m in seen]
            weight = np.exp(np.array([query @ key for key in keys]) / np.sqrt(k_width))
            weight = weight / weight.sum()
            mixed.append(sum(w * (normed[m] @ p["value"])[theirs] for w, m in zip(weight, seen, strict=True)))
        attended = x[n] + np.concatenate(mixed) @ p["out"]
        out[n] = attended + mlp(spec, p, rms_norm(attended, p["norm_mlp"], spec.norm_epsilon))
    return out


def forward(model: Decoder, params, text, sees=lambda layer, j, n, m: True, computed=lambda layer, n: True):
    """Logits (words, vocabulary) of one text.

    ``sees(layer, j, n, m)``: whether word m is there for word n at key head j of a layer; a word always sees itself.
    ``computed(layer, n)``: whether the layer acts on word n at all; else it goes by unchanged.
    """
    spec, p = model.spec, jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    x = p["embedding"][np.asarray(text)]
    for layer in range(spec.depth):
        own = {name: leaf[layer] for name, leaf in p["blocks"].items()}
        after = block(spec, own, x, lambda j, n, m, layer=layer: sees(layer, j, n, m))
        x = np.stack([after[n] if computed(layer, n) else x[n] for n in range(len(x))])
    normed = np.stack([rms_norm(row, p["norm"], spec.norm_epsilon) for row in x])
    return normed @ (p["embedding"].T if spec.tied else p["head"])
