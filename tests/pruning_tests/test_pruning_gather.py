"""Packing survivors and putting them back: round trips, overflow, capacities."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atis_jax.pruning.gather import BUCKETS, LONGEST_STEP, choose_capacity, pack, scatter_back
from atis_jax.pruning.reduce import pack_to
from atis_jax.pruning.stream import Stream

TOKENS = 9
CAPACITIES = (1, 2, 5, 9)  # few shapes, few compilations
jitted_pack = jax.jit(pack, static_argnums=1)
jitted_back = jax.jit(scatter_back, static_argnums=(3, 4))
masks = hnp.arrays(bool, (TOKENS,))


@settings(max_examples=80)
@given(masks, st.sampled_from(CAPACITIES))
def test_pack_keeps_order_and_counts_what_does_not_fit(keep, capacity):
    keep[0] = True
    source, valid, overflow = (np.asarray(part) for part in jitted_pack(jnp.asarray(keep), capacity))
    positions = np.flatnonzero(keep)
    assert source.shape == valid.shape == (capacity,)
    np.testing.assert_array_equal(source[valid], positions[:capacity])
    assert valid.sum() == min(len(positions), capacity)
    assert np.all(np.diff(valid.astype(int)) <= 0)  # valid slots come first
    assert np.all((source >= 0) & (source < TOKENS))  # padding points at a real token too
    assert overflow == max(len(positions) - capacity, 0)


@pytest.mark.slow
@settings(max_examples=80)
@given(masks, st.sampled_from(CAPACITIES), hnp.arrays(np.float32, (TOKENS,), elements=st.floats(-9, 9, width=32)))
def test_packing_and_putting_back_is_the_identity_on_what_fits(keep, capacity, values):
    source, valid, _ = jitted_pack(jnp.asarray(keep), capacity)
    back = jitted_back(jnp.asarray(values)[source], source, valid, TOKENS, -99.0)
    expected = np.full(TOKENS, -99.0, np.float32)
    fits = np.flatnonzero(keep)[:capacity]
    expected[fits] = values[fits]
    np.testing.assert_array_equal(back, expected)


@settings(max_examples=40)
@given(masks, masks)
def test_packing_twice_is_packing_what_both_keep(first, second):
    """A layer packs what the layer before packed; positions of the full sequence come out the same."""
    source, valid, _ = jitted_pack(jnp.asarray(first), TOKENS)
    again, still, _ = jitted_pack(jnp.asarray(second)[source] & valid, TOKENS)
    np.testing.assert_array_equal(np.asarray(source)[again][np.asarray(still)], np.flatnonzero(first & second))


@settings(max_examples=300)
@given(st.integers(1, 1000), st.integers(0, 3), st.data())
def test_capacity_is_the_smallest_bucket_that_holds_the_count(tokens, protected, data):
    count = data.draw(st.integers(0, tokens))
    capacity = choose_capacity(count, tokens, protected)
    step = min(max(1, tokens // BUCKETS), LONGEST_STEP)
    assert count + protected <= capacity <= tokens + protected
    assert capacity - protected - count < step
    assert (capacity - protected) % step == 0 or capacity == tokens + protected
    # Few shapes, whatever the counts.
    shapes = {choose_capacity(c, tokens, protected) for c in range(tokens + 1)}
    assert len(shapes) <= max(2 * BUCKETS, tokens / LONGEST_STEP + 1) + 1


@pytest.mark.parametrize("count", [-1, 65])
def test_impossible_counts_are_named(count):
    with pytest.raises(ValueError, match=rf"largest_count = {count} must lie in 0..64"):
        choose_capacity(count, 64)


def test_room_without_a_token_is_shut_and_stands_for_none():
    alive = jnp.asarray([[True, False, True], [True, True, True]])[..., None]
    x, position = jnp.arange(6.0).reshape(2, 3, 1), jnp.arange(3)[None]
    stream = Stream(x, position, position < 1, alive=alive, gate=jnp.ones((2, 3, 1)), size=jnp.full((2, 3), 2.0))
    for capacity, lost in ((3, [0, 0]), (2, [0, 1])):
        packed, overflow = pack_to(stream, capacity)
        np.testing.assert_array_equal(packed.x[0, :2, 0], [0, 2])
        np.testing.assert_array_equal(packed.position[:, :2], [[0, 2], [0, 1]])
        np.testing.assert_array_equal(packed.size[0], [2, 2, 0][:capacity])
        np.testing.assert_array_equal(packed.gate[..., 0], [[True, True, False][:capacity], [True] * capacity])
        np.testing.assert_array_equal(overflow, lost)
        assert packed.gate.dtype == bool
