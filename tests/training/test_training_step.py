"""The training steps: bit-identical reruns, streams, what each optimiser moves, the pull of the keep-rate term."""

from __future__ import annotations

import dataclasses
import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_training import (
    QUICK,
    SETTINGS,
    TASK,
    batch,
    changed,
    design_for,
    lively_params,
    memory_for,
    split,
)

from atis_jax import rng
from atis_jax.circuits import get_preset, sample_chip
from atis_jax.training.leaves import to_storage
from atis_jax.training.state import create_state, labels, optimiser
from atis_jax.training.step import dense_step, draw_hardware, dropout_key
from experiments.build import build_method, build_model
from experiments.codesign import codesign_setup, fresh_dense, plan
from experiments.codesign import codesign_step as make_codesign_step

SPLIT = split()
MODEL = build_model(SETTINGS, SPLIT)
METHOD = build_method(SETTINGS, "analog")
quick_jit = functools.partial(jax.jit, compiler_options=QUICK)


def counted_jit(step):
    """The jitted step; its ``traces`` count how often it was traced, which every new type of an argument makes it."""

    def traced(*arguments):
        called.traces += 1
        return step(*arguments)

    jitted = quick_jit(traced)

    def called(*arguments):
        return jitted(*arguments)

    called.traces = 0
    return called


@pytest.fixture(scope="module")
def dense():
    transform = optimiser(SETTINGS.dense, SETTINGS.codesign)
    step = counted_jit(dense_step(MODEL, TASK, SETTINGS.dense, transform))
    return step, lambda seed: create_state(lively_params(MODEL), (), (), jax.random.key(seed), transform)


@pytest.fixture(scope="module")
def codesign():
    setup, transform = codesign_setup(SETTINGS, MODEL, "analog")
    step = counted_jit(make_codesign_step(setup, transform))

    def start(seed, threshold=0.0):
        params = lively_params(MODEL)
        return create_state(params, design_for(threshold=threshold), memory_for(), jax.random.key(seed), transform)

    return step, start


def teacher():
    return lively_params(MODEL, seed=9)


def run(step, state, steps):
    metrics = []
    for number in range(steps):
        state, values = step(state, batch(number), teacher())
        metrics.append(jax.device_get(values))
    return state, metrics


def stored(tree) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in to_storage(tree)[0].items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dense", "codesign"])
def test_the_same_seed_gives_the_same_bits_after_three_steps(kind, request):
    step, start = request.getfixturevalue(kind)
    first, metrics = run(step, start(0), 3)
    again, metrics_again = run(step, start(0), 3)
    assert stored(first) == stored(again)
    assert stored(metrics) == stored(metrics_again)
    assert int(first.step) == 3
    assert step.traces == 1  # one compilation: the state comes out as it went in, weak types and all
    other, metrics_other = run(step, start(1), 3)
    if kind == "codesign":  # chips, temperature and noise come out of the seed
        assert metrics[0]["loss"] != metrics_other[0]["loss"]
        assert stored(first.design) != stored(other.design)
    else:  # without dropout a dense step draws nothing
        assert stored(metrics) == stored(metrics_other)


@pytest.mark.slow
def test_metrics_are_the_terms_and_add_up_to_the_loss(codesign):
    step, start = codesign
    _, [values, second] = run(step, start(0), 2)
    terms = {"loss_ce", "loss_distill", "loss_keep", "loss_swing", "loss_energy", "loss_attention"}
    assert terms < set(values)
    np.testing.assert_allclose(values["loss"], sum(values[name] for name in terms), rtol=1e-6)
    assert values["kept_per_layer"].shape == (2,)
    np.testing.assert_allclose(values["kept_fraction"], values["kept_per_layer"].mean(), rtol=1e-6)
    target = np.array([0.6, 0.4])  # ramp 0 reaches its end in the second step; the first still keeps everything
    np.testing.assert_allclose(values["loss_keep"], 10 * np.sum((values["kept_per_layer"] - 1) ** 2), rtol=1e-5)
    np.testing.assert_allclose(second["loss_keep"], 10 * np.sum((second["kept_per_layer"] - target) ** 2), rtol=1e-5)
    # In these units energy is what the ledger says of 16 tokens of a tiny network; its share of one is a ratio.
    np.testing.assert_allclose(values["loss_energy"], 0.1 * values["energy_ratio"], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("threshold", "start_side"), [(-1.5, 1), (1.5, -1)])
