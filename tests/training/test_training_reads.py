"""Training a design of one read for several layers: one array moves, each layer's threshold for itself."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_training import QUICK, batch, changed, design_for, lively_params, memory_for, split

from atis_jax.scoring.atis.sharing import OF_ONE_READ, copied_from
from atis_jax.training.state import create_state
from experiments.build import build_model
from experiments.codesign import codesign_setup, codesign_step

SETTINGS = changed(scorer=dict(reads="first_layer"), pruning=dict(kept=(0.6, 0.4)))


@pytest.mark.slow
def test_a_step_moves_the_one_array_alike_and_each_threshold_for_itself():
    """Plain gradient descent: the copies of the array, which start equal, stay equal to the bit."""
    model = build_model(SETTINGS, split())
    setup, _ = codesign_setup(SETTINGS, model, "analog")
    design = copied_from(design_for(SETTINGS), jnp.asarray(0))

    @jax.jit
    def stepped(design):
        state = create_state(lively_params(model), design, memory_for(SETTINGS), jax.random.key(0), optax.sgd(1e-2))
        return codesign_step(setup, optax.sgd(1e-2))(state, batch(0), lively_params(model, seed=9))

    after, metrics = stepped.lower(design).compile(compiler_options=QUICK)(design)
    assert np.isfinite(metrics["loss"])
    moved = jax.tree.map(lambda new, old: np.asarray(new - old), after.design, design)
    for name in OF_ONE_READ:
        leaf = getattr(moved, name)
        if leaf is not None:
            assert np.any(leaf[0]) and np.array_equal(leaf[0], leaf[1]), name
    assert np.any(moved.threshold[0]) and np.any(moved.threshold[1] != moved.threshold[0])
