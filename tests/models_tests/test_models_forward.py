"""Dense, masked and gathered passes against float64 NumPy and against each other."""

from __future__ import annotations

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import numpy_vit
import pytest
from numpy_vit import QUICK, images_for, lively_params, tiny_model

from atis_jax.circuits import Environment, get_preset, realise, sample_chip, with_fields
from atis_jax.models.forward import check_capacities, dense_forward, gathered_forward, masked_forward
from atis_jax.models.layers import UNSEEN_V
from atis_jax.models.passes import Relaxation, ScorerInputs
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis.design import Design
from atis_jax.scoring.atis.program import program
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.registry import make_method
from atis_jax.scoring.rivals.random import RandomSpec
from atis_jax.scoring.types import initial_state
from atis_jax.validation import SettingError

IMAGES = 6
# No converter steps: scores are continuous, so a margin in volts is the whole story (steps: see the evaluation).
HARDWARE = with_fields(get_preset("nominal"), {"dac.bits": None})
MARGIN_V = 1e-5
EMA_RATE = 0.25


@pytest.fixture(scope="module", params=["rotary-grouped-ema", "plain-consensus-static"])
def case(request):
    """A network, scorer and chip; the masked pass jitted, with its result under read noise."""
    rotary = request.param.startswith("rotary")
    model = tiny_model(rotary=rotary, stem="conv" if rotary else "linear", depth=3 if rotary else 2)
    first_layer, groups, depth = int(rotary), 2 if rotary else 1, model.depth
    spec = ScorerSpec(
        inputs=8,
        groups=groups,
        arrangement="grouped" if rotary else "consensus",
        prototype="ema" if rotary else "static",
        ema_rate=EMA_RATE,
    )
    images, rng = images_for(1, IMAGES), np.random.default_rng(2)
    params = lively_params(model)
    leaves = dict(
        projection=rng.normal(0, 0.25, (depth, 8, 16)),
        input_gain=rng.normal(0.3, 0.1, depth),
        prototype=rng.normal(0, 0.7, (depth, groups, 8)),
        bias_scale=rng.normal(1, 0.3, depth),
        feedback=rng.normal(0, 0.1, (depth, groups)),
        threshold=rng.normal(-0.1, 0.1, (depth, groups)),
    )
    design = Design(**{name: jnp.asarray(leaf, jnp.float32) for name, leaf in leaves.items()})
    draw = jax.jit(jax.vmap(jax.vmap(lambda k: sample_chip(k, HARDWARE, spec.geometry))), compiler_options=QUICK)
    chips = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(3), (4, depth))))
    query = jnp.asarray(rng.normal(size=(depth, groups, 16)), jnp.float32)
    state = jax.vmap(lambda q: initial_state(groups, 16, q))(query)
    inputs = ScorerInputs(design, layer_of(chips, 0), Environment(jnp.float32(310.0), jnp.float32(1.8)), state)
    method = make_method(spec, HARDWARE)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def masked(params, images, inputs, key, smoothing, hardness):
        return masked_forward(
            model,
            params,
            method,
            {"image": images},
            inputs,
            key,
            scored=range(first_layer, depth),
            relaxation=Relaxation(smoothing, hardness),
        )

    def gathered(capacities):
        @functools.partial(jax.jit, compiler_options=QUICK)
        def run(params, images, inputs, key):
            return gathered_forward(
                model,
                params,
                method,
                {"image": images},
                inputs,
                key,
                capacities=capacities,
                scored=range(first_layer, depth),
            )

        return run

    return types.SimpleNamespace(
        model=model,
        spec=spec,
        params=params,
        images=images,
        inputs=inputs,
        others=jax.tree.map(lambda leaf: leaf[1:], chips),  # three more
        first_layer=first_layer,
        follows=rotary,
        depth=depth,
        masked=masked,
        gathered=gathered,
        hard=masked(params, images, inputs, jax.random.key(5), 0.0, 1.0),
    )


def counts_of(alive):
    """(L, B) tokens, CLS included, that any group keeps."""
    return np.asarray(alive).any(-1).sum(-1)


def margin_of(case, voltage):
    """(L, B, N, G) distance of each score from its threshold."""
    hardware, inputs = HARDWARE, case.inputs

    def theta(design, chip, state):
        programmed = program(design, case.spec, hardware, state.query)
        return realise(programmed, hardware, chip, inputs.environment).threshold_v

    thetas = jax.jit(jax.vmap(theta), compiler_options=QUICK)(inputs.design, inputs.chip, inputs.state)
    return np.abs(np.asarray(voltage) - np.asarray(thetas)[:, None, None])


