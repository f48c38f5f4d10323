"""A head on CLS and the mean of the patches that are left, against NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from numpy_vit import dense, layer_norm, lively_params, tiny_model

from atis_jax.pruning.stream import Stream


def test_the_head_reads_cls_and_the_patches_that_are_left():
    model = tiny_model(stem="linear", rotary=False, head="cls_mean")
    params, place = lively_params(model), jnp.arange(5)[None]
    x = np.random.default_rng(0).normal(size=(1, 5, 16)).astype(np.float32)
    stream = Stream(jnp.asarray(x), place, place < 1)
    gate = jnp.array([1.0, 0.0, 1.0, 0.5, 0.0])[None, :, None]
    found = jax.jit(model.read_out)(params, dataclasses.replace(stream, gate=gate))
    p = params["params"]
    normed = layer_norm(x[0].astype(float), p["norm"])
    read = np.concatenate([normed[0], np.average(normed[1:], axis=0, weights=[0, 1, 0.5, 0])])
    np.testing.assert_allclose(found[0], dense(read, p["head"]), atol=1e-5)