def test_keep_rate_moves_thresholds_towards_the_target(codesign, threshold, start_side):
    """From too open and from too closed; 30 steps at 0.1 raw units of 0.25 V each, scores of a tenth of a volt."""
    step, start = codesign
    state = start(3, threshold)
    before = np.asarray(state.design.threshold)
    state, metrics = run(step, state, 30)
    target = np.array([0.6, 0.4])
    kept = np.array([values["kept_per_layer"] for values in metrics])
    assert np.all(np.sign(kept[1] - target) == start_side)
    miss = np.abs(kept - target).sum(1)
    assert miss[-5:].mean() < 0.35 * miss[1:3].mean()
    assert np.sign(np.asarray(state.design.threshold)[0] - before[0]) == start_side


@pytest.fixture(scope="module")
def tracked():
    """A co-design step whose thresholds follow the kept fraction: gain 2, no warm-up, cosine over 40 steps."""
    groups = 2  # one group, of which "kept by any" says nothing, is tracked in test_training_knobs.py
    settings = changed(
        codesign=dict(threshold="tracked", threshold_learning_rate=2.0),
        tune=dict(warmup=0.0),
        pruning=dict(ramp=0.0),
        scorer=dict(groups=groups, arrangement="grouped"),
    )
    setup, transform = codesign_setup(settings, MODEL, "analog")

    def start(threshold):
        design = dataclasses.replace(design_for(settings), threshold=jnp.full((2, groups), threshold))
        return create_state(lively_params(MODEL), design, memory_for(settings), jax.random.key(0), transform)

    return quick_jit(make_codesign_step(setup, transform)), start


@pytest.mark.slow
def test_tracked_thresholds_move_by_the_gain_times_the_miss_and_by_nothing_else(tracked):
    """Three steps by hand: theta += gain(step) (kept - wanted), wanted 1 in the first step (a ramp of no length).

    Kept by any head group: the groups' thresholds move alike.
    """
    step, start = tracked
    state = start(-0.5)
    wanted = [np.ones(2), np.array([0.6, 0.4]), np.array([0.6, 0.4])]
    for number in range(3):
        before = np.asarray(state.design.threshold)
        state, values = step(state, batch(number), teacher())
        # The schedule's warm-up is one step at least, and that step is at rate zero.
        gain = 0.0 if number == 0 else 2.0 * 0.5 * (1 + np.cos(np.pi * (number - 1) / 39))
        miss = np.asarray(values["kept_per_layer"] - wanted[number])[:, None]
        moved = np.asarray(state.design.threshold) - before
        np.testing.assert_allclose(moved, np.broadcast_to(gain * miss, moved.shape), rtol=1e-4, atol=1e-6)
        assert "loss_keep" not in values


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [-1.5, 1.5])
def test_tracking_reaches_the_target_from_both_sides(tracked, threshold):
    step, start = tracked
    _, metrics = run(step, start(threshold), 30)
    kept = np.array([values["kept_per_layer"] for values in metrics])
    np.testing.assert_allclose(kept[-10:].mean(0), [0.6, 0.4], atol=0.06)


@pytest.mark.slow
def test_thresholds_have_their_own_rate_and_no_warm_up(codesign):
    """Adam's first step is the rate times the sign of the gradient; network and scorer start at rate zero."""
    step, start = codesign
    before = start(0, -1.5)
    after, _ = run(step, before, 1)
    moved = np.abs(np.asarray(after.design.threshold - before.design.threshold))
    np.testing.assert_allclose(moved, 0.1, rtol=1e-3)
    assert stored(after.params) == stored(before.params)
    assert stored(after.design.prototype) == stored(before.design.prototype)
    later, _ = run(step, before, 3)
    for name in ("projection", "input_gain", "prototype", "bias_scale", "feedback"):
        assert stored(getattr(later.design, name)) != stored(getattr(before.design, name)), name
    assert stored(later.params) != stored(before.params)