@pytest.mark.slow
def test_the_case_prunes_some_tokens_and_not_others(case):
    fraction = np.asarray(case.hard.alive)[:, :, 1:].mean((1, 2, 3))
    assert np.all(fraction[: case.first_layer] == 1.0)
    assert 0.05 < fraction[-1] < fraction[case.first_layer] < 0.95
    assert np.abs(np.asarray(case.hard.logits)).max() > 0.1


def test_masked_logits_are_float64_numpy_with_the_tokens_deleted(case):
    for number in range(IMAGES):
        gates = np.asarray(case.hard.alive)[:, number]
        expected, _ = numpy_vit.forward(case.model, case.params, case.images[number], gates)
        np.testing.assert_allclose(case.hard.logits[number], expected, atol=2e-5)


def test_soft_gates_are_products_of_probabilities_inside_the_softmax(case):
    soft = case.masked(case.params, case.images, case.inputs, jax.random.key(5), 0.3, 0.0)
    probability = np.array(soft.probability, np.float64)
    probability[:, :, 0] = 1.0
    assert np.all(probability[: case.first_layer] == 1.0)
    assert 0.1 < np.mean((probability > 0.05) & (probability < 0.95))
    gates = np.cumprod(probability, axis=0)
    for number in range(2):
        expected, _ = numpy_vit.forward(case.model, case.params, case.images[number], gates[:, number])
        np.testing.assert_allclose(soft.logits[number], expected, atol=5e-5)


@pytest.mark.slow
def test_gathered_equals_masked_when_there_is_room(case):
    room = counts_of(case.hard.alive).max(axis=1)
    with jax.debug_nans(True):  # what it has no value for is no NaN
        out = case.gathered(tuple(int(c) for c in room))(case.params, case.images, case.inputs, jax.random.key(5))
    np.testing.assert_array_equal(out.overflow, 0)
    # A token is looked at in a scored layer while any group kept it so far; there both saw the same noise.
    looked = np.concatenate([np.ones_like(out.alive[:1]), np.asarray(out.alive[:-1])]).any(-1)
    looked[: case.first_layer] = False
    difference = np.abs(np.asarray(out.voltage) - np.asarray(case.hard.voltage))
    assert difference[looked].max() < 5e-6
    gone = ~looked.copy()
    gone[: case.first_layer] = False
    assert (np.asarray(out.voltage)[gone] == np.float32(UNSEEN_V)).all()

    clear = margin_of(case, case.hard.voltage) > MARGIN_V
    clear[: case.first_layer] = True
    same = np.asarray(out.alive) == np.asarray(case.hard.alive)
    assert clear.mean() > 0.995
    untouched = same.all((0, 2, 3))
    assert np.all(same[:, clear.all((0, 2, 3))]) and untouched.sum() >= IMAGES - 1
    np.testing.assert_allclose(out.logits[untouched], np.asarray(case.hard.logits)[untouched], atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), out.state, case.hard.state)


@pytest.mark.slow
def test_several_chips_share_a_batch_each_with_its_own_images_and_temperature(case):
    """Three chips, two images each: what each chip alone says of them, with the same read noise."""
    temperatures = jnp.asarray([273.15, 300.15, 343.15])
    chips, key = case.others, jax.random.key(5)
    inputs = dataclasses.replace(
        case.inputs,
        chip=jax.tree.map(lambda leaf: np.moveaxis(leaf, 0, 1), chips),
        environment=Environment(temperatures, jnp.full(3, 1.8)),
    )
    shared = case.masked(case.params, case.images, inputs, key, 0.0, 1.0)
    voltages = []
    for number in range(3):
        environment = Environment(temperatures[number], jnp.float32(1.8))
        alone = dataclasses.replace(case.inputs, chip=layer_of(chips, number), environment=environment)
        out = case.masked(case.params, case.images, alone, key, 0.0, 1.0)
        mine = slice(2 * number, 2 * number + 2)
        np.testing.assert_array_equal(shared.alive[:, mine], out.alive[:, mine])
        np.testing.assert_allclose(shared.logits[mine], out.logits[mine], atol=2e-5)
        voltages.append(np.asarray(out.voltage)[case.first_layer])
    assert min(np.abs(voltages[a] - voltages[b]).max() for a, b in ((0, 1), (0, 2), (1, 2))) > 1e-3


