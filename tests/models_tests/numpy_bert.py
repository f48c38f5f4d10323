"""BERT in float64 NumPy from arrays by Hugging Face's names, one sentence without padding: the reference of tests."""

from __future__ import annotations

import math

import numpy as np

ERF = np.vectorize(math.erf)


def made_up(width=16, depth=2, mlp_width=24, words=20, places=12, seed=0) -> dict[str, np.ndarray]:
    """Arrays of a tiny BERT with a pooler, by name; matrices (outputs, inputs) as published."""
    rng = np.random.default_rng(seed)
    shapes = {
        "embeddings.word_embeddings.weight": (words, width),
        "embeddings.position_embeddings.weight": (places, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "embeddings.LayerNorm": (width,),
        "pooler.dense": (width, width),
    }
    for layer in range(depth):
        root = f"encoder.layer.{layer}."
        shapes |= {f"{root}attention.self.{name}": (width, width) for name in ("query", "key", "value")}
        shapes |= {f"{root}attention.output.dense": (width, width), f"{root}attention.output.LayerNorm": (width,)}
        shapes |= {f"{root}intermediate.dense": (mlp_width, width), f"{root}output.dense": (width, mlp_width)}
        shapes |= {f"{root}output.LayerNorm": (width,)}
    arrays = {}
    for name, shape in shapes.items():
        if name.endswith(".weight"):
            arrays[name] = rng.normal(0, 1, shape)
            continue
        scale = 2.0 / np.sqrt(shape[-1]) if "query" in name or "key" in name else 0.6 / np.sqrt(shape[-1])
        arrays[f"{name}.weight"] = rng.normal(1.0 if len(shape) == 1 else 0.0, scale, shape)
        arrays[f"{name}.bias"] = rng.normal(0, 0.3, shape[:1])
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def hidden(arrays, token, heads: int, epsilon: float):
    """(depth + 1, n, D): the tokens in front of each layer and behind the last."""
    p = {name: np.asarray(array, np.float64) for name, array in arrays.items()}

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + epsilon) * p[f"{name}.weight"] + p[f"{name}.bias"]

    def linear(x, name):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    x = p["embeddings.word_embeddings.weight"][token] + p["embeddings.position_embeddings.weight"][: len(token)]
    x = norm(x + p["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    found = [x]
    while f"encoder.layer.{len(found) - 1}.output.dense.weight" in p:
        root = f"encoder.layer.{len(found) - 1}."
        q, k, v = (linear(x, f"{root}attention.self.{name}") for name in ("query", "key", "value"))
        mixed = []
        for part in np.split(np.arange(x.shape[-1]), heads):
            weight = np.exp(q[:, part] @ k[:, part].T / np.sqrt(len(part)))
            mixed.append(weight / weight.sum(-1, keepdims=True) @ v[:, part])
        mixed = linear(np.concatenate(mixed, axis=-1), f"{root}attention.output.dense")
        x = norm(x + mixed, f"{root}attention.output.LayerNorm")
        up = linear(x, f"{root}intermediate.dense")
        gelu = 0.5 * up * (1 + ERF(up / np.sqrt(2)))
        x = norm(x + linear(gelu, f"{root}output.dense"), f"{root}output.LayerNorm")
        found.append(x)
    return np.stack(found)