@pytest.mark.parametrize(
    ("projection", "prototype", "frozen"),
    [
        ("learned", "static", set()),
        ("gaussian", "static", {"projection"}),
        ("sparse_sign", "extracted", {"projection", "prototype"}),
        ("selection", "ema", {"projection", "prototype"}),
    ],
)
def test_fixed_parts_of_a_design_do_not_move(projection, prototype, frozen):
    values = {"network": {"w": jnp.ones((2, 2))}, "design": design_for()}
    method = build_method(changed(scorer=dict(projection=projection, prototype=prototype)), "analog")
    transform = optimiser(dataclasses.replace(SETTINGS.tune, warmup=0.0), SETTINGS.codesign, method)

    def twice(values):
        ones = jax.tree.map(jnp.ones_like, values)
        _, state = transform.update(ones, transform.init(values), values)  # the very first is at rate zero
        return transform.update(ones, state, values)[0]

    updates = quick_jit(twice)(values)
    leaves = {name: leaf for name, leaf in vars(updates["design"]).items() if leaf is not None}
    still = {name for name, leaf in leaves.items() if not np.any(leaf)}
    assert still == frozen
    assert np.all(np.asarray(updates["network"]["w"]) < 0)


def test_the_scorer_rests_after_its_share_and_the_rest_goes_on():
    """Half of ten steps: its rate is zero from the sixth update on."""
    values = {"network": {"w": jnp.ones((2, 2))}, "design": design_for()}
    stage = dataclasses.replace(SETTINGS.tune, steps=10, warmup=0.1)
    transform = optimiser(stage, dataclasses.replace(SETTINGS.codesign, scorer_until=0.5), METHOD)

    @quick_jit
    def sizes(values):
        def one(state, _):
            updates, state = transform.update(jax.tree.map(jnp.ones_like, values), state, values)
            return state, jax.tree.map(lambda leaf: jnp.max(jnp.abs(leaf)), updates)

        return jax.lax.scan(one, transform.init(values), None, length=10)[1]

    moved = sizes(values)
    for name in ("projection", "prototype", "feedback", "bias_scale", "input_gain"):
        size = np.asarray(getattr(moved["design"], name))
        assert np.all(size[1:5] > 0) and not np.any(size[5:]), name
    assert np.all(np.asarray(moved["design"].threshold) > 0)
    assert np.all(np.asarray(moved["network"]["w"])[1:9] > 0)


def test_the_random_controls_shares_are_nobodys_to_train():
    values = {"network": {"w": jnp.ones(2)}, "design": jnp.asarray([0.5, 0.25])}
    assert labels(values, build_method(SETTINGS, "random")) == {"network": {"w": "network"}, "design": "frozen"}


def traced_streams(monkeypatch, kind, **sections) -> set[str]:
    settings = changed(**sections)
    model = build_model(settings, SPLIT)
    setup, transform = codesign_setup(settings, model, kind)
    design = design_for(settings) if kind != "random" else jnp.asarray([0.6, 0.4])
    state = create_state(lively_params(model), design, memory_for(settings), jax.random.key(0), transform)
    used, real = set(), rng.step_key

    def step_key(root, name, step):
        used.add(name)
        return real(root, name, step)

    monkeypatch.setattr(rng, "step_key", step_key)
    jax.eval_shape(make_codesign_step(setup, transform), state, batch(), lively_params(model))
    return used


@pytest.mark.slow
def test_each_source_of_chance_has_its_own_stream(monkeypatch):
    everything = {"chip", "lot", "temperature", "read_noise"}
    assert traced_streams(monkeypatch, "analog") == everything
    fixed_and_wet = dict(model=dict(dropout=0.1), codesign=dict(fresh_chip=False))
    assert traced_streams(monkeypatch, "analog", **fixed_and_wet) == everything - {"chip", "lot"} | {"dropout"}
    assert traced_streams(monkeypatch, "random") == {"random_scorer"}
    keys = {jax.random.key_data(rng.key_of(jax.random.key(0), name)).tobytes() for name in rng.STREAMS}
    assert len(keys) == len(rng.STREAMS)
    with pytest.raises(ValueError, match="stream 'read-noise' does not exist; the streams are .*read_noise"):
        rng.key_of(jax.random.key(0), "read-noise")


