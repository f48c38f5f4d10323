"""Published weights: tiny made-up files against float64 NumPy by their own names; what does not fit is named."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import numpy_bert
import pytest
from safetensors.numpy import save_file

from atis_jax.data.dataset import Facts
from atis_jax.models.bert import Bert, BertSpec
from atis_jax.models.layers import run_layers
from atis_jax.models.passes import Pass
from atis_jax.models.vit import ModelSpec, VisionTransformer
from atis_jax.models.weights.errors import WeightsError
from atis_jax.models.weights.files import find_weights, read_weights
from atis_jax.models.weights.load import load_weights
from atis_jax.models.weights.positions import resized
from atis_jax.validation import SettingError

BERT = BertSpec(width=16, depth=2, heads=2, mlp_width=24)
WORDS = Facts(classes=3, vocabulary=20, length=10)
CONFIG = {"num_attention_heads": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12}
VIT = ModelSpec(
    width=16, depth=2, heads=2, mlp_width=24, patch=2, stem="linear", rotary=False, activation="gelu", norm_epsilon=1e-5
)
TORCH_3 = [0.14814814814814725, 4.0, -1.5370370370370363]
TORCH_7 = [-0.0787172012, 0.2653061224, 1.9883381924, 4.0, 3.2055393586, -0.3090379009, -3.3935860058]
"""What torch 2.14.1 makes of the row 0, 1, 4, 2, -3: interpolate(..., mode="bicubic", align_corners=False)."""
PICTURES = Facts(classes=3, rows=8, columns=6, channels=3, mean=(0.3, 0.4, 0.5), std=(0.5, 0.2, 0.3))


@pytest.fixture(scope="module")
def fresh():
    """Untrained parameters of either network."""
    models = {"bert": Bert(BERT, WORDS), "vit": VisionTransformer(VIT, PICTURES)}
    return {name: (model, zeros(model)) for name, model in models.items()}


def zeros(model):
    """Parameters of a network, all zero."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(model.init, jax.random.key(0)))


def stored(folder, arrays, config=CONFIG, **preparation):
    """A folder of Hugging Face's layout."""
    folder.mkdir(exist_ok=True)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    if preparation:
        (folder / "preprocessor_config.json").write_text(json.dumps(preparation))
    return find_weights(str(folder))


def test_bert_computes_what_its_weights_are_of(tmp_path, fresh):
    model, params = fresh["bert"]
    arrays = numpy_bert.made_up()
    loaded, line = load_weights(model, params, stored(tmp_path / "bert", arrays))
    assert "2 not used, because model.head = 'mean' has no pooler; untrained: head" in line
    rng, lengths = np.random.default_rng(1), (4, 10, 7)
    token = rng.integers(0, WORDS.vocabulary, (3, WORDS.length))
    real = np.arange(WORDS.length) < np.array(lengths)[:, None]
    batch = {"token": jnp.asarray(token), "real": jnp.asarray(real), "protected": jnp.zeros_like(real)}
    run = jax.jit(lambda batch: run_layers(Pass(model), loaded, model.embed(loaded, batch), None, None)[0])
    stream = run(batch)
    for row, length in enumerate(lengths):
        wanted = numpy_bert.hidden(arrays, token[row, :length], heads=2, epsilon=1e-12)[-1]
        np.testing.assert_allclose(stream.x[row, :length], wanted, atol=2e-5)
        mean = wanted.mean(0) / np.linalg.norm(wanted.mean(0))
        np.testing.assert_allclose(model.sentence(loaded, stream)[row], mean, atol=1e-5)


