"""Published decoders: tiny ones against transformers by their own names; GGUF against what was written into one."""

from __future__ import annotations

import dataclasses
import json
import sys

import decoder_reference
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decoder_reference import FOLDER, GPT2_CONFIG, LLAMA_CONFIG, TEXT, TINY
from safetensors.numpy import save_file

from atis_jax.data.dataset import Facts
from atis_jax.models.decode import generate, prefill, step
from atis_jax.models.decoder import Decoder
from atis_jax.models.forward import dense_forward
from atis_jax.models.weights.causal import decoder_spec
from atis_jax.models.weights.errors import WeightsError
from atis_jax.models.weights.files import find_weights, read_weights
from atis_jax.models.weights.load import fill_weights
from atis_jax.validation import SettingError

FAMILIES = {
    "gpt2": (decoder_reference.gpt2_arrays, GPT2_CONFIG),
    "llama": (decoder_reference.llama_arrays, LLAMA_CONFIG),
}
WORDS = Facts(classes=TINY["words"], vocabulary=TINY["words"], length=TINY["places"])


def stored(folder, name, arrays=None, **config):
    """A folder in Hugging Face's layout, read."""
    made, said = FAMILIES[name]
    save_file(made() if arrays is None else arrays, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(said | config))
    return read_weights(find_weights(str(folder)))


def opened(file, facts=WORDS, **changes):
    """The network of a file, in the precision of the test."""
    model = Decoder(dataclasses.replace(decoder_spec(file), **changes), facts)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params, line = fill_weights(model, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes), file)
    assert line.endswith("untrained: nothing")
    return model, params


NEAR = dict(rtol=0, atol=2e-6)
"""transformers keeps its tables of angles in float32."""


@pytest.fixture(scope="module")
def reference():
    """Logits (2, 8, words) of ``TEXT``, by family."""
    return np.load(FOLDER / "tiny_decoders.npz")


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_tiny_one_is_transformers(tmp_path, name, x64, reference):
    """The scale in front of attention folded into its maps."""
    model, params = opened(stored(tmp_path, name), norm_scale=False)
    logits, _ = jax.jit(lambda p: dense_forward(model, p, {"token": jnp.asarray(TEXT)}))(params)
    np.testing.assert_allclose(logits, reference[name], **NEAR)


@pytest.mark.slow
def test_word_by_word_it_says_the_same(tmp_path, x64, reference):
    """The scale apart; positions out of a table, in prompt and step."""
    model, params = opened(stored(tmp_path, "gpt2"))
    _, reading = jax.jit(lambda p: prefill(model, p, {"token": jnp.asarray(TEXT[:, :6])}, 8))(params)
    read = jax.jit(lambda p, reading, token: step(model, p, reading, token))
    for place in (6, 7):
        logits, reading = read(params, reading, jnp.asarray(TEXT[:, place]))
        np.testing.assert_allclose(logits, reference["gpt2"][:, place], **NEAR)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("llama", {"model.layers.1.mlp.up_proj.weight": None}, r"1 missing: model\.layers\.1\.mlp\.up_proj\.weight"),
        ("llama", {"model.layers.0.self_attn.q_proj.bias": np.ones(16)}, r"1 not known: .*q_proj\.bias \(16,\)"),
        ("llama", {"model.norm.weight": np.ones(8)}, r"1 misshapen: model\.norm\.weight \(8,\), expected \(16,\)"),
        ("llama", {"model.embed_tokens.weight": None}, r"has no embed_tokens\.weight or wte\.weight"),
        ("gpt2", {"transformer.h.1.ln_2.bias": None}, r"1 missing: transformer\.h\.1\.ln_2\.bias \(16,\)"),
        ("gpt2", {"transformer.wte.weight": np.ones((9, 16))}, r"knows 9 words, .* vocabulary of 11"),
        ("gpt2", {"transformer.wpe.weight": np.ones((8, 16))}, r"config\.data\.length = 12 is beyond the 8 positions"),
        ("gpt2", {"transformer.h.0.attn.c_attn.weight": np.ones((48, 16))}, r"c_attn\.weight \(48, 16\), expected"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path, name, change, message):
    arrays = {key: array for key, array in (FAMILIES[name][0]() | change).items() if array is not None}
    with pytest.raises((WeightsError, SettingError), match=message):
        opened(stored(tmp_path, name, arrays))


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("llama", dict(model_type="mistral"), r"config\.json says model_type = 'mistral', and model\.kind = 'decoder'"),
        ("llama", dict(rope_parameters={"rope_type": "yarn"}), r"says rope_type = 'yarn'.* computes 'default'"),
        ("llama", dict(head_dim=8), r"says head_dim = 8, .* computes 4"),
        ("llama", dict(rms_norm_eps=None), r"do not say norm_epsilon of their network"),
        ("gpt2", dict(scale_attn_by_inverse_layer_idx=True), r"says scale_attn_by_inverse_layer_idx = True"),
        ("gpt2", dict(activation_function="relu"), r"model\.mlp = 'relu' is not one of"),
    ],
)
def test_a_relative_by_the_same_names_is_refused(tmp_path, name, config, message):
    with pytest.raises((WeightsError, SettingError), match=message):
        decoder_spec(stored(tmp_path, name, **config))


