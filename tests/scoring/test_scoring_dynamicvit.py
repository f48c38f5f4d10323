"""DynamicViT: the authors' own numbers, a step of training, its bill. What every rival must do: test_scoring_rivals."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rival_cases import golden, gradient_step, method_of, start, tiny_bill

from atis_jax.models.kernels import policy_softmax
from atis_jax.scoring.rivals.dynamicvit import (
    DynamicVitDesign,
    DynamicVitSpec,
    gumbel_decision,
    ratio_loss,
    stages,
    token_loss,
)
from atis_jax.scoring.rivals.predictor import Predictor, keep_or_drop
from atis_jax.scoring.rivals.share import ROUNDING, highest
from atis_jax.training.losses import cross_entropy, distillation
from atis_jax.validation import SettingError

METHOD = method_of(DynamicVitSpec())


@pytest.mark.parametrize("name", ["softmax_policy_binary_N17", "softmax_policy_soft_N10"])
def test_the_policys_softmax_and_its_gradients_are_the_originals(name):
    case = golden(f"dynamicvit/{name}")

    @jax.jit
    def both(logits, policy):
        def loss(logits, policy):
            out = policy_softmax(logits, jnp.swapaxes(policy, 1, 2)[:, None])
            return jnp.sum(out * case["w"]), out

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(logits, policy)

    (_, out), (of_logits, of_policy) = both(case["attn_logits"], case["policy"])
    np.testing.assert_allclose(out, case["out"], rtol=1e-5, atol=1e-8)
    # A gradient as large as 1e4 where the class token alone is kept: relative to the largest.
    for found, expected in ((of_logits, case["grad_attn_logits"]), (of_policy, case["grad_policy"])):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def predictor_of(case) -> Predictor:
    maps = [
        (jnp.asarray(case[f"{name}_weight"].T), jnp.asarray(case[f"{name}_bias"]))
        for name in ("in_conv_1", "out_conv_0", "out_conv_2", "out_conv_4")
    ]
    return Predictor(jnp.asarray(case["in_conv_0_weight"]), jnp.asarray(case["in_conv_0_bias"]), *maps)


def test_the_predictor_and_its_gradients_are_the_originals():
    case = golden("dynamicvit/predictor_N49_C32")
    weights = predictor_of(case)

    @jax.jit
    def both(x, policy):
        def loss(x, policy):
            out = keep_or_drop(weights, x, policy)
            return jnp.sum(out * case["w"][0]), out

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(x, policy)

    (_, out), (of_x, of_policy) = both(case["x"][0], case["policy"][0, :, 0])
    np.testing.assert_allclose(out, case["out"][0], rtol=1e-5, atol=1e-6)
    for found, expected in ((of_x, case["grad_x"][0]), (of_policy, case["grad_policy"][0, :, 0])):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    # Theirs divides by zero where nothing is left; ours says something finite.
    (_, none), (_, of_none) = both(case["x"][0], jnp.zeros(49))
    assert np.isnan(case["out_policy_all_zero"]).all() and np.isfinite(none).all() and np.isfinite(of_none).all()


@pytest.mark.parametrize("name", ["select_r07", "select_to_one"])
def test_who_stays_is_as_in_the_original_evaluated_and_in_training(name):
    case = golden(f"dynamicvit/{name}")
    total, batch = int(case["init_n"]), len(case["score_0"])
    evaluated, drawn = (
        jax.jit(jax.vmap(lambda *given: highest(*given[:2], jnp.floor(given[2] + ROUNDING)), (0, 0, None))),
        jax.jit(jax.vmap(gumbel_decision)),
    )
    places = np.tile(np.arange(total), (batch, 1))  # of the tokens that enter a stage, in the original's order
    alive = np.ones((batch, total), bool)
    for stage, ratio in enumerate(case["token_ratio"]):
        score = np.full((batch, total), 7.0, np.float32)
        np.put_along_axis(score, places, case[f"score_{stage}"], axis=1)
        alive = np.asarray(evaluated(score, alive, jnp.float32(ratio) * total))
        places = np.take_along_axis(places, case[f"keep_idx_{stage}"], axis=1)
        assert places.shape[1] == int(case[f"n_keep_{stage}"])
        np.testing.assert_array_equal([np.flatnonzero(one) for one in alive], np.sort(places, axis=1))
        keep, soft = drawn(case[f"train_logprob_{stage}"], case[f"train_gumbel_{stage}"])
        np.testing.assert_array_equal(keep * case[f"train_prev_{stage}"], case[f"train_decision_{stage}"])
        np.testing.assert_array_equal(keep, np.asarray(soft) >= 0.5)


@pytest.mark.parametrize("name", ["loss_static_kl", "loss_dynamic_mse"])
def test_losses_are_the_originals(name):
    case = golden(f"dynamicvit/{name}")
    stage, counted = jnp.ones(len(case["keep_ratio"])), jnp.ones(case["token_pred"].shape[:2], bool)
    by = "mse" if case["mse_token"] else "kl"

    @jax.jit
    def terms(decisions):
        left = decisions[-1] > 0.5
        return {
            "cls_loss": cross_entropy(case["pred"], case["labels"]),
            "pred_loss": ratio_loss(decisions, counted, case["keep_ratio"], stage, bool(case["dynamic"])),
            "cls_kl": distillation(case["pred"], case["teacher_pred"], 1.0),
            "token_loss": token_loss(case["token_pred"], case["teacher_token"], left, by),
        }

    found = terms(case["decisions"])
    found["pred_loss"] = found["pred_loss"] * len(stage)  # theirs is the sum over stages
    for term, value in found.items():
        np.testing.assert_allclose(value, case[term], rtol=1e-5, err_msg=term)
    weights = {"cls_loss": case["clf_weight"], "pred_loss": case["ratio_weight"] / len(stage)}
    weights |= dict.fromkeys(("cls_kl", "token_loss"), case["distill_weight"])
    np.testing.assert_allclose(sum(weights[term] * found[term] for term in found), case["loss"], rtol=1e-5)
    gradient = jax.grad(lambda d: float(case["ratio_weight"]) * terms(d)["pred_loss"])(case["decisions"])
    np.testing.assert_allclose(gradient, case["grad_decisions"], rtol=1e-4, atol=1e-8)
    assert float(terms(jnp.zeros_like(case["decisions"]))["token_loss"]) == 0.0  # nothing is left


@pytest.mark.slow
def test_a_step_of_training_moves_the_predictors_of_stages_alone():
    """Shares fall in the first layer alone, so that it is the one stage."""
    metrics, before = gradient_step(METHOD), start(METHOD, jnp.full(2, 0.5)).design
    assert np.isfinite(metrics["loss"]) and metrics["gradient_norm"] > 0
    assert {"loss_ratio", "loss_tokens", "loss_ce"} <= metrics.keys()
    for leaf, new, old in zip(Predictor.__dataclass_fields__, *map(_leaves, (metrics["design"], before)), strict=True):
        moved = np.abs(new - old).reshape(2, -1).max(1)
        assert moved[0] > 0 and moved[1:].max() == 0, leaf
    assert 0 < metrics["kept_per_layer"][0] < 1
    named = METHOD.labels(before)
    assert (named.share, named.stage) == ("frozen", "frozen") and set(jax.tree.leaves(named.predictor)) == {"scorer"}


def _leaves(design):
    """Of each part of the predictor its norm's vector or its matrix."""
    parts = [getattr(design.predictor, name) for name in Predictor.__dataclass_fields__]
    return [np.asarray(part[0] if isinstance(part, tuple) else part) for part in parts]