def test_names_of_older_files_and_of_a_network_around_bert(tmp_path, fresh):
    """``bert.`` in front, gamma and beta for a norm; pooler and classifier where the head is the pooler."""
    model = Bert(dataclasses.replace(BERT, head="pooler"), WORDS)
    _, plain = fresh["bert"]
    arrays = numpy_bert.made_up()
    want, _ = load_weights(fresh["bert"][0], plain, stored(tmp_path / "new", arrays))
    old = {"bert." + name: array for name, array in arrays.items()}
    for new, before in {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}.items():
        old = {name.replace(new, before): array for name, array in old.items()}
    old |= {"classifier.weight": np.ones((3, 16), np.float32), "classifier.bias": np.zeros(3, np.float32)}
    got, line = load_weights(model, zeros(model), stored(tmp_path / "old", old))
    assert line.endswith("untrained: nothing") and np.all(got["params"].pop("head")["kernel"] == 1.0)
    pooler = got["params"].pop("pooler")
    np.testing.assert_array_equal(pooler["kernel"], arrays["pooler.dense.weight"].T)
    want["params"].pop("head")
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder.layer.1.output.dense.bias": None}, r"1 missing: encoder\.layer\.1\.output\.dense\.bias \(16,\)"),
        ({"encoder.layer.0.more": np.ones(3)}, r"1 not known: encoder\.layer\.0\.more \(3,\)"),
        ({"embeddings.LayerNorm.bias": np.ones(8)}, r"1 misshapen: embeddings\.LayerNorm\.bias \(8,\), expected \(16"),
        ({"embeddings.word_embeddings.weight": None}, "has no embeddings.word_embeddings.weight, so it is no BERT"),
        ({"embeddings.word_embeddings.weight": np.ones((9, 16))}, "knows 9 words, .* vocabulary of 20"),
        ({"embeddings.position_embeddings.weight": np.ones((8, 16))}, "config.data.length = 10 is beyond the 8 pos"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path, fresh, change, message):
    arrays = {name: array for name, array in (numpy_bert.made_up() | change).items() if array is not None}
    with pytest.raises((WeightsError, SettingError), match=message):
        load_weights(*fresh["bert"], stored(tmp_path / "bert", arrays))


def test_weights_of_another_shape_name_every_field(tmp_path, fresh):
    model, params = fresh["bert"]
    config = {"num_attention_heads": 4, "hidden_act": "gelu_new", "layer_norm_eps": 1e-12}
    path = stored(tmp_path / "bert", numpy_bert.made_up(depth=1, mlp_width=32), config)
    with pytest.raises(SettingError) as error:
        load_weights(model, params, path)
    said = str(error.value)
    for field, mine, theirs in (("depth", 2, 1), ("mlp_width", 24, 32), ("heads", 2, 4)):
        assert f"model.{field} = {mine}, and the weights have {theirs}: set model.{field} = {theirs}" in said
    assert "set model.activation = 'gelu_tanh'" in said and "model.width" not in said


def test_a_relative_of_bert_by_the_same_names_is_refused(tmp_path, fresh):
    path = stored(tmp_path / "roberta", numpy_bert.made_up(), CONFIG | {"model_type": "roberta"})
    with pytest.raises(WeightsError, match=r"config\.json says model_type = 'roberta', and model\.kind = 'bert'"):
        load_weights(*fresh["bert"], path)


def test_what_cannot_be_read_is_told(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"no such thing")
    with pytest.raises(WeightsError, match="model.safetensors is damaged"):
        read_weights(find_weights(str(tmp_path)))
    with pytest.raises(SettingError, match=r"ends in '\.bin'; give one of \.safetensors, \.onnx"):
        read_weights(tmp_path / "model.bin")
    with pytest.raises(SettingError, match="no package of that name is installed"):
        find_weights("package:no_such_weights")


def made_up_vit(seed=0) -> dict[str, np.ndarray]:
    """Arrays of a tiny DINOv2 of 5 x 5 positions, by Hugging Face's names."""
    rng, width, inner = np.random.default_rng(seed), VIT.width, VIT.mlp_width
    shapes = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.mask_token": (1, width),
        "embeddings.position_embeddings": (1, 26, width),
        "embeddings.patch_embeddings.projection.weight": (width, 3, 2, 2),
        "embeddings.patch_embeddings.projection.bias": (width,),
        "layernorm.weight": (width,),
        "layernorm.bias": (width,),
    }
    for layer in range(VIT.depth):
        maps = {f"attention.attention.{name}": (width, width) for name in ("query", "key", "value")}
        maps |= {"attention.output.dense": (width, width), "mlp.fc1": (inner, width), "mlp.fc2": (width, inner)}
        for name, shape in maps.items():
            shapes |= {f"encoder.layer.{layer}.{name}.{part}": shape[:n] for part, n in (("weight", 2), ("bias", 1))}
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            shapes[f"encoder.layer.{layer}.{name}"] = (width,)
        shapes |= {f"encoder.layer.{layer}.layer_scale{part}.lambda1": (width,) for part in (1, 2)}
    return {name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}


