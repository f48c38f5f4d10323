"""Where Llama's published weights go: Hugging Face's names, from safetensors or, translated, from GGUF."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from atis_jax.models.decoder import Decoder
from atis_jax.models.weights.errors import WeightsError
from atis_jax.models.weights.facts import check_facts
from atis_jax.models.weights.files import CONFIG, WeightsFile
from atis_jax.models.weights.tensors import Reading, Tensors
from atis_jax.validation import SettingError

ANCHOR = "embed_tokens.weight"
_LAYER = re.compile(r"layers\.(\d+)\.")
_OF_LLAMA = {
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "rope_scaling": None,
    "pretraining_tp": 1,
}
"""What a ``config.json`` says of a network that goes by the same names and computes the same."""


def read_llama(model: Decoder, file: WeightsFile) -> Reading:
    """Parameters of ``model`` from a published Llama.

    Raises:
        SettingError: the network or the data have another shape than the weights.
        WeightsError: the file is of another family, or has more or less in it.
    """
    spec, facts, said = model.spec, model.facts, file.config
    anchor = next(name for name in file.tensors if name.endswith(ANCHOR))
    for name, wanted in _OF_LLAMA.items():
        if said.get(name, wanted) != wanted:
            raise WeightsError(
                f"config.model.weights: {file.path} or its {CONFIG} says {name} = {said[name]!r}, and model.kind = "
                f"'decoder' computes {wanted!r} with weights of these names; give weights of such a network"
            )
    prefix = anchor.removesuffix(ANCHOR)
    tensors, width = Tensors(file.path, file.tensors), spec.width
    layers = [int(found[1]) for name in file.tensors if (found := _LAYER.match(name.removeprefix(prefix)))]
    inner = tensors.shape_of(f"{prefix}layers.0.mlp.up_proj.weight")
    rotary = said.get("rope_parameters") or {}
    if rotary.get("rope_type", "default") != "default":
        raise WeightsError(
            f"config.model.weights: {file.path.parent / CONFIG} says rope_type = {rotary['rope_type']!r}, and "
            "model.kind = 'decoder' turns by the position alone; give weights of such a network"
        )
    tied = tensors.shape_of("lm_head.weight") is None or bool(said.get("tie_word_embeddings"))
    unsaid = check_facts(
        file.path,
        spec,
        {
            "width": file.tensors[anchor].shape[-1],
            "depth": max(layers, default=-1) + 1,
            "mlp_width": inner and inner[0],
            "heads": said.get("num_attention_heads"),
            "kv_heads": said.get("num_key_value_heads"),
            "mlp": "swiglu",
            "norm_epsilon": said.get("rms_norm_eps"),
            "rotary_base": said.get("rope_theta", rotary.get("rope_theta")),
            "tied": tied,
        },
    )
    if said.get("head_dim", spec.key_width) != spec.key_width:
        raise WeightsError(
            f"config.model.weights: a head of {file.path} turns {said['head_dim']} numbers, and model.kind = 'decoder' "
            f"has model.width / model.heads = {spec.key_width}; give weights of such a network"
        )
    rows, longest = len(file.tensors[anchor]), said.get("max_position_embeddings", facts.length)
    if rows != facts.vocabulary:
        raise SettingError(
            f"config.model.weights: {file.path} knows {rows} words, and config.data has a vocabulary of "
            f"{facts.vocabulary}; give data.tokenizer the one that belongs to these weights"
        )
    if facts.length > longest:
        raise SettingError(
            f"config.data.length = {facts.length} is beyond the {longest} words that {file.path} was trained for; "
            "lower it"
        )
    shared = spec.kv_heads * spec.key_width

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
        "blocks": [block(layer) for layer in range(spec.depth)],
    }
    if not tied:
        params["head"] = matrix("lm_head", width, rows)
    tensors.leave(r"lm_head\.weight", "the head is the embedding's transpose")
    tensors.leave(r".*\.rotary_emb\.inv_freq", "angles are computed")
    return Reading(params, tensors.finish(), unsaid)
