"""Attention with gates, rotary positions, head groups; bounds on a network's shape."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atis_jax.models.backbone import expand_groups, rotate
from atis_jax.models.kernels import gated_softmax
from atis_jax.models.vit import ModelSpec, rotary_turn
from atis_jax.validation import SettingError

KEYS = 6
softmax = jax.jit(gated_softmax)
slope = jax.jit(jax.grad(lambda gate, logits, out: jnp.sum(out * gated_softmax(logits, gate))))
finite = st.floats(-30, 30, width=32)


@settings(max_examples=100)
@given(hnp.arrays(np.float32, (3, KEYS), elements=finite), hnp.arrays(bool, (3, KEYS)))
def test_gates_of_zero_and_one_are_the_softmax_over_the_kept_keys(logits, keep):
    keep[:, 0] = True
    found = np.asarray(softmax(logits, keep.astype(np.float32)))
    np.testing.assert_allclose(softmax(logits, keep), found, rtol=1e-6)  # open or shut, and nothing between
    for row in range(3):
        a = logits[row, keep[row]].astype(np.float64)
        expected = np.exp(a - a.max()) / np.exp(a - a.max()).sum()
        np.testing.assert_allclose(found[row, keep[row]], expected, rtol=2e-5, atol=1e-30)
        np.testing.assert_array_equal(found[row, ~keep[row]], 0.0)


@settings(max_examples=60)
@given(
    hnp.arrays(np.float32, (3, KEYS), elements=st.floats(-4, 4, width=32)),
    hnp.arrays(np.float32, (3, KEYS), elements=st.floats(0.125, 1, width=32)),
    hnp.arrays(bool, (3, KEYS)),
)
def test_the_gates_gradient_is_finite_at_zero_and_right(logits, gate, keep):
    """d A_j / d g_k = (e_k / sum)(delta_jk - A_j), e_k = exp(a_k): no logarithm anywhere."""
    keep[:, 0] = True
    gate = gate * keep
    out = np.random.default_rng(0).normal(size=(3, KEYS))
    found = np.asarray(slope(gate, logits, out.astype(np.float32)))
    assert np.all(np.isfinite(found))
    e = np.exp(logits.astype(np.float64))
    total = (gate * e).sum(-1, keepdims=True)
    attention = gate * e / total
    expected = e / total * (out - (out * attention).sum(-1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_a_gate_of_one_and_no_gate_are_the_plain_softmax_and_gates_broadcast():
    logits = jnp.asarray(np.random.default_rng(1).normal(0, 3, (2, 4, KEYS)), jnp.float32)
    np.testing.assert_allclose(gated_softmax(logits, None), jax.nn.softmax(logits), atol=1e-7)
    gate = jnp.asarray(np.random.default_rng(2).uniform(0.1, 1, (2, 1, KEYS)), jnp.float32)
    wide = gated_softmax(logits, jnp.broadcast_to(gate, logits.shape))
    np.testing.assert_array_equal(gated_softmax(logits, gate), wide)
    # A soft gate g is the same as log g added to the logit.
    np.testing.assert_allclose(wide, jax.nn.softmax(logits + jnp.log(gate)), atol=1e-6)


def test_a_row_that_sees_no_key_is_zero_in_value_and_gradient_without_gates_too():
    logits = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    visible = jnp.array([[True, False], [False, False]])
    np.testing.assert_array_equal(gated_softmax(logits, None, visible=visible), [[1.0, 0.0], [0.0, 0.0]])
    shut = gated_softmax(logits, jnp.array([[True, False]]), visible=jnp.array([[True, True], [False, True]]))
    np.testing.assert_array_equal(shut, [[1.0, 0.0], [0.0, 0.0]])
    slope = jax.grad(lambda logits: jnp.sum(gated_softmax(logits, None, visible=visible) ** 2))(logits)
    np.testing.assert_array_equal(slope, jnp.zeros((2, 2)))


def test_a_pruned_key_far_above_the_kept_ones_takes_nothing():
    """60 nats, e^60 times the kept keys' weight; float32 ends at 87."""
    logits = jnp.asarray([[60.0, 0.0, 1.0]])
    found = softmax(logits, jnp.asarray([[0.0, 1.0, 1.0]]))
    np.testing.assert_allclose(found[0], [0, 1 / (1 + np.e), np.e / (1 + np.e)], rtol=1e-5)