def test_the_noise_both_see_is_there_and_belongs_to_the_key(case):
    seeds = [np.asarray(case.hard.voltage)]
    for seed in (6, 7):
        out = case.masked(case.params, case.images, case.inputs, jax.random.key(seed), 0.0, 1.0)
        seeds.append(np.asarray(out.voltage))
    layer = case.first_layer  # the first to score: its tokens are the same in all three
    one, two = seeds[1][layer] - seeds[0][layer], seeds[2][layer] - seeds[0][layer]
    assert 2e-4 < one.std() < 0.03
    # Two differences that share one of three independent draws correlate by one half; 102 of them or more, so the
    # sample correlation is within 5 (1 - 0.25) / sqrt(102) = 0.37.
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1] - 0.5) < 0.37
    # Images do not share their noise: 17 draws or more, a standard error of 1 / sqrt(17) = 0.24.
    assert abs(np.corrcoef(one[0].ravel(), one[1].ravel())[0, 1]) < 0.97


@pytest.mark.slow
@pytest.mark.parametrize("case", ["rotary-grouped-ema"], indirect=True)
def test_tokens_without_room_are_counted(case):
    room = counts_of(case.hard.alive)
    first = case.first_layer
    tight = int(np.median(room[first]))
    capacities = tuple([case.model.tokens + 1] * first + [tight] * (case.depth - first))
    out = case.gathered(capacities)(case.params, case.images, case.inputs, jax.random.key(5))
    np.testing.assert_array_equal(out.overflow[first], np.maximum(room[first] - tight, 0))
    assert np.asarray(out.overflow).sum() > 0
    kept = counts_of(out.alive)
    np.testing.assert_array_equal(kept[first], np.minimum(room[first], tight))
    assert np.all(np.isfinite(out.logits))


def test_cls_is_never_pruned(case):
    """Thresholds at the top of the span: nothing but CLS is left, and it still classifies."""
    shut = dataclasses.replace(case.inputs.design, threshold=jnp.full_like(case.inputs.design.threshold, 30.0))
    inputs = dataclasses.replace(case.inputs, design=shut)
    out = case.masked(case.params, case.images, inputs, jax.random.key(5), 0.0, 1.0)
    alive = np.asarray(out.alive)[case.first_layer :]
    assert alive[:, :, 0].all() and not alive[:, :, 1:].any()
    expected, _ = numpy_vit.forward(case.model, case.params, case.images[0], np.asarray(out.alive)[:, 0])
    np.testing.assert_allclose(out.logits[0], expected, atol=2e-5)


def test_the_moving_average_follows_this_batchs_queries(case):
    """q <- (1-r) q + r mean; with a static prototype the state is the same arrays."""
    before, after = np.asarray(case.inputs.state.query), np.asarray(case.hard.state.query)
    if not case.follows:
        np.testing.assert_array_equal(before, after)
        return
    # Layer 0 keeps everything, so its queries are the dense network's: W_k q / sqrt(K) in float64.
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), case.params)["params"]
    width, heads = 16, 2
    kernel, bias = p["blocks"]["qkv_kernel"][0], p["blocks"]["qkv_bias"][0]
    pulled = np.zeros((IMAGES, heads, width))
    for number in range(IMAGES):
        cls = numpy_vit.layer_norm(numpy_vit.embed(case.model, p, case.images[number])[0])
        for head in range(heads):
            q = (cls @ kernel + bias)[head * 8 : head * 8 + 8]
            pulled[number, head] = kernel[:, width + head * 8 : width + head * 8 + 8] @ q / np.sqrt(8)
    expected = (1 - EMA_RATE) * before[0] + EMA_RATE * pulled.mean(0)
    np.testing.assert_allclose(after[0], expected, atol=1e-5)
    assert np.abs(after[1:] - before[1:]).max() > 1e-3


@pytest.mark.parametrize(
    ("rotary", "stem", "size"),
    [(True, "conv", (8, 8)), (False, "linear", (8, 8)), (True, "conv", (8, 12)), (True, "linear", (12, 4))],
)
def test_dense_pass_is_float64_numpy(rotary, stem, size):
    model = tiny_model(size, rotary=rotary, stem=stem, patch=4)  # a few patches; the conv stem's squares regrouped
    images = images_for(4, 2, size)
    params = lively_params(model, seed=1)
    needs = {"received", "cls_row", "query"}
    run = jax.jit(lambda p, x: dense_forward(model, p, {"image": x}, needs=needs), compiler_options=QUICK)
    logits, attended = run(params, images)
    received, from_cls, queries = attended.received, attended.cls_row, attended.query
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)["params"]
    for number in range(2):
        expected, attention = numpy_vit.forward(model, params, images[number])
        np.testing.assert_allclose(logits[number], expected, atol=2e-5)
        for layer in range(2):
            np.testing.assert_allclose(received[layer, number], attention[layer].mean(1), atol=2e-5)
            np.testing.assert_allclose(from_cls[layer, number], attention[layer][:, 0], atol=2e-5)
        if not rotary:
            # The pulled-back CLS query times a normalised token is CLS's attention logit up to a constant.
            tokens = numpy_vit.layer_norm(numpy_vit.embed(model, p, images[number]))
            logit = tokens @ np.asarray(queries[0, number], np.float64).T
            softmax = np.exp(logit) / np.exp(logit).sum(0)
            np.testing.assert_allclose(softmax.T, attention[0][:, 0], atol=2e-5)