def numpy_hidden(arrays, image, positions):
    """(N, D) behind the last block of a DINOv2 in float64, by its own names; pixels as the network wants them."""
    p = {name: np.asarray(array, np.float64) for name, array in arrays.items()}

    def norm(x, name):
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + VIT.norm_epsilon)
        return scaled * p[f"{name}.weight"] + p[f"{name}.bias"]

    def linear(x, name):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    kernel, tokens = p["embeddings.patch_embeddings.projection.weight"], [p["embeddings.cls_token"][0, 0]]
    for row in range(0, image.shape[0], 2):
        for column in range(0, image.shape[1], 2):
            square = image[row : row + 2, column : column + 2]
            tokens.append(np.einsum("dcij,ijc->d", kernel, square) + p["embeddings.patch_embeddings.projection.bias"])
    x = np.stack(tokens) + positions
    for layer in range(VIT.depth):
        root = f"encoder.layer.{layer}."
        seen = norm(x, f"{root}norm1")
        q, k, v = (linear(seen, f"{root}attention.attention.{name}") for name in ("query", "key", "value"))
        mixed = []
        for part in np.split(np.arange(VIT.width), VIT.heads):
            weight = np.exp(q[:, part] @ k[:, part].T / np.sqrt(len(part)))
            mixed.append(weight / weight.sum(-1, keepdims=True) @ v[:, part])
        out = linear(np.concatenate(mixed, axis=-1), f"{root}attention.output.dense")
        x = x + out * p[f"{root}layer_scale1.lambda1"]
        up = linear(norm(x, f"{root}norm2"), f"{root}mlp.fc1")
        out = linear(0.5 * up * (1 + numpy_bert.ERF(up / np.sqrt(2))), f"{root}mlp.fc2")
        x = x + out * p[f"{root}layer_scale2.lambda1"]
    return x


def test_vit_computes_what_its_weights_are_of(tmp_path, fresh):
    """Norm and LayerScale folded in, pixels normalised as the data are, positions resized to the image's grid."""
    model, params = fresh["vit"]
    arrays, mean, std = made_up_vit(), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    config = CONFIG | {"layer_norm_eps": 1e-5}
    path = stored(tmp_path / "vit", arrays, config, image_mean=mean, image_std=std)
    loaded, line = load_weights(model, params, path)
    assert "1 not used, because no patch is masked out; untrained: head" in line
    image = np.random.default_rng(2).uniform(0, 1, (1, 8, 6, 3)).astype(np.float32)
    run = jax.jit(lambda image: run_layers(Pass(model), loaded, model.embed(loaded, {"image": image}), None, None)[0].x)
    positions = np.asarray(loaded["params"]["position"][0])
    np.testing.assert_array_equal(positions[0], arrays["embeddings.position_embeddings"][0, 0])
    wanted = numpy_hidden(arrays, (image[0] - mean) / std, positions)
    np.testing.assert_allclose(run(image)[0], wanted, atol=2e-5)


