"""A folder in Hugging Face's layout, opened with nothing said of it: made-up weights and words against NumPy."""

from __future__ import annotations

import json

import jax
import numpy as np
import numpy_bert
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import atis_jax
from atis_jax.models.layers import run_layers
from atis_jax.models.passes import Pass
from atis_jax.models.weights.errors import WeightsError

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnop")
CONFIG = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}


def folder(path, config):
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.save(str(path / "tokenizer.json"))
    arrays = numpy_bert.made_up()
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(config))
    return arrays


def test_a_folder_is_all_it_takes(tmp_path):
    arrays = folder(tmp_path, CONFIG)
    encoder = atis_jax.text_encoder(str(tmp_path), length=10)
    batch = encoder.batch(["a c b", "p"])
    assert encoder.pieces(batch).tolist() == [["[CLS]", *"acb", "[SEP]"], ["[CLS]", "p", "[SEP]", "[PAD]", "[PAD]"]]
    run = jax.jit(
        lambda params: run_layers(Pass(encoder.model), params, encoder.model.embed(params, batch), None, None)
    )
    found = run(encoder.params)[0].x
    for row, tokens in enumerate(([2, 4, 6, 5, 3], [2, 19, 3])):
        wanted = numpy_bert.hidden(arrays, np.array(tokens), heads=2, epsilon=1e-12)[-1]
        np.testing.assert_allclose(found[row, : len(tokens)], wanted, atol=2e-5)


def test_a_shape_that_nobody_says_is_named(tmp_path):
    folder(tmp_path, {name: value for name, value in CONFIG.items() if name != "num_attention_heads"})
    with pytest.raises(WeightsError, match=r"config\.json does not say num_attention_heads; give"):
        atis_jax.text_encoder(str(tmp_path), length=10)