@pytest.mark.slow
def test_chip_and_temperature_are_what_their_streams_say_and_nothing_else():
    """Drawn again from the root key by hand, so no other stream and no other setting can have a part in it."""
    root, step = jax.random.key(5), 7

    def folded(name):
        return jax.random.fold_in(jax.random.fold_in(root, zlib.crc32(name.encode())), step)

    hardware = get_preset(SETTINGS.hardware.preset)
    drawn = []
    for sections in ({}, dict(codesign=dict(read_noise=False), loss=dict(keep=1.0), scorer=dict(prototype="ema"))):
        setup, _ = codesign_setup(changed(**sections), MODEL, "analog")
        drawn.append(quick_jit(lambda key, s=setup: draw_hardware(s, key, step))(root))
    (chip, environment), (chip_again, environment_again) = drawn
    assert stored(chip) == stored(chip_again)
    assert stored(environment) == stored(environment_again)
    keys = jax.random.split(folded("chip"), (2, 4))
    one = jax.jit(lambda key: sample_chip(key, hardware, SETTINGS.scorer.geometry))
    for layer, number in np.ndindex(2, 4):
        for name, value in vars(one(keys[layer, number])).items():
            drawn_value = getattr(chip, name)[layer, number]
            np.testing.assert_allclose(drawn_value, value, rtol=1e-6, atol=1e-9, err_msg=name)
    expected_k = 273.15 + 70.0 * np.asarray(jax.random.uniform(folded("temperature"), (4,)))
    np.testing.assert_allclose(environment.temperature_k, expected_k, rtol=1e-6)
    assert len(set(expected_k)) == 4


@pytest.mark.slow
def test_settings_of_the_scorer_leave_data_and_first_parameters_alone():
    others = [
        changed(scorer=dict(inputs=4, projection="gaussian", prototype="ema")),
        changed(hardware=dict(preset="pessimistic"), codesign=dict(read_noise=False)),
        changed(compare=("dense", "digital", "random"), evaluation=dict(chips=5)),
    ]
    root = jax.random.key(0)
    seeds = [stage.data_seed for stage in plan(SETTINGS, root)]
    assert len(set(seeds)) == 2 and len(set(seeds[1:])) == 1  # the controls see the batches of the co-design
    for settings in others:
        assert {stage.data_seed for stage in plan(settings, root)} == set(seeds)
        assert build_model(settings, SPLIT) == MODEL  # and so, from the same stream, the same first parameters
    assert {stage.data_seed for stage in plan(SETTINGS, jax.random.key(1))}.isdisjoint(seeds)
    first = fresh_dense(SETTINGS, MODEL, root).params
    assert not np.any(first["params"]["head"]["kernel"])  # undecided at first


def test_stages_follow_each_other_and_count_on():
    stages = plan(changed(compare=("dense", "random")), jax.random.key(0))
    assert [(s.name, s.offset, s.steps) for s in stages] == [
        ("dense", 0, 6),
        ("codesign", 6, 40),
        ("dense_longer", 46, 40),
        ("random", 86, 40),
    ]
    without = plan(changed(start_from="elsewhere"), jax.random.key(0))
    assert (without[0].name, without[0].offset) == ("codesign", 0)


@pytest.mark.slow
def test_dropout_has_a_key_for_each_step_and_none_without_a_rate(dense):
    _, start = dense
    state = start(0)
    assert dropout_key(MODEL, state) is None
    wet = dataclasses.replace(MODEL, spec=dataclasses.replace(MODEL.spec, dropout=0.2))
    keys = [dropout_key(wet, dataclasses.replace(state, step=jnp.asarray(step))) for step in (0, 1)]
    assert jax.random.key_data(keys[0]).tobytes() != jax.random.key_data(keys[1]).tobytes()
