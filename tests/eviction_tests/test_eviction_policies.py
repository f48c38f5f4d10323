"""Policies against their formulas in float64 loops; what all of them share; budgets."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_decoder import lively_params, texts, tiny_decoder

from atis_jax.eviction.budget import Budget, above, highest, kept_share, thresholds
from atis_jax.eviction.fit import fit_policies
from atis_jax.eviction.policies.snapkv import SnapKV
from atis_jax.eviction.policies.two_layer import TwoLayer
from atis_jax.eviction.policy import scores
from atis_jax.eviction.registry import POLICIES, make_policy
from atis_jax.eviction.seen import FUTURE, future_rows, see
from atis_jax.models.forward import dense_forward
from atis_jax.validation import SettingError

MODEL = tiny_decoder()
PREFIX, WORDS = 8, 12
BUDGET = Budget(0.5, sinks=1, recent=2)
CHANGED = {
    "snapkv": SnapKV(window=3, kernel=3),
    "two_layer": TwoLayer(steps=2),
    "two_layer_heads": TwoLayer(per="head", steps=2),
}
ALL = POLICIES | CHANGED


@functools.cache
def seen_by_all():
    """Parameters, texts, what is seen of them, and every query row's attention (L, B, H, W, W)."""
    params, token = lively_params(MODEL, dtype="float32"), jnp.asarray(texts(5, 3, WORDS))
    rows = {name: rows for name, policy in ALL.items() if (rows := policy.rows(PREFIX, WORDS)) is not None}
    seen, _ = see(MODEL, params, token, PREFIX, rows | {FUTURE: future_rows(PREFIX, WORDS)}, queries=True)
    step = jax.jit(lambda p, token: dense_forward(MODEL, p, {"token": token}, needs=("full",))[1])
    return params, token, seen, np.asarray(step(params, token).full, np.float64)


@functools.cache
def score_of(name: str):
    _, _, seen, _ = seen_by_all()
    return np.asarray(scores(ALL[name], learned(name), seen, name, jax.random.key(0)))


@functools.cache
def learned(name: str):
    params, token, _, _ = seen_by_all()
    return fit_policies(MODEL, params, np.asarray(token), PREFIX, {name: ALL[name]}, BUDGET, 3, jax.random.key(0))[name]


