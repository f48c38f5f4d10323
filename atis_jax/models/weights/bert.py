"""Where BERT's published weights go: Hugging Face's names, with whatever the network around it was called in front.

``BertModel``, ``BertFor...`` (``bert.``) and sentence-transformers (the same, in the folder's own file) are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from atis_jax.models.bert import TYPES, Bert
from atis_jax.models.weights.errors import WeightsError
from atis_jax.models.weights.facts import activation_of, check_facts, check_family, check_text
from atis_jax.models.weights.files import WeightsFile
from atis_jax.models.weights.gguf import Packed
from atis_jax.models.weights.tensors import Reading, Tensors, stacked

_ANCHOR = "embeddings.word_embeddings.weight"
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.")
_OF_BERT = {"model_type": "bert", "position_embedding_type": "absolute"}
"""What a ``config.json`` says of a network that goes by the same names and computes the same."""
_OLD = {".gamma": ".weight", ".beta": ".bias"}
"""Ends of a norm's names in files of TensorFlow's time, as they are called now."""


def read_bert(model: Bert, file: WeightsFile) -> Reading:
    """Parameters of ``model`` from a published BERT, without the classifier where the file has none that fits.

    Raises:
        SettingError: the network or the data have another shape than the weights.
        WeightsError: the file is of another family, or has more or less in it.
    """
    spec, facts, named = model.spec, model.facts, _named_now(file.tensors)
    anchor = next((name for name in named if name.endswith(_ANCHOR)), None)
    if anchor is None:
        raise WeightsError(
            f"config.model.weights: {file.path} has no {_ANCHOR}, so it is no BERT; model.kind = 'bert' reads one"
        )
    check_family(file, spec.kind, file.config, _OF_BERT)
    prefix = anchor.removesuffix(_ANCHOR)
    tensors, width = Tensors(file.path, named), spec.width
    layers = [int(found[1]) for name in named if (found := _LAYER.match(name.removeprefix(prefix)))]
    inner = tensors.shape_of(f"{prefix}encoder.layer.0.intermediate.dense.weight")
    unsaid = check_facts(
        file.path,
        spec,
        {
            "width": named[anchor].shape[-1],
            "depth": max(layers, default=-1) + 1,
            "mlp_width": inner and inner[0],
            "heads": file.config.get("num_attention_heads"),
            "activation": activation_of(file.config),
            "norm_epsilon": file.config.get("layer_norm_eps"),
        },
    )
    rows = named[anchor].shape[0]
    places = (tensors.shape_of(f"{prefix}embeddings.position_embeddings.weight") or (facts.length,))[0]
    check_text(file.path, facts, rows, places)

    def matrix(name: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        return {
            "kernel": tensors.take(f"{name}.weight", outputs, inputs).T,
            "bias": tensors.take(f"{name}.bias", outputs),
        }

    def norm(name: str) -> dict[str, np.ndarray]:
        return {"scale": tensors.take(f"{name}.weight", width), "bias": tensors.take(f"{name}.bias", width)}

    def block(layer: int) -> dict[str, Any]:
        root = f"{prefix}encoder.layer.{layer}"
        maps = [matrix(f"{root}.attention.self.{name}", width, width) for name in ("query", "key", "value")]
        return {
            "qkv_kernel": np.concatenate([one["kernel"] for one in maps], axis=1),
            "qkv_bias": np.concatenate([one["bias"] for one in maps]),
            "out": matrix(f"{root}.attention.output.dense", width, width),
            "norm_attention": norm(f"{root}.attention.output.LayerNorm"),
            "up": matrix(f"{root}.intermediate.dense", width, spec.mlp_width),
            "down": matrix(f"{root}.output.dense", spec.mlp_width, width),
            "norm_mlp": norm(f"{root}.output.LayerNorm"),
        }

    params: dict[str, Any] = {
        "word": tensors.take(f"{prefix}embeddings.word_embeddings.weight", rows, width),
        "position": tensors.take(f"{prefix}embeddings.position_embeddings.weight", places, width)[: facts.length],
        "type": tensors.take(f"{prefix}embeddings.token_type_embeddings.weight", TYPES, width),
        "norm": norm(f"{prefix}embeddings.LayerNorm"),
        "blocks": stacked(block, spec.depth),
    }
    if spec.pooling.layered:
        params["pooler"] = matrix(f"{prefix}pooler.dense", width, width)
        if tensors.shape_of("classifier.weight") == (facts.classes, width):
            params["head"] = matrix("classifier", width, facts.classes)
    tensors.leave(rf"{re.escape(prefix)}embeddings\.position_ids", "positions are counted")
    tensors.leave(rf"{re.escape(prefix)}pooler\..*", f"model.head = {spec.head!r} has no pooler")
    tensors.leave(r"classifier\..*", f"the classifier is of other classes or another head than {spec.head!r}")
    tensors.leave(r"cls\..*", "it is of the pretraining's own task")
    return Reading(params, tensors.finish(), unsaid)


def _named_now(tensors: Mapping[str, np.ndarray | Packed]) -> dict[str, np.ndarray | Packed]:
    """The same arrays, norms by the names of today."""

    def now(name: str) -> str:
        end = next((old for old in _OLD if name.endswith(f"LayerNorm{old}")), None)
        return name if end is None else name.removesuffix(end) + _OLD[end]

    return {now(name): array for name, array in tensors.items()}
