"""Gates, bits and full scale in training: what moves them, what they cost, sharing, resuming, measuring."""

from __future__ import annotations

import dataclasses
import functools
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
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
    started_on,
    weighted,
)

from atis_jax.circuits import get_preset, nominal_environment, with_fields
from atis_jax.models.passes import ScorerInputs
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis.checks import check_knobs
from atis_jax.scoring.atis.knobs import FULL_SCALE_V, KNOBS, active_inputs, bits_range, dac_bits, input_gates
from atis_jax.scoring.atis.projection import conditioned
from atis_jax.scoring.atis.sharing import SHARED
from atis_jax.scoring.registry import make_method
from atis_jax.training import agreement, evaluate
from atis_jax.training.checkpoints import Checkpoints
from atis_jax.training.evaluate import Evaluator
from atis_jax.training.leaves import to_storage
from atis_jax.training.state import TrainState, create_state, optimiser
from atis_jax.training.survey import survey
from atis_jax.validation import SettingError
from experiments import chips, measure
from experiments.build import build_method, build_model
from experiments.codesign import codesign_setup, codesign_step
from experiments.design_summary import design_summary
from experiments.ledgers import run_bill

SPLIT = split()
MODEL = build_model(SETTINGS, SPLIT)
HARDWARE, METHOD = get_preset("nominal"), build_method(SETTINGS, "analog")
IMAGES = jnp.asarray(SPLIT.columns["image"], jnp.float32) / 255.0
DEPTH, INPUTS, TOKENS = 2, 8, 16
EVERYTHING = dict(input_gates=True, trainable_bits=True, trainable_full_scale=True)
# Six inputs on and three: the second layer's least is a clear no.
RAW = np.array([[0.9, -0.4, 0.2, 0.1, 0.7, -0.2, 0.3, 1.1], [-0.3, 0.5, -0.1, -0.8, 0.4, -0.6, 0.6, -2.0]])
METHOD_WITH_KNOBS = build_method(changed(scorer=EVERYTHING), "analog")
quick_jit = functools.partial(jax.jit, compiler_options=QUICK)


def with_knobs(design, raw=RAW, bits=(3.0, 5.0), full_scale_v=(0.08, 0.15)):
    return dataclasses.replace(
        design,
        input_gate=jnp.asarray(raw, jnp.float32),
        dac_bits=bits_range(HARDWARE).inverse(jnp.asarray(bits)),
        full_scale=FULL_SCALE_V.inverse(jnp.asarray(full_scale_v)),
    )


def stored(tree) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in to_storage(jax.device_get(tree))[0].items()}


def setup_of(settings, kind="analog", design=None):
    """A step's setup and optimiser, and the state before it; from a starting design, as a run makes them."""
    setup, transform = codesign_setup(settings, MODEL, kind)
    if design is None:
        design = started(setup.method.spec)
    return (
        setup,
        transform,
        create_state(lively_params(MODEL), design, memory_for(settings), jax.random.key(0), transform),
    )


def start_of(settings, kind="analog", design=None):
    """The step and the state before it."""
    setup, transform, state = setup_of(settings, kind, design)
    return quick_jit(codesign_step(setup, transform)), state


@functools.cache
def started(spec):
    """The starting design of a scorer."""
    params, method = lively_params(MODEL), make_method(spec, HARDWARE)
    make = quick_jit(lambda key: started_on(key, MODEL, params, method, IMAGES)[0])
    return make(jax.random.key(7))


def weighed(setup, **weights):
    """The setup with some weights of the loss as they are given, numbers of a program's arguments included."""
    return dataclasses.replace(setup, loss=types.SimpleNamespace(**vars(setup.loss) | weights))


def run(step, state, steps, first=0):
    for number in range(first, first + steps):
        state, metrics = step(state, batch(number), lively_params(MODEL, seed=9))
    return state, jax.device_get(metrics)


@pytest.fixture(scope="module")
def everything():
    """All knobs trained, a shared design, and a run of four steps of it."""
    settings = changed(
        scorer=dict(**EVERYTHING, shared=True), loss=dict(energy=3.0), codesign=dict(knob_learning_rate=0.1)
    )
    step, state = start_of(settings)
    return state, *run(step, state, 4)