def summed(weight):
    """Attention of the query heads of each key head, query rows of the prefix weighed, (L, B, J, N)."""
    _, _, _, full = seen_by_all()
    depth, batch, heads = full.shape[:3]
    out = np.zeros((depth, batch, MODEL.heads, PREFIX))
    for head in range(heads):
        for row in range(PREFIX):
            out[:, :, head // (heads // MODEL.heads)] += weight(row) * full[:, :, head, row, :PREFIX]
    return out


def expected(name: str):
    """By the formula of the paper."""
    _, _, seen, full = seen_by_all()
    if name == "h2o":
        return summed(lambda row: 1.0)
    if name == "h2o_aged":
        return summed(lambda row: 1.0) / (PREFIX - np.arange(PREFIX))
    if name == "h2o_layer":
        return summed(lambda row: 1.0).sum(2, keepdims=True)
    if name == "a2sf":
        return summed(lambda row: 0.95 ** (PREFIX - 1 - row))
    if name == "tova":
        return summed(lambda row: float(row == PREFIX - 1)).sum(2, keepdims=True)
    if name == "oracle_layer":
        return full[:, :, :, PREFIX:, :PREFIX].mean(3).sum(2, keepdims=True)
    if name == "key_norm":
        return -np.linalg.norm(np.asarray(seen.keys, np.float64), axis=-1)
    keys = np.asarray(seen.turned, np.float64)
    unit = keys / np.linalg.norm(keys, axis=-1, keepdims=True)
    anchor = unit.mean(-2, keepdims=True)
    return -(unit * anchor).sum(-1) / np.linalg.norm(anchor, axis=-1)


@pytest.mark.parametrize(
    "name", ["h2o", "h2o_aged", "h2o_layer", "a2sf", "tova", "oracle_layer", "key_norm", "keydiff"]
)
def test_a_score_is_its_formula(name):
    np.testing.assert_allclose(score_of(name), expected(name), rtol=1e-4, atol=1e-5)


def test_snapkv_pools_what_its_window_attends_to():
    pooled = summed(lambda row: float(row >= PREFIX - 3))[..., : PREFIX - 3]
    padded = np.pad(pooled, [(0, 0)] * 3 + [(1, 1)])
    mean = (padded[..., :-2] + padded[..., 1:-1] + padded[..., 2:]) / 3
    found = score_of("snapkv")[..., : PREFIX - 3]
    np.testing.assert_allclose(found * mean.sum() / found.sum(), mean, rtol=1e-4, atol=1e-6)


def test_the_linear_form_is_ridge_regression():
    """Standardised inputs and centred logs, solved by NumPy for one layer."""
    _, _, seen, _ = seen_by_all()
    free = ~np.asarray(BUDGET.protected(PREFIX))
    hidden = np.asarray(seen.hidden[1], np.float64)[:, free]
    target = np.log(np.asarray(seen.attention[FUTURE][1], np.float64).mean(1))[:, free]
    x = (hidden - hidden.mean(1, keepdims=True)).reshape(-1, MODEL.width)
    y = (target - target.mean(1, keepdims=True)).reshape(-1)
    scale = np.sqrt((x * x).sum(0))
    solved = np.linalg.lstsq(
        np.vstack([x / scale, np.sqrt(ALL["linear"].ridge) * np.eye(MODEL.width)]), np.append(y, np.zeros(MODEL.width))
    )[0]
    np.testing.assert_allclose(learned("linear")[1, 0], solved / scale, rtol=2e-3, atol=1e-4)


def test_a_filter_is_the_direction_its_queries_share():
    _, _, seen, _ = seen_by_all()
    query = np.asarray(seen.queries[0], np.float64)
    found = []
    for head in range(query.shape[1]):
        rows = query[:, head].reshape(-1, query.shape[-1])
        direction = np.linalg.svd(rows, full_matrices=False)[2][0]
        found.append(direction * np.sign((rows @ direction).sum()))
    mean = np.array(found).reshape(MODEL.heads, -1, query.shape[-1]).mean(1)
    np.testing.assert_allclose(learned("q_filters")[0], mean, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_no_policy_but_an_oracle_knows_what_follows():
    params, token, seen, _ = seen_by_all()
    changed = token.at[:, PREFIX:].set((token[:, PREFIX:] + 1) % 11)
    rows = {name: rows for name, policy in ALL.items() if (rows := policy.rows(PREFIX, WORDS)) is not None}
    other, _ = see(MODEL, params, changed, PREFIX, rows | {FUTURE: future_rows(PREFIX, WORDS)}, queries=True)
    for name, policy in ALL.items():
        found = score_of(name)
        assert found.shape in [(MODEL.depth, 3, groups, PREFIX) for groups in (1, MODEL.heads)], name
        assert not np.any(np.isnan(found)), name
        again = scores(policy, learned(name), other, name, jax.random.key(0))
        assert np.allclose(again, found, rtol=1e-4, atol=1e-5) == (policy.site != "future"), name


@pytest.mark.parametrize(("share", "kept"), [(0.25, 64), (0.5, 128), (0.1, 26)])
def test_a_budget_keeps_protected_words_and_the_best(share, kept):
    budget = Budget(share, *((2, 4) if share < 0.2 else (4, 16)))
    score = np.random.default_rng(0).normal(size=(2, 3, 1, 256))
    keep = np.asarray(highest(jnp.asarray(score), budget))
    assert np.all(keep.sum(-1) == kept)
    assert keep[..., : budget.sinks].all()
    assert keep[..., 256 - budget.recent :].all()
    free = slice(budget.sinks, 256 - budget.recent)
    lowest = np.where(keep, score, np.inf)[..., free].min(-1)
    assert np.all(np.where(keep, -np.inf, score)[..., free].max(-1) < lowest)


def test_thresholds_hold_the_budget_where_they_were_set():
    score = jax.random.normal(jax.random.key(0), (2, 50, 3, 256)) * jnp.arange(1.0, 3.0)[:, None, None, None]
    budget = Budget(0.25)
    each, one = thresholds(score, budget), thresholds(score, budget, each=False)
    assert (each.shape, one.shape) == ((2, 3), (2, 1))
    for threshold in (each, one):
        np.testing.assert_allclose(np.mean(kept_share(above(score, threshold, budget))), 0.25, atol=1e-3)
    by_head = np.mean(np.asarray(above(score, each, budget)), axis=(1, 3))
    np.testing.assert_allclose(by_head, 0.25, atol=1e-3)


def test_what_cannot_be_is_refused():
    with pytest.raises(SettingError, match="lower these, or raise the share"):
        Budget(0.1, 10, 16).kept(256)
    with pytest.raises(SettingError, match="h2o"):
        make_policy("h2_o")
    with pytest.raises(SettingError, match="odd"):
        dataclasses.replace(ALL["snapkv"], kernel=4)
