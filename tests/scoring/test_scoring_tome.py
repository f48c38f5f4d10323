"""ToMe: the authors' own numbers, training, costs. What every rival must do is in test_scoring_rivals."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from original_block import OriginalBlock
from rival_cases import (
    DEPTH,
    MODEL,
    batch,
    golden,
    masked,
    method_of,
    params,
    start,
    tiny_bill,
)

from atis_jax.models.backbone import causal, key_gate, visible_keys
from atis_jax.models.forward import masked_forward, opened_for
from atis_jax.models.kernels import Softmax
from atis_jax.models.layers import run_layers
from atis_jax.models.passes import Pass, ScorerInputs
from atis_jax.pruning.reduce import merge_into
from atis_jax.pruning.stream import Stream
from atis_jax.scoring.rivals.tome import TomeSpec, match
from atis_jax.validation import SettingError

MERGED = 3
METHOD = method_of(TomeSpec(merged=MERGED))
MERGES = ("merge_cls_T17_r4", "merge_cls_T50_rmax", "merge_cls_distill_T18_r6", "merge_r0")


def stream_of(x, size, protected: int = 1) -> Stream:
    tokens = jnp.arange(x.shape[1])[None]
    return Stream(jnp.asarray(x), tokens, tokens < protected, size=jnp.asarray(size)).opened(1, sized=True)


def original_order(order, alive):
    """(B, n) places of the tokens alive, as the original lists them."""
    ranked = np.where(alive, order, np.iinfo(np.int32).max)
    return np.argsort(ranked, axis=1)[:, : alive.sum(1)[0]]


@pytest.fixture(scope="module", params=MERGES)
def merge(request):
    case = golden(f"tome/{request.param}")
    protected = 1 + int(case["distill_token"]) if "distill_token" in case else 1
    stream = stream_of(case["x"], case["size"][..., 0], protected)
    order = jnp.broadcast_to(stream.position, stream.x.shape[:2])
    matched = jax.jit(jax.vmap(match, in_axes=(0, 0, 0, None, None)))
    into, order, _ = matched(
        jnp.asarray(case["metric"]), order, stream.alive[..., 0], stream.protected[0], int(case["r"])
    )
    return case, stream, into, np.asarray(order)


def test_groups_are_the_originals_in_its_order(merge):
    case, _, into, order = merge
    into = np.asarray(into)
    listed = original_order(order, into == np.arange(into.shape[1]))
    source = (into[:, None, :] == listed[:, :, None]).astype(float)
    np.testing.assert_array_equal(source, case["source"])


def test_merged_tokens_and_sizes_are_the_originals(merge):
    case, stream, into, order = merge
    out = jax.jit(merge_into)(stream, into)
    listed = original_order(order, np.asarray(out.alive[..., 0]))[..., None]
    np.testing.assert_allclose(np.take_along_axis(np.asarray(out.x), listed, 1), case["wavg"], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.take_along_axis(np.asarray(out.size)[..., None], listed, 1), case["wavg_size"])


def test_each_token_gets_its_groups_value_back_as_in_the_original(merge):
    """It reads the kept of A first and B behind them, also with a distillation token, which it has listed second."""
    case, _, into, _ = merge
    into = np.asarray(into)
    for one, rows in enumerate(case["wavg"]):
        kept = np.flatnonzero(into[one] == np.arange(into.shape[1]))
        read = [*kept[kept % 2 == 0], *kept[kept % 2 == 1]] if case["r"] else list(kept)
        np.testing.assert_array_equal(rows[[read.index(i) for i in into[one]]], case["unmerged_from_wavg"][one])


def test_without_sizes_a_merge_is_the_plain_mean(merge):
    case, stream, into, order = merge
    out = jax.jit(merge_into)(dataclasses.replace(stream, size=jnp.ones_like(stream.size)), into)
    listed = original_order(order, np.asarray(out.alive[..., 0]))[..., None]
    np.testing.assert_allclose(
        np.take_along_axis(np.asarray(out.x), listed, 1), case["merged_mean"], rtol=1e-5, atol=1e-6
    )
    if "merged_sum" in case:
        summed = jax.jit(merge_into)(stream, into, jnp.ones_like(stream.size)).x
        np.testing.assert_allclose(
            np.take_along_axis(np.asarray(summed), listed, 1), case["merged_sum"], rtol=1e-5, atol=1e-6
        )


def test_a_row_of_a_causal_network_sees_itself_at_its_size():
    size = jnp.asarray([[1.0, 3.0, 0.0]])
    stream = opened_for(METHOD, Stream(jnp.zeros((1, 3, 4)), jnp.arange(3)[None], jnp.zeros((1, 3), bool), size=size))
    _, gate = visible_keys(stream, key_gate(stream, 1), causal)
    np.testing.assert_array_equal(gate[0, 0], [[1, 3, 0], [1, 3, 0], [1, 3, 1]])


@pytest.mark.parametrize("name", ["prop_attn_N10", "prop_attn_nosize_N10"])
def test_proportional_attention_is_the_originals(name):
    case = golden(f"tome/{name}")
    model, x = OriginalBlock(case), jnp.asarray(case["x"])
    size = case["size"][..., 0] if "size" in case else np.ones(case["x"].shape[:2], np.float32)
    stream = opened_for(METHOD, stream_of(case["x"], size))
    out, attended, keys = model.attention(x, stream, Softmax(), ("full",))
    np.testing.assert_allclose(attended.full, case["attn"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(out, case["out"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jnp.mean(keys, axis=1), case["metric"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("capacities", [None, (13,)], ids=["masked", "gathered"])
def test_a_block_is_the_originals(capacities):
    case = golden("tome/block_N17_r4")
    model = OriginalBlock(case)
    start = opened_for(
        METHOD, model.embed({}, {"x": jnp.asarray(case["x"]), "size": jnp.asarray(case["size"][..., 0])})
    )
    inputs = ScorerInputs(jnp.asarray(case["r"], float)[None], None, None, ())
    run = jax.jit(lambda stream: run_layers(Pass(model, method=METHOD), {}, stream, inputs, None, capacities)[0])
    out = run(start)
    listed = original_order(np.asarray(out.along["own"]), np.asarray(out.alive[..., 0]))[..., None]
    np.testing.assert_allclose(np.take_along_axis(np.asarray(out.x), listed, 1), case["out"], rtol=1e-5, atol=3e-6)
    np.testing.assert_array_equal(np.take_along_axis(np.asarray(out.size)[..., None], listed, 1), case["size_out"])


def listed_groups(vectors_of, merged: int) -> list[set[frozenset[int]]]:
    """Groups of first tokens after each layer, in NumPy, tokens really listed as the original lists them.

    Args:
        vectors_of: from layer and list of groups to their (T, K) keys.
        merged: r.
    """
    groups, found = [frozenset([i]) for i in range(MODEL.length)], []
    for layer in range(DEPTH):
        m = vectors_of(layer, groups)
        m = m / np.linalg.norm(m, axis=-1, keepdims=True)
        cosine = m[::2] @ m[1::2].T
        cosine[0] = -np.inf
        going = np.argsort(-cosine.max(1))[: min(merged, (len(groups) - 1) // 2)]
        a, b = groups[::2], list(groups[1::2])
        for i in going:
            b[int(cosine[i].argmax())] |= a[i]
        groups = [group for i, group in enumerate(a) if i not in going] + b
        found.append(set(groups))
    return found


def test_later_layers_deal_their_halves_in_the_originals_order():
    """Three layers of matching on fixed vectors: groups as with tokens really moved about."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(DEPTH, MODEL.length, 8)).astype(np.float32)

    def vectors_of(layer, groups):  # a group's vector is that of the token that received the others
        return np.stack([vectors[layer, owner[group]] for group in groups])

    owner = {frozenset([i]): i for i in range(MODEL.length)}
    alive, order = jnp.ones(MODEL.length, bool), jnp.arange(MODEL.length)
    protected = jnp.arange(MODEL.length) < 1
    member, mine = np.arange(MODEL.length), []
    for layer in range(DEPTH):
        into, order, _ = match(jnp.asarray(vectors[layer]), order, alive, protected, MERGED)
        into = np.asarray(into)
        member, alive = into[member], alive & (into == np.arange(MODEL.length))
        groups = {int(i): frozenset(np.flatnonzero(member == i).tolist()) for i in np.flatnonzero(alive)}
        owner |= {group: place for place, group in groups.items()}
        mine.append(set(groups.values()))
    assert listed_groups(vectors_of, MERGED) == mine


