"""Scores against a network's attention: each against NumPy on made-up tokens; a whole run, untrained, on toy text."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from atis_jax.circuits.presets import get_preset
from atis_jax.data.text import ToyTextSpec
from atis_jax.models.encoder import EncoderSpec
from atis_jax.pruning.stream import Attended
from atis_jax.scoring.atis.analog import Analog
from atis_jax.scoring.atis.spec import ScorerSpec
from atis_jax.scoring.method import Survey
from atis_jax.validation import SettingError, UserError
from experiments import figure_of_runs
from experiments.attention import compare, experiment
from experiments.attention.comparison import chosen_rules, compared, concentration
from experiments.attention.designs import query_scores, ridge_scores, starting_scores
from experiments.attention.rules import RULES
from experiments.attention.settings import AttentionSettings
from experiments.rundir import open_run

LAYERS, EXAMPLES, TOKENS, WIDTH, HEADS = 2, 12, 9, 8, 4
RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(1, 1, (LAYERS, EXAMPLES, TOKENS, WIDTH)).astype(np.float32)
KEYS = RNG.normal(0, 1, (EXAMPLES, HEADS, TOKENS, 3)).astype(np.float32)
QUERY = RNG.normal(0, 1, (LAYERS, EXAMPLES, HEADS, WIDTH)).astype(np.float32)
LENGTH = RNG.integers(4, TOKENS, EXAMPLES)
COUNTED = (np.arange(TOKENS) > 0) & (np.arange(TOKENS) <= LENGTH[:, None])
"""CLS in front, padding behind."""
NORMALISED = (HIDDEN - HIDDEN.mean(-1, keepdims=True)) / np.sqrt(HIDDEN.var(-1, keepdims=True) + 1e-6)


def shown(received) -> Survey:
    return Survey(jnp.asarray(HIDDEN), jnp.asarray(COUNTED), Attended(received=received, query=jnp.asarray(QUERY)))


def expected_rule(name: str) -> np.ndarray:
    """Of the first layer, token by token."""
    found = np.zeros((EXAMPLES, TOKENS))
    for example, token in np.ndindex(EXAMPLES, TOKENS):
        h = HIDDEN[0, example]
        mean = h[COUNTED[example]].mean(axis=0)
        found[example, token] = {
            "token_norm": np.sqrt((h[token] ** 2).sum()),
            "key_norm": np.mean([np.sqrt((KEYS[example, head, token] ** 2).sum()) for head in range(HEADS)]),
            "unlike_mean": -h[token] @ mean / np.sqrt((h[token] @ h[token]) * (mean @ mean)),
            "like_cls": h[token] @ h[0],
        }[name]
    return found


@pytest.mark.parametrize("name", [name for name in RULES if name != "random"])
def test_a_rule_is_its_formula(name):
    score = RULES[name](HIDDEN[0], KEYS, COUNTED, jax.random.key(0))
    np.testing.assert_allclose(score, expected_rule(name), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_ridge_is_least_squares_on_the_log_of_a_groups_attention():
    """By one system of equations: tokens about their mean, and a hundredth of their mean variance on each weight."""
    received = RNG.uniform(0.01, 1, (LAYERS, EXAMPLES, HEADS, TOKENS)).astype(np.float32)
    told = shown(jnp.asarray(received))
    score = np.asarray(jax.jit(ridge_scores, static_argnums=2)(told, told, 2))
    for layer, group in np.ndindex(LAYERS, 2):
        log = np.log(received[layer, :, 2 * group : 2 * group + 2].mean(axis=1))
        wanted = np.concatenate([log[one, COUNTED[one]] - log[one, COUNTED[one]].mean() for one in range(EXAMPLES)])
        tokens = NORMALISED[layer][COUNTED]
        centred = tokens - tokens.mean(axis=0)
        penalty = np.sqrt(0.01 * centred.var() * len(tokens)) * np.eye(WIDTH)
        system = np.concatenate([centred, penalty]), np.concatenate([wanted, np.zeros(WIDTH)])
        vector = np.linalg.lstsq(*system)[0]
        np.testing.assert_allclose(score[layer][COUNTED][:, group], tokens @ vector, rtol=1e-3, atol=1e-4)


def test_the_mean_query_is_that_of_all_examples_and_heads():
    told = shown(None)
    expected = np.einsum("lbnd,ld->lbn", NORMALISED, QUERY.mean(axis=(1, 2)))
    np.testing.assert_allclose(query_scores(told, told)[..., 0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_moving_prototype_correlates_projections_example_after_example():
    """On the ideal chip: order as (P x) . (P q), q half of what the example before had, half of what it left."""
    method = Analog(ScorerSpec(inputs=6, prototype="ema", ema_rate=0.5), get_preset("ideal"))
    told, key = shown(None), jax.random.key(1)
    same = jax.random.clone(key)
    projection = np.asarray(jax.jit(method.begin)(key, told, jnp.ones(LAYERS))[0].projection)
    score = np.asarray(jax.jit(starting_scores, static_argnums=0)(method, same, told, told))[..., 0]
    for layer in range(LAYERS):
        query = QUERY[layer].mean(axis=(0, 1))
        for example in range(EXAMPLES):
            expected = NORMALISED[layer, example] @ projection[layer].T @ (projection[layer] @ query)
            assert stats.spearmanr(score[layer, example], expected)[0] > 0.99
            query = 0.5 * query + 0.5 * QUERY[layer, example].mean(axis=0)


def test_agreement_is_scipys_over_counted_tokens_of_each_group():
    score, given = RNG.normal(size=(1, EXAMPLES, TOKENS, 1)), RNG.normal(size=(1, EXAMPLES, TOKENS, 2))
    found = compared(score, given, COUNTED, kept=0.5)
    rho, recall = [], []
    for example, group in np.ndindex(EXAMPLES, 2):
        a, b = score[0, example, COUNTED[example], 0], given[0, example, COUNTED[example], group]
        count = max(1, int(np.round(0.5 * len(a))))
        rho.append(stats.spearmanr(a, b)[0])
        recall.append(len({*np.argsort(-a)[:count]} & {*np.argsort(-b)[:count]}) / count)
    np.testing.assert_allclose((found["spearman"][0], found["recall"][0]), (np.mean(rho), np.mean(recall)), rtol=1e-6)


def test_concentration_is_that_of_real_rows_over_real_keys():
    full = np.zeros((1, 1, 6, 6))
    full[0, 0, :5, :5] = [[0.5, 0.2, 0.1, 0.1, 0.1], [0.1, 0.3, 0.2, 0.2, 0.2], *[[0.2] * 5] * 3]
    full[0, 0, 5] = 1.0
    real = np.arange(6)[None] < 5
    assert concentration(jnp.asarray(full), jnp.asarray(real), 0.2) == pytest.approx((0.5 + 0.3 + 3 * 0.2) / 5)
    assert concentration(jnp.asarray(full), jnp.asarray(real), 0.21) == pytest.approx((0.7 + 0.5 + 3 * 0.4) / 5)


def test_the_best_rule_of_a_layer_may_be_one_turned_round():
    found = {"a": {"spearman": [0.3, 0.1]}, "b": {"spearman": [0.1, -0.6]}}
    assert chosen_rules(found) == [("a", 1.0), ("b", -1.0)]


SETTINGS = AttentionSettings(
    examples=6,
    fit_examples=24,
    groups=(2,),
    inputs=8,
    selection_inputs=4,
    data=ToyTextSpec(train_examples=24, eval_examples=6, length=10, shortest=5, batch_size=8),
    model=EncoderSpec(width=16, depth=2, heads=2, mlp_width=16),
)


@pytest.mark.slow
def test_a_run_compares_every_score_and_draws_it(tmp_path, capsys):
    with open_run(tmp_path / "run", SETTINGS) as folder:
        experiment.run(SETTINGS, folder)
    assert "weights: none, the network is untrained" in (told := capsys.readouterr().out)
    assert "Spearman, attention from CLS, 2 groups" in told
    attention = json.loads((tmp_path / "run" / "summary.json").read_text())["attention"]
    for target in ("received", "cls_row"):
        found = attention["targets"][target]
        for scores in (found["scores"], found["groups"]["2"]):
            for one in scores.values():
                assert np.all(np.abs(one["spearman"]) <= 1) and np.shape(one["recall"]) == (2,)
    assert attention["multiplexed_apart_v"] < 1e-6
    page = (tmp_path / "run" / "report.html").read_text()
    assert 'id="attention_layers"' in page and "ATIS, extracted" in page
    out = tmp_path / "alone.svg"
    given = [str(tmp_path / "run"), "--out", str(out)]
    assert figure_of_runs.main(given, "compare", None, compare.draw) == 0 and "<svg" in out.read_text()


def test_what_cannot_be_compared_is_named(tmp_path):
    with pytest.raises(SettingError, match=r"config.groups = \(3,\): 3 does not divide config.model.heads = 4"):
        AttentionSettings(groups=(3,))
    with pytest.raises(SettingError, match="config.selection_inputs = 65 exceeds config.model.width = 64"):
        AttentionSettings(selection_inputs=65)
    short = AttentionSettings(data=ToyTextSpec(train_examples=512, eval_examples=90))
    with pytest.raises(UserError, match="config.examples = 96 is above the 90 that config.data.eval_examples leaves"):
        experiment.load_few(short)
