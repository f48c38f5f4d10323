"""EViT: the authors' own numbers, its bill. What every rival must do is in test_scoring_rivals."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from original_block import OriginalBlock
from rival_cases import golden, method_of, tiny_bill

from atis_jax.models.forward import opened_for
from atis_jax.models.layers import run_layers
from atis_jax.models.passes import Pass, ScorerInputs
from atis_jax.pruning.gather import pack
from atis_jax.scoring.rivals.evit import EvitSpec, choose_most, rates
from atis_jax.training.schedule import schedule
from atis_jax.training.spec import PruningSpec


@pytest.mark.parametrize(
    ("name", "packed"),
    [("block_N17_k07_fuse", True), ("block_N17_k07_fuse", False), ("block_N197_k07_fuse", True)]
    + [("block_N50_k05_nofuse", True), ("block_N50_k05_nofuse", False)],
)
def test_a_block_is_the_originals(name, packed):
    """The tokens that stay, the fused one, and what the MLP makes of them."""
    case = golden(f"evit/{name}")
    batch, tokens, _ = case["x"].shape
    stays, fuse = case["idx"].shape[1], bool(case["fuse_token"])
    method = method_of(EvitSpec(fuse=fuse))
    model = OriginalBlock(case, length=tokens, tokens=tokens - 1)
    stream = opened_for(method, model.embed({}, {"x": jnp.asarray(case["x"]), "size": None}))
    inputs = ScorerInputs(jnp.asarray(case["keep_rate"], jnp.float32)[None], None, None, ())
    room = (1 + stays + fuse,) if packed else None
    run = jax.jit(lambda stream: run_layers(Pass(model, method=method), {}, stream, inputs, None, room))
    out, (trail, _) = run(stream)
    np.testing.assert_allclose(trail.voltage[0, :, 1:, 0], case["cls_attn"], rtol=1e-5, atol=1e-8)
    place = np.asarray(out.position)
    for one in range(batch):
        alive = np.flatnonzero(np.asarray(out.alive[one, :, 0]))
        of = {int(np.broadcast_to(place, (batch, len(place[0])))[one, i]): np.asarray(out.x)[one, i] for i in alive}
        kept = [0, *(1 + case["idx"][one])]
        fused = sorted(of.keys() - set(kept))
        assert len(fused) == fuse and set(fused) <= set(1 + case["compl"][one])
        np.testing.assert_allclose([of[i] for i in [*kept, *fused]], case["out"][one], rtol=1e-5, atol=3e-6)


def test_what_leaves_is_listed_as_the_originals():
    case = golden("evit/complement_b")
    idx, total = case["idx"].reshape(-1, case["idx"].shape[-1]), int(case["dim"])
    attention = np.zeros((len(idx), total), np.float32)
    np.put_along_axis(attention, idx, 1.0, axis=1)

    @jax.jit
    @jax.vmap
    def leaves(attention):
        keep, _ = choose_most(attention, jnp.ones(total, bool), idx.shape[1] / total)
        return pack(~keep, total - idx.shape[1])[0]

    np.testing.assert_array_equal(leaves(attention), case["compl"].reshape(len(idx), -1))


@pytest.mark.parametrize("name", ["keep_rate_a", "keep_rate_c"])
def test_the_target_falls_in_training_as_the_originals_keep_rate(name):
    case = golden(f"evit/{name}")
    total, warm = float(case["total_epochs"]), float(case["warmup_epochs"])
    start = warm / total
    pruning = PruningSpec(ramp_start=start, ramp_from=float(case["max_keep_rate"]), ramp=1.0 - start)
    steps, target = int(total * case["iters_per_epoch"]), jnp.asarray([case["base_keep_rate"]], jnp.float32)
    found = jax.jit(jax.vmap(lambda step: schedule(step, steps, pruning, target).target[0]))(case["iters"])
    np.testing.assert_allclose(found, case["keep_rate"], atol=1e-6)


def test_a_count_is_rounded_up_and_a_layer_that_wants_what_it_gets_drops_none():
    found = rates(jnp.asarray([0.7, 0.7, 0.35, 0.0, 0.0]))
    np.testing.assert_allclose(found, [0.7, 1.0, 0.5, 0.0, 1.0], rtol=1e-6)
    keep = jax.jit(jax.vmap(lambda rate: choose_most(jnp.arange(20.0), jnp.ones(20, bool), rate)[0]))
    np.testing.assert_array_equal(keep(jnp.asarray([0.7, 0.701, 1.0, 0.0])).sum(1), [14, 15, 20, 0])


def test_what_it_adds_is_charged_by_hand():
    """16 words: 8 left of layer 1, fused one included, none leave in layer 2, 4 left of layer 3."""
    costs, method = tiny_bill("sram_32k"), method_of(EvitSpec())
    bill, prices = method.bill(costs, jnp.asarray([0.5, 0.5, 0.25]), None, None), costs.energy.prices()
    fused = 9 + 5
    score = 2 * (16 + 8) * prices.score_add_j + 16 * fused * prices.score_mac_j
    np.testing.assert_allclose(bill.score_j, score, rtol=1e-5)
    np.testing.assert_allclose(bill.comparator_j, (16 * 4 + 8 * 3) * prices.compare_j, rtol=1e-5)
    moved = 16 * (fused + 2) * prices.network_bytes * prices.sram_32k_j_per_byte
    np.testing.assert_allclose(bill.scorer_memory_j, moved, rtol=1e-5)
