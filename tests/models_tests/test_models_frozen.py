"""Frozen blocks: no gradient goes into or through them, and all else is as it was."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy_vit import QUICK, images_for, lively_params, tiny_model

from atis_jax.circuits import get_preset
from atis_jax.models.forward import dense_forward, masked_forward
from atis_jax.models.passes import Relaxation, ScorerInputs
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import make_method
from atis_jax.training.spec import StageSpec
from atis_jax.training.state import still_where_frozen
from atis_jax.training.survey import survey

MODEL = tiny_model(stem="linear")


@pytest.mark.slow
def test_the_loss_reaches_what_is_behind_frozen_blocks_and_no_more():
    params, batch = lively_params(MODEL), {"image": images_for(0, 2)}
    method = make_method(ScorerSpec(kind="digital", inputs=4), get_preset("nominal"))
    soft = Relaxation(smoothing=0.3, hardness=0.0)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def gradients(params):
        design, state = method.begin(jax.random.key(0), survey(MODEL, params, method, batch), jnp.ones(2))

        def pruned(values, frozen):
            inputs = ScorerInputs(values[1], None, None, state)
            out = masked_forward(MODEL, values[0], method, batch, inputs, None, relaxation=soft, frozen=frozen)
            return jnp.sum(jnp.square(out.logits))

        def whole(params, frozen):
            return jnp.sum(jnp.square(dense_forward(MODEL, params, batch, frozen=frozen)[0]))

        values = params, design
        return [(jax.grad(pruned)(values, frozen), jax.grad(whole)(params, frozen)) for frozen in (0, 1)]

    (free, free_whole), (found, found_whole) = gradients(params)
    for all_of, some in ((free[0], found[0]), (free_whole, found_whole)):
        all_of, some = all_of["params"], some["params"]
        for name in ("stem", "cls", "position"):
            assert all(np.any(leaf) for leaf in jax.tree.leaves(all_of[name]))
            assert not any(np.any(leaf) for leaf in jax.tree.leaves(some[name])), name
        for leaf, before in zip(jax.tree.leaves(some["blocks"]), jax.tree.leaves(all_of["blocks"]), strict=True):
            assert not np.any(leaf[0])
            np.testing.assert_allclose(leaf[1], before[1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(some["head"]["kernel"], all_of["head"]["kernel"], rtol=1e-4, atol=1e-5)
    assert np.any(free[1].prototype[0]) and not np.any(found[1].prototype[0])
    np.testing.assert_allclose(found[1].prototype[1], free[1].prototype[1], rtol=1e-4, atol=1e-6)


def test_what_no_loss_reaches_does_not_decay():
    values = {"stem": jnp.ones(2), "blocks": jnp.ones((2, 3)), "head": jnp.ones(2)}
    gradient = {"stem": jnp.zeros(2), "blocks": jnp.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), "head": jnp.ones(2)}
    transform = still_where_frozen(optax.adamw(0.1, weight_decay=0.5), StageSpec(frozen_blocks=1))
    updates, _ = transform.update(gradient, transform.init(values), values)
    np.testing.assert_allclose(updates["stem"], 0.0)
    np.testing.assert_allclose(updates["blocks"], [[0.0] * 3, [-0.05, -0.15, -0.05]], rtol=1e-5)
    np.testing.assert_allclose(updates["head"], -0.15, rtol=1e-5)
