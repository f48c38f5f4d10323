"""Measuring: counts and capacities, masked against gathered on a chip with converters, agreement with attention."""

from __future__ import annotations

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from tiny_training import QUICK, SETTINGS, TASK, design_for, lively_params, memory_for, split, weighted

from atis_jax.circuits import get_preset, nominal_environment, read, realise, with_fields
from atis_jax.models.forward import Pruned, dense_forward
from atis_jax.models.passes import ScorerInputs
from atis_jax.numerics import layer_of
from atis_jax.scoring.atis import analog
from atis_jax.scoring.atis.program import program
from atis_jax.scoring.registry import make_method
from atis_jax.training import agreement, evaluate
from atis_jax.training.evaluate import Evaluator
from atis_jax.training.state import TrainState
from experiments import chips, measure
from experiments.build import build_model

MODEL = build_model(SETTINGS, split())
HARDWARE = get_preset("nominal")
METHOD = make_method(SETTINGS.scorer, HARDWARE)
DEPTH, TOKENS = 2, 16


@pytest.fixture(scope="module")
def evaluator():
    return Evaluator(MODEL, lively_params(MODEL), METHOD, range(DEPTH), TASK)


@pytest.fixture(scope="module")
def inputs():
    draw = functools.partial(jax.jit, static_argnums=0, compiler_options=QUICK)(
        lambda chips, key: evaluate.chips_for(key, METHOD, DEPTH, chips)
    )
    chips = draw(2, jax.random.key(0))
    return ScorerInputs(design_for(), layer_of(chips, 0), nominal_environment(HARDWARE), memory_for())


def with_unused_bits(evaluator, inputs):
    """The same converters as the lower bits of larger ones."""
    hardware = with_fields(HARDWARE, {"dac.bits": 8, "dac.used_bits": 6.0})
    unused = jnp.zeros((*inputs.chip.dac_element_error.shape[:-1], 2))
    chip = dataclasses.replace(
        inputs.chip, dac_element_error=jnp.concatenate([inputs.chip.dac_element_error, unused], axis=-1)
    )
    return dataclasses.replace(evaluator, method=make_method(SETTINGS.scorer, hardware)), dataclasses.replace(
        inputs, chip=chip
    )


@pytest.mark.slow
def test_masked_and_gathered_agree_on_a_chip_with_converters_and_noise(evaluator, inputs):
    batches = [weighted(0), weighted(1, real=5)]
    counted = evaluate.count(evaluator.masked(), TASK, batches, inputs, jax.random.key(1))
    assert counted.examples == 13
    capacities = evaluate.capacities_for(counted.largest, MODEL, range(DEPTH))
    found = agreement.masked_against_gathered(evaluator, capacities, batches, inputs, jax.random.key(1))
    # 13 images x 16 tokens in the first layer, and those it kept in the second.
    assert found.decisions == 13 * TOKENS + int(counted.kept[0])
    assert 0.05 < counted.kept[1] / (13 * TOKENS) < counted.kept[0] / (13 * TOKENS) < 0.95
    assert found.unequal_outside == 0 and found.overflow == 0
    assert found.decisions - found.equal <= found.inside < 0.02 * found.decisions
    assert found.examples_compared >= 12
    assert found.max_abs_logit < 1e-4

    # And the same counts come out of the gathered pass, as it is measured.
    gathered, used = evaluate.count_gathered(evaluator, {}, capacities, batches, inputs, jax.random.key(1))
    assert used == capacities and gathered.overflow == 0
    if found.equal == found.decisions:
        np.testing.assert_array_equal(gathered.kept, counted.kept)
        assert gathered.correct == counted.correct


@pytest.mark.slow
def test_a_disagreement_would_be_seen(evaluator, inputs):
    """Another draw of the read noise in one of the passes: decisions differ outside any rounding margin."""
    room = (TOKENS + 1,) * DEPTH

    class Other(Evaluator):
        def gathered(self, capacities):
            # The masked pass under another key stands in for a gathered pass that keys its noise wrongly.
            run = self.masked()
            return lambda batch, inputs, key: run(batch, inputs, jax.vmap(jax.random.fold_in, (0, None))(key, 1))

    other = Other(**{field.name: getattr(evaluator, field.name) for field in dataclasses.fields(evaluator)})
    batches = [weighted(number) for number in range(4)]
    found = agreement.masked_against_gathered(other, room, batches, inputs, jax.random.key(1))
    assert found.unequal_outside > 0
    assert found.equal < found.decisions


