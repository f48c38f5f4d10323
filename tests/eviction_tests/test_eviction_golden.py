"""H2O and A2SF: the authors' own numbers (tests/data/golden), by the functions that run here."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from atis_jax.eviction.budget import Budget, highest
from atis_jax.eviction.policies.a2sf import A2SF
from atis_jax.eviction.policies.h2o import H2O
from atis_jax.eviction.seen import Seen
from atis_jax.eviction.stepwise import accumulate, streamed, survivors
from atis_jax.models.kernels import Softmax

GOLDEN = Path(__file__).parent.parent / "data/golden"
NEAR = dict(rtol=1e-5, atol=1e-6)


@functools.cache
def golden(name: str):
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = dict(file)
    return arrays, json.loads(str(arrays.pop("meta")))["params"]


summed = jax.jit(accumulate, static_argnames="forgetting")
left_in = jax.jit(survivors, static_argnames=("heavy", "recent", "sinks"))
read = jax.jit(streamed, static_argnames=("heavy", "recent", "sinks", "forgetting", "renormalised"))


@jax.jit
def attend(q, k, v, visible):
    """The network's own attention; weights too."""
    mixed, attended = Softmax()(q, k, v, visible, None, needs=("full",))
    return mixed, attended.full


def projected(case, x, heads: int):
    """Queries over sqrt(D), keys and values (B, H, T, D) of OPT's maps, or LLaMA's without biases."""

    def of(name):
        y = x @ case[f"{name}_proj_weight"].T + case.get(f"{name}_proj_bias", 0.0)
        return np.moveaxis(y.reshape(*x.shape[:2], heads, -1), 2, 1)

    q, k, v = of("q"), of("k"), of("v")
    return q / np.sqrt(q.shape[-1]), k, v


def left(case, mixed):
    """What leaves the attention."""
    joined = np.moveaxis(np.asarray(mixed), 1, 2).reshape(len(mixed), mixed.shape[2], -1)
    name = "o_proj" if "o_proj_weight" in case else "out_proj"
    return joined @ case[f"{name}_weight"].T + case.get(f"{name}_bias", 0.0)


def causal_part(mask):
    return mask & np.tril(np.ones(mask.shape[-2:], bool))


def seen_of(heads: int, words: int) -> Seen:
    """A prefix of which nothing but the attention matters."""
    keys = np.zeros((1, heads, words, 1))
    return Seen(np.zeros((1, words), int), np.zeros((1, words, 1)), keys, keys, keys, None, {})


@pytest.mark.parametrize("name", ["h2o/cache_T16_h1_r1", "a2sf/cache_T16_h3_r0_f05", "a2sf/cache_T10_h6_r8_f09_short"])
def test_a_cache_keeps_what_theirs_keeps_step_by_step(name):
    case, given = golden(name)
    heads, prompt = given["H"], given["T_prompt"]
    place = np.tile(np.arange(prompt + given["n_steps"]), (heads, 1))
    score, kept = jnp.zeros(place.shape), np.zeros(place.shape, bool)
    for step in range(given["n_steps"] + 1):
        words, probs = prompt + step, case[f"probs_{step}"]
        written = kept | (place >= words - 1 if step else place >= 0) & (place < words)
        columns = np.stack([np.flatnonzero(one) for one in written])
        attention = np.zeros((heads, probs.shape[1], place.shape[1]), np.float32)
        np.put_along_axis(attention, columns[:, None], probs, axis=-1)
        score = summed(score, attention, given.get("forgetting_factor", 1.0))
        kept = np.asarray(left_in(score, place, written, given["hh_size"], given["recent_size"]))
        score = jnp.where(kept, score, 0.0)
        np.testing.assert_array_equal(place[kept].reshape(heads, -1), case[f"kept_positions_{step}"])
        np.testing.assert_allclose(np.asarray(score)[kept].reshape(heads, -1), case[f"scores_{step}"], **NEAR)


@pytest.mark.parametrize("name", ["T16_f05_budget2", "T20_f0", "T24_f1_h2o"])
def test_a_text_read_word_by_word_sees_what_a2sf_sees(name):
    case, given = golden(f"a2sf/mask_{name}")
    budget = (given["selecting_budget"], given["recent_budget"], given["streaming_budget"])
    logits = jnp.asarray(case["attn_logits"])
    visible, _ = read(logits, *budget, forgetting=given["forgetting_factor"])
    np.testing.assert_array_equal(visible, causal_part(case["mask"]))
    # Their scores are those behind the last row but one: what it evicts for is the last.
    _, score = read(logits[..., :-1, :-1], *budget, forgetting=given["forgetting_factor"])
    np.testing.assert_allclose(score, case["final_score"][..., :-1], **NEAR)


@pytest.mark.parametrize("name", ["llama_T16_h4", "opt_T12_h1", "opt_T20_h5_leftpad4", "opt_T8_h8"])
def test_a_text_read_word_by_word_sees_what_h2o_sees(name):
    """Theirs counts the word itself among the heavy ones, and weighs over keys that are gone (not renormalised)."""
    case, given = golden(f"h2o/local_{name}")
    words = given["T"]
    begin = words - (given.get("no_padding_seq_length") or words)
    logits = jnp.asarray(case["attn_logits"])[..., begin:, begin:]
    visible, _ = read(logits, given["heavy_budget"] - 1, recent=0, renormalised=False)
    np.testing.assert_array_equal(visible, causal_part(case["mask"])[..., begin:, begin:])