def test_knobs_move_at_their_own_rate_and_rest_with_the_scorer():
    """Adam on a constant gradient moves by its rate: 0.1 against 0.003, none after half of ten steps."""
    values = {"network": {"w": jnp.ones((2, 2))}, "design": with_knobs(design_for())}
    stage = dataclasses.replace(SETTINGS.tune, steps=10, warmup=0.1)
    rates = dataclasses.replace(SETTINGS.codesign, knob_learning_rate=0.1, scorer_until=0.5)
    transform = optimiser(stage, rates, METHOD_WITH_KNOBS, knobs=True)

    @quick_jit
    def sizes(values):
        def one(state, _):
            updates, state = transform.update(jax.tree.map(jnp.ones_like, values), state, values)
            return state, jax.tree.map(lambda leaf: jnp.max(jnp.abs(leaf)), updates)

        return jax.lax.scan(one, transform.init(values), None, length=10)[1]

    moved = sizes(values)["design"]
    for name in KNOBS:
        size = np.asarray(getattr(moved, name))
        np.testing.assert_allclose(size[1], 0.1, rtol=1e-3)
        assert np.all(size[1:5] > 0) and not np.any(size[5:]), name
    np.testing.assert_allclose(np.asarray(moved.prototype)[1], SETTINGS.codesign.scorer_learning_rate, rtol=1e-3)


def test_without_knobs_an_optimisers_state_is_what_was_stored_before():
    """The names of every leaf, so that a run that was stopped before there were knobs can go on."""
    design, transform = design_for(), optimiser(SETTINGS.tune, SETTINGS.codesign, METHOD)
    state = create_state(lively_params(MODEL), design, memory_for(), jax.random.key(0), transform)
    names = set(to_storage(state)[0])
    assert not any("knob" in name or any(knob in name for knob in KNOBS) for name in names)
    with_them = create_state(
        lively_params(MODEL),
        with_knobs(design),
        memory_for(),
        jax.random.key(0),
        optimiser(SETTINGS.tune, SETTINGS.codesign, METHOD_WITH_KNOBS, knobs=True),
    )
    # With knobs the currents' scale is trained as one of them.
    moved = {name for name in names if name.startswith("opt_state") and name.endswith("bias_scale")}
    assert moved and names - moved < set(to_storage(with_them)[0])


@pytest.mark.slow
def test_every_knob_is_trained_and_a_shared_design_stays_one(everything):
    before, after, metrics = everything
    for name in KNOBS:
        assert stored(getattr(before.design, name)) != stored(getattr(after.design, name)), name
    for name in SHARED:
        leaf = np.asarray(getattr(after.design, name))
        assert leaf[0].tobytes() == leaf[1].tobytes(), name
        assert leaf.tobytes() != np.asarray(getattr(before.design, name)).tobytes(), name
    for name in ("input_gain", "feedback", "threshold"):
        leaf = np.asarray(getattr(after.design, name))
        assert np.all(leaf[0] != leaf[1]), name
    assert metrics["inputs_per_layer"].shape == metrics["dac_bits_per_layer"].shape == (DEPTH,)


def gradient_of(setup, design):
    """The gradient to the design in a run's first step: what one step of plain gradient descent moves it by."""
    state = create_state(lively_params(MODEL), design, memory_for(), jax.random.key(0), optax.sgd(1.0))
    after, _ = codesign_step(setup, optax.sgd(1.0))(state, batch(0), lively_params(MODEL, seed=9))
    return jax.tree.map(jnp.subtract, design, after.design)


@pytest.fixture(scope="module")
def gradients():
    """Of an unshared design and of a shared one, at given weights of the swing and of the energy.

    Both in one program: what they have in common is compiled once. Tokens are detached.
    """
    setups = [
        codesign_setup(
            changed(
                scorer=dict(**EVERYTHING, shared=shared),
                loss=dict(distill=0.0, attention=0.0),  # and the dense network, which nobody asks then, is left out
                codesign=dict(detach_network=True),
            ),
            MODEL,
            "analog",
        )[0]
        for shared in (False, True)
    ]
    return quick_jit(
        lambda design, swing, energy: [
            gradient_of(weighed(setup, swing=swing, energy=energy), design) for setup in setups
        ]
    )


