"""LTP: the authors' own numbers, soft and hard passes, training, costs. Every rival's: test_scoring_rivals."""

from __future__ import annotations

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rival_cases import (
    DEPTH,
    MODEL,
    SHALLOW,
    batch,
    golden,
    masked,
    method_of,
    of_layers,
    params,
    start,
    surveyed,
    tiny_bill,
)

from atis_jax.energy.baselines import energy_ratio
from atis_jax.energy.shapes import NetworkShape
from atis_jax.models.forward import masked_forward
from atis_jax.models.kernels import Softmax, told
from atis_jax.models.passes import Relaxation
from atis_jax.numerics import layer_of
from atis_jax.scoring.rivals.ltp import (
    LtpSpec,
    importance,
    kept_beside_largest,
    kept_by,
    soft_mask,
    starting_thresholds,
)
from atis_jax.training.spec import CodesignSpec, LossSpec, PruningSpec, StageSpec
from atis_jax.training.state import create_state, optimiser
from atis_jax.training.step import Codesign, codesign_step
from atis_jax.training.task import Classify
from atis_jax.validation import SettingError

SPEC = LtpSpec(final_threshold=0.12, temperature=0.02)
METHOD = method_of(SPEC)


def scores_of(attention, mask):
    """(B, N) importance as the original has it: over the padded length."""
    rows = jnp.asarray(mask[:, 0, 0] > -1)
    received = told(jnp.asarray(attention), rows, ("received",)).received
    return jax.vmap(lambda received, rows: importance(received, jnp.sum(rows), rows.shape[0]))(received, rows)