@pytest.mark.parametrize("name", ["T24_h00_r025", "T40_h02_r00"])
def test_h2o_in_opt(name):
    """Their mask form: heavy hitters, or one of the last few, which come back however little they received."""
    case, given = golden(f"h2o/attn_opt_{name}")
    q, k, v = projected(case, case["x"], given["H"])
    logits = np.einsum("bhnk,bhmk->bhnm", q, k)
    place = np.arange(given["T"])
    age = place[:, None] - place
    near = (age >= 0) & (age <= given["recent_budget"])
    visible = np.broadcast_to(near, logits.shape)
    if given["heavy_budget"]:
        visible = visible | read(logits, given["heavy_budget"] - 1, recent=0, renormalised=False)[0]
    mixed, weights = attend(q, k, v, visible)
    np.testing.assert_array_equal(weights > 0, case["kept"])
    np.testing.assert_allclose(weights, case["attn_probs"], **NEAR)
    np.testing.assert_allclose(left(case, mixed), case["out"], **NEAR)


@pytest.mark.parametrize("name", ["T16_h1_r0", "T32"])
def test_artefact_a_mask_that_sees_the_future(name):
    """The released LLaMA file: the score is H2O's over all rows, those behind a query too, so its mask knows them."""
    case, given = golden(f"h2o/attn_llama_global_{name}")
    q, k, v = projected(case, case["x"], given["H"])
    words = given["T"]
    causal = np.tril(np.ones((words, words), bool))
    _, dense = attend(q, k, v, causal[None, None])
    policy = H2O()
    received = np.einsum("w,bhwn->bhn", policy.rows(words, words), dense)
    score = policy.score((), seen_of(given["H"], words), received, jax.random.key(0))
    heavy = highest(score, Budget(given["heavy_budget"] / words, sinks=0, recent=0))
    age = np.arange(words)[:, None] - np.arange(words)
    visible = causal & ((np.abs(age) <= given["recent_budget"]) | heavy[:, :, None])
    mixed, weights = attend(q, k, v, visible)
    np.testing.assert_array_equal(weights > 0, case["kept"])
    np.testing.assert_allclose(left(case, mixed), case["out"], **NEAR)


@pytest.mark.parametrize("name", ["T12_h0_r025", "T20_h01_r0"])
def test_artefact_a_key_hidden_for_one_step(name):
    """The released generation: the mask is made a step early, so the key that just left the recent ones is hidden once.

    Scores are summed as here; which are zeroed, and what the next word sees, follows their file.
    """
    case, given = golden(f"h2o/generate_opt_{name}")
    heads, heavy, recent = given["H"], given["heavy_budget"], given["recent_budget"]
    q, k, v = projected(case, np.pad(case["x"], ((0, 0), (0, 1), (0, 0))), heads)
    place = np.tile(np.arange(q.shape[2]), (heads, 1))
    score, seen = jnp.zeros(place.shape), None
    for step in range(given["n_steps"] + 1):
        words, rows = case[f"probs_{step}"].shape[-1], case[f"probs_{step}"].shape[-2]
        visible = np.tril(np.ones((rows, place.shape[1]), bool)) if seen is None else seen[:, None]
        visible = np.broadcast_to(visible, (1, heads, rows, place.shape[1]))
        mixed, weights = attend(q[:, :, words - rows : words], k, v, visible)
        np.testing.assert_allclose(weights[0, ..., :words], case[f"probs_{step}"], **NEAR)
        np.testing.assert_allclose(left(case, mixed), case[f"out_{step}"], **NEAR)
        score = summed(score, weights[0], 1.0)
        older = place < words - recent
        seen = place <= words
        if words > heavy + recent:
            best = np.asarray(left_in(score, place, older, heavy, 0))
            seen = best | (place > words - recent) & (place <= words)
            if recent:
                score = jnp.where(best | ~older, score, 0.0)
        np.testing.assert_array_equal(seen[:, : words + 1], case[f"mask_next_{step}"])
        np.testing.assert_allclose(score[:, :words], case[f"scores_{step}"], **NEAR)


@pytest.mark.parametrize("name", ["T150_kv1_b20_f099", "T30_kv2_b16_only_recent"])
def test_a2sf_of_a_prompt(name):
    case, given = golden(f"a2sf/prefill_{name}")
    words, heads = given["T"], given["num_kv_heads"]
    shared = given["H"] // heads
    q, k, v = case["q"] / np.sqrt(given["D"]), np.repeat(case["k"], shared, 1), np.repeat(case["v"], shared, 1)
    mixed, weights = attend(q, k, v, np.tril(np.ones((1, 1, words, words), bool)))
    policy = A2SF(forgetting=given["forgetting_factor"])
    received = np.einsum("w,bhwn->bhn", policy.rows(words, words), weights)
    score = policy.score((), seen_of(heads, words), received, jax.random.key(0))
    np.testing.assert_allclose(mixed, case["out"], **NEAR)
    np.testing.assert_allclose(score, case["scores"], **NEAR)
    heavy = given["total_budget"] - given["recent_budget"]
    place = np.broadcast_to(np.arange(words), score.shape)
    keep = left_in(score, place, np.ones(score.shape, bool), heavy, given["recent_budget"])
    np.testing.assert_array_equal(np.nonzero(keep)[-1].reshape(*score.shape[:2], -1), case["selected"])