@pytest.mark.slow
def test_a_shared_gradient_is_the_mean_over_layers(gradients):
    """A shared and an unshared design from one start, equal in all layers."""
    start = with_knobs(design_for())
    design = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[0], leaf.shape), start)
    # Without the energy: what a shared design reads from memory is charged once, so there the two differ.
    own, mean = jax.device_get(gradients(design, 0.05, 0.0))
    for name in ("projection", "prototype", "bias_scale", "input_gate"):
        each = getattr(own, name)
        assert np.abs(each[0] - each[1]).max() > 0.01 * np.abs(each).max()
        wanted = np.broadcast_to(each.mean(axis=0), each.shape)
        np.testing.assert_allclose(getattr(mean, name), wanted, rtol=1e-3, atol=1e-5 * np.abs(each).max())
    for name in ("feedback", "input_gain", "threshold"):
        np.testing.assert_allclose(getattr(mean, name), getattr(own, name), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_knobs_do_not_feel_the_swing(gradients):
    """Which the rest of the design does; with and without it, knobs get the gradient of all other terms.

    Tokens are detached: a later layer's scores would carry some of it to the knobs of those before.
    """
    with_it, without = (jax.device_get(gradients(with_knobs(design_for()), swing, 0.1)[0]) for swing in (20.0, 0.0))
    for name in KNOBS:
        largest = np.abs(getattr(without, name)).max()
        assert largest > 0
        np.testing.assert_allclose(getattr(with_it, name), getattr(without, name), rtol=1e-3, atol=1e-4 * largest)
    for name in ("prototype", "feedback", "input_gain"):
        change = np.abs(getattr(with_it, name) - getattr(without, name)).max()
        assert change > 0.1 * np.abs(getattr(without, name)).max(), name


@pytest.fixture(scope="module")
def moving():
    """A moving prototype's step at given weights of the loss, all knobs trained, thresholds tracked; its start."""
    settings = changed(
        scorer=dict(**EVERYTHING, prototype="ema", ema_rate=0.1),
        loss=dict(attention=0.0, distill=0.0),
        codesign=dict(knob_learning_rate=0.2, scorer_until=1.0, threshold="tracked", threshold_learning_rate=1.0),
        tune=dict(steps=30),
    )
    setup, transform, state = setup_of(settings)

    @quick_jit
    def step(weights, *arguments):
        return codesign_step(weighed(setup, **weights), transform)(*arguments)

    return settings, step, state


@pytest.mark.slow
def test_energy_alone_switches_inputs_off_and_leaves_one(moving):
    """Far above every other term, at a kept fraction that the thresholds hold: 30 steps close what it charges for."""
    settings, step, state = moving
    weights = dict(energy=1000.0, swing=0.0)
    assert int(active_inputs(layer_of(state.design, 0), settings.scorer)) == INPUTS
    for number in range(30):
        before = np.asarray(state.design.threshold)[:, 0]
        state, metrics = run(functools.partial(step, weights), state, 1, first=number)
        if number:  # later the target is 0.6 and 0.4, and a threshold moves by nothing but the miss, all at one gain
            miss, moved = metrics["kept_per_layer"] - [0.6, 0.4], np.asarray(state.design.threshold)[:, 0] - before
            np.testing.assert_allclose(moved[0] * miss[1], moved[1] * miss[0], rtol=1e-4, atol=1e-6)
            assert np.all(moved * miss >= 0)
    np.testing.assert_array_equal(metrics["inputs_per_layer"], [1, 1])
    assert np.all(metrics["dac_bits_per_layer"] <= 3)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state.design))


@pytest.mark.slow
def test_gates_of_a_moving_prototype_train(moving):
    """Which inputs are built is chosen while the prototype follows the queries; what is not trained stands still."""
    settings, step, state = moving
    weights = dict(energy=0.1, swing=settings.loss.swing)
    after, metrics = run(functools.partial(step, weights), state, 3)
    assert np.isfinite(metrics["loss"]) and np.all(np.isfinite(metrics["gradient_norm"]))
    assert stored(after.scorer_state.query) != stored(state.scorer_state.query)
    for name in KNOBS:
        assert stored(getattr(after.design, name)) != stored(getattr(state.design, name)), name
    assert stored(after.design.prototype) == stored(state.design.prototype)


@pytest.mark.slow
def test_a_run_with_knobs_and_a_moving_prototype_goes_on_bit_for_bit(moving, tmp_path):
    settings, step, before = moving
    step = functools.partial(step, dict(energy=0.1, swing=settings.loss.swing))
    half, _ = run(step, before, 2)
    store = Checkpoints(tmp_path, "hash")
    store.save(2, half, {})
    again = store.restore(jax.eval_shape(lambda: before))[0]
    after, ended = (run(step, state, 2, first=2)[0] for state in (half, again))
    assert stored(ended) == stored(after)
    # What the scorer remembers is part of it, and had moved.
    assert stored(ended.scorer_state.query) != stored(half.scorer_state.query) != stored(before.scorer_state.query)