@pytest.mark.parametrize("name", ["absolute_N16", "absolute_floor_N12", "absolute_pad_N24"])
def test_scores_and_decisions_are_the_originals(name):
    case = golden(f"ltp/{name}")
    score = scores_of(case["attention_probs"], case["attention_mask"])
    np.testing.assert_allclose(score, case["scores"], rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(kept_by(score, case["threshold"]), case["keep"])


def test_the_relative_rule_is_the_originals():
    """A token alone that receives as much as the largest."""
    case = golden("ltp/relative_only_max_N8")
    score = scores_of(case["attention_probs"], case["attention_mask"])
    keep = kept_beside_largest(score[0], jnp.ones(8, bool), float(case["token_threshold"]))
    np.testing.assert_array_equal(keep, case["keep"][0])


@pytest.mark.parametrize(
    ("name", "layers", "final"),
    [("L12_f0.01", 12, 0.01), ("L12_f0.2", 12, 0.2), ("L24_f0.05", 24, 0.05), ("L4_f0.3", 4, 0.3)],
)
def test_thresholds_start_as_the_originals(name, layers, final):
    np.testing.assert_allclose(
        starting_thresholds(final, layers), golden("ltp/layer_schedules")[f"absolute_{name}"], rtol=1e-6
    )


@pytest.mark.parametrize("name", ["soft_T1e-1_N10", "soft_T1e-3_pad_N16"])
def test_soft_masks_and_their_slope_are_the_originals(name):
    case = golden(f"ltp/{name}")
    temperature = float(case["temperature"])
    np.testing.assert_allclose(soft_mask(case["scores"], case["threshold"], temperature), case["soft_mask"], rtol=1e-4)
    np.testing.assert_allclose(
        case["layer_output_unmasked"] * case["soft_mask"][..., None], case["layer_output"], rtol=1e-5, atol=1e-6
    )

    def weighed(theta):
        mask = soft_mask(case["scores"], theta, temperature)
        return jnp.mean(mask), jnp.sum(case["w"] * case["layer_output_unmasked"] * mask[..., None])

    slopes = jax.jit(jax.jacrev(weighed))(jnp.asarray(case["threshold"]))
    np.testing.assert_allclose(slopes[0], case["grad_threshold_of_mask_mean"], rtol=1e-4)
    np.testing.assert_allclose(slopes[1], case["grad_threshold_of_weighted_output"], rtol=2e-4)


@pytest.mark.parametrize("name", ["model_cascade_L6_pad_N16", "model_cascade_L3_strong"])
def test_a_cascade_of_layers_is_the_originals(name):
    """With its own attention of each layer: who is left, to the last token."""
    case = golden(f"ltp/{name}")
    alive = case["mask_in_0"][:, 0, 0] > -1
    for layer in range(1, case["attn_lengths"].shape[0]):
        np.testing.assert_array_equal(alive.sum(-1), case["attn_lengths"][layer])
        score = scores_of(case[f"probs_{layer}"], np.where(alive, 0.0, -10000.0)[:, None, None])
        np.testing.assert_allclose(score, case[f"scores_{layer}"], rtol=1e-5, atol=1e-7)
        alive = alive & np.asarray(kept_by(score, case[f"threshold_{layer}"]))
        np.testing.assert_array_equal(alive, case[f"mask_out_{layer}"][:, 0, 0] > -1)


def test_network_operations_are_the_originals():
    """Attention of what comes in, MLP of what is kept."""
    case = golden("ltp/macs_L3_d8_only_cls")
    shape = dict(tokens=9, width=8, depth=3, heads=2, mlp_width=32, classes=1, stem_macs=0)
    costs = dataclasses.replace(tiny_bill(), network=NetworkShape(**shape))
    price = costs.energy.prices().network_mac_j
    pruned, dense = METHOD.bill(costs, jnp.zeros(3), None, None), costs.dense()
    np.testing.assert_allclose((pruned.attention_j + pruned.mlp_j) / price, case["mac"][0], rtol=1e-6)
    np.testing.assert_allclose((dense.attention_j + dense.mlp_j) / price, case["baseline_mac"][0], rtol=1e-6)


def test_sums_and_comparisons_are_charged():
    costs = tiny_bill()
    bill, prices, n = METHOD.bill(costs, jnp.asarray([0.5, 0.25, 0.25]), None, None), costs.energy.prices(), [17, 9, 5]
    np.testing.assert_allclose(bill.score_j, 2 * np.sum(np.square(n)) * prices.score_add_j, rtol=1e-6)
    np.testing.assert_allclose(bill.comparator_j, np.sum(n) * prices.compare_j, rtol=1e-6)


@pytest.fixture(scope="module")
def passes():
    inputs = start(METHOD)
    out = masked(METHOD, inputs)
    return inputs, out


@pytest.mark.slow
def test_the_case_prunes_some_tokens_and_not_others(passes):
    kept = np.asarray(passes[1].alive[:, :, 1:, 0]).mean((1, 2))
    assert kept[0] == 1.0 and 0.05 < kept[2] < kept[1] < 0.95
    distance = np.abs(np.asarray(passes[1].voltage)[1:, ..., 0] - 0.12 * np.array([1, 2])[:, None, None] / 3)
    assert distance.min() > 1e-5  # rounding turns no decision


@pytest.mark.slow
def test_hard_masks_are_the_network_without_those_tokens(passes):
    """Scores of the second layer: the dense attention, which nothing has touched yet."""
    expected = np.asarray(surveyed().attended.received)[1].mean(1)
    np.testing.assert_allclose(np.asarray(passes[1].voltage)[1, ..., 0], expected, rtol=1e-5)


def test_the_class_token_is_never_pruned():
    shut = start(METHOD, threshold=jnp.full((DEPTH, 1), 1000.0))
    alive = np.asarray(masked(METHOD, shut).alive)[1:, ..., 0]
    assert alive[..., 0].all() and not alive[..., 1:].any()


@pytest.mark.slow
def test_soft_masks_multiply_what_a_block_makes_and_no_attention(passes):
    """The loop written out: blocks of the dense network, their outputs times the soft masks."""
    inputs, *_ = passes
    soft = masked(METHOD, inputs, hardness=0.0)

    @jax.jit
    def through(block, stream):
        stream, attended = MODEL.attend(block, stream, Softmax(), ("received",))
        return MODEL.feed(block, stream), attended

    stream, blocks = MODEL.embed(params(), batch()), MODEL.blocks(params())
    for layer in range(DEPTH):
        stream, attended = through(layer_of(blocks, layer), stream)
        score, theta = jnp.mean(attended.received, axis=1), SPEC.final_threshold * layer / DEPTH
        mask = (
            np.array(1 / (1 + np.exp(-(np.asarray(score) - theta) / SPEC.temperature)))
            if layer
            else np.ones(score.shape)
        )
        np.testing.assert_allclose(soft.probability[layer, ..., 0], mask, rtol=1e-4)
        mask[:, 0] = 1.0
        stream = dataclasses.replace(stream, x=stream.x * mask[..., None])
    np.testing.assert_allclose(soft.logits, MODEL.read_out(params(), stream), atol=1e-5)


@pytest.mark.slow
def test_thresholds_have_a_gradient_while_soft_alone(passes):
    inputs, *_ = passes

    @jax.jit
    @jax.grad
    def slope(design, hardness):
        out = masked_forward(
            MODEL, params(), METHOD, batch(), dataclasses.replace(inputs, design=design), None,
            relaxation=Relaxation(0.1, hardness),
        )  # fmt: skip
        return jnp.sum(out.logits**2) + jnp.sum(out.probability)

    soft, hard = (np.asarray(slope(inputs.design, jnp.float32(hardness)).threshold[:, 0]) for hardness in (0.0, 1.0))
    assert np.isfinite(soft).all() and (np.abs(soft[1:]) > 1e-6).all() and soft[0] == 0.0
    np.testing.assert_array_equal(hard, 0.0)


def test_the_loss_is_the_soft_masks_mean_over_tokens_of_the_scored_layers():
    rng = np.random.default_rng(0)
    probability, counted = rng.random((3, 4, 6, 1)), np.arange(6) < np.array([[6], [5], [3], [1]])
    scored = np.array([0.0, 1.0, 1.0])
    trail = types.SimpleNamespace(probability=jnp.asarray(probability), counted=counted, scored=scored)
    means = [[probability[layer, b, counted[b], 0].mean() for b in range(4)] for layer in range(3)]
    expected = SPEC.weight * (np.mean(means, axis=1) @ scored)
    np.testing.assert_allclose(METHOD.loss(trail, None)["loss_ltp"], expected, rtol=1e-5)


def test_thresholds_are_told_as_they_start():
    design = start(METHOD).design
    found = METHOD.metrics(design)["threshold_per_layer"]
    np.testing.assert_allclose(found, starting_thresholds(SPEC.final_threshold, DEPTH))
    assert METHOD.labels(design).threshold == "scorer" and METHOD.labels(design).start == "frozen"


TRACKED = dataclasses.replace(SPEC, thresholds="tracked")


@pytest.mark.slow
@pytest.mark.parametrize("spec", [SPEC, TRACKED], ids=lambda spec: spec.thresholds)
def test_thresholds_follow_the_wanted_share_where_they_are_tracked_alone(spec):
    """Forty steps of a network that rests, half soft and half hard; a token is 1/48 of the share."""
    method, wanted = method_of(spec), np.array([0.8, 0.7])
    stage = StageSpec(steps=40, learning_rate=0.0, warmup=0.0)
    pruning = PruningSpec(kept=tuple(wanted.tolist()), ramp=0.0, hard_from=0.5)
    codesign = CodesignSpec(threshold_learning_rate=2.0)
    costs = dataclasses.replace(tiny_bill(), network=SHALLOW.shape(), layers=(True, True))
    setup = Codesign(
        SHALLOW, method, Classify(), stage, pruning, LossSpec(), codesign,
        lambda kept, design, state: energy_ratio(method.bill(costs, kept, design, state), costs.dense()),
    )  # fmt: skip
    transform, inputs = optimiser(stage, codesign, method), start(method, jnp.asarray(wanted))
    state = create_state(of_layers(2), inputs.design, inputs.state, jax.random.key(0), transform)
    step, kept = jax.jit(codesign_step(setup, transform)), []
    for _ in range(stage.steps):
        state, metrics = step(state, batch(), of_layers(2, seed=1))
        kept.append(np.asarray(metrics["kept_per_layer"]))
    before, after = inputs.design.threshold, state.design.threshold
    assert "loss_ltp" in metrics and np.abs(np.asarray(after - before))[1] > 0
    if method.tracked:
        np.testing.assert_allclose(kept[-1], wanted, atol=0.03)
    else:
        assert kept[-1][0] == 1.0 and after[0] == before[0] and abs(kept[-1][1] - wanted[1]) > 0.1


def test_tracked_thresholds_are_those_of_the_budget_and_not_of_the_loss():
    method = method_of(TRACKED)
    assert method.tracked and method.labels(start(method).design).threshold == "threshold" and not METHOD.tracked
    moved_by_loss = types.SimpleNamespace(codesign=CodesignSpec(threshold="gradient", threshold_learning_rate=0.1))
    METHOD.check(moved_by_loss)
    with pytest.raises(SettingError, match="scorer.thresholds = 'tracked' with config.codesign.threshold = 'gradient'"):
        method.check(moved_by_loss)
    with pytest.raises(SettingError, match="scorer.thresholds = 'tracked' with scorer.rule = 'relative'"):
        dataclasses.replace(TRACKED, rule="relative")


@pytest.mark.parametrize(("rule", "times"), [("absolute", 1), ("relative", 2)])
def test_finding_the_largest_is_charged_too(rule, times):
    costs, method = tiny_bill(), method_of(dataclasses.replace(SPEC, rule=rule))
    bill = method.bill(costs, jnp.asarray([0.5, 0.25, 0.25]), None, None)
    np.testing.assert_allclose(bill.comparator_j, times * (17 + 9 + 5) * costs.energy.prices().compare_j, rtol=1e-6)
