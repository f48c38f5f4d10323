"""Arrays of a GGUF file by Hugging Face's names, in float32 once they are asked for, and what it says of its network.

llama.cpp, whose format it is, turns neighbours (2 i, 2 i + 1) of a head's dimensions, Hugging Face and we turn
(i, i + K/2): its converter reorders the rows of Q and K, and here they go back.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from atis_jax.data.gguf import open_gguf, said

LLAMA = "llama"
"""The architecture that is read."""
_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Hugging Face's names; those of a block stand behind its number."""
_FACTS = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "rope.dimension_count",  # all of a head's dimensions turn
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
    "rope_scaling": "rope.scaling.type",
    "max_position_embeddings": "context_length",
}
"""What a file says behind its architecture, by the names of Hugging Face's ``config.json``."""
_TURNED = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}
"""Maps whose rows are reordered, and how many heads each has."""


@dataclasses.dataclass(frozen=True, eq=False)
class Packed:
    """An array as its file has it: in float32 each time that NumPy asks, since all of them are six times the file.

    Attributes:
        data: quantised, in blocks of bytes, or floats.
        kind: how, a ``gguf.GGMLQuantizationType``.
        shape: of what it stands for.
        heads: whose rows are reordered; None: none.
    """

    data: np.ndarray
    kind: Any
    shape: tuple[int, ...]
    heads: int | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        from gguf import dequantize

        array = np.asarray(dequantize(self.data, self.kind), np.float32)
        array = array if self.heads is None else halves(array, self.heads)
        return array if dtype is None else array.astype(dtype, copy=False)


def load_gguf(path: Path) -> tuple[dict[str, Packed], dict[str, Any]]:
    """Arrays by name; and what the file says of the network, by the names of ``config.json``.

    Names that no network of the architecture has stay as they are.

    Raises:
        ImportError: the library ``gguf`` is not installed.
        NotImplementedError: it does not know how an array is quantised.
        ValueError: the network is of another architecture, or does not say how many heads it has.
    """
    from gguf import dequantize

    reader = open_gguf(path)
    found = facts(reader)
    tensors = {}
    for tensor in reader.tensors:
        dequantize(np.atleast_2d(tensor.data)[:1], tensor.tensor_type)  # whether it can be read is known now
        name, part = _named(tensor.name)
        heads = found.get(_TURNED.get(part, ""))
        if part in _TURNED and heads is None:
            raise ValueError(f"{LLAMA}.{_FACTS[_TURNED[part]]} is missing")
        shape = tuple(int(size) for size in reversed(tensor.shape))
        tensors[name] = Packed(tensor.data, tensor.tensor_type, shape, heads)
    return tensors, found


def facts(reader: Any) -> dict[str, Any]:
    """What the metadata say of the network.

    Args:
        reader: a ``gguf.GGUFReader``.

    Raises:
        ValueError: the network is of another architecture.
    """
    architecture = said(reader, "general.architecture")
    if architecture != LLAMA:
        raise ValueError(f"it holds a network of the architecture {architecture!r}, and {LLAMA!r} is read")
    found = {ours: said(reader, f"{architecture}.{theirs}") for ours, theirs in _FACTS.items()}
    found["num_key_value_heads"] = found["num_key_value_heads"] or found["num_attention_heads"]
    return {name: value for name, value in found.items() if value is not None} | {"model_type": architecture}


def halves(rows: Float[np.ndarray, "O D"], heads: int) -> Float[np.ndarray, "O D"]:
    """Rows of each head's map from pairs of neighbours, (0, K/2, 1, K/2 + 1, ...), into their own order."""
    outputs, inputs = rows.shape
    return rows.reshape(heads, -1, 2, inputs).swapaxes(1, 2).reshape(outputs, inputs)


def _named(name: str) -> tuple[str, str]:
    """Hugging Face's name of an array, and llama.cpp's of the part it belongs to."""
    block, (part, _, end) = "", name.rpartition(".")
    if part.startswith("blk."):
        _, number, part = part.split(".", 2)
        block = f"model.layers.{number}."
    return (f"{block}{_NAMES[part]}.{end}" if part in _NAMES else name), part