def test_stages_are_the_layers_in_which_the_share_falls():
    np.testing.assert_array_equal(stages(jnp.asarray([1.0, 1.0, 0.7, 0.7, 0.49])), [0, 0, 1, 0, 1])


def test_predictors_are_charged_by_hand():
    """16 words: all in front of the stage in layer 1, 8 in front of that in layer 3; 16 channels."""
    costs, kept = tiny_bill("sram_32k"), jnp.asarray([0.5, 0.5, 0.25])
    design = DynamicVitDesign(kept, stages(kept), None)
    bill, prices = METHOD.bill(costs, kept, design, ()), costs.energy.prices()
    macs = 16 * 16 + 16 * 8 + 8 * 4 + 4 * 2
    score = 24 * (macs * prices.score_mac_j + 8 * prices.score_add_j)
    np.testing.assert_allclose(bill.score_j, score, rtol=1e-5)
    np.testing.assert_allclose(bill.comparator_j, (16 * 4 + 8 * 3) * prices.compare_j, rtol=1e-5)
    weights = 2 * (macs + 16 + 8 + 4 + 2 + 32) * prices.sram_32k_j_per_byte / costs.energy.memory().batch
    moved = 24 * 16 * prices.network_bytes * prices.sram_32k_j_per_byte
    np.testing.assert_allclose(bill.scorer_memory_j, weights + moved, rtol=1e-5)


def test_a_width_that_has_no_quarter_is_refused():
    class Place:
        class network:
            width = 18

    with pytest.raises(SettingError, match="config.model.width = 18 .*take a multiple of 4"):
        METHOD.check(Place)