@pytest.mark.slow
def test_random_scorer_keeps_exact_counts_in_both_passes():
    model, images = tiny_model(), images_for(7, 4)
    params = lively_params(model)
    method, inputs = make_method(RandomSpec(), HARDWARE), ScorerInputs(jnp.asarray([9.0, 4.0]) / 16, None, None, ())

    def masked_run(params, images, inputs, key):
        return masked_forward(model, params, method, {"image": images}, inputs, key)

    def gathered_run(params, images, inputs, key):
        return gathered_forward(model, params, method, {"image": images}, inputs, key, capacities=(10, 5))

    masked, gathered = (jax.jit(run, compiler_options=QUICK) for run in (masked_run, gathered_run))
    a = masked(params, images, inputs, jax.random.key(8))
    b = gathered(params, images, inputs, jax.random.key(8))
    np.testing.assert_array_equal(counts_of(a.alive), [[10] * 4, [5] * 4])
    np.testing.assert_array_equal(a.alive, b.alive)
    np.testing.assert_array_equal(b.overflow, 0)
    np.testing.assert_allclose(a.logits, b.logits, atol=1e-4)


@pytest.mark.slow
def test_detaching_keeps_the_scorers_gradient_out_of_the_network():
    model, images = tiny_model(depth=1), images_for(9, 2)
    params = lively_params(model)
    spec = ScorerSpec(inputs=8, kind="digital")
    rng = np.random.default_rng(3)
    design = Design(
        projection=jnp.asarray(rng.normal(0, 0.25, (1, 8, 16)), jnp.float32),
        input_gain=jnp.zeros(1),
        prototype=jnp.asarray(rng.normal(size=(1, 1, 8)), jnp.float32),
        bias_scale=jnp.zeros(1),
        feedback=jnp.zeros((1, 1)),
        threshold=jnp.zeros((1, 1)),
    )
    inputs = ScorerInputs(design, None, None, jax.vmap(lambda _: initial_state(1, 16))(jnp.arange(1)))

    def gradient(detach):
        def probability(params, design):
            whole = dataclasses.replace(inputs, design=design)
            relaxation, method = Relaxation(smoothing=0.3, detach_network=detach), make_method(spec, HARDWARE)
            out = masked_forward(model, params, method, {"image": images}, whole, None, relaxation=relaxation)
            return jnp.sum(out.probability)

        return jax.jit(jax.grad(probability, argnums=(0, 1)), compiler_options=QUICK)(params, design)

    into, own = gradient(False)
    assert max(np.abs(np.asarray(leaf)).max() for leaf in jax.tree.leaves(into)) > 1e-3
    out_of, own_detached = gradient(True)
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(out_of))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), own, own_detached)


@pytest.mark.parametrize(
    ("capacities", "message"),
    [
        ((5,), r"capacities has 1 entries for 2 layers; give one per layer"),
        ((9, 0), r"capacities\[1\] = 0 must be at least the 1 protected tokens and at most the 9"),
        ((5, 6), r"capacities\[1\] = 6 .* at most the 5 of the layer before"),
        ((18, 5), r"capacities\[0\] = 18 .* at most the 17"),
    ],
)
def test_impossible_capacities_are_named(capacities, message):
    with pytest.raises(SettingError, match=message):
        check_capacities(capacities, tiny_model())
    check_capacities((17, 1), tiny_model())


@pytest.mark.slow
def test_dropout_needs_a_key_and_changes_with_it():
    model, images = tiny_model(depth=1, dropout=0.5), images_for(10, 2)
    params = lively_params(model)
    run = jax.jit(lambda p, x, k: dense_forward(model, p, {"image": x}, dropout_key=k)[0], compiler_options=QUICK)
    off, one, two = (np.asarray(run(params, images, k)) for k in (None, jax.random.key(1), jax.random.key(2)))
    np.testing.assert_allclose(off[0], numpy_vit.forward(model, params, images[0])[0], atol=2e-5)
    assert np.abs(one - off).max() > 1e-2 and np.abs(one - two).max() > 1e-2