def test_another_shape_names_every_field(tmp_path):
    with pytest.raises(SettingError) as error:
        opened(stored(tmp_path, "llama"), heads=8, rotary_base=1e4, tied=True)
    for field, mine, theirs in (("heads", 8, 4), ("rotary_base", 1e4, 100.0), ("tied", True, False)):
        assert f"model.{field} = {mine!r}, and the weights have {theirs!r}: set" in str(error.value)


def test_more_words_than_a_table_of_positions_has_are_not_said(tmp_path):
    model, params = opened(stored(tmp_path, "gpt2"))
    with pytest.raises(SettingError, match="go beyond the 12 positions"):
        generate(model, params, {"token": jnp.zeros((1, 8), int)}, 6)


def written(path, arrays, **said):
    """A GGUF file as llama.cpp's converter writes it: Q and K in pairs of neighbours, names and facts of its own."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, said.pop("architecture", "llama"))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, TINY["depth"])
    for name, array in arrays.items():
        heads = {"q": TINY["heads"], "k": TINY["heads"] // 2}.get(name.split("_proj")[0][-1])
        if "self_attn" in name and heads:
            halves = array.reshape(heads, 2, len(array) // heads // 2, -1)
            array = halves.swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(names.get_name(name, (".weight",)) or name, array)
    writer.add_embedding_length(TINY["width"])
    writer.add_block_count(TINY["depth"])
    writer.add_feed_forward_length(TINY["inner"])
    writer.add_head_count(TINY["heads"])
    writer.add_head_count_kv(TINY["heads"] // 2)
    writer.add_layer_norm_rms_eps(1e-4)
    writer.add_rope_freq_base(100.0)
    writer.add_rope_dimension_count(TINY["width"] // TINY["heads"])
    writer.add_context_length(TINY["places"])
    for part in ("header", "kv_data", "tensors"):
        getattr(writer, f"write_{part}_to_file")()
    writer.close()
    return path


def test_a_gguf_file_is_the_safetensors_it_was_made_of(tmp_path):
    arrays = decoder_reference.llama_arrays()
    found = read_weights(written(tmp_path / "tiny.gguf", arrays))
    assert found.tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.tensors[name], array, err_msg=name)
        assert found.tensors[name].shape == array.shape
    assert decoder_spec(found) == decoder_spec(stored(tmp_path, "llama"))


def test_what_is_in_a_gguf_file_and_not_known_is_told(tmp_path):
    path = written(tmp_path / "more.gguf", decoder_reference.llama_arrays() | {"rope_freqs.weight": np.ones(2, "f")})
    with pytest.raises(WeightsError, match=r"1 not known: rope_freqs\.weight \(2,\)"):
        opened(read_weights(path))
    with pytest.raises(WeightsError, match="it holds a network of the architecture 'qwen2', and 'llama' is read"):
        read_weights(written(tmp_path / "other.gguf", {}, architecture="qwen2"))


def test_arrays_that_cannot_be_decoded_are_told_when_the_file_is_read(tmp_path, monkeypatch):
    path = written(tmp_path / "tiny.gguf", decoder_reference.llama_arrays())

    def unknown(data, kind):
        raise NotImplementedError(f"no {kind.name}")

    monkeypatch.setattr("gguf.dequantize", unknown)
    with pytest.raises(WeightsError, match=r"tiny\.gguf is damaged \(no F32\)"):
        read_weights(path)


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "some.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(WeightsError, match=r"install what reads it: pip install 'atis-jax\[pretrained\]'"):
        read_weights(find_weights(str(tmp_path)))