@pytest.mark.slow
def test_gradients_pass_through_the_merge_finite():
    inputs = start(METHOD)

    def loss(params):
        return jnp.sum(masked_forward(MODEL, params, METHOD, batch(), inputs, None).logits ** 2)

    gradient = jax.tree.leaves(jax.jit(jax.grad(loss))(params()))
    assert all(np.isfinite(leaf).all() for leaf in gradient)
    assert max(np.abs(leaf).max() for leaf in gradient) > 1e-3


@pytest.mark.slow
def test_no_layer_merges_more_than_half():
    out = masked(METHOD, dataclasses.replace(start(METHOD), design=jnp.full(DEPTH, 100.0)))
    np.testing.assert_array_equal(np.asarray(out.alive[..., 0]).sum(-1)[:, 0], [9, 5, 3])


@pytest.mark.parametrize(
    ("inflection", "expected"), [(0.0, (8,) * 5), (-1.0, (16, 12, 8, 4, 0)), (1.0, (0, 4, 8, 12, 16))]
)
def test_schedules(inflection, expected):
    assert TomeSpec(merged=8, inflection=inflection).per_layer(5) == expected


def test_matching_is_charged_and_only_the_mlp_saves_in_the_first_layer():
    costs, kept = tiny_bill("sram_32k"), jnp.asarray([0.5, 0.5, 0.5])
    bill, prices = METHOD.bill(costs, kept, None, None), costs.energy.prices()
    n = np.array([17.0, 9.0, 9.0])  # CLS included
    attention, mlp = np.sum(4 * 16**2 * n + 2 * 16 * n**2), np.sum(2 * 16 * 16 * np.array([9.0, 9.0, 9.0]))
    np.testing.assert_allclose(bill.attention_j, attention * prices.network_mac_j, rtol=1e-5)
    np.testing.assert_allclose(bill.mlp_j, mlp * prices.network_mac_j, rtol=1e-5)
    cosines, gone = np.sum(n**2 / 4) * 8, 8
    score = (cosines + 3 * 16 * gone) * prices.score_mac_j + 2 * np.sum(n**2) * prices.score_add_j
    np.testing.assert_allclose(bill.score_j, score, rtol=1e-5)
    projection = np.sum(n) * (8 * prices.score_add_j + 2 * 8 * prices.score_mac_j)
    np.testing.assert_allclose(bill.projection_j, projection, rtol=1e-5)
    compared = np.sum(n**2 / 4 + n / 2 * np.log2(n / 2))
    np.testing.assert_allclose(bill.comparator_j, compared * prices.compare_j, rtol=1e-5)
    moved = (np.sum(n) * (16 + 16) + 3 * 16 * gone) * prices.network_bytes
    np.testing.assert_allclose(bill.scorer_memory_j, moved * prices.sram_32k_j_per_byte, rtol=1e-5)


def test_merging_with_head_groups_is_refused():
    class Grouped(type(METHOD)):
        groups = 2

    with pytest.raises(SettingError, match="merge.*2 head groups; give it one"):
        Grouped(TomeSpec(), METHOD.hardware)
