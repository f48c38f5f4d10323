"""Maps of pruned networks: thresholds that keep a share without training, and patches moved on from where they left."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_training import QUICK, SETTINGS, batch, design_for, lively_params, split

from atis_jax.circuits.presets import get_preset
from atis_jax.pruning.stream import Stream
from atis_jax.scoring.atis.design import FEEDBACK_OHM, threshold_range
from experiments import thresholds
from experiments.build import build_model
from experiments.saliency import completion
from experiments.saliency.experiment import correlations
from experiments.saliency.settings import kept_in_line

KEPT = (0.8, 0.3)


def test_thresholds_keep_the_wanted_share_of_what_reaches_them():
    """Scores far outside of the reference's span, which a smaller feedback brings inside."""
    hardware, design = get_preset("nominal"), design_for()
    span, counted = threshold_range(hardware), np.arange(21) > 0
    counted = np.broadcast_to(counted, (5, 21))
    base = np.random.default_rng(0).normal(-3.0, 0.7, (2, 5, 21))
    start = FEEDBACK_OHM.forward(design.feedback)

    def scores(design):
        return base * np.asarray(FEEDBACK_OHM.forward(design.feedback) / start)[:, :, None], counted

    found = thresholds.fitted(scores, design, hardware, KEPT)
    threshold_v = np.asarray(span.forward(found.threshold))
    assert np.all(np.abs(threshold_v) < span.high)
    alive = counted
    for score, cut, share in zip(scores(found)[0], threshold_v, KEPT, strict=True):
        alive = alive & (score > cut)
        assert alive.sum() == share * 100


def test_a_patch_is_moved_on_by_the_layer_that_it_left_at():
    x, place = jnp.arange(8.0).reshape(1, 4, 2), jnp.arange(4)[None]
    alive = jnp.array([[[True, True, False, True]], [[True, False, False, True]]])
    moves = completion.Completion(jnp.stack([2 * jnp.eye(2), jnp.eye(2)]), jnp.array([[0.5, 0.0], [100.0, 0.0]]))
    found = completion.completed(moves, Stream(x, place, place < 1), alive).x[0]
    np.testing.assert_allclose(found, [[0, 1], [102, 3], [8.5, 10], [6, 7]])


@pytest.mark.slow
def test_the_maps_are_right_on_average():
    """Of a regression with an intercept the residuals' mean is zero; ridge leaves that so."""
    model = build_model(SETTINGS, split())
    params, images = lively_params(model), {"image": jnp.asarray(batch()["image"])}

    def residuals(params, images):
        moves, stream, left = completion.fitted(model, params, images), model.embed(params, images), []
        for layer in range(model.depth):
            left.append(stream.x @ moves.kernel[layer] + moves.bias[layer])
            block = jax.tree.map(lambda leaf, layer=layer: leaf[layer], model.blocks(params))
            stream = model.feed(block, model.attend(block, stream, completion.SOFTMAX)[0])
        return jnp.stack(left) - stream.x

    found = np.asarray(jax.jit(residuals, compiler_options=QUICK)(params, images))[:, :, 1:]
    assert 0.01 < found.std() < 2
    np.testing.assert_allclose(found.mean(axis=(1, 2)), 0, atol=1e-4)


def test_maps_that_are_flat_correlate_with_nothing():
    ramp = np.arange(8.0).reshape(1, 2, 4)
    np.testing.assert_allclose(correlations(ramp, 3 - 2 * ramp), -1)
    with pytest.raises(FloatingPointError, match="1 of 1 maps"):
        correlations(ramp, 0 * ramp)


def test_what_is_left_falls_in_a_straight_line():
    kept = kept_in_line(0.35, 6)
    np.testing.assert_allclose(np.diff((1.0, *kept)), -0.1)
    np.testing.assert_allclose(np.mean(kept), 0.65)