@pytest.mark.slow
def test_controls_of_a_design_with_knobs_are_trained_and_measured():
    """The random one, which knows no knobs, is trained elsewhere."""
    settings = changed(scorer=dict(**EVERYTHING, shared=True))
    step, state = start_of(settings, "digital")
    after, metrics = run(step, state, 2)
    assert np.isfinite(metrics["loss"])
    assert "dac_bits_per_layer" not in metrics  # it has no converters
    assert stored(after.design.dac_bits) == stored(state.design.dac_bits)
    assert stored(after.design.projection) != stored(state.design.projection)
    _, _, random = setup_of(settings, "random", jnp.asarray([0.6, 0.4]))
    batches, controls = [weighted(0), weighted(1)], {"digital": after, "random": random}
    found, _ = measure.controls(settings, MODEL, controls, batches, np.array([0.5, 0.25]), jax.random.key(1))
    for kind in controls:
        assert 0 <= found[kind] <= 1 and 0 <= found[f"{kind}_pruned_fraction"] < 1
    # As many as it is given: eight of sixteen, then four.
    assert found["random_pruned_fraction"] == pytest.approx(1 - 0.375)


@pytest.fixture(scope="module")
def ledger_case():
    settings = changed(scorer=EVERYTHING, energy=dict(dac="capacitive", core="bias", circuit="priced"))
    costs, method = run_bill(settings, MODEL), build_method(settings, "analog")
    kept, memory = jnp.asarray([0.5, 0.25]), memory_for()
    return costs, jax.jit(lambda design: method.bill(costs, kept, design, memory)), with_knobs(design_for())


def test_the_ledger_charges_what_is_built(ledger_case):
    """Inputs, bits and currents of each layer, by hand in float64."""
    costs, pruned, design = ledger_case
    preset, spent = costs.energy.prices(), pruned(design)
    scored, inputs, bits, full_scale_v = np.array([16.0, 8.0]), (RAW > 0).sum(axis=1), (3, 5), (0.08, 0.15)
    dac_j = sum(s * n * 2.0**b * preset.dac_unit_f * 1.8**2 / 6 for s, n, b in zip(scored, inputs, bits, strict=True))
    np.testing.assert_allclose(spent.dac_j, dac_j, rtol=1e-5)
    np.testing.assert_allclose(spent.projection_j, (scored * inputs).sum() * 16 * preset.score_mac_j, rtol=1e-5)
    largest_a = 4e-9 * 25.0 ** (1 / (1 + np.exp(-np.asarray(design.bias_scale, np.float64))))
    weights = np.abs(np.tanh(np.asarray(design.prototype, np.float64)))[:, 0] * (RAW > 0)
    bias_j = (scored * largest_a * weights.sum(axis=1)).sum() * 1.8 * 1e-6
    line_j = (scored * inputs * np.array(full_scale_v)).sum() * preset.line_f * 1.8
    np.testing.assert_allclose(spent.ota_j, bias_j + line_j, rtol=1e-5)


def test_the_ledgers_slope_is_the_cost_of_building_one_more(ledger_case):
    """Everything an input costs is proportional to it: switching one is the slope, over that of the sigmoid."""
    costs, pruned, design = ledger_case

    def total(design):
        return 1e9 * pruned(design).total_j

    slope = jax.jit(jax.grad(total))(design)
    sigmoid = 1 / (1 + np.exp(-RAW))
    for layer, column in [(0, 0), (0, 1), (1, 3), (1, 6)]:
        turned = jnp.asarray(RAW, jnp.float32).at[layer, column].multiply(-1)
        sign = 1 if RAW[layer, column] > 0 else -1
        one_j = sign * float(total(design) - total(dataclasses.replace(design, input_gate=turned)))
        share = sigmoid[layer, column] * (1 - sigmoid[layer, column])
        # Differences of a total of 2 nJ in float32 know 1e-7 of it.
        np.testing.assert_allclose(slope.input_gate[layer, column], share * one_j, rtol=1e-3, atol=5e-7)
    scored, inputs, bits = np.array([16.0, 8.0]), (RAW > 0).sum(axis=1), np.array([3.0, 5.0])
    dac_j = scored * inputs * 2.0**bits * costs.energy.prices().dac_unit_f * 1.8**2 / 6
    share = (bits - 0.5) / 6
    np.testing.assert_allclose(slope.dac_bits, 6 * share * (1 - share) * np.log(2) * 1e9 * dac_j, rtol=1e-4)
    moved = [total(with_knobs(design_for(), full_scale_v=(volts, 0.15))) for volts in (0.02001, 0.29999)]
    by_volt = float(moved[1] - moved[0]) / (0.29999 - 0.02001)  # a line's charge goes with its voltage
    part = np.log(0.08 / 0.02) / np.log(15.0)
    np.testing.assert_allclose(slope.full_scale[0], by_volt * 0.08 * np.log(15.0) * part * (1 - part), rtol=2e-3)


