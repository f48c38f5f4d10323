"""Maps of a pruned network: a pruned patch is read as it came, in the masked pass as where it is really removed."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_vit import QUICK, images_for, lively_params, tiny_model

from atis_jax.circuits import get_preset
from atis_jax.models import saliency
from atis_jax.models.forward import gathered_forward, masked_forward
from atis_jax.models.passes import ScorerInputs
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.rivals.random import RandomSpec


@pytest.mark.slow
def test_masked_and_gathered_make_one_map(monkeypatch):
    monkeypatch.setattr(saliency, "CHANNELS", (8, 4, 2))
    plain = tiny_model(stem="linear")
    model = saliency.SaliencyTransformer(plain.spec, plain.facts)
    params, batch, key = lively_params(model), {"image": images_for(0, 2)}, jax.random.key(1)
    method, inputs = (
        make_method(RandomSpec(), get_preset("nominal")),
        ScorerInputs(jnp.array([0.6, 0.3]), None, None, ()),
    )

    @functools.partial(jax.jit, compiler_options=QUICK)
    def maps(params):
        masked = masked_forward(model, params, method, batch, inputs, key)
        packed = gathered_forward(model, params, method, batch, inputs, key, capacities=(12, 6))
        return masked.logits, packed.logits, packed.overflow

    masked, packed, overflow = maps(params)
    assert masked.shape == (2, *batch["image"].shape[1:3]) and not overflow.any()
    assert np.std(masked) > 1e-3
    np.testing.assert_allclose(packed, masked, atol=1e-5)
