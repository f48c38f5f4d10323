"""Where Llama's published weights go: Hugging Face's names, from safetensors or, translated, from GGUF."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from atis_jax.models.decoder import Decoder
from atis_jax.models.weights.facts import check_family, check_text
from atis_jax.models.weights.files import WeightsFile
from atis_jax.models.weights.tensors import Reading, Tensors, stacked

ANCHOR = "embed_tokens.weight"
"""End of the name of its table of words."""
_LAYER = re.compile(r"layers\.(\d+)\.")
_HEAD = "lm_head.weight"
_OF_LLAMA = {
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "rope_scaling": None,
    "rope_type": "default",
    "pretraining_tp": 1,
}
"""What a ``config.json`` says of a network that goes by the same names and computes the same."""


def shape_of_llama(file: WeightsFile) -> dict[str, Any]:
    """Fields of ``DecoderSpec`` as the file says them; None where it does not.

    Raises:
        WeightsError: it is of a network that computes something else.
    """
    said = _said(file)
    check_family(file, "decoder", said, _OF_LLAMA)
    anchor, prefix = _anchor(file)
    layers = [int(found[1]) for name in file.tensors if (found := _LAYER.match(name.removeprefix(prefix)))]
    inner = file.tensors.get(f"{prefix}layers.0.mlp.up_proj.weight")
    width, heads = file.tensors[anchor].shape[-1], said.get("num_attention_heads")
    if heads is not None:
        check_family(file, "decoder", said, {"head_dim": width // heads})
    return {
        "width": width,
        "depth": max(layers, default=-1) + 1,
        "mlp_width": None if inner is None else inner.shape[0],
        "heads": heads,
        "kv_heads": said.get("num_key_value_heads"),
        "mlp": "swiglu",
        "norm": "rms",
        "norm_epsilon": said.get("rms_norm_eps"),
        "bias": False,
        "positions": "rotary",
        "rotary_base": said.get("rope_theta"),
        "tied": _HEAD not in file.tensors or bool(said.get("tie_word_embeddings")),
    }


def read_llama(model: Decoder, file: WeightsFile) -> Reading:
    """Parameters of ``model``, which has the shape that the file says.

    Raises:
        SettingError: the data have other words than the weights, or longer texts.
        WeightsError: the file has more or less in it.
    """
    spec, (anchor, prefix) = model.spec, _anchor(file)
    rows, width, shared = file.tensors[anchor].shape[0], spec.width, spec.kv_heads * spec.key_width
    check_text(file.path, model.facts, rows, _said(file).get("max_position_embeddings"))
    tensors = Tensors(file.path, file.tensors)

    def matrix(name: str, inputs: int, outputs: int) -> np.ndarray:
        return tensors.take(f"{name}.weight", outputs, inputs).T

    def block(layer: int) -> dict[str, Any]:
        root = f"{prefix}layers.{layer}"
        scale = tensors.take(f"{root}.input_layernorm.weight", width)
        fold = 1.0 if spec.norm_scale else scale[:, None]
        found = {
            "query": fold * matrix(f"{root}.self_attn.q_proj", width, width),
            "key": fold * matrix(f"{root}.self_attn.k_proj", width, shared),
            "value": fold * matrix(f"{root}.self_attn.v_proj", width, shared),
            "out": matrix(f"{root}.self_attn.o_proj", width, width),
            "norm_mlp": tensors.take(f"{root}.post_attention_layernorm.weight", width),
            "gate": matrix(f"{root}.mlp.gate_proj", width, spec.mlp_width),
            "up": matrix(f"{root}.mlp.up_proj", width, spec.mlp_width),
            "down": matrix(f"{root}.mlp.down_proj", spec.mlp_width, width),
        }
        return found | ({"norm_attention": scale} if spec.norm_scale else {})

    params: dict[str, Any] = {
        "embedding": tensors.take(anchor, rows, width),
        "norm": tensors.take(f"{prefix}norm.weight", width),
        "blocks": stacked(block, spec.depth),
    }
    if not spec.tied:
        params["head"] = matrix("lm_head", width, rows)
    tensors.leave(re.escape(_HEAD), "the head is the embedding's transpose")
    tensors.leave(r".*\.rotary_emb\.inv_freq", "angles are computed")
    return Reading(params, tensors.finish(), ())


def _anchor(file: WeightsFile) -> tuple[str, str]:
    """The table of words, and what stands in front of every name."""
    name = next(name for name in file.tensors if name.endswith(ANCHOR))
    return name, name.removesuffix(ANCHOR)


def _said(file: WeightsFile) -> dict[str, Any]:
    """What the file says, with what newer ones say of rotation in a section of its own."""
    return {**file.config, **(file.config.get("rope_parameters") or {})}