def test_digital_decisions_near_the_threshold_are_inside_the_margin():
    digital = make_method(dataclasses.replace(SETTINGS.scorer, kind="digital"), HARDWARE)
    design, memory = design_for(), memory_for()
    raw = np.asarray(design.threshold, np.float64)
    threshold = 0.5 * (2 / (1 + np.exp(-raw)) - 1)
    offset = np.resize([0.0, 0.5e-5, -0.5e-5, 2e-5, -2e-5], (DEPTH, 1, 5, 1))
    voltage = jnp.asarray(threshold[:, None, None] + offset, jnp.float32)
    for layer in range(DEPTH):
        here = layer_of(design, layer), None, None, layer_of(memory, layer), voltage[layer], None
        near = digital.near_threshold(*here, agreement.ROUNDING_V, agreement.ROUNDING_CODE)
        np.testing.assert_array_equal(near[..., 0], np.abs(offset[layer, ..., 0]) < 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("unused", [False, True], ids=["all_bits", "some_bits"])
def test_a_converter_on_the_edge_of_a_code_widens_the_margin_by_its_step(evaluator, inputs, monkeypatch, unused):
    """An input of zero lies between codes 31 and 32. What its turning does to the voltage is read from the circuit."""
    if unused:
        evaluator, inputs = with_unused_bits(evaluator, inputs)
    design, chip, memory = layer_of((inputs.design, inputs.chip, inputs.state), 0)
    programmed = program(design, SETTINGS.scorer, evaluator.hardware, memory.query)
    realised = jax.jit(realise)(programmed, evaluator.hardware, chip, inputs.environment)
    at_code = 2 * 40 / 63 - 1  # every other input in the middle of a code
    on_edge = jnp.full(8, at_code).at[3].set(0.0)
    above, below = (jax.jit(read)(realised, on_edge.at[3].set(side)) for side in (1e-3, -1e-3))
    jump_v = float(jnp.abs(above - below)[0])
    assert jump_v > 100 * agreement.ROUNDING_V

    # Distances from the threshold and whether the edge is there: near is what rounding could turn.
    cases = [(0.9, True, True), (3.0, True, False), (0.9, False, False)]
    tokens = jnp.stack([on_edge if edge else jnp.full(8, at_code) for _, edge, _ in cases])[None]
    threshold_v = float(realised.threshold_v[0])
    voltage = jnp.asarray([threshold_v + distance * jump_v for distance, _, _ in cases])[None, :, None]
    monkeypatch.setattr(analog, "inputs_of", lambda *_: tokens)
    margins = agreement.ROUNDING_V, agreement.ROUNDING_CODE
    seen = jnp.zeros((1, 3, 16))
    near = jax.jit(lambda *given: evaluator.method.near_threshold(*given, *margins))(
        design, chip, inputs.environment, memory, voltage, seen
    )
    assert near[0, :, 0].tolist() == [expected for _, _, expected in cases]


@pytest.mark.slow
def test_a_converter_s_curve_has_a_level_for_each_code_in_use(evaluator, inputs):
    state = TrainState(jnp.asarray(1), None, inputs.design, inputs.state, (), jax.random.key(0))
    (wide, on_wide), plain = with_unused_bits(evaluator, inputs), chips.Trained(evaluator, state)
    expected = measure.transfer_curves(SETTINGS, plain, inputs)
    found = measure.transfer_curves(SETTINGS, chips.Trained(wide, state), on_wide)
    assert len(expected["dac_code"]) == 64
    for name in ("dac_code", "dac_v", "dac_v_nominal"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-7)


def fake_pass(labels_right: float, kept_per_layer, overflow=0):
    """A pass whose first images are right and that keeps given numbers of tokens in every image."""

    def run(batch, inputs, key):
        count = len(batch["label"])
        alive = np.zeros((len(kept_per_layer), count, TOKENS + 1, 1), bool)
        alive[:, :, 0] = True
        for layer, kept in enumerate(kept_per_layer):
            alive[layer, :, 1 : kept + 1] = True
        alive[0, 0, 1 : kept_per_layer[0] + 3] = True  # one image keeps two more in the first layer
        return Pruned(
            logits=jnp.asarray(np.eye(3)[np.where(np.arange(count) < labels_right, 1, 0)]),
            alive=jnp.asarray(alive),
            voltage=jnp.zeros(alive.shape),
            probability=jnp.ones(alive.shape),
            overflow=jnp.full((len(kept_per_layer), count), overflow),
            state=(),
            counted=jnp.arange(TOKENS + 1)[None] > 0,
        )

    return run


def test_counting_weighs_padding_out():
    batches = [{"image": np.zeros((4, 1)), "label": np.ones(4, np.int32), "weight": np.array(w, np.float32),
                "number": np.arange(4)}
               for w in ([1, 1, 1, 1], [1, 1, 0, 0])]  # fmt: skip
    found = evaluate.count(fake_pass(3, (9, 4), overflow=2), TASK, batches, None, None)
    assert (found.correct, found.examples) == (3 + 2, 6)
    assert found.accuracy == pytest.approx(5 / 6)
    np.testing.assert_array_equal(found.kept, [9 * 6 + 2 * 2, 4 * 6])
    np.testing.assert_array_equal(found.largest, [11, 4])
    assert found.overflow == 2 * 2 * 6


def test_capacities_hold_the_largest_and_never_grow():
    model = types.SimpleNamespace(tokens=64, length=65)
    assert evaluate.capacities_for(np.array([64, 30, 31]), model, range(3)) == (65, 33, 33)
    assert evaluate.capacities_for(np.array([10, 12, 3]), model, range(3)) == (17, 17, 9)
    assert evaluate.capacities_for(np.array([64, 0]), model, range(1, 2)) == (65, 1)
    # What comes after the last scorer is what it left.
    assert evaluate.capacities_for(np.array([30, 30, 30]), model, range(1)) == (33, 33, 33)
    # A sequence may protect another number of tokens, or none.
    bare = types.SimpleNamespace(tokens=64, length=64)
    assert evaluate.capacities_for(np.array([10, 12, 3]), bare, range(3)) == (16, 16, 8)


def test_room_is_made_until_nothing_overflows_and_passes_are_reused():
    """The second layer needs 14 slots and starts with 5."""
    made = []

    def gathered(capacities):
        made.append(capacities)
        return fake_pass(1, (9, 4), overflow=max(0, 14 - capacities[1]))

    stand_in = types.SimpleNamespace(model=MODEL, task=TASK, gathered=gathered)
    batches, compiled = [weighted(0)], {}
    total, capacities = evaluate.count_gathered(stand_in, compiled, (9, 5), batches, None, None)
    assert total.overflow == 0 and capacities[1] >= 14 and capacities[0] <= TOKENS + 1
    assert made == list(compiled) and len(made) == len(set(made))
    evaluate.count_gathered(stand_in, compiled, (9, 5), batches, None, None)
    assert len(made) == len(compiled)


def test_given_room_is_kept_to_and_lost_tokens_are_counted():
    stand_in = types.SimpleNamespace(
        model=MODEL, task=TASK, gathered=lambda capacities: fake_pass(1, (9, 4), overflow=3)
    )
    total, capacities = evaluate.count_gathered(stand_in, {}, (9, 5), [weighted(0)], None, None, widen=False)
    assert capacities == (9, 5) and total.overflow > 0


def test_dense_accuracy_is_the_share_of_right_answers():
    params = lively_params(MODEL)
    batches = [weighted(0), weighted(1, real=3)]
    forward = jax.jit(lambda x: dense_forward(MODEL, params, {"image": x})[0], compiler_options=QUICK)
    logits = [np.asarray(forward(b["image"])) for b in batches]
    right = sum((a.argmax(-1) == b["label"])[b["weight"] > 0].sum() for a, b in zip(logits, batches, strict=True))
    assert evaluate.dense_accuracy(MODEL, TASK, params, batches) == pytest.approx(right / 11)


def test_agreement_is_spearmans_and_recall_of_as_many_as_are_kept():
    rng = np.random.default_rng(0)
    score, received = rng.normal(size=(2, 3, 20)), rng.normal(size=(2, 3, 20))
    received += 0.7 * score
    keep = score > np.array([0.0, 0.5, 5.0])[None, :, None]  # the last image keeps nothing
    spearman, recall = agreement.attention_agreement(score, keep, received)
    for layer in range(2):
        for image in range(3):
            expected = stats.spearmanr(score[layer, image], received[layer, image]).statistic
            np.testing.assert_allclose(spearman[layer, image], expected, rtol=1e-9)
            kept = keep[layer, image]
            best = np.argsort(-received[layer, image])[: kept.sum()]
            np.testing.assert_allclose(recall[layer, image], kept[best].mean() if kept.any() else 0.0)
    perfect = agreement.attention_agreement(received, received > 0, received)
    np.testing.assert_allclose(perfect[0], 1.0)
    np.testing.assert_allclose(perfect[1], 1.0)


def test_every_chip_and_layer_is_its_own_draw():
    draw = jax.jit(
        lambda key: evaluate.chips_for(key, METHOD, DEPTH, 3).offset_v,
        compiler_options=QUICK,
    )
    found = np.asarray(draw(jax.random.key(0)))
    assert found.shape == (3, DEPTH, 1, 8)
    assert len(np.unique(found)) == found.size
    np.testing.assert_array_equal(found, draw(jax.random.key(0)))
    environments = evaluate.environments_for(HARDWARE, jnp.asarray([273.15, 343.15]))
    np.testing.assert_allclose(environments.supply_v, 1.8)
    np.testing.assert_allclose(environments.temperature_k, [273.15, 343.15])