def test_timms_names_are_the_same_network(tmp_path, fresh):
    model, params = fresh["vit"]
    arrays, config = made_up_vit(), CONFIG | {"layer_norm_eps": 1e-5}
    arrays.pop("embeddings.mask_token")
    names = {
        "embeddings.cls_token": "cls_token", "embeddings.position_embeddings": "pos_embed",
        "embeddings.patch_embeddings.projection": "patch_embed.proj", "layernorm": "norm",
        "encoder.layer": "blocks", "attention.output.dense": "attn.proj",
        "layer_scale1.lambda1": "ls1.gamma", "layer_scale2.lambda1": "ls2.gamma",
    }  # fmt: skip
    timm: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if ".attention.attention." not in name:
            for theirs, ours in names.items():
                name = name.replace(theirs, ours)
            timm[name] = array
    for layer in range(VIT.depth):
        for part in ("weight", "bias"):
            maps = [arrays[f"encoder.layer.{layer}.attention.attention.{m}.{part}"] for m in ("query", "key", "value")]
            timm[f"blocks.{layer}.attn.qkv.{part}"] = np.concatenate(maps)
    want, _ = load_weights(model, params, stored(tmp_path / "hf", arrays, config))
    got, _ = load_weights(model, params, stored(tmp_path / "timm", timm, config))
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_a_network_is_cut_where_it_is_told_to_be_and_not_else(tmp_path, fresh):
    full, params = fresh["vit"]
    path = stored(tmp_path / "vit", made_up_vit(), CONFIG | {"layer_norm_eps": 1e-5})
    spec = dataclasses.replace(VIT, depth=1, weights=str(path), cut=True)
    model = VisionTransformer(spec, PICTURES)
    found, line = load_weights(model, zeros(model), path)
    assert "18 not used, because the network is cut behind block 1 of 2" in line
    whole, _ = load_weights(full, params, path)
    blocks = jax.tree.map(lambda leaf: leaf[:1], whole["params"].pop("blocks"))
    jax.tree.map(np.testing.assert_array_equal, found["params"], whole["params"] | {"blocks": blocks})
    unsaid = VisionTransformer(dataclasses.replace(spec, cut=False), PICTURES)
    with pytest.raises(SettingError, match="model.depth = 1, and the weights have 2"):
        load_weights(unsaid, zeros(model), path)


def test_positions_are_resized_as_pytorch_does():
    row = np.array([0.0, 1.0, 4.0, 2.0, -3.0])
    table = np.broadcast_to(row[:, None, None], (5, 2, 1))
    np.testing.assert_allclose(resized(table, 3, 2)[:, 0, 0], TORCH_3, atol=1e-6)
    np.testing.assert_allclose(resized(table, 7, 2)[:, 1, 0], TORCH_7, atol=1e-6)
    np.testing.assert_array_equal(resized(table, 5, 2), table)


def test_an_onnx_graph_gives_names_back(tmp_path):
    """A linear layer's matrix is named after its bias, what was computed beforehand after its reader."""
    onnx = pytest.importorskip("onnx", reason="the library onnx is not installed")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    arrays = {
        "onnx::MatMul_1": np.arange(6.0).reshape(2, 3),
        "net.key.bias": np.ones(3),
        "onnx::Concat_2": np.ones((1, 2)),
        "epsilon": np.array(1e-6),
    }
    nodes = [
        helper.make_node("Concat", ["x", "onnx::Concat_2"], ["two"], "/net/embed/Concat_6", axis=0),
        helper.make_node("MatMul", ["two", "onnx::MatMul_1"], ["product"], "/net/key/MatMul"),
        helper.make_node("Add", ["net.key.bias", "product"], ["y"], "/net/key/Add"),
        helper.make_node("Erf", ["y"], ["z"], "/net/act/Erf"),
    ]
    values = [helper.make_tensor_value_info(name, number, (None, None)) for name in ("x", "z")]
    tensors = [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
    onnx.save(helper.make_model(helper.make_graph(nodes, "net", values[:1], values[1:], tensors)), tmp_path / "a.onnx")
    file = read_weights(find_weights(str(tmp_path)))
    assert sorted(file.tensors) == ["epsilon", "net.embed.(Concat)", "net.key.bias", "net.key.weight"]
    np.testing.assert_array_equal(file.tensors["net.key.weight"], arrays["onnx::MatMul_1"].T)
    assert file.config == {"hidden_act": "gelu"}
