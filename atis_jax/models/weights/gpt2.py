"""Where GPT-2's published weights go: Hugging Face's names and its ``Conv1D``, whose matrices are (inputs, outputs)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from atis_jax.models.decoder import Decoder
from atis_jax.models.weights.facts import activation_of, check_family, check_text
from atis_jax.models.weights.files import WeightsFile
from atis_jax.models.weights.tensors import Reading, Tensors, stacked

ANCHOR = "wte.weight"
"""End of the name of its table of words."""
_LAYER = re.compile(r"h\.(\d+)\.")
_MLP = {"gelu_tanh": "gelu"}
"""Our name of its MLP by that of its activation; another is told by its own, as a difference."""
_OF_GPT2 = {
    "model_type": "gpt2",
    "add_cross_attention": False,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "tie_word_embeddings": True,
}
"""What a ``config.json`` says of a network that goes by the same names and computes the same."""


def shape_of_gpt2(file: WeightsFile) -> dict[str, Any]:
    """Fields of ``DecoderSpec`` as the file says them; None where it does not.

    Raises:
        WeightsError: it is of a network that computes something else.
    """
    said = file.config
    check_family(file, "decoder", said, _OF_GPT2)
    anchor, prefix = _anchor(file)
    layers = [int(found[1]) for name in file.tensors if (found := _LAYER.match(name.removeprefix(prefix)))]
    inner = file.tensors.get(f"{prefix}h.0.mlp.c_fc.weight")
    activation, heads = activation_of(said, "activation_function"), said.get("n_head")
    return {
        "width": file.tensors[anchor].shape[-1],
        "depth": max(layers, default=-1) + 1,
        "mlp_width": None if inner is None else inner.shape[-1],
        "heads": heads,
        "kv_heads": heads,
        "mlp": activation and _MLP.get(activation, activation),
        "norm": "layer",
        "norm_epsilon": said.get("layer_norm_epsilon"),
        "bias": True,
        "positions": "learned",
        "tied": True,
    }


def read_gpt2(model: Decoder, file: WeightsFile) -> Reading:
    """Parameters of ``model``, which has the shape that the file says.

    Raises:
        SettingError: the data have other words than the weights, or longer texts.
        WeightsError: the file has more or less in it.
    """
    spec, facts, (anchor, prefix) = model.spec, model.facts, _anchor(file)
    rows, width, tensors = file.tensors[anchor].shape[0], spec.width, Tensors(file.path, file.tensors)
    places = (tensors.shape_of(f"{prefix}wpe.weight") or (facts.length,))[0]
    check_text(file.path, facts, rows, places)

    def linear(name: str, published: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        return {
            name: tensors.take(f"{published}.weight", inputs, outputs),
            f"{name}_bias": tensors.take(f"{published}.bias", outputs),
        }

    def norm(name: str, published: str) -> dict[str, np.ndarray]:
        return {
            name: tensors.take(f"{published}.weight", width),
            f"{name}_bias": tensors.take(f"{published}.bias", width),
        }

    def attention(root: str) -> dict[str, np.ndarray]:
        """Query, key and value, which are one matrix; the norm in front of them folded in where ours has no scale."""
        before, joined = norm("norm", f"{root}.ln_1"), linear("map", f"{root}.attn.c_attn", width, 3 * width)
        kernel, bias = joined["map"], joined["map_bias"]
        if not spec.norm_scale:
            kernel, bias = before["norm"][:, None] * kernel, bias + before["norm_bias"] @ kernel
        found = {} if not spec.norm_scale else {f"norm_attention{name[4:]}": part for name, part in before.items()}
        for place, name in enumerate(("query", "key", "value")):
            columns = slice(place * width, (place + 1) * width)
            found |= {name: kernel[:, columns], f"{name}_bias": bias[columns]}
        return found

    def block(layer: int) -> dict[str, Any]:
        root = f"{prefix}h.{layer}"
        return {
            **attention(root),
            **linear("out", f"{root}.attn.c_proj", width, width),
            **norm("norm_mlp", f"{root}.ln_2"),
            **linear("up", f"{root}.mlp.c_fc", width, spec.mlp_width),
            **linear("down", f"{root}.mlp.c_proj", spec.mlp_width, width),
        }

    params: dict[str, Any] = {
        "embedding": tensors.take(anchor, rows, width),
        "position": tensors.take(f"{prefix}wpe.weight", places, width)[: facts.length],
        **norm("norm", f"{prefix}ln_f"),
        "blocks": stacked(block, spec.depth),
    }
    tensors.leave(r".*\.attn\.(masked_)?bias", "what is masked is computed")
    tensors.leave(r"lm_head\.weight", "the head is the embedding's transpose")
    return Reading(params, tensors.finish(), ())


def _anchor(file: WeightsFile) -> tuple[str, str]:
    """The table of words, and what stands in front of every name."""
    name = next(name for name in file.tensors if name.endswith(ANCHOR))
    return name, name.removesuffix(ANCHOR)