@pytest.fixture(scope="module")
def on_a_chip():
    """A design with gates and reduced bits on one chip, and what runs it."""
    method = make_method(dataclasses.replace(SETTINGS.scorer, **EVERYTHING), HARDWARE)
    evaluator = Evaluator(MODEL, lively_params(MODEL), method, range(DEPTH), TASK)
    draw = quick_jit(lambda key: evaluate.chips_for(key, method, DEPTH, 1))
    chip = layer_of(draw(jax.random.key(0)), 0)
    inputs = ScorerInputs(with_knobs(design_for()), chip, nominal_environment(HARDWARE), memory_for())
    return evaluator, inputs


@pytest.mark.slow
def test_gathered_equals_masked_with_gates_and_reduced_bits(on_a_chip):
    evaluator, inputs = on_a_chip
    batches = [weighted(0), weighted(1)]
    counted = evaluate.count(evaluator.masked(), TASK, batches, inputs, jax.random.key(1))
    assert 0.02 < counted.kept[1] / (16 * TOKENS) < counted.kept[0] / (16 * TOKENS) < 0.98
    capacities = evaluate.capacities_for(counted.largest, MODEL, range(DEPTH))
    found = agreement.masked_against_gathered(evaluator, capacities, batches, inputs, jax.random.key(1))
    assert found.decisions == 16 * TOKENS + int(counted.kept[0])
    assert found.unequal_outside == 0 and found.overflow == 0
    assert found.decisions - found.equal <= found.inside < 0.02 * found.decisions
    assert found.max_abs_logit < 1e-4


@pytest.mark.slow
def test_curves_are_those_of_what_is_built(on_a_chip):
    evaluator, inputs = on_a_chip
    state = TrainState(jnp.asarray(1), None, inputs.design, inputs.state, (), jax.random.key(0))
    curves = measure.transfer_curves(SETTINGS, chips.Trained(evaluator, state), inputs)
    assert curves["ota_current"].shape[0] == curves["dac_v"].shape[0] == 6  # of eight
    assert np.all(np.isfinite(curves["ota_current"]))
    assert len(curves["dac_code"]) == curves["dac_v"].shape[1] == 2**3
    np.testing.assert_allclose(curves["dac_v_nominal"][[0, -1]], [-0.08, 0.08], rtol=1e-5)
    np.testing.assert_allclose(curves["ota_v"][-1], 1.5 * 0.08, rtol=1e-5)


def test_the_summary_says_what_was_chosen(on_a_chip):
    evaluator, inputs = on_a_chip
    found = design_summary(inputs.design, evaluator.method, range(DEPTH))
    assert found["inputs_per_layer"] == [6, 3] and found["dac_bits_per_layer"] == [3, 5]
    np.testing.assert_allclose(found["full_scale_v_per_layer"], [0.08, 0.15], rtol=1e-5)
    assert (found["shared"], found["projection"]) == (False, "learned")
    plain = design_summary(design_for(), METHOD, range(1, DEPTH))
    assert plain["inputs_per_layer"] == [None, 8] and plain["dac_bits_per_layer"] == [None, 6]
    raw = np.asarray(design_for().bias_scale, np.float64)[1]
    assert plain["largest_bias_a_per_layer"][1] == pytest.approx(4e-9 * 25 ** (1 / (1 + np.exp(-raw))), rel=1e-5)
    ideal = make_method(SETTINGS.scorer, get_preset("ideal"))
    assert "dac_bits_per_layer" not in design_summary(design_for(), ideal, range(DEPTH))
    assert set(design_summary(design_for(), build_method(SETTINGS, "digital"), range(DEPTH))) == {
        "inputs_per_layer",
        "shared",
        "projection",
    }
    assert json.loads(json.dumps(found)) == found


def start_with(**fields):
    spec = dataclasses.replace(SETTINGS.scorer, **fields)
    return spec, started(spec)


@functools.cache
def tokens_of_training() -> np.ndarray:
    """What the layers' scorers see of the training images, (L, images x tokens, width)."""
    told = quick_jit(lambda params: survey(MODEL, params, METHOD, {"image": IMAGES}))(lively_params(MODEL))
    return np.asarray(conditioned(told.seen, "tokens"), np.float64)[:, :, 1:].reshape(DEPTH, -1, 16)


