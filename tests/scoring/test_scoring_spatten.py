"""SpAtten's rule: the numbers of the code that LTP's authors compare with, and controls that rank by other measures."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rival_cases import golden, method_of, tiny_bill
from scoring_reference import context_for

from atis_jax.models.kernels import told
from atis_jax.scoring.rivals.norm import NormSpec
from atis_jax.scoring.rivals.position import PositionSpec
from atis_jax.scoring.rivals.spatten import SpattenSpec, falling_rates


@pytest.mark.parametrize("name", ["topk_N16", "topk_pad_N24"])
def test_who_stays_is_as_in_the_original(name):
    """There no token is protected."""
    case, method = golden(f"ltp/{name}"), method_of(SpattenSpec())
    there = case["attention_mask"][:, 0, 0] > -1

    @jax.jit
    @jax.vmap
    def keep(attention, there, length):
        attended = told(attention[None], there[None], ("received",))
        attended = jax.tree.map(lambda leaf: leaf[0], attended)
        context = context_for(
            1, len(there), alive=there[:, None], counted=there, present=there, full=length, attended=attended, state=()
        )
        return method.score(case["layer_keep_rate"], None, None, jnp.zeros((len(there), 1)), context, None)[0].keep

    found = keep(case["attention_probs"], there, case["sentence_lengths"])[..., 0]
    np.testing.assert_array_equal(found, case["keep"])


@pytest.mark.parametrize(("layers", "last"), [(12, 0.2), (24, 0.5), (4, 0.3)])
def test_rates_fall_as_in_the_original(layers, last):
    expected = golden("ltp/layer_schedules")[f"topk_L{layers}_r{last}"]
    np.testing.assert_allclose(falling_rates(last, layers), expected, rtol=1e-6)
    published = method_of(SpattenSpec(rates="published")).scheduled(None, jnp.full(layers, last))
    np.testing.assert_allclose(published, expected, rtol=1e-6)


def kept(spec, share, tokens):
    context = context_for(1, len(tokens), counted=np.ones(len(tokens), bool), full=len(tokens), state=())
    return np.asarray(method_of(spec).score(jnp.float32(share), None, None, tokens, context, None)[0].keep[:, 0])


def test_the_longest_or_the_shortest_tokens_stay():
    tokens = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    order = np.argsort(np.linalg.norm(tokens, axis=1))
    np.testing.assert_array_equal(np.flatnonzero(kept(NormSpec(), 0.3, tokens)), np.sort(order[-3:]))
    shortest = kept(NormSpec(keeps="smallest"), 0.3, tokens)
    np.testing.assert_array_equal(np.flatnonzero(shortest), np.sort(order[:3]))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.7])
def test_spread_places_leave_gaps_that_are_nearly_even(share):
    """Three lengths of gap at most, as of any multiples of one number (Steinhaus): none far above the mean."""
    gaps = np.diff(np.flatnonzero(kept(PositionSpec(), share, np.zeros((400, 1), np.float32))))
    assert len(set(gaps)) <= 3 and gaps.max() < 2.7 / share


def test_the_first_or_the_last_places_stay():
    tokens = np.zeros((5, 1), np.float32)
    np.testing.assert_array_equal(kept(PositionSpec(keeps="first"), 0.4, tokens), [1, 1, 0, 0, 0])
    np.testing.assert_array_equal(kept(PositionSpec(keeps="last"), 0.4, tokens), [0, 0, 0, 1, 1])


def test_sums_and_sorting_are_charged_by_hand():
    """17 tokens in front of layer 1, 9 and 9 behind it; two heads; adding up over layers costs a number more."""
    costs, share = tiny_bill("sram_32k"), jnp.asarray([0.5, 0.5, 0.25])
    prices, n = costs.energy.prices(), np.array([17.0, 9.0, 9.0])
    plain, running = (method_of(SpattenSpec(accumulates=of)).bill(costs, share, None, None) for of in (False, True))
    np.testing.assert_allclose(plain.score_j, 2 * np.sum(n**2) * prices.score_add_j, rtol=1e-6)
    np.testing.assert_allclose(plain.comparator_j, np.sum(n * np.log2(n)) * prices.compare_j, rtol=1e-6)
    np.testing.assert_allclose(running.score_j - plain.score_j, n.sum() * prices.score_add_j, rtol=1e-4)
    moved = 2 * n.sum() * prices.network_bytes * prices.sram_32k_j_per_byte
    np.testing.assert_allclose(running.scorer_memory_j, moved, rtol=1e-6)
