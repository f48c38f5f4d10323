"""Where co-design starts: scores a third of the span wide, gates open, prototypes from the network's attention."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_training import QUICK, SIDE, changed, lively_params, split, started_on

from atis_jax.circuits import get_preset, nominal_chip, nominal_environment, read, realise
from atis_jax.models.forward import dense_forward
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis.design import inputs_of
from atis_jax.scoring.atis.program import program
from atis_jax.scoring.atis.projection import conditioned
from atis_jax.scoring.atis.start import mean_queries, starting_design
from atis_jax.scoring.registry import make_method
from atis_jax.training.survey import survey
from experiments.build import build_model

HARDWARE = get_preset("nominal")
IMAGES = 48
SPECS = {
    "learned-static-grouped": dict(groups=2, arrangement="grouped"),
    "selection-extracted": dict(projection="selection", prototype="extracted"),
}


@pytest.fixture(scope="module", params=SPECS)
def started(request):
    settings = changed(scorer=SPECS[request.param])
    model = build_model(settings, split())
    params = lively_params(model)
    images = jnp.asarray(np.random.default_rng(0).random((IMAGES, SIDE, SIDE, 1)), jnp.float32)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def start(key, params, images):
        design, queries, told = started_on(key, model, params, make_method(settings.scorer, HARDWARE), images)
        _, attended = dense_forward(model, params, {"image": images}, needs={"query"})
        return design, queries, told, attended.query

    return settings, *start(jax.random.key(1), params, images)


def counted_tokens(told):
    """(L, B, T, D) normalised tokens that the scorers judge."""
    return conditioned(told.seen, "tokens")[:, :, np.asarray(told.counted)[0]]


@pytest.mark.slow
def test_scores_on_the_nominal_chip_are_a_third_of_the_half_span_and_most_gates_are_open(started):
    settings, design, queries, told, _ = started
    tokens = counted_tokens(told)
    spec = settings.scorer
    chip, environment = nominal_chip(HARDWARE, spec.geometry), nominal_environment(HARDWARE)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def scores(layer_design, query, tokens_NxD):
        realised = realise(program(layer_design, spec, HARDWARE, query), HARDWARE, chip, environment)
        return jax.vmap(read, (None, 0))(realised, inputs_of(layer_design, tokens_NxD)), realised.threshold_v

    for layer in range(2):
        voltage, threshold = scores(layer_of(design, layer), queries[layer], tokens[layer].reshape(-1, 16))
        voltage = np.asarray(voltage)
        # Fitted to a tanh without converters or rails: both change the spread by some percent.
        np.testing.assert_allclose(voltage.std(0), 0.5 / 3, rtol=0.25)
        expected = np.maximum(voltage.mean(0) - 2 * voltage.std(0), -0.49)
        np.testing.assert_allclose(threshold, expected, atol=0.05)
        assert np.all((voltage > threshold).mean(0) > 0.9)


def test_tokens_are_normalised_and_queries_are_means_of_heads_in_order(started):
    settings, _, queries, told, per_head = started
    tokens = counted_tokens(told)
    assert tokens.shape == (2, IMAGES, 16, 16)  # CLS is not scored, so not calibrated on
    np.testing.assert_allclose(tokens.mean(-1), 0.0, atol=1e-5)
    np.testing.assert_allclose(tokens.var(-1), 1.0, atol=1e-3)
    heads = np.asarray(per_head, np.float64).mean(1)  # (L, H, D)
    groups = settings.scorer.groups
    expected = np.stack([heads[:, g * 2 // groups : (g + 1) * 2 // groups].mean(1) for g in range(groups)], axis=1)
    np.testing.assert_allclose(queries, expected, atol=1e-5)


def test_projection_and_prototype_are_what_the_spec_asks_for(started):
    settings, design, queries, told, _ = started
    tokens = counted_tokens(told)
    if settings.scorer.projection == "selection":
        variance = np.asarray(tokens, np.float64).var((1, 2))
        for layer in range(2):
            picked = np.sort(np.argsort(-variance[layer])[:8])
            np.testing.assert_array_equal(design.projection[layer], np.eye(16)[picked])
            # An extracted prototype is the mean query seen through the projection, the largest at 0.95.
            mapped = np.asarray(queries[layer, 0], np.float64)[picked]
            weights = np.tanh(np.asarray(design.prototype[layer, 0], np.float64))
            np.testing.assert_allclose(weights, 0.95 * mapped / np.abs(mapped).max(), atol=1e-5)
    else:
        assert len(np.unique(design.projection)) == design.projection.size  # every layer its own draw
        assert 0.3 < float(jnp.std(design.prototype)) < 0.7


def test_queries_of_an_extracted_prototype_come_from_the_images():
    settings = changed(scorer=SPECS["selection-extracted"])
    model = build_model(settings, split())
    params = lively_params(model)
    method = make_method(settings.scorer, HARDWARE)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def mean(images):
        return mean_queries(survey(model, params, method, {"image": images}).attended.query, 1)

    images = jnp.asarray(np.random.default_rng(1).random((2, 4, SIDE, SIDE, 1)), jnp.float32)
    both = mean(images[0]), mean(images[1])
    assert np.abs(np.asarray(both[0] - both[1])).max() > 1e-3
    np.testing.assert_allclose(mean(images[0][::-1]), both[0], atol=1e-6)


@pytest.mark.parametrize("started", ["selection-extracted"], indirect=True)
def test_a_design_starts_from_the_counted_tokens_alone(started):
    """What CLS is makes no difference, nor would padding."""
    settings, design, _, told, _ = started
    other = dataclasses.replace(told, seen=jnp.where(told.counted[..., None], told.seen, jnp.flip(told.seen) ** 3))
    start = functools.partial(jax.jit, compiler_options=QUICK)(
        lambda told: starting_design(jax.random.key(1), settings.scorer, HARDWARE, told)[0]
    )
    for one, same in zip(jax.tree.leaves(start(other)), jax.tree.leaves(design), strict=True):
        np.testing.assert_allclose(one, same, rtol=1e-5, atol=1e-6)