@pytest.mark.slow
def test_knobs_change_nothing_else_of_the_start():
    """Two programs, which may round differently (a threshold by an ulp on some processors): no bits, 1e-5.

    A start's leaves come out of sums over hundreds of tokens, good to some 1e-7 of the largest of them.
    """
    _, plain = start_with()
    spec, design = start_with(**EVERYTHING)
    for name, leaf in vars(plain).items():
        if leaf is not None:
            largest = np.abs(leaf).max()
            np.testing.assert_allclose(getattr(design, name), leaf, rtol=0, atol=1e-5 * largest, err_msg=name)
    for layer in range(DEPTH):
        one = layer_of(design, layer)
        assert int(active_inputs(one, spec)) == INPUTS and float(dac_bits(one, spec, HARDWARE)) == 6.0


@pytest.mark.slow
def test_gates_start_in_the_order_of_what_inputs_add_to_the_scores():
    """By hand, float64: the spread of w_j tanh(u_j x 0.1 V x 0.689 / 2 U_T) over the training tokens."""
    _, design = start_with(**EVERYTHING)
    tokens = tokens_of_training()
    for layer in range(DEPTH):
        gain = 0.01 * 1000.0 ** (1 / (1 + np.exp(-float(design.input_gain[layer]))))
        u = gain * tokens[layer] @ np.asarray(design.projection[layer], np.float64).T
        moved = np.tanh(u * 0.1 * 0.689 / (2 * 1.380649e-23 * 300.15 / 1.602176634e-19))
        worth = np.sqrt((moved**2).mean(axis=0)) * np.abs(np.tanh(np.asarray(design.prototype[layer, 0], np.float64)))
        np.testing.assert_array_equal(np.argsort(design.input_gate[layer]), np.argsort(worth))


@pytest.mark.slow
@pytest.mark.parametrize("fields", [dict(), dict(projection="selection", prototype="extracted")])
def test_a_shared_design_starts_equal(fields):
    spec, design = start_with(shared=True, **EVERYTHING, **fields)
    for name in SHARED:
        leaf = np.asarray(getattr(design, name))
        assert leaf[0].tobytes() == leaf[1].tobytes(), name
    assert np.all(np.asarray(design.feedback)[0] != np.asarray(design.feedback)[1])
    assert input_gates(layer_of(design, 0), spec).shape == (INPUTS,)
    if fields:  # the dimensions of the largest variance over both layers' tokens
        picked = np.sort(np.argsort(-tokens_of_training().var(axis=1).mean(axis=0))[:INPUTS])
        np.testing.assert_array_equal(design.projection[0], np.eye(16)[picked])


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            dict(scorer=dict(shared=True, prototype="ema")),
            r"scorer.shared = True with scorer.prototype = 'ema'.*'static' or 'extracted', or shared = False",
        ),
        (
            dict(scorer=dict(trainable_bits=True), hardware=dict(preset="ideal")),
            r"scorer.trainable_bits = True.*preset 'ideal' have dac.bits = None.*hardware.dac_bits from 2 to 12",
        ),
        (
            dict(scorer=dict(trainable_bits=True), hardware=dict(dac_bits=1)),
            r"scorer.trainable_bits = True.*dac.bits = 1 and leave nothing to choose",
        ),
        (
            dict(scorer=dict(trainable_bits=True, kind="digital")),
            r"scorer.trainable_bits = True with config.scorer.kind = 'digital', which has no converters; set",
        ),
        (
            dict(scorer=dict(trainable_full_scale=True, kind="digital")),
            r"scorer.trainable_full_scale = True with config.scorer.kind = 'digital'",
        ),
        (dict(codesign=dict(knob_learning_rate=-1.0)), r"codesign.knob_learning_rate = -1.0 is below its lower bound"),
    ],
)
def test_what_cannot_be_trained_is_refused(sections, message):
    with pytest.raises(SettingError, match=message):
        changed(**sections)


def test_a_full_scale_beyond_the_range_is_refused():
    wide = with_fields(HARDWARE, {"dac.full_scale_v": 0.5})
    with pytest.raises(SettingError, match=r"dac.full_scale_v = 0.5 V, which is not between 0.02 and 0.3 V"):
        check_knobs(dataclasses.replace(SETTINGS.scorer, trainable_full_scale=True), SETTINGS.hardware, wide)
