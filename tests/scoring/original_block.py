"""One pre-norm block of the golden files, with the weights that its authors' code ran with, as a network of ours."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rival_cases import MODEL

from atis_jax.models.backbone import key_gate
from atis_jax.pruning.stream import Stream


@dataclasses.dataclass(frozen=True, eq=False)
class OriginalBlock:
    """One block of the golden files as a network: ``batch`` holds tokens and sizes."""

    case: Any
    depth: int = 1
    length: int = 17
    tokens: int = 16

    def embed(self, params, batch, raw=False):
        position = jnp.arange(batch["x"].shape[1])[None]
        return Stream(batch["x"], position, position < 1, size=batch["size"])

    def blocks(self, params):
        return {"unused": jnp.zeros(1)}

    def attend(self, block, stream, kernel, needs=(), dropout=None):
        out, attended, keys = self.attention(norm(stream.x, self.case, "norm1"), stream, kernel, needs, "attn_")
        return dataclasses.replace(stream, x=stream.x + out), dataclasses.replace(attended, keys=keys)

    def attention(self, x, stream, kernel, needs, names=""):
        case, heads = self.case, int(self.case["H"])
        q, k, v = jnp.moveaxis(
            (x @ case[f"{names}qkv_weight"].T + case[f"{names}qkv_bias"]).reshape(*x.shape[:2], 3, heads, -1),
            (2, 3),
            (0, 2),
        )
        q = q / np.sqrt(q.shape[-1])
        mixed, attended = kernel(q, k, v, None, key_gate(stream, heads), rows=stream.present, needs=needs)
        mixed = jnp.moveaxis(mixed, 1, 2).reshape(x.shape)
        return mixed @ case[f"{names}proj_weight"].T + case[f"{names}proj_bias"], attended, k

    def feed(self, block, stream, dropout=None):
        case = self.case
        hidden = jax.nn.gelu(
            norm(stream.x, case, "norm2") @ case["mlp_fc1_weight"].T + case["mlp_fc1_bias"], approximate=False
        )
        return dataclasses.replace(stream, x=stream.x + hidden @ case["mlp_fc2_weight"].T + case["mlp_fc2_bias"])

    def read_out(self, params, stream):
        return stream.x[:, 0]

    def shape(self):
        return MODEL.shape()  # its head reads CLS alone


def norm(x, case, name):
    centred = x - jnp.mean(x, -1, keepdims=True)
    scaled = centred / jnp.sqrt(jnp.mean(centred**2, -1, keepdims=True) + 1e-6)
    return scaled * case[f"{name}_weight"] + case[f"{name}_bias"]