@pytest.mark.slow
def test_the_secant_is_what_opening_a_pruned_keys_gate_does():
    """The slope at a gate of zero is the difference that a gate of one makes; kept keys keep their tangent."""
    rng = np.random.default_rng(4)
    logits = jnp.asarray(rng.normal(0, 3, (5, KEYS)), jnp.float32)
    out = jnp.asarray(rng.normal(size=(5, KEYS)), jnp.float32)
    gate = jnp.asarray(rng.uniform(size=(5, KEYS)) < 0.5, jnp.float32).at[:, 0].set(1.0)

    def value(gate, secant=True):
        return jnp.sum(out * gated_softmax(logits, gate, secant), axis=-1)

    np.testing.assert_array_equal(value(gate), value(gate, secant=False))
    secant, tangent = (jax.grad(lambda gate, s=s: jnp.sum(value(gate, s)))(gate) for s in (True, False))
    for key in range(KEYS):
        pruned = gate[:, key] == 0
        opened = value(gate.at[:, key].set(1.0)) - value(gate)
        # The pruned key itself is among the outputs: what it adds is part of both.
        np.testing.assert_allclose(secant[pruned, key], opened[pruned], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(secant[~pruned, key], tangent[~pruned, key], rtol=1e-5)


def test_the_secants_gradient_stays_bounded_where_the_tangents_does_not():
    logits, gate = jnp.asarray([[80.0, 0.0, -80.0]]), jnp.asarray([[0.0, 1.0, 0.0]])
    found = {s: jax.grad(lambda gate, s=s: gated_softmax(logits, gate, s)[0, 1])(gate) for s in (True, False)}
    np.testing.assert_allclose(found[True], [[-1.0, 0.0, 0.0]], atol=1e-6)
    assert np.all(np.isfinite(found[True])) and abs(float(found[False][0, 0])) > 1e12


def test_head_h_belongs_to_group_floor_h_g_over_heads():
    gate = jnp.arange(2 * 5 * 3, dtype=jnp.float32).reshape(2, 5, 3)
    heads = expand_groups(gate, 6)
    assert heads.shape == (2, 6, 5)
    for head in range(6):
        np.testing.assert_array_equal(heads[:, head], gate[:, :, head * 3 // 6])


def test_rotary_products_depend_on_the_difference_of_places_alone():
    """Moving query and key by the same rows and columns leaves their product; CLS does not turn."""
    rows, columns, width = 6, 7, 8
    turned = tuple(jnp.asarray(part)[None] for part in rotary_turn(rows, columns, width))
    rng = np.random.default_rng(3)
    q, k = (jnp.asarray(np.tile(rng.normal(size=width), (1, 1, rows * columns + 1, 1)), jnp.float32) for _ in range(2))
    products = np.asarray(jnp.einsum("ahnk,ahmk->nm", rotate(q, turned), rotate(k, turned)))
    np.testing.assert_allclose(rotate(q, turned)[:, :, 0], q[:, :, 0])

    def at(row, column):
        return 1 + row * columns + column

    for (r1, c1), (r2, c2) in [((0, 1), (2, 3)), ((3, 0), (1, 2))]:
        for row, column in [(1, 0), (0, 2), (2, 1)]:
            moved = products[at(r1 + row, c1 + column), at(r2 + row, c2 + column)]
            assert abs(products[at(r1, c1), at(r2, c2)] - moved) < 1e-5
    apart = products[at(0, 0), at(0, 0)] - products[at(0, 0), [at(0, 1), at(1, 0), at(1, 1)]]
    assert np.abs(apart).min() > 1e-3  # rows, columns and both are told apart
    # Lengths are kept: a turn, not a stretch.
    np.testing.assert_allclose(jnp.linalg.norm(rotate(q, turned), axis=-1), jnp.linalg.norm(q, axis=-1), rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(width=20, heads=3), r"model.heads = 3 does not divide model.width = 20; choose a divisor"),
        (dict(patch=3), r"model.patch = 3 must be even for model.stem = 'conv'.*stem = 'linear'"),
        (dict(width=12, heads=2), r"model.width / model.heads = 6 must be a multiple of 4 for model.rotary"),
        (dict(dropout=1.0), r"model.dropout = 1.0 is above its upper bound 0.9"),
        (dict(depth=0), r"model.depth = 0 is below its lower bound 1"),
    ],
)
def test_impossible_networks_are_refused_by_name(fields, message):
    with pytest.raises(SettingError, match=message):
        ModelSpec(**fields)


def test_a_patch_that_does_not_fit_the_image_lists_those_that_do():
    assert ModelSpec(patch=4).grid(32, 24) == (8, 6)
    with pytest.raises(
        SettingError, match=r"model.patch = 6 does not divide the image's 32 x 24 pixels.*\[1, 2, 4, 8\]"
    ):
        ModelSpec(patch=6).grid(32, 24)


def test_a_pruned_key_far_above_the_kept_ones_takes_nothing_from_them():
    """Taking the largest of all logits off would leave 0 / 0 here: exp(-200) is zero in float32."""
    logits = jnp.asarray([[0.0, 1.0, 200.0]])
    gate = jnp.asarray([[1.0, 1.0, 0.0]])
    np.testing.assert_allclose(softmax(logits, gate), [[0.26894143, 0.7310586, 0.0]], rtol=1e-6)
    assert np.all(np.isfinite(slope(gate, logits, jnp.asarray([[1.0, 2.0, 3.0]]))))
